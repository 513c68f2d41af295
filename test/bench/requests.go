// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"
)

// server is an asyncio server under load.
type server struct {
	python, load *task
}

// startServer starts a server on one CPU and its load on another.
func (b *bench) startServer(cpu, loadCPU, connections int) (*server, error) {
	python, err := b.startPython(cpu, "server.py")
	if err != nil {
		return nil, err
	}
	load, err := startRole(loadCPU, "load", "127.0.0.1:"+python.first, fmt.Sprint(connections))
	if err != nil {
		python.stop()
		return nil, err
	}
	time.Sleep(b.effort.settle)
	return &server{python, load}, nil
}

func (s *server) stop() {
	s.load.stop()
	s.python.stop()
}

// done returns the number of requests answered so far.
func (s *server) done() (n int64, err error) {
	err = s.load.ask(&n)
	return n, err
}

// cpuPerRequest measures for a while and returns microseconds of the server's CPU time a request.
func (s *server) cpuPerRequest(window time.Duration) (float64, error) {
	requests, err := s.done()
	if err != nil {
		return 0, err
	}
	used, err := cpuTime(s.python.pid())
	if err != nil {
		return 0, err
	}
	requestsThen := requests
	for tries := 0; requestsThen == requests; tries++ { // a crowded host may need more than one
		if tries == 10 {
			return 0, errors.New("the server answers nothing")
		}
		time.Sleep(window)
		if requestsThen, err = s.done(); err != nil {
			return 0, err
		}
	}
	usedThen, err := cpuTime(s.python.pid())
	if err != nil {
		return 0, err
	}
	return float64(usedThen-used) / float64(requestsThen-requests) / 1000, nil
}

// requests prints the CPU time of a loaded asyncio server a request, without loopwatch, with
// empty programs on the hooks loopwatch uses, and with loopwatch.
func (b *bench) requests() error {
	for _, connections := range []int{16, 1} {
		if err := b.requestsOver(connections); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) requestsOver(connections int) error {
	measured, others, err := places()
	if err != nil {
		return err
	}
	s, err := b.startServer(measured, others, connections)
	if err != nil {
		return err
	}
	defer s.stop()
	first, err := b.startWatch(others) // to know how it attaches here
	if err != nil {
		return err
	}
	began, err := s.done()
	if err != nil {
		return err
	}
	time.Sleep(b.effort.window)
	if err := first.stop(); err != nil {
		return err
	}
	ended, err := s.done()
	if err != nil {
		return err
	}
	variants := []variant{
		{name: "without loopwatch"},
		{name: "empty programs on its hooks", enter: func() (func() error, error) {
			var h emptyHooks
			err := errors.Join(h.hookTasks(), h.hookWaits(first.attach))
			if err != nil {
				return nil, errors.Join(err, h.close())
			}
			return h.close, nil
		}},
		b.watch("loopwatch", others),
	}
	c, err := b.compare(variants, b.effort.pairs, func() (float64, error) { return s.cpuPerRequest(b.effort.window) })
	if err != nil {
		return err
	}
	b.title("CPU time of an asyncio server with %d %s, attached by %s", connections, plural("connection", connections), first.attach)
	var rows [][]string
	for i, v := range variants {
		row := []string{v.name, fmt.Sprintf("%.2f", median(c.values(i)))}
		if i == 0 {
			rows = append(rows, append(row, "", "", ""))
			continue
		}
		rows = append(rows, append(row, spread("%.3f", c.against(i, ratio))...))
	}
	if err := b.table(append([]string{"", "µs/request"}, spreadTitles("ratio")...), rows); err != nil {
		return err
	}
	b.note("%s Stretches of %s, %.2f iterations a request.", c.conditions(), b.effort.window,
		float64(first.saw.Iterations)/float64(max(ended-began, 1)))
	return nil
}

func plural(thing string, n int) string {
	if n == 1 {
		return thing
	}
	return thing + "s"
}
