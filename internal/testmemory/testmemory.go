// SPDX-License-Identifier: Apache-2.0

// Package testmemory is memory for fuzz tests. In go some bytes and how many may be read; out comes a process.Memory in which they
// stand at every address.
package testmemory

import "errors"

// Everywhere is memory that is the same bytes over and over, so that whatever is taken for an address is one: each chain goes
// on, and most are rings. Bytes must not be empty.
type Everywhere struct {
	Bytes []byte
	Left  int // bytes that may be read; each read costs 64 besides
}

var errEnough = errors.New("more was read than may be")

// Read reads as process.Memory says.
func (e *Everywhere) Read(addr uint64, p []byte) error {
	const costOfRead = 64
	if e.Left -= len(p) + costOfRead; e.Left < 0 {
		return errEnough
	}
	for n := 0; n < len(p); {
		n += copy(p[n:], e.Bytes[(addr+uint64(n))%uint64(len(e.Bytes)):])
	}
	return nil
}
