// SPDX-License-Identifier: Apache-2.0

package python

import (
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// provider is whose probes they are.
const provider = "python"

// OpenProbes opens the file of the interpreter and reads what probes of its own it has. The file is the caller's to close.
func (p *Process) OpenProbes() (*process.File, *usdt.File, error) {
	f, err := p.OpenMapping(p.Runtime.Image)
	if err != nil {
		return nil, nil, err
	}
	found, err := usdt.Parse(f, f.Size, provider)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, found, nil
}
