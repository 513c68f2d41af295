// SPDX-License-Identifier: Apache-2.0

package cause

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

func frame(function string) model.Frame {
	return model.Frame{Function: function, File: "/srv/app.py", Line: 1, App: true}
}

func inet(address string) syscalls.Target {
	return syscalls.Target{
		Kind: syscalls.InetTarget, Mode: unix.S_IFSOCK, Family: unix.AF_INET, Protocol: unix.IPPROTO_TCP, Address: netip.MustParseAddrPort(address),
	}
}

// none is what has no syscall.
const none = -1

var sleepTests = []struct {
	what  string
	sleep Sleep
	leaf  model.Frame
	want  model.Cause
}{
	{"sleep", Sleep{Call: Call{Number: unix.SYS_CLOCK_NANOSLEEP}}, model.Frame{}, model.CauseSleep},
	{"recv", Sleep{Call: Call{Number: unix.SYS_RECVFROM}}, model.Frame{}, model.CauseNet},
	{"poll on nothing", Sleep{Call: Call{Number: unix.SYS_PPOLL}}, model.Frame{}, model.CauseSleep},
	{"poll on a socket", Sleep{Call: Call{Number: unix.SYS_PPOLL, Args: [3]uint64{1, 1}, Target: syscalls.Target{Mode: unix.S_IFSOCK}}}, model.Frame{}, model.CauseNet},
	{"poll on a resolver", Sleep{Call: Call{Number: unix.SYS_PPOLL, Args: [3]uint64{1, 1}, Target: inet("192.0.2.1:53")}}, model.Frame{}, model.CauseDNS},
	{"a resolver on this host", Sleep{Call: Call{Number: unix.SYS_RECVFROM, Target: syscalls.Target{Kind: syscalls.UnixTarget, Path: "/run/avahi-daemon/socket"}}}, model.Frame{}, model.CauseDNS},
	{"port 53 of something else", Sleep{Call: Call{Number: unix.SYS_RECVFROM, Target: syscalls.Target{Kind: syscalls.UnixTarget, Path: "53"}}}, model.Frame{}, model.CauseNet},
	{"under getaddrinfo", Sleep{Call: Call{Number: unix.SYS_CONNECT}}, model.Frame{Function: "getaddrinfo", File: "/usr/lib/python3.11/socket.py"}, model.CauseDNS},
	{"a lock under getaddrinfo", Sleep{Call: Call{Number: unix.SYS_FUTEX}}, model.Frame{Function: "getaddrinfo", File: "/usr/lib/python3.11/socket.py"}, model.CauseLock},
	{"a pipe under getaddrinfo", Sleep{Call: Call{Number: none}, Place: kernelstack.Pipe}, model.Frame{Function: "getaddrinfo", File: "/usr/lib/python3.11/socket.py"}, model.CausePipe},
	{"select on nothing", Sleep{Call: Call{Number: unix.SYS_PSELECT6}}, model.Frame{}, model.CauseSleep},
	{"select on something", Sleep{Call: Call{Number: unix.SYS_PSELECT6, Args: [3]uint64{4}}}, model.Frame{}, model.CauseUnknown},
	{"read of a file", Sleep{Call: Call{Number: unix.SYS_READ, Target: syscalls.Target{Mode: unix.S_IFREG}}}, model.Frame{}, model.CauseFile},
	{"read of a pipe", Sleep{Call: Call{Number: unix.SYS_READ, Target: syscalls.Target{Mode: unix.S_IFIFO}}}, model.Frame{}, model.CausePipe},
	{"read of the exec error pipe", Sleep{Call: Call{Number: unix.SYS_READ, Target: syscalls.Target{Mode: unix.S_IFIFO}}}, model.Frame{Function: "Popen._execute_child", File: "/usr/lib/python3.11/subprocess.py"}, model.CauseSubprocess},
	{"an eventfd while a child starts", Sleep{Call: Call{Number: unix.SYS_READ, Target: syscalls.Target{Magic: syscalls.AnonInodeFS, Path: "[eventfd]"}}}, model.Frame{Function: "Popen._execute_child", File: "/usr/lib/python3.11/subprocess.py"}, model.CausePipe},
	{"write to a terminal", Sleep{Call: Call{Number: unix.SYS_WRITE, Target: syscalls.Target{Mode: unix.S_IFCHR, Device: 136 << 20}}}, model.Frame{}, model.CausePipe},
	{"wait for a child", Sleep{Call: Call{Number: unix.SYS_WAIT4}}, model.Frame{}, model.CauseSubprocess},
	{"a message queue", Sleep{Call: Call{Number: unix.SYS_MSGRCV}}, model.Frame{}, model.CausePipe},
	{"stopped", Sleep{Call: Call{Number: unix.SYS_READ}, Stopped: true}, model.Frame{}, model.CauseStopped},
	{"traced", Sleep{Call: Call{Number: none}, Stopped: true}, model.Frame{}, model.CauseStopped},
	{"a semaphore of System V", Sleep{Call: Call{Number: unix.SYS_SEMTIMEDOP}}, model.Frame{}, model.CauseLock},
	{"a futex", Sleep{Call: Call{Number: unix.SYS_FUTEX}}, model.Frame{}, model.CauseLock},
	{"the GIL's futex", Sleep{Call: Call{Number: unix.SYS_FUTEX}, GIL: true}, model.Frame{}, model.CauseGIL},
	{"the GIL's address in another call", Sleep{Call: Call{Number: unix.SYS_RECVFROM}, GIL: true}, model.Frame{}, model.CauseNet},
	{"no syscall", Sleep{Call: Call{Number: none}}, model.Frame{}, model.CauseUnknown},
	{"a page of a file", Sleep{Call: Call{Number: none, Target: syscalls.Target{Kind: syscalls.FileTarget}}}, model.Frame{}, model.CauseFile},
	{"a page, by its place in the kernel", Sleep{Call: Call{Number: none}, Place: kernelstack.Disk}, model.Frame{}, model.CauseFile},
	{"a socket, by its place in the kernel", Sleep{Call: Call{Number: none}, Place: kernelstack.Network}, model.Frame{}, model.CauseNet},
	{"a child, by its place in the kernel", Sleep{Call: Call{Number: none}, Place: kernelstack.Child}, model.Frame{}, model.CauseSubprocess},
	{"the call outranks the place", Sleep{Call: Call{Number: unix.SYS_RECVFROM}, Place: kernelstack.Disk}, model.Frame{}, model.CauseNet},
	{"the object outranks the place", Sleep{Call: Call{Number: unix.SYS_READ, Target: syscalls.Target{Mode: unix.S_IFIFO}}, Place: kernelstack.Disk}, model.Frame{}, model.CausePipe},
	{"the place of an object that says nothing", Sleep{Call: Call{Number: unix.SYS_IOCTL}, Place: kernelstack.Disk}, model.Frame{}, model.CauseFile},
	{"another epoll", Sleep{Call: Call{Number: unix.SYS_EPOLL_PWAIT}}, model.Frame{}, model.CauseUnknown},
}

