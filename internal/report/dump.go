// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/model"
)

// normaliseDump gives a dump the form the machine format promises: no null lists, every foreign string
// bounded and UTF-8.
func normaliseDump(d *model.Dump) {
	d.Schema = model.SchemaDump
	if d.Processes == nil {
		d.Processes = []model.DumpProcess{}
	}
	if d.Lost == nil {
		d.Lost = map[string]int64{}
	}
	if d.Unsupported == nil {
		d.Unsupported = []model.Unsupported{}
	}
	for i := range d.Unsupported {
		u := &d.Unsupported[i]
		u.Command, u.Reason = bound(u.Command), bound(u.Reason)
	}
	for i := range d.Processes {
		p := &d.Processes[i]
		p.Command, p.Container, p.Unit = bound(p.Command), bound(p.Container), bound(p.Unit)
		if p.GIL == nil {
			p.GIL = []model.DumpGIL{}
		}
		for k := range p.GIL {
			p.GIL[k].Thread = bound(p.GIL[k].Thread)
		}
		if p.Loops == nil {
			p.Loops = []model.DumpLoop{}
		}
		if p.Threads == nil {
			p.Threads = []model.DumpThread{}
		}
		for k := range p.Loops {
			l := &p.Loops[k]
			normaliseThread(&l.DumpThread)
			l.Task = bound(l.Task)
			for n := range l.Tasks {
				t := &l.Tasks[n]
				t.Name, t.Frames = bound(t.Name), boundFrames(t.Frames)
			}
		}
		for k := range p.Threads {
			normaliseThread(&p.Threads[k])
		}
	}
}

func normaliseThread(t *model.DumpThread) {
	t.Thread = bound(t.Thread)
	t.Frames = boundFrames(t.Frames)
	t.Culprit, t.Leaf = boundFrame(t.Culprit), boundFrame(t.Leaf)
	t.Detail.Target, t.Detail.Native = bound(t.Detail.Target), bound(t.Detail.Native)
	if h := t.Detail.Holder; h != nil {
		held := *h
		held.Thread, held.Frames = bound(h.Thread), boundFrames(h.Frames)
		t.Detail.Holder = &held
	}
}

// WriteDumpJSON writes d as one indented JSON document (schema loopwatch.dump/v1).
func WriteDumpJSON(w io.Writer, d *model.Dump) error {
	normaliseDump(d)
	var b bytes.Buffer
	if err := encode(&b, d, ""); err != nil {
		return fmt.Errorf("encode dump: %w", err)
	}
	return writeAll(w, b.Bytes(), []byte("\n"))
}
