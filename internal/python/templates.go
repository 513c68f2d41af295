// SPDX-License-Identifier: Apache-2.0

package python

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/template"
)

// Bounds of the stacks on which the frame of a template is looked for.
const (
	maxTemplateThreads = 64
	maxTemplateFrames  = 1 << 14 // of all of them
)

// templateOf reads the map of lines of the template that a code object belongs to, from the globals of a frame that runs it.
// The oldest threads are asked first: a loop is most often in the main one. looked is how many threads and frames were looked at.
func (p *Process) templateOf(code uint64, file string) (found *template.Map, looked int, err error) {
	states, err := p.ThreadStates()
	if looked = len(states); looked == 0 && err != nil {
		return nil, 0, err
	}
	frames := 0
	for asked, state := range slices.Backward(states) {
		if len(states)-asked > maxTemplateThreads || frames >= maxTemplateFrames {
			break
		}
		globals, walked, err := p.Runtime.Globals(p.Memory, state.Addr, code, maxTemplateFrames-frames)
		frames += walked
		if err != nil {
			continue
		}
		found, err = template.Read(&p.Runtime.Reader, p.Memory, state.Interp, globals, file)
		return found, looked + frames, err
	}
	return nil, looked + frames, cpython.ErrNotRunning
}