func TestOfSleep(t *testing.T) {
	for _, test := range sleepTests {
		assert.Equal(t, test.want, OfSleep(test.sleep, []model.Frame{test.leaf, frame("handler")}), test.what)
	}
	assert.Equal(t, model.CauseNet, OfSleep(Sleep{Call: Call{Number: unix.SYS_CONNECT}}, nil), "no stack")
}

// The place in the kernel counts where nothing else says anything, and nowhere else.
func TestNeedsPlace(t *testing.T) {
	for _, test := range sleepTests {
		elsewhere, pipe := test.sleep, test.sleep
		elsewhere.Place, pipe.Place = kernelstack.Elsewhere, kernelstack.Pipe
		frames := []model.Frame{frame("handler")}
		assert.Equal(t, OfSleep(elsewhere, frames) != OfSleep(pipe, frames), test.sleep.NeedsPlace() && test.want != model.CauseDNS, test.what)
	}
}

// Each rule is tried, and each cause of a sleep has one.
func TestEverySleepRuleIsTested(t *testing.T) {
	tested := map[model.Cause]bool{}
	for _, test := range sleepTests {
		tested[test.want] = true
	}
	for _, r := range sleepRules {
		assert.True(t, tested[r.cause], r.cause)
	}
	for _, c := range model.Causes() {
		if c.Kind() == model.KindWaiting || c == model.CauseLock || c == model.CauseGIL || c == model.CauseStopped {
			assert.True(t, tested[c], "%s has no rule in sleepRules, or none that is tested", c)
		}
	}
}

