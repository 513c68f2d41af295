// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/testpython"
)

func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(os.Args[0], rolePrefix); ok {
		playRole(name, os.Args[1:])
	}
	testpython.Main(m)
}

// TestQuick runs every benchmark. What it measures means nothing; that it measures does.
func TestQuick(t *testing.T) {
	require.Zero(t, os.Geteuid(), "loopwatch observes as root: run the tests as root")
	var out bytes.Buffer
	require.NoError(t, run([]string{"-quick", "-patience", "0s"}, &out))
	for _, want := range []string{
		"enter_wait", "on_tick", "loopwatch's over empty", "without loopwatch", "attached by", "empty programs on its hooks",
		"resident MiB", "CPU time",
		"ns a hit",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), "NaN")
	left, err := programsOf(os.Getpid())
	require.NoError(t, err)
	assert.Empty(t, left, "BPF programs left behind")
}

func TestNamesOfBenchmarksAreChecked(t *testing.T) {
	assert.ErrorContains(t, run([]string{"-only", "switch,nonsense"}, &bytes.Buffer{}), `no benchmark "nonsense"`)
}

// A drift of the host must fall on all variants alike, and none may be entered twice in a row.
func TestCompareGoesToAndFro(t *testing.T) {
	require.Zero(t, os.Geteuid(), "listing BPF programs needs root: run the tests as root")
	var entered, measured []string
	current := "a"
	named := func(name string) variant {
		return variant{name, func() (func() error, error) {
			entered, current = append(entered, name), name
			return func() error { current = "a"; return nil }, nil
		}}
	}
	b := &bench{}
	c, err := b.compare([]variant{{name: "a"}, named("b"), named("c")}, 3, func() (float64, error) {
		measured = append(measured, current)
		return float64(len(measured)), nil
	})
	require.NoError(t, err)
	require.Len(t, c.rounds, 3)
	if c.disturbed > 0 { // somebody else's programs came and went: more rounds than expected
		assert.Greater(t, len(measured), 9)
		return
	}
	assert.Equal(t, "abccbaabc", strings.Join(measured, ""))
	assert.Equal(t, "bcbbc", strings.Join(entered, ""))
	assert.Equal(t, []float64{1, 6, 7}, c.values(0))
	assert.Equal(t, []float64{2, -2, 2}, c.against(2, difference))
	assert.Equal(t, "a", current, "the last variant was not left")
}

func TestQuantile(t *testing.T) {
	assert.True(t, math.IsNaN(median(nil)))
	assert.Equal(t, 7.0, median([]float64{7}))
	assert.Equal(t, 2.5, median([]float64{4, 1, 3, 2}))
	assert.Equal(t, 1.75, quantile([]float64{4, 1, 3, 2}, .25))
	assert.Equal(t, 4.0, quantile([]float64{4, 1, 3, 2}, 1))
}

func TestCount(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		assert.Equal(t, want, count(n))
	}
}
