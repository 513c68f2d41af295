// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
)

// Where a thread is found running says whose code it is; in the C library, who may have called it.
func TestTickCause(t *testing.T) {
	code := func(start uint64, path string) process.Mapping {
		return process.Mapping{Start: start, End: start + 0x1000, Perms: "r-xp", Path: path}
	}
	maps := []process.Mapping{
		code(0x1000, "/usr/bin/python3.11"), code(0x2000, "/usr/lib/libcrypto.so.3"), code(0x3000, "/lib/libc.so.6"), code(0x4000, "[vdso]"),
	}
	python := &thread{proc: &proc{mapped: symbolize.NewModules(maps, &cpython.Runtime{Path: "/usr/bin/python3.11"})}}
	for _, c := range []struct {
		ip     uint64
		gil    probes.GIL
		cause  model.Cause
		native string
	}{
		{0x1010, probes.GILHeld, model.CauseCPU, ""},
		{0x2010, probes.GILHeld, model.CauseNative, "libcrypto.so.3"},
		{0x2010, probes.GILReleased, model.CauseNative, "libcrypto.so.3"},
		{0x3010, probes.GILHeld, model.CauseCPU, ""},
		{0x3010, probes.GILUnknown, model.CauseCPU, ""},
		{0x3010, probes.GILReleased, model.CauseNative, "libc.so.6"},
		{0x4010, probes.GILHeld, model.CauseCPU, ""},
	} {
		cause, native := python.tickCause(&probes.Sample{Kind: probes.Tick, Syscall: -1, IP: c.ip, GIL: c.gil}, nil)
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
