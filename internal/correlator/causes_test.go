// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/python"
)

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
	th := &thread{proc: &proc{Process: &python.Process{Modules: modules}}}
	for _, c := range []struct {
		ip      uint64
		gil     probes.GIL
		syscall int
		cause   model.Cause
		native  string
	}{
		{0x1010, probes.GILHeld, -1, model.CauseCPU, ""},
		{0x2010, probes.GILHeld, -1, model.CauseNative, "libcrypto.so.3"},
		{0x2010, probes.GILReleased, -1, model.CauseNative, "libcrypto.so.3"},
		{0x3010, probes.GILHeld, -1, model.CauseCPU, ""},
		{0x3010, probes.GILUnknown, -1, model.CauseCPU, ""},
		{0x3010, probes.GILReleased, -1, model.CauseNative, "libc.so.6"},
		{0x4010, probes.GILHeld, -1, model.CauseCPU, ""},
		{0x3010, probes.GILHeld, unix.SYS_FSYNC, model.CauseFile, ""},
	} {
		cause, native := th.judgeSample(&probes.Sample{Kind: probes.Tick, Syscall: c.syscall, IP: c.ip, GIL: c.gil}, nil)
		assert.Equal(t, c.cause, cause, "%#x %v", c.ip, c.gil)
		assert.Equal(t, c.native, native, "%#x %v", c.ip, c.gil)
	}
}

func TestMainModule(t *testing.T) {
	in := func(module string, ns int64) piece { return piece{native: module, ns: ns} }
	assert.Equal(t, "_json.so", mainModule([]piece{in("_json.so", 5), in("libc.so.6", 50), in("", 70), in("_sqlite3.so", 3)}))
	assert.Equal(t, "libcrypto.so.3", mainModule([]piece{in("libc.so.6", 50), in("libcrypto.so.3", 3), in("libcrypto.so.3", 3), in("_hashlib.so", 5)}))
	assert.Equal(t, "libc.so.6", mainModule([]piece{in("libc.so.6", 50), in("", 70)}))
	assert.Empty(t, mainModule([]piece{in("", 70)}))
}
