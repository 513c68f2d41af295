// SPDX-License-Identifier: Apache-2.0

package track

import (
	"errors"

	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/python"
)

// usualLayouts are those of the releases as they are usually built, for stacks and for tasks.
func usualLayouts() map[probes.Layout]bool {
	out := make(map[probes.Layout]bool)
	oldest, newest := release.Supported()
	for minor := oldest; minor <= newest; minor++ {
		l, ok := release.Usual(minor)
		if !ok {
			continue
		}
		out[kernelLayout(&l)] = true
		if tasks, ok := asyncio.Usual(minor); ok {
			out[taskLayout(&l, tasks)] = true
		}
	}
	return out
}

// addLayout enters a layout for a process, which gives it back when it is forgotten.
func (c *Tracker) addLayout(p *proc, l probes.Layout) (uint32, error) {
	index, err := c.kernel.AddLayout(l, c.usual[l])
	if err != nil {
		return 0, err
	}
	p.layouts = append(p.layouts, index)
	return index, nil
}

// addTaskLayout enters the layout that names the tasks of a process. All its interpreters have one: another is refused.
func (c *Tracker) addTaskLayout(p *proc, l probes.Layout) (uint32, error) {
	if p.taskLayout != nil {
		if *p.taskLayout != l {
			return 0, probes.ErrLayouts
		}
		return p.layouts[len(p.layouts)-1], nil
	}
	index, err := c.addLayout(p, l)
	if err == nil {
		p.taskLayout = &l
	}
	return index, err
}

// refuseLayout lists a process for whose layout there is no room, until there is.
func (c *Tracker) refuseLayout(p *python.Process, err error) {
	c.lost[reasonLayouts]++
	c.refuse(model.Unsupported{PID: p.PID, Command: p.Command, Reason: err.Error()}, nil)
	if errors.Is(err, probes.ErrLayouts) {
		u := c.unsupported[p.PID]
		u.crowded = true
		c.unsupported[p.PID] = u
	}
}

// releaseLayouts gives back the layouts of a process that is forgotten. Where that makes room, those that had none are looked at
// again when the kernel asks again.
func (c *Tracker) releaseLayouts(p *proc) {
	room := false
	for _, index := range p.layouts {
		room = c.kernel.ReleaseLayout(index) || room
	}
	p.layouts, p.taskLayout = nil, nil
	if !room {
		return
	}
	for pid, u := range c.unsupported {
		if u.crowded {
			u.crowded, u.again = false, true
			c.unsupported[pid] = u
		}
	}
}
