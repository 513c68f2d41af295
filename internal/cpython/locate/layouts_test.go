// SPDX-License-Identifier: Apache-2.0

package locate_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/cpythontest"
	"github.com/loopwatch/loopwatch/internal/cpython/layoutgen/offsets"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestLayoutsAgreeWithTheHeaders(t *testing.T) {
	compared := 0
	for _, py := range append(testpython.All(t), testpython.Debug(t)...) {
		dir := filepath.Join("/", py.Root, config(t, py)["include"].(string))
		if _, err := os.Stat(filepath.Join(dir, "internal/pycore_pystate.h")); err != nil {
			t.Logf("%s: has no headers", py)
			continue
		}
		compared++
		t.Run(py.Name, func(t *testing.T) {
			table, err := offsets.Measure("cc", dir)
			require.NoError(t, err)
			prog := testpython.Start(t, py.Command("-c", "import time; print(1); time.sleep(600)"))
			prog.ReadLine(t)
			_, rt := cpythontest.Locate(t, prog.PID)
			require.Equal(t, table.Version, uint32(rt.Version))
			// By way of the names, so that no field can be forgotten here.
			b, err := json.Marshal(rt.Layout)
			require.NoError(t, err)
			var got map[string]uint32
			require.NoError(t, json.Unmarshal(b, &got))
			want := table.Values()
			for name, value := range got {
				assert.Equal(t, want[name], value, name)
			}
			for name := range want {
				assert.Contains(t, got, name)
			}
		})
	}
	require.NotZero(t, compared, "install python3-dev: no interpreter here has its internal headers")
}