func TestObjectOf(t *testing.T) {
	read := func(t syscalls.Target) Sleep { return Sleep{Call: Call{Number: unix.SYS_READ, Target: t}} }
	for _, test := range []struct {
		target syscalls.Target
		want   model.Cause
	}{
		{syscalls.Target{Kind: syscalls.FileTarget, Magic: syscalls.AnonInodeFS, Path: "[timerfd]"}, model.CauseSleep},
		{syscalls.Target{Kind: syscalls.FileTarget, Magic: syscalls.AnonInodeFS, Path: "[eventfd]"}, model.CausePipe},
		{syscalls.Target{Kind: syscalls.ChildTarget, Magic: syscalls.AnonInodeFS}, model.CauseSubprocess},
		{syscalls.Target{Mode: unix.S_IFCHR, Device: 1<<20 | 8}, model.CauseFile},
		{syscalls.Target{Mode: unix.S_IFCHR, Device: 5 << 20}, model.CausePipe},
		{syscalls.Target{Magic: syscalls.AnonInodeFS, Path: "[io_uring]"}, model.CauseUnknown}, // can be anything
		{syscalls.Target{}, model.CauseUnknown},
	} {
		assert.Equal(t, test.want, OfSleep(read(test.target), nil), "%+v", test.target)
	}
}

// Where a thread is found running says whose code it is; in the C library, who may have called it.
func TestOfRun(t *testing.T) {
	in := func(s Sleep) *Sleep { return &s }
	for _, test := range []struct {
		what   string
		run    Run
		cause  model.Cause
		native string
	}{
		{"the interpreter", Run{Module: "python3.11", Interpreter: true, GIL: model.GILHeld}, model.CauseCPU, ""},
		{"a library", Run{Module: "libcrypto.so.3", GIL: model.GILHeld}, model.CauseNative, "libcrypto.so.3"},
		{"a library without the GIL", Run{Module: "libcrypto.so.3", GIL: model.GILReleased}, model.CauseNative, "libcrypto.so.3"},
		{"the C library", Run{Module: "libc.so.6", GIL: model.GILHeld}, model.CauseCPU, ""},
		{"the C library, the GIL unknown", Run{Module: "libc.so.6"}, model.CauseCPU, ""},
		{"the C library without the GIL", Run{Module: "libc.so.6", GIL: model.GILReleased}, model.CauseNative, "libc.so.6"},
		{"the loader without the GIL", Run{Module: "ld-musl-x86_64.so.1", GIL: model.GILReleased}, model.CauseNative, "ld-musl-x86_64.so.1"},
		{"no file", Run{Module: "[vdso]", GIL: model.GILHeld}, model.CauseCPU, ""},
		{"nowhere", Run{}, model.CauseCPU, ""},
		{"in the kernel, for a file", Run{Kernel: in(Sleep{Call: Call{Number: unix.SYS_FSYNC}}), Module: "libcrypto.so.3"}, model.CauseFile, ""},
		{"in the kernel, about to wait for a lock", Run{Kernel: in(Sleep{Call: Call{Number: unix.SYS_FUTEX}}), Module: "libcrypto.so.3"}, model.CauseNative, "libcrypto.so.3"},
		{"in the kernel, about to wait for the GIL", Run{Kernel: in(Sleep{Call: Call{Number: unix.SYS_FUTEX}, GIL: true}), Interpreter: true}, model.CauseCPU, ""},
		{"in the kernel, for whatever", Run{Kernel: in(Sleep{Call: Call{Number: unix.SYS_GETPID}}), Interpreter: true}, model.CauseCPU, ""},
	} {
		cause, native := OfRun(test.run, nil)
		assert.Equal(t, test.cause, cause, test.what)
		assert.Equal(t, test.native, native, test.what)
	}
}

