// SPDX-License-Identifier: Apache-2.0

package locate

import (
	"testing"

	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestMain(m *testing.M) { testpython.Main(m) }
