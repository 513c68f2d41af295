// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestInRootGroup: whether sessions share the CPU depends on the cgroup the kernel takes the share from.
func TestInRootGroup(t *testing.T) {
	for _, test := range []struct {
		name, groups, below string
		want                bool
	}{
		{"v2, root", "0::/\n", "cpu io memory pids\n", true},
		{"v2, a service", "0::/system.slice/x.service\n", "cpuset cpu io memory pids\n", false},
		{"v2, no shares", "0::/user.slice/user-0.slice/session-1.scope\n", "memory pids\n", true},
		{"v2, cpuset is another", "0::/system.slice\n", "cpuset memory\n", true},
		{"v1, root", "8:pids:/a\n2:cpu,cpuacct:/\n0::/system.slice\n", "", true},
		{"v1, a service", "8:pids:/\n2:cpuacct,cpu:/system.slice\n0::/\n", "cpu", false},
		{"v1, cpuacct is another", "3:cpuset:/a\n2:cpuacct:/a\n1:cpu:/\n", "", true},
		{"no cgroups", "", "", true},
		{"nonsense", "::\n\nx", "", true},
	} {
		assert.Equal(t, test.want, inRootGroup(test.groups, test.below), test.name)
	}
}

func TestAutogroupNice(t *testing.T) {
	nice, ok := autogroupNice("/autogroup-4711 nice -5\n")
	assert.True(t, ok)
	assert.Equal(t, -5, nice)
	for _, text := range []string{"", "/autogroup-1", "/autogroup-1 nice x"} {
		_, ok := autogroupNice(text)
		assert.False(t, ok, text)
	}
}

// TestNothingIsDone where the niceness is to stay as it is.
func TestNothingIsDone(t *testing.T) {
	before, err := niceOf(0)
	require.NoError(t, err)
	p, err := Raise(Options{Nice: 0, Chosen: true, Session: Own})
	require.NoError(t, err)
	_, moved := p.Move()
	assert.False(t, moved)
	p.Guard(t.Context())()
	require.NoError(t, p.Usual(func() error { return nil }))
	after, err := niceOf(0)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.NoError(t, p.Err())
	assert.Zero(t, p.Lowered())
}

// TestStaleSession: a process whose first one has ended does not go on alone.
func TestStaleSession(t *testing.T) {
	t.Setenv(sessionEnv, "4194304 0") // no process: PID_MAX_LIMIT
	_, err := Raise(Options{Nice: -5})
	assert.ErrorIs(t, err, errAbandoned)
}

// TestOthersSession: what merely looks like ours is not believed.
func TestOthersSession(t *testing.T) {
	for _, text := range []string{"", "x", "1", fmt.Sprint(-1)} {
		t.Setenv(sessionEnv, text)
		_, err := Raise(Options{Nice: 0})
		assert.NoError(t, err, text)
	}
}
