// SPDX-License-Identifier: Apache-2.0

package process

// Pages that ReadPaged reads and keeps.
const (
	pageSize  = 4096 // no page is smaller
	mostPages = 1024
	roomPages = 16 // made at a time
)

// ReadPaged is ReadTogether for many small reads of what lies close together: whole pages are read, and kept until f returns.
// A budget is charged for what f asks for.
func ReadPaged[T any](m Memory, f func(m Memory) (T, error)) (T, error) {
	return ReadTogether(m, func(m Memory) (T, error) {
		if within, ok := m.(*limited); ok {
			return f(&limited{newPaged(within.Memory), within.budget})
		}
		return f(newPaged(m))
	})
}

// paged reads pages of a memory. It is for one goroutine and one moment.
type paged struct {
	memory Memory
	pages  map[uint64][]byte
	rooms  [][]byte // of several pages each, used in turn
	used   int      // pages of them
}

func newPaged(m Memory) *paged { return &paged{memory: m, pages: make(map[uint64][]byte)} }

func (m *paged) Read(addr uint64, p []byte) error {
	for len(p) > 0 {
		start := addr &^ (pageSize - 1)
		page, err := m.page(start)
		if err != nil {
			return err
		}
		n := copy(p, page[addr-start:])
		addr, p = addr+uint64(n), p[n:]
	}
	return nil
}

func (m *paged) page(start uint64) ([]byte, error) {
	if page := m.pages[start]; page != nil {
		return page, nil
	}
	if m.used == mostPages {
		clear(m.pages)
		m.used = 0
	}
	room := m.used / roomPages
	if room == len(m.rooms) {
		m.rooms = append(m.rooms, make([]byte, roomPages*pageSize))
	}
	at := m.used % roomPages * pageSize
	page := m.rooms[room][at : at+pageSize]
	if err := m.memory.Read(start, page); err != nil {
		return nil, err
	}
	m.used++
	m.pages[start] = page
	return page, nil
}
