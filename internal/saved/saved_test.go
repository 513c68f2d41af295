// SPDX-License-Identifier: Apache-2.0

package saved

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

func TestReport(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.json")
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, json.Write(f, reporttest.Example()))
	require.NoError(t, f.Close())
	rep, warning, err := Report(name)
	require.NoError(t, err)
	assert.Empty(t, warning)
	assert.Equal(t, reporttest.Example(), rep)

	require.NoError(t, os.WriteFile(name, []byte(`{"schema":"loopwatch.report/v9"}`), 0o600))
	_, _, err = Report(name)
	assert.ErrorContains(t, err, "cannot read the report in "+name)
	_, _, err = Report("/dev/null")
	assert.ErrorContains(t, err, "is empty")
	_, _, err = Report(filepath.Dir(name))
	assert.ErrorContains(t, err, "is a directory")
}

func TestRules(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ignore")
	require.NoError(t, os.WriteFile(name, []byte("cause=cpu\n"), 0o600))
	rules, err := Rules(name)
	require.NoError(t, err)
	assert.Len(t, rules, 1)
	require.NoError(t, os.WriteFile(name, []byte("cause=\n"), 0o600))
	_, err = Rules(name)
	assert.ErrorContains(t, err, name+":1: cause= has no value")
	_, err = Rules(name + "absent")
	assert.ErrorContains(t, err, "no such file")
}