func TestOfRuns(t *testing.T) {
	python, json, crypto := Run{Module: "python3", Interpreter: true}, Run{Module: "_json.so"}, Run{Module: "libcrypto.so.3"}
	libc := Run{Module: "libc.so.6", GIL: model.GILHeld}
	deflate, crc := Run{Module: "libz.so.1", Function: "deflate"}, Run{Module: "libz.so.1", Function: "crc32"}
	for _, test := range []struct {
		what   string
		times  int
		user   []Run
		recent bool
		cause  model.Cause
		native string
	}{
		{"never on a CPU since it began", 0, nil, true, model.CauseRunqueue, ""},
		{"never on a CPU for a while", 0, nil, false, model.CauseUnknown, ""},
		{"in the kernel", 3, nil, true, model.CauseUnknown, ""},
		{"the interpreter", 3, []Run{python, python, json}, false, model.CauseCPU, ""},
		{"half of it", 2, []Run{python, json}, false, model.CauseCPU, ""},
		{"the C library for the interpreter", 3, []Run{libc, libc, json}, false, model.CauseCPU, ""},
		{"native code", 4, []Run{python, json, crypto, json}, false, model.CauseNative, "_json.so"},
		{"a function that is known", 4, []Run{deflate, crc, json, deflate}, false, model.CauseNative, "libz.so.1 deflate"},
		{"one that is known less often", 3, []Run{{Module: "libz.so.1"}, crc, {Module: "libz.so.1"}}, false, model.CauseNative, "libz.so.1"},
		{"as much of two functions", 2, []Run{deflate, crc}, false, model.CauseNative, "libz.so.1 crc32"},
		{"as much of two modules", 2, []Run{crypto, json}, false, model.CauseNative, "_json.so"},
	} {
		cause, native := OfRuns(test.times, test.user, test.recent)
		assert.Equal(t, test.cause, cause, test.what)
		assert.Equal(t, test.native, native, test.what)
	}
}

func TestMainModule(t *testing.T) {
	assert.Equal(t, "_json.so", MainModule(map[string]int64{"_json.so": 5, "libc.so.6": 50, "_sqlite3.so": 3}))
	assert.Equal(t, "libcrypto.so.3", MainModule(map[string]int64{"libc.so.6": 50, "libcrypto.so.3": 6, "_hashlib.so": 5}))
	assert.Equal(t, "libc.so.6", MainModule(map[string]int64{"libc.so.6": 50}))
	assert.Equal(t, "a.so", MainModule(map[string]int64{"b.so": 5, "a.so": 5}))
	assert.Empty(t, MainModule(nil))
}

