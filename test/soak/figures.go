// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mapsOfIDs are the maps whose keys are ids of threads or processes, mapsOfThreads those whose values are.
var (
	mapsOfIDs     = []string{"threads", "configs", "processes", "wanted"}
	mapsOfThreads = []string{"epolls"}
)

// sample is what loopwatch looks like from outside at one moment.
type sample struct {
	at                  time.Time
	resident, anonymous int64 // bytes
	descriptors         int
	probes              int              // of them, links and perf events: what is attached in the kernel
	entries             map[string]int64 // by map
	dead                int64            // of them, those whose thread or process does not live
	kept                map[string]int64 // what it says itself, see internal/observe
}

// meter takes samples of a subject.
type meter struct {
	subject *subject
	out     io.Writer
	begun   time.Time
	maps    map[string]*ebpf.Map
	samples []sample
}

func newMeter(s *subject, out io.Writer) *meter {
	return &meter{subject: s, out: out, begun: time.Now()}
}

func (m *meter) close() {
	for _, one := range m.maps {
		one.Close()
	}
}

// take takes a sample and prints it.
func (m *meter) take(phase string) (sample, error) {
	s, err := m.sample()
	if err != nil {
		return s, err
	}
	m.samples = append(m.samples, s)
	fmt.Fprintf(m.out, "%6.0f s  %-10s %s\n", s.at.Sub(m.begun).Seconds(), phase, s)
	return s, nil
}

func (s sample) String() string {
	var entries []string
	for _, name := range slices.Concat(mapsOfIDs, mapsOfThreads) {
		if n, there := s.entries[name]; there {
			entries = append(entries, fmt.Sprintf("%s %d", name, n))
		}
	}
	return fmt.Sprintf("resident %.1f MiB, anonymous %.1f; descriptors %d, probes %d, goroutines %d; %s, dead %d; lost %d",
		mebibytes(s.resident), mebibytes(s.anonymous), s.descriptors, s.probes, s.kept["goroutines"], strings.Join(entries, ", "), s.dead, s.kept["lost_events"])
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

func (m *meter) sample() (sample, error) {
	s := sample{at: time.Now(), kept: m.subject.figures(), entries: make(map[string]int64)}
	var err error
	if s.resident, s.anonymous, err = memory(m.subject.pid()); err != nil {
		return s, err
	}
	if s.descriptors, s.probes, err = descriptors(m.subject.pid()); err != nil {
		return s, err
	}
	if m.maps == nil {
		if m.maps, err = mapsOf(m.subject.pid()); err != nil {
			return s, err
		}
	}
	for _, name := range slices.Concat(mapsOfIDs, mapsOfThreads) {
		if m.maps[name] == nil {
			continue
		}
		ids, err := idsOf(m.maps[name], slices.Contains(mapsOfThreads, name))
		if err != nil {
			return s, fmt.Errorf("read map %s: %w", name, err)
		}
		s.entries[name] = int64(len(ids))
		for _, id := range ids {
			if unix.Kill(int(id), 0) == unix.ESRCH {
				s.dead++
			}
		}
	}
	return s, nil
}

// memory returns how many bytes of a process are resident, and how many of them are no file's.
func memory(pid int) (resident, anonymous int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			resident = kilobytes << 10
		case "RssAnon:":
			anonymous = kilobytes << 10
		}
	}
	if resident == 0 {
		return 0, 0, errors.New("loopwatch has ended")
	}
	return resident, anonymous, nil
}

// descriptors counts those of a process, and those that keep something attached in the kernel.
func descriptors(pid int) (all, probes int, err error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		all++
		if strings.Contains(to, "bpf_link") || strings.Contains(to, "bpf-link") || strings.Contains(to, "perf_event") {
			probes++
		}
	}
	return all, probes, err
}

var mapID = regexp.MustCompile(`(?m)^map_id:\s*(\d+)$`)

// mapsOf opens the BPF maps that a process has open, by the names the kernel has for them.
func mapsOf(pid int) (map[string]*ebpf.Map, error) {
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	out := make(map[string]*ebpf.Map)
	for _, info := range infos {
		text, _ := os.ReadFile(info) // it may be closed meanwhile
		found := mapID.FindSubmatch(text)
		if found == nil {
			continue
		}
		id, err := strconv.ParseUint(string(found[1]), 10, 32)
		if err != nil {
			return nil, err
		}
		m, err := ebpf.NewMapFromID(ebpf.MapID(id))
		if err != nil {
			return nil, err
		}
		about, err := m.Info()
		if err != nil {
			return nil, err
		}
		if out[about.Name] != nil {
			m.Close() // a second descriptor of it
			continue
		}
		out[about.Name] = m
	}
	return out, nil
}

// idsOf returns the ids in a map: its keys, or what its values begin with. Entries come and go meanwhile.
func idsOf(m *ebpf.Map, inValues bool) (out []uint32, err error) {
	const tries = 20
	for range tries {
		out = nil
		key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
		entries := m.Iterate()
		for entries.Next(&key, &value) {
			id := key
			if inValues {
				id = value
			}
			out = append(out, uint32(id[0])|uint32(id[1])<<8|uint32(id[2])<<16|uint32(id[3])<<24)
		}
		if err = entries.Err(); !errors.Is(err, ebpf.ErrIterationAborted) {
			return out, err
		}
	}
	return out, err
}
