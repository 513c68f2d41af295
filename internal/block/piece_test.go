// SPDX-License-Identifier: Apache-2.0

package block

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/cause"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

func TestMainModule(t *testing.T) {
	in := func(module string, ns int64) piece { return piece{native: module, ns: ns} }
	assert.Equal(t, "_json.so", mainModule([]piece{in("_json.so", 5), in("libc.so.6", 50), in("", 70), in("_sqlite3.so", 3)}))
	assert.Equal(t, "libcrypto.so.3", mainModule([]piece{in("libc.so.6", 50), in("libcrypto.so.3", 3), in("libcrypto.so.3", 3), in("_hashlib.so", 5)}))
	assert.Equal(t, "libc.so.6", mainModule([]piece{in("libc.so.6", 50), in("", 70)}))
	assert.Empty(t, mainModule([]piece{in("", 70)}))
}

// The function with most time in that module is named, if it has more than code that no symbol names.
func TestMainNative(t *testing.T) {
	in := func(module, function string, ns int64) piece {
		return piece{native: module, ns: ns, sample: &Sample{Function: function}}
	}
	assert.Equal(t, "libz.so.1 crc32", mainNative([]piece{in("libz.so.1", "deflate", 5), in("libz.so.1", "crc32", 4), in("libz.so.1", "crc32", 3), in("libz.so.1", "", 6), in("_json.so", "encode", 9)}))
	assert.Equal(t, "libz.so.1", mainNative([]piece{in("libz.so.1", "crc32", 4), in("libz.so.1", "", 6)}))
	assert.Equal(t, "libz.so.1 crc32", mainNative([]piece{in("libz.so.1", "crc32", 0)}))
}

// What stands outside the loop is never to blame for what happens inside, and an import there is no import of the loop's.
func TestOnlyWhatIsInside(t *testing.T) {
	const lib = "/usr/lib/python3.11/"
	outside := []model.Frame{
		{Function: "BaseEventLoop._run_once", File: lib + "asyncio/base_events.py", Line: 1},
		{Function: "BaseEventLoop.run_forever", File: lib + "asyncio/base_events.py", Line: 2},
		{Function: "run", File: lib + "asyncio/runners.py", Line: 3},
		{Function: "main", File: "/srv/app.py", Line: 4, App: true},
		{Function: "_find_and_load", File: "<frozen importlib._bootstrap>", Line: 5},
		{Function: "<module>", File: "/srv/start.py", Line: 6, App: true},
	}
	handle := model.Frame{Function: "Handle._run", File: lib + "asyncio/events.py", Line: 7}
	app := model.Frame{Function: "handler", File: "/srv/app.py", Line: 8, App: true}
	find := model.Frame{Function: "_find_and_load", File: "<frozen importlib._bootstrap>", Line: 9}
	for _, test := range []struct {
		name    string
		inside  []model.Frame
		cause   model.Cause
		culprit *model.Frame
	}{
		{"a callback of C", []model.Frame{handle}, model.CauseCPU, nil},
		{"the application", []model.Frame{app, handle}, model.CauseCPU, &app},
		{"an import inside", []model.Frame{find, app, handle}, model.CauseImport, &app},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := Loop{Kind: eventloop.Asyncio}
			s := &Sample{Kind: Tick, Interpreter: true, Sleep: cause.Sleep{Call: cause.Call{Number: -1}}, Frames: slices.Concat(test.inside, outside)}
			p := l.judge(s)
			assert.False(t, p.outside)
			assert.Equal(t, test.cause, p.cause)
			assert.Equal(t, test.culprit, p.culprit)
		})
	}
}