// A collection or an import outranks what the thread does in it, where a line is to blame at all.
func TestBlame(t *testing.T) {
	handler, find := frame("handler"), model.Frame{Function: "_find_and_load", File: "<frozen importlib._bootstrap>"}
	library := model.Frame{Function: "get", File: "/usr/lib/python3/dist-packages/requests/api.py"}
	plain, imports := []model.Frame{library, handler}, []model.Frame{find, handler}
	for _, test := range []struct {
		what        string
		cause       model.Cause
		asleep      bool
		interpreter Interpreter
		frames      []model.Frame
		want        model.Cause
		culprit     *model.Frame
	}{
		{"the application's line", model.CauseNet, false, Interpreter{}, plain, model.CauseNet, &handler},
		{"no application on the stack", model.CauseNet, false, Interpreter{}, plain[:1], model.CauseNet, &library},
		{"no stack", model.CauseUnknown, false, Interpreter{}, nil, model.CauseUnknown, nil},
		{"nobody's fault", model.CauseGIL, false, Interpreter{Phase: PhaseImport, Collecting: true}, imports, model.CauseGIL, nil},
		{"an import by the stack", model.CauseFile, false, Interpreter{}, imports, model.CauseImport, &handler},
		{"an import by the probes", model.CauseFile, false, Interpreter{Phase: PhaseImport}, plain, model.CauseImport, &handler},
		{"a collection by the probes", model.CauseCPU, false, Interpreter{Phase: PhaseGC}, imports, model.CauseGC, &handler},
		{"a collection in an import", model.CauseCPU, false, Interpreter{Phase: PhaseImport, Collecting: true}, plain, model.CauseImport, &handler},
		{"a collection", model.CauseCPU, false, Interpreter{Collecting: true, GIL: model.GILHeld}, imports, model.CauseGC, &handler},
		{"a collection, the GIL unknown", model.CauseCPU, false, Interpreter{Collecting: true}, plain, model.CauseGC, &handler},
		{"another thread collects", model.CauseNative, false, Interpreter{Collecting: true, GIL: model.GILReleased}, plain, model.CauseNative, &handler},
		{"a finalizer that sleeps", model.CauseSleep, true, Interpreter{Phase: PhaseGC, Collecting: true, GIL: model.GILReleased}, plain, model.CauseSleep, &handler},
		{"the same with the GIL", model.CauseNet, true, Interpreter{Phase: PhaseGC, Collecting: true, GIL: model.GILHeld}, plain, model.CauseNet, &handler},
		{"a finalizer that writes a file", model.CauseFile, true, Interpreter{Phase: PhaseGC, Collecting: true, GIL: model.GILReleased}, plain, model.CauseFile, &handler},
		{"a page of the heap is missing", model.CauseFile, true, Interpreter{Phase: PhaseGC, Collecting: true, GIL: model.GILHeld}, plain, model.CauseGC, &handler},
		{"a collection that sleeps in what is not known", model.CauseUnknown, true, Interpreter{Phase: PhaseGC, GIL: model.GILReleased}, plain, model.CauseGC, &handler},
		{"a finalizer that computes", model.CauseCPU, false, Interpreter{Phase: PhaseGC, GIL: model.GILHeld}, plain, model.CauseGC, &handler},
		{"a finalizer that sleeps, of a collection in an import", model.CauseSleep, true, Interpreter{Phase: PhaseGC}, imports, model.CauseImport, &handler},
		{"no collection", model.CauseCPU, false, Interpreter{GIL: model.GILHeld}, plain, model.CauseCPU, &handler},
	} {
		cause, culprit := Blame(test.cause, test.asleep, test.interpreter, test.frames)
		assert.Equal(t, test.want, cause, test.what)
		assert.Equal(t, test.culprit, culprit, test.what)
	}
}

func TestImporting(t *testing.T) {
	handler, find := frame("handler"), model.Frame{Function: "_find_and_load", File: "<frozen importlib._bootstrap>"}
	loop := model.Frame{Function: "BaseEventLoop.run_forever", File: "/usr/lib/python3.11/asyncio/base_events.py"}
	assert.True(t, importing([]model.Frame{frame("<module>"), find, handler, loop}))
	assert.False(t, importing([]model.Frame{handler, loop}))
	assert.False(t, importing([]model.Frame{handler, loop, find}), "the loop was started by an import")
}
