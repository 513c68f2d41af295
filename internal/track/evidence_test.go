// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/block"
	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// judged says what a sample's thread slept in or ran.
func judged(t *thread, s *wire.Sample) (model.Cause, string) {
	out := (&Tracker{}).sample(t, s)
	if out.Kind == block.Off {
		return cause.OfSleep(out.Sleep, nil), ""
	}
	run := cause.Run{Module: out.Module, Interpreter: out.Interpreter, GIL: out.Busy.GIL}
	if out.Sleep.Number >= 0 {
		run.Kernel = &out.Sleep
	}
	return cause.OfRun(run, nil)
}

// A tick is judged by the module that its instruction lies in, and by what the thread did in the kernel.
func TestJudgeTick(t *testing.T) {
	code := func(start uint64, path string) process.Mapping {
		return process.Mapping{Start: start, End: start + 0x1000, Perms: "r-xp", Path: path}
	}
	maps := []process.Mapping{
		code(0x1000, "/usr/bin/python3.11"), code(0x2000, "/usr/lib/libcrypto.so.3"), code(0x3000, "/lib/libc.so.6"), code(0x4000, "[vdso]"),
	}
	read := func() ([]process.Mapping, error) { return maps, nil }
	modules := python.NewModules(read, &cpython.Runtime{Path: "/usr/bin/python3.11"})
	th := &thread{proc: &proc{Process: &python.Process{Modules: modules, Names: symbolize.New(&cpython.Runtime{}, nil, eventloop.IsApp, nil, symbolize.NewPool(symbolize.MaxTogether))}}}
	for _, c := range []struct {
		ip      uint64
		gil     wire.GIL
		syscall int
		cause   model.Cause
		native  string
	}{
		{0x1010, wire.GILHeld, -1, model.CauseCPU, ""},
		{0x2010, wire.GILHeld, -1, model.CauseNative, "libcrypto.so.3"},
		{0x2010, wire.GILReleased, -1, model.CauseNative, "libcrypto.so.3"},
		{0x3010, wire.GILHeld, -1, model.CauseCPU, ""},
		{0x3010, wire.GILUnknown, -1, model.CauseCPU, ""},
		{0x3010, wire.GILReleased, -1, model.CauseNative, "libc.so.6"},
		{0x4010, wire.GILHeld, -1, model.CauseCPU, ""},
		{0x3010, wire.GILHeld, unix.SYS_FSYNC, model.CauseFile, ""},
	} {
		cause, native := judged(th, &wire.Sample{Kind: wire.Tick, Syscall: c.syscall, IP: c.ip, GIL: c.gil})
		assert.Equal(t, c.cause, cause, "%#x %v", c.ip, c.gil)
		assert.Equal(t, c.native, native, "%#x %v", c.ip, c.gil)
	}
}

func TestGILByAddress(t *testing.T) {
	p := newProc(python.NewOpener(nil).New(&process.Process{PID: 7}, newRuntime(0x1000, 0x500, 0x80)), nil)
	th := &thread{proc: p, interp: p.Interpreter(0)}
	futex := func(addr uint64) model.Cause {
		c, _ := judged(th, &wire.Sample{Kind: wire.Off, Syscall: unix.SYS_FUTEX, Args: [3]uint64{addr}})
		return c
	}
	assert.Equal(t, model.CauseGIL, futex(0x1500))
	assert.Equal(t, model.CauseGIL, futex(0x157f))
	assert.Equal(t, model.CauseLock, futex(0x1580))
	assert.Equal(t, model.CauseLock, futex(0x7f0000000000))
}

// What the probes said belongs to its own period.
func TestAccountOfItsPeriod(t *testing.T) {
	th := &thread{}
	c := &Tracker{threads: map[int]*thread{7: th}}
	c.onAccount(&wire.Account{TID: 7, Period: 3, GCs: 1})
	assert.Nil(t, th.takeAccount(4))
	assert.Nil(t, th.takeAccount(3), "it came for a block that was lost")
	c.onAccount(&wire.Account{TID: 7, Period: 5, GCs: 1})
	assert.NotNil(t, th.takeAccount(5))
	c.onAccount(&wire.Account{TID: 8, Period: 5}) // of nobody known
}
