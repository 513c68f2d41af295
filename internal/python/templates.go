// SPDX-License-Identifier: Apache-2.0

package python

import (
	"slices"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/template"
)

// maxTemplateThreads bounds the threads on whose stacks the frame of a template is looked for.
const maxTemplateThreads = 64

// templateOf reads the map of lines of the template that a code object belongs to, from the globals of a frame that runs it.
// The oldest threads are asked first: a loop is most often in the main one.
func (p *Process) templateOf(code uint64, file string) (*template.Map, error) {
	states, err := p.ThreadStates()
	if len(states) == 0 && err != nil {
		return nil, err
	}
	asked := 0
	for _, state := range slices.Backward(states) {
		if asked++; asked > maxTemplateThreads {
			break
		}
		globals, err := p.Runtime.Globals(p.Memory, state.Addr, code)
		if err != nil {
			continue
		}
		return template.Read(&p.Runtime.Reader, p.Memory, state.Interp, globals, file)
	}
	return nil, cpython.ErrNotRunning
}
