// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/doctor"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/judge"
	"github.com/loopwatch/loopwatch/test/truth"
)

// nobody is a user without privileges.
const nobody = 65534

// diagnose runs "loopwatch doctor -f json" by way of cmd's attributes.
func diagnose(t *testing.T, attributes *syscall.SysProcAttr, args ...string) (doctor.Diagnosis, int) {
	t.Helper()
	got := doAs(t, attributes, append([]string{"doctor", "--format", "json"}, args...)...)
	var d doctor.Diagnosis
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &d), "%s\n%s", got.stdout, got.stderr)
	assert.Empty(t, got.stderr)
	assert.Equal(t, doctor.Schema, d.Schema)
	for _, c := range slices.Concat(d.Checks, d.Hooks) {
		assert.Equal(t, c.Status == doctor.OK, c.Do == "", "%s: what has to be done is said where something has, and only there", c.Name)
		assert.NotEmpty(t, c.Found, c.Name)
	}
	return d, got.status
}

// nobodyWith runs a command as nobody with these capabilities.
func nobodyWith(capabilities ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
}

// allCapabilities are what docs/requirements.md has do for root.
var allCapabilities = []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH, unix.CAP_CHECKPOINT_RESTORE, unix.CAP_SYSLOG}

// TestDoctor: it says what a report then does, of the host and of every process.
func TestDoctor(t *testing.T) {
	started := map[int]testpython.Interp{}
	for _, python := range testpython.All(t) {
		started[sleeper(t, python, seconds(usualThreshold())).pid()] = python
	}
	d, status := diagnose(t, nil)
	assert.True(t, d.Works, d.Answer)
	assert.Equal(t, 0, status)
	for _, c := range d.Hooks {
		assert.Contains(t, []doctor.Status{doctor.OK, doctor.Fallback}, c.Status, c)
	}

	got := do(t, 0, "report", "--duration", "1s", "--format", "json")
	var rep model.Report
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &rep))
	assert.Equal(t, rep.Host.Attach, d.Attach)
	for pid, python := range started {
		i := slices.IndexFunc(d.Processes, func(p doctor.Process) bool { return p.PID == pid })
		if !assert.GreaterOrEqual(t, i, 0, "%s is not listed", python.Name) {
			continue
		}
		p := d.Processes[i]
		assert.True(t, p.Watchable, p.Reason)
		assert.Equal(t, python.Version, p.Python, python.Name)
		var kinds []string
		for _, l := range loopsOf(&rep, pid) {
			kinds = append(kinds, l.Loop)
			assert.Subset(t, p.USDT, l.USDT, python.Name)
		}
		assert.Equal(t, kinds, p.Loops, python.Name)
	}

	for _, python := range testpython.Unsupported(t) {
		i := slices.IndexFunc(d.Processes, func(p doctor.Process) bool { return p.Python == python.Version && p.Watchable })
		assert.Negative(t, i, "%s is not supported", python.Version)
	}
}

// TestDoctorOfProcesses: doctor describes the processes asked for, whatever they are, and its status says
// whether all can be watched.
func TestDoctorOfProcesses(t *testing.T) {
	python := sleeper(t, newest(t), seconds(usualThreshold()))
	sleep := exec.Command("sleep", "60")
	require.NoError(t, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()

	d, status := diagnose(t, nil, "--pid", itoa(python.pid()))
	assert.Equal(t, 0, status)
	assert.Len(t, d.Processes, 1)

	d, status = diagnose(t, nil, "--pid", itoa(python.pid()), "--pid", itoa(sleep.Process.Pid))
	assert.Equal(t, 1, status)
	require.Len(t, d.Processes, 2)
	for _, p := range d.Processes {
		assert.Equal(t, p.PID == python.pid(), p.Watchable)
		assert.Equal(t, p.Watchable, p.Reason == "" && p.Do == "", p)
	}
}

// TestDoctorOfBusyLoops: that a stack changes while it is read hides no loop.
func TestDoctorOfBusyLoops(t *testing.T) {
	stage := newStage(t)
	var args []string
	for _, python := range releases(few(t)) {
		p := stage.run(t, python, truth.Spinning, "asyncio", "endless", "1")
		require.NoError(t, p.ready())
		args = append(args, "--pid", itoa(p.pid()))
	}
	for range 10 {
		d, status := diagnose(t, nil, args...)
		assert.Equal(t, 0, status)
		for _, p := range d.Processes {
			assert.Equal(t, []string{"asyncio"}, p.Loops, p.Python)
		}
	}
}

// TestDoctorWithout: without privileges it says what is missing, and of the user's own processes
// what they are.
func TestDoctorWithout(t *testing.T) {
	d, status := diagnose(t, nobodyWith())
	assert.Equal(t, 1, status)
	assert.False(t, d.Works)
	assert.Contains(t, d.Answer, "CAP_BPF and CAP_PERFMON are missing")
	assert.Contains(t, d.Answer, "root")
	for _, c := range d.Hooks {
		assert.Equal(t, doctor.Unknown, c.Status, c.Name)
	}

	inside, status := diagnose(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID})
	assert.Equal(t, 1, status)
	assert.Contains(t, inside.Answer, "PID namespace")
}

// TestCapabilities: a user with the capabilities of docs/requirements.md sees what root sees, and
// the command that "run" starts has none of them.
func TestCapabilities(t *testing.T) {
	all := allCapabilities
	if paranoid, err := os.ReadFile("/proc/sys/kernel/perf_event_paranoid"); err == nil && strings.TrimSpace(string(paranoid)) > "2" {
		// Debian's kernels: perf events are CAP_SYS_ADMIN's alone.
		d, status := diagnose(t, nobodyWith(all...))
		assert.Equal(t, 1, status)
		assert.Contains(t, d.Answer, "kernel.perf_event_paranoid")
		all = append(slices.Clone(all), unix.CAP_SYS_ADMIN)
	}
	d, status := diagnose(t, nobodyWith(all...))
	require.Equal(t, 0, status, d.Answer)
	assert.NotContains(t, d.Answer, "less is seen")

	for _, python := range testpython.All(t) {
		p := sleeper(t, python, seconds(usualThreshold()))
		w := watchAs(t, nobodyWith(all...), "--pid", itoa(p.pid()), "--duration", "1h")
		log, err := p.play()
		require.NoError(t, err)
		v := judge.Blocks(usualThreshold(), log, judge.BlocksOf(w.stop(t), p.pid()), p.waits)
		assert.Equal(t, 1, v.Right, "%s: %s", python.Name, v.Summary())
		assert.Empty(t, v.Complaints, python.Name)
	}

	got := doAs(t, nobodyWith(all...), "run", "--output", "/dev/null", "--", "grep", "^Cap[PEA]", "/proc/self/status")
	assert.Equal(t, 0, got.status, got.stderr)
	assert.Equal(t, 3, strings.Count(got.stdout, "\n"), got.stdout)
	for line := range strings.Lines(got.stdout) {
		assert.Equal(t, strings.Repeat("0", 16), strings.Fields(line)[1], line)
	}

	// Less, and what is lost is said.
	if len(all) > len(allCapabilities) {
		return // CAP_SYS_ADMIN includes most of it
	}
	d, status = diagnose(t, nobodyWith(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_DAC_READ_SEARCH))
	require.Equal(t, 0, status, d.Answer)
	for _, name := range []string{"CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE"} {
		assert.Contains(t, d.Answer, name)
	}
}
