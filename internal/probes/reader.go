// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"errors"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

// ErrClosed is returned by Read after Close.
var ErrClosed = errors.New("probes are closed")

// ErrDeadline is returned by Read when the deadline passes without a record.
var ErrDeadline = errors.New("no record before the deadline")

// RingError says that the kernel's records cannot be read. It is not about one of them.
type RingError struct{ Err error }

func (e *RingError) Error() string { return "read the kernel's records: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RingError) Unwrap() error { return e.Err }

// Reader decodes records. Not safe for concurrent use.
type Reader struct {
	ring *ringbuf.Reader
	raw  ringbuf.Record
	read uint64 // bytes

	decoder wire.Decoder
}

// Reader returns a reader of the events. Use only one at a time.
func (p *Probes) Reader() *Reader { return &Reader{ring: p.reader} }

// Read waits for the next event until the deadline; a deadline in the past returns at once.
// The event is the caller's to keep.
func (r *Reader) Read(deadline time.Time) (wire.Event, error) {
	r.ring.SetDeadline(deadline)
	for {
		err := r.ring.ReadInto(&r.raw)
		switch {
		case errors.Is(err, ringbuf.ErrClosed):
			return nil, ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, ErrDeadline
		case err != nil:
			return nil, &RingError{err}
		}
		r.read += recordSize(len(r.raw.RawSample))
		if e, err := r.decoder.Decode(r.raw.RawSample); e != nil || err != nil {
			return e, err
		}
	}
}

// Position returns how many bytes of records have been read.
func (r *Reader) Position() uint64 { return r.read }

// End returns where the records end by now, in the terms of Position.
func (r *Reader) End() uint64 { return r.read + uint64(r.ring.AvailableBytes()) }

// recordSize is what a record takes in the ring buffer (kernel/bpf/ringbuf.c): a header of 8
// bytes, and padding to as many.
func recordSize(n int) uint64 { return uint64(n+15) &^ 7 }
