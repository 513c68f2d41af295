// SPDX-License-Identifier: Apache-2.0

package testpython_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestEveryInterpreterRunsAScript(t *testing.T) {
	names := map[string]bool{}
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			assert.False(t, names[py.Name], "the name is unique")
			names[py.Name] = true
			script := py.Script(t, "hello.py", "import sys, os, time\nprint('%d %d %s' % (os.getpid(), sys.version_info[1], __file__))\ntime.sleep(600)\n")
			p := testpython.Start(t, py.Command(script))
			require.Equal(t, fmt.Sprintf("%d %d %s", p.PID, py.Minor, script), p.ReadLine(t))
			assert.True(t, strings.HasPrefix(py.Version, fmt.Sprintf("3.%d", py.Minor)))
			t.Log(py.Name, py.Root, py.Path)
		})
	}
}

func TestUnsupportedAreNotInAll(t *testing.T) {
	for _, py := range testpython.Unsupported(t) {
		assert.False(t, py.Supported(), py.Name)
		t.Log(py.Name, py.Path)
	}
	for _, py := range testpython.Debug(t) {
		t.Log(py.Name, py.Path)
	}
}
