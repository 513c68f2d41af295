// SPDX-License-Identifier: Apache-2.0

package eventloop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// TestEntryOf looks for what a loop has called, on stacks given innermost first as "file function".
func TestEntryOf(t *testing.T) {
	const site = "/usr/lib/python3/dist-packages/"
	for _, test := range []struct {
		what     string
		stack    []string
		function string
		turns    int
		unknown  bool
	}{
		{"asyncio", []string{"/srv/app.py inner", "/srv/app.py handler", "/usr/lib/python3.11/asyncio/events.py Handle._run"}, "handler", 0, false},
		{"a function of C", []string{"/usr/lib/python3.11/asyncio/events.py Handle._run"}, "", 0, false},
		{"the loop itself", nil, "", 0, false},
		{"a delayed call", []string{"/srv/app.py f", site + "twisted/internet/base.py ReactorBase.runUntilCurrent"}, "f", 1, false},
		{"a Deferred, which may call several functions", []string{"/srv/app.py f", site + "twisted/internet/defer.py Deferred._runCallbacks",
			site + "twisted/internet/defer.py Deferred.callback", site + "twisted/internet/base.py ReactorBase.runUntilCurrent"}, "Deferred.callback", 1, false},
		{"a delayed call on asyncio", []string{"/srv/app.py f", site + "twisted/internet/base.py ReactorBase.runUntilCurrent",
			site + "twisted/internet/asyncioreactor.py AsyncioSelectorReactor._onTimer", "/usr/lib/python3.11/asyncio/events.py Handle._run"}, "f", 1, false},
		{"a greenlet of eventlet", []string{"/srv/app.py f", site + "eventlet/greenthread.py GreenThread.main"}, "f", 0, false},
		{"what waited for one", []string{"/srv/app.py g", site + "eventlet/greenthread.py GreenThread._resolve_links", site + "eventlet/greenthread.py GreenThread.main"}, "", 0, true},
		{"a task of trio", []string{"/srv/app.py f", site + "trio/_core/_run.py unrolled_run"}, "f", 1, false},
		{"unreadable", []string{"/srv/app.py f", " [unreadable]"}, "", 0, true},
	} {
		var frames []model.Frame
		for _, f := range test.stack {
			file, function, _ := strings.Cut(f, " ")
			frames = append(frames, model.Frame{File: file, Function: function, Line: 3})
		}
		e := eventloop.EntryOf(frames)
		assert.Equal(t, !test.unknown, e.Known, test.what)
		assert.Equal(t, test.function, e.Function.Function, test.what)
		assert.Equal(t, test.turns, e.Turns, test.what)
	}
}
