// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

// said is what a guest's output looks like: markers of cmd/suite around a test binary's own.
const said = "noise of the machine\n" +
	"\n" + job.Begin + "6.1-fentry\n" +
	"\x16=== RUN   TestGood\n" +
	"\x16--- PASS: TestGood (0.01s)\n\x16=== NAME  \n" +
	"\x16=== RUN   TestOld\n" +
	"    old_test.go:7: needs 5.17\n" +
	"\x16--- SKIP: TestOld (0.00s)\n\x16=== NAME  \n" +
	"\x16=== RUN   TestBad\n" +
	"\x16=== RUN   TestBad/part\n" +
	"    bad_test.go:9: 1 is not 2\n" +
	"\x16--- FAIL: TestBad/part (0.00s)\n\x16=== NAME  TestBad\n" +
	"\x16--- FAIL: TestBad (0.01s)\n\x16=== NAME  \n" +
	"FAIL\n" +
	"\n" + job.End + "1 2500\n"

var step = job.Step{Name: "6.1-fentry"}

func TestReadResult(t *testing.T) {
	r, err := ReadResult(t.Context(), []byte(said), step, []string{"TestGood", "TestOld", "TestBad", "TestAfter"})
	require.NoError(t, err)
	assert.Equal(t, []string{"TestGood"}, r.Passed)
	assert.Equal(t, []string{"TestBad"}, r.Failed)
	assert.Equal(t, map[string]string{"TestOld": "needs 5.17"}, r.Skipped)
	assert.Equal(t, []string{"TestAfter"}, r.Missing, "compiled in, and not run")
	assert.Equal(t, 1, r.Status)
	assert.Equal(t, 2500*time.Millisecond, r.Took)
	assert.Equal(t, 3, r.Run())
	assert.False(t, r.OK())
	assert.Contains(t, r.Complaints, "1 is not 2")
	assert.NotContains(t, r.Complaints, "TestGood")
}

// TestReadResultCutShort: a guest that died in the middle is no success, wherever that was.
func TestReadResultCutShort(t *testing.T) {
	for at := 0; at < len(said)-8; at += 61 {
		r, err := ReadResult(t.Context(), []byte(said[:at]), step, []string{"TestGood"})
		require.NoError(t, err)
		require.False(t, r.OK(), "after %d bytes", at)
	}
}

func TestReadResultGood(t *testing.T) {
	const good = job.Begin + "6.1-fentry\n\x16=== RUN   TestGood\n\x16--- PASS: TestGood (0.01s)\n\x16=== NAME  \nPASS\n" + job.End + "0 10\n"
	r, err := ReadResult(t.Context(), []byte(good), step, []string{"TestGood"})
	require.NoError(t, err)
	assert.True(t, r.OK())
	r, err = ReadResult(t.Context(), []byte(good), step, []string{"TestGood", "TestOther"})
	require.NoError(t, err)
	assert.False(t, r.OK(), "a test that did not run")
	r, err = ReadResult(t.Context(), []byte(good), job.Step{Name: "another"}, nil)
	require.NoError(t, err)
	assert.False(t, r.OK(), "a step that was not reached")
}

func TestSkipsNeedLeave(t *testing.T) {
	const list = "# comment\nTestA *  # everywhere\nTestB 5.10,6.1\nTestD arm64,*/fentry\nTestE 6.1/tracepoint\n"
	old, late := Row{Name: "6.1", Arch: "amd64"}, Row{Name: "6.12", Arch: "arm64"}
	assert.True(t, listed(list, late, "fentry", "TestA"))
	assert.True(t, listed(list, old, "fentry", "TestB"))
	assert.False(t, listed(list, late, "fentry", "TestB"))
	assert.False(t, listed(list, old, "fentry", "TestC"))
	assert.False(t, listed(list, old, "fentry", "comment"))
	assert.True(t, listed(list, old, "fentry", "TestD"))
	assert.False(t, listed(list, old, "tracepoint", "TestD"))
	assert.True(t, listed(list, late, "tracepoint", "TestD"))
	assert.False(t, listed(list, old, "fentry", "TestE"))
	assert.True(t, listed(list, old, "tracepoint", "TestE"))

	o := Outcome{Row: Row{Name: "6.1"}, Result: Result{Passed: []string{"TestX"}, Skipped: map[string]string{"TestX/part": "too old"}}}
	assert.False(t, o.OK())
	o.Result.Skipped = nil
	assert.True(t, o.OK())
}

func TestOmissions(t *testing.T) {
	tests := []string{"TestTruth", "TestBadInput", "TestHolders", "TestDrillKill"}
	s := &Suite{Tests: tests}
	assert.Equal(t, []string{"TestTruth"}, s.Of(Row{Name: "6.1"}, "fentry"))
	assert.Equal(t, []string{"TestTruth", "TestHolders"}, s.Of(Row{Name: "6.1"}, "tracepoint"))
	assert.Equal(t, []string{"TestDrillKill"}, s.Of(Row{Name: "6.1"}, Drills))
	assert.NoError(t, checkOmissions("TestBadInput *\n# TestNone\n", tests))
	assert.ErrorContains(t, checkOmissions("TestNone *\n", tests), "TestNone")
}

func TestTable(t *testing.T) {
	var out strings.Builder
	require.NoError(t, PrintTable(&out, []Outcome{
		{
			Row: Row{Name: "6.1", Root: "bookworm", Interpreters: []string{"python3.11"}}, Mode: "fentry", Release: "6.1.0-9", Took: 90 * time.Second,
			Result: Result{Passed: []string{"TestA", "TestB"}, Failed: []string{"TestC"}, Missing: []string{"TestE"}, Skipped: map[string]string{"TestD": "too old"}},
		},
		{Row: Row{Name: "sid", Root: "sid"}, Mode: "fentry", Err: assert.AnError},
	}))
	lines := strings.Split(out.String(), "\n")
	assert.Equal(t, []string{"6.1.0-9", "bookworm", "python3.11", "fentry", "4", "2", "2", "1", "90"}, strings.Fields(lines[1]))
	assert.Contains(t, out.String(), "TestD skipped: too old")
	assert.Contains(t, out.String(), "TestC")
	assert.Contains(t, out.String(), "1 did not run: TestE")
	assert.Contains(t, out.String(), assert.AnError.Error())
}
