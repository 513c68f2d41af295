// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Memory reads another process's memory. Read fills p completely or returns an error.
type Memory interface {
	Read(addr uint64, p []byte) error
}

// Place is a place in memory that ReadEach reads into P, which is not empty.
type Place struct {
	Addr uint64
	P    []byte
	OK   bool // P was filled completely
}

// Seen returns what was read there, nil where it could not be.
func (p Place) Seen() []byte {
	if !p.OK {
		return nil
	}
	return p.P
}

// ReadEach reads many places, each as Read does. Of a process's memory it reads many with one system call,
// which costs more than most of what is read.
func ReadEach(m Memory, places []Place) {
	switch m := m.(type) {
	case *vm:
		m.readEach(places)
		return
	case *limited:
		m.readEach(places)
		return
	}
	for i := range places {
		places[i].OK = m.Read(places[i].Addr, places[i].P) == nil
	}
}

// Budget bounds what is read of a memory in all. It is not safe for concurrent use.
type Budget struct{ left int64 }

// costOfRead is what a read costs beside its bytes.
const costOfRead = 64

// ErrSpent says that a budget is spent.
var ErrSpent = errors.New("more than is read of one process")

// NewBudget returns a budget of so many bytes; every read costs some besides.
func NewBudget(bytes int64) *Budget { return &Budget{left: bytes} }

// Spent reports whether a read was refused.
func (b *Budget) Spent() bool { return b.left < 0 }

// take reports whether n bytes may still be read. Once they may not, nothing may.
func (b *Budget) take(n int64) bool {
	if b.left >= 0 {
		b.left -= n + costOfRead
	}
	return b.left >= 0
}

// Of returns the memory within the budget: what goes beyond fails with ErrSpent.
func (b *Budget) Of(m Memory) Memory { return &limited{m, b} }

type limited struct {
	Memory
	budget *Budget
}

func (m *limited) Read(addr uint64, p []byte) error {
	if !m.budget.take(int64(len(p))) {
		return ErrSpent
	}
	return m.Memory.Read(addr, p)
}

func (m *limited) readEach(places []Place) {
	for i, p := range places {
		if !m.budget.take(int64(len(p.P))) {
			for j := range places[i:] {
				places[i+j].OK = false
			}
			places = places[:i]
			break
		}
	}
	ReadEach(m.Memory, places)
}

// Memory returns the process's memory. Reads go by pid: who keeps it longer than a moment
// asks Same before trusting what was read. A read that is not answered fails with ErrNoAnswer.
func (p *Process) Memory() Memory { return &vm{p, p.memory} }

// vm reads by process_vm_readv, which needs the right to ptrace but stops nothing.
type vm struct {
	process *Process
	calls   *caller
}

func (m *vm) Read(addr uint64, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	owner := m.process
	err := m.calls.fill(p, func(to []byte) error {
		local := []unix.Iovec{{Base: &to[0]}}
		local[0].SetLen(len(to))
		n, err := owner.readv(local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(to)}})
		if err == nil && n != len(to) {
			return io.ErrUnexpectedEOF
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read %d bytes at %#x of process %d: %w", len(p), addr, owner.PID, err)
	}
	return nil
}

// readv is process_vm_readv. Where the thread it goes by has ended, another one of the process does.
func (p *Process) readv(local []unix.Iovec, remote []unix.RemoteIovec) (int, error) {
	tid := p.livingThread()
	n, err := unix.ProcessVMReadv(tid, local, remote, 0)
	if err == unix.ESRCH && p.goThrough(tid) {
		return unix.ProcessVMReadv(p.livingThread(), local, remote, 0)
	}
	return n, err
}

// mostAtOnce is how many places one system call reads; the kernel takes 1,024 (UIO_MAXIOV).
const mostAtOnce = 512

func (m *vm) readEach(places []Place) {
	bytes := 0
	for i := range places {
		places[i].OK = false
		bytes += len(places[i].P)
	}
	// Of their own: the call may go on when it has been given up.
	read, room := make([]Place, len(places)), make([]byte, bytes)
	for i, p := range places {
		read[i] = Place{Addr: p.Addr, P: room[:len(p.P):len(p.P)]}
		room = room[len(p.P):]
	}
	owner := m.process
	if m.calls.do(func() { owner.readEach(read) }) != nil {
		return
	}
	for i := range places {
		if places[i].OK = read[i].OK; read[i].OK {
			copy(places[i].P, read[i].P)
		}
	}
}

func (p *Process) readEach(places []Place) {
	local := make([]unix.Iovec, 0, min(mostAtOnce, len(places)))
	remote := make([]unix.RemoteIovec, 0, cap(local))
	atOnce := mostAtOnce
	for len(places) > 0 {
		local, remote = local[:0], remote[:0]
		for _, place := range places[:min(atOnce, len(places))] {
			to := unix.Iovec{Base: &place.P[0]}
			to.SetLen(len(place.P))
			local = append(local, to)
			remote = append(remote, unix.RemoteIovec{Base: uintptr(place.Addr), Len: len(place.P)})
		}
		n, err := p.readv(local, remote)
		if err != nil && err != unix.EFAULT {
			return // none can be read
		}
		done := 0
		for n > 0 && done < len(local) && n >= len(places[done].P) {
			n -= len(places[done].P)
			places[done].OK = true
			done++
		}
		atOnce = min(2*atOnce, mostAtOnce)
		if done < len(local) { // the kernel stops at the first that is not mapped
			done++
			atOnce = 1 // where there is one, there may be many
		}
		places = places[done:]
	}
}
