// SPDX-License-Identifier: Apache-2.0

package eventloop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
)

type anything map[string]bool

func (a anything) Extension(dir string) bool { return a[dir] }

// FuzzFrames judges frames of any names: what is named is one of them.
func FuzzFrames(f *testing.F) {
	f.Add("handler\x00/srv/app.py\x00BaseEventLoop._run_once\x00/usr/lib/python3.11/asyncio/base_events.py\x00BaseEventLoop.run_forever\x00/usr/lib/python3.11/asyncio/base_events.py", 1)
	f.Add("Hub.run\x00/usr/lib/python3/dist-packages/gevent/hub.py\x00switch\x00greenlet/x.py", 0)
	f.Fuzz(func(t *testing.T, text string, inherited int) {
		var frames []model.Frame
		words := strings.Split(text, "\x00")
		for i := 0; i+1 < len(words) && len(frames) < 64; i += 2 {
			frames = append(frames, model.Frame{Function: words[i], File: words[i+1], Line: i, App: IsApp(words[i+1])})
		}
		mods := anything{}
		for _, name := range Extensions() {
			mods[name] = inherited%2 == 0
		}
		_ = Classify(frames, mods)
		_ = ClassifyForked(frames, min(max(inherited, 0), len(frames)), mods)
		for _, kind := range Kinds() {
			at, _ := CallerAt(frames, kind)
			require.Less(t, at, len(frames))
		}
		_, _, _, _ = RunsHandle(frames), RunsObject(frames), ArgumentsTell(frames), EntryOf(frames)
		if c := Culprit(frames); c != nil {
			require.Contains(t, frames, *c)
		}
		if l := Leaf(frames); l != nil {
			require.Contains(t, frames, *l)
		}
		for _, frame := range frames {
			_, _ = Package(frame.File)
			_ = IsMachinery(frame)
		}
	})
}
