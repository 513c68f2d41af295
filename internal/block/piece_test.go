// SPDX-License-Identifier: Apache-2.0

package block

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMainModule(t *testing.T) {
	in := func(module string, ns int64) piece { return piece{native: module, ns: ns} }
	assert.Equal(t, "_json.so", mainModule([]piece{in("_json.so", 5), in("libc.so.6", 50), in("", 70), in("_sqlite3.so", 3)}))
	assert.Equal(t, "libcrypto.so.3", mainModule([]piece{in("libc.so.6", 50), in("libcrypto.so.3", 3), in("libcrypto.so.3", 3), in("_hashlib.so", 5)}))
	assert.Equal(t, "libc.so.6", mainModule([]piece{in("libc.so.6", 50), in("", 70)}))
	assert.Empty(t, mainModule([]piece{in("", 70)}))
}
