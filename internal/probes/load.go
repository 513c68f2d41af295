// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// loader puts an object into the kernel piece by piece: the maps first, then programs as they are wanted,
// each once. Most of a start is the verifier's work on them.
type loader struct {
	spec  *ebpf.CollectionSpec
	types *btf.Cache // the kernel's own, which take long to read
}

// maps makes all maps of the object, and nothing else.
func (l loader) maps() (*ebpf.Collection, error) {
	spec := *l.spec
	spec.Programs = nil
	coll, err := ebpf.NewCollectionWithOptions(&spec, ebpf.CollectionOptions{Cache: l.types})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	coll.Programs = make(map[string]*ebpf.Program)
	return coll, nil
}

// load adds programs to a collection that has the maps, as many at a time as there are CPUs. Those it has
// already and those the object lacks are left out.
func (l loader) load(coll *ebpf.Collection, programs []string) error {
	var (
		mu     sync.Mutex
		failed error // the first
		wg     sync.WaitGroup
		next   = make(chan string)
	)
	for range min(runtime.GOMAXPROCS(0), len(programs)) {
		wg.Go(func() {
			for name := range next {
				mu.Lock()
				skip := failed != nil || coll.Programs[name] != nil
				mu.Unlock()
				if skip {
					continue
				}
				program, err := l.program(coll, name)
				mu.Lock()
				if err == nil {
					coll.Programs[name] = program
				} else if failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for _, name := range programs {
		if l.spec.Programs[name] != nil {
			next <- name
		}
	}
	close(next)
	wg.Wait()
	return failed
}

// program loads one program.
func (l loader) program(coll *ebpf.Collection, name string) (*ebpf.Program, error) {
	spec := *l.spec
	spec.Programs = map[string]*ebpf.ProgramSpec{name: l.spec.Programs[name]}
	spec.Variables = nil // they are with the maps
	one, err := ebpf.NewCollectionWithOptions(&spec, ebpf.CollectionOptions{MapReplacements: coll.Maps, Cache: l.types})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	program := one.Programs[name]
	delete(one.Programs, name)
	one.Close()
	return program, nil
}

// waitPrograms are those of one way to hook the waits.
func waitPrograms(mode string) []string {
	i := slices.IndexFunc(hooks, func(h hook) bool { return string(h.name) == mode })
	if i < 0 {
		return nil
	}
	return hooks[i].programs
}

// sharedPrograms are those that every way to hook the waits needs, the largest first.
func (l loader) sharedPrograms() []string {
	own := append(waitPrograms(AttachFentry), waitPrograms(AttachTracepoint)...)
	shared := slices.DeleteFunc(slices.Sorted(maps.Keys(l.spec.Programs)), func(name string) bool { return slices.Contains(own, name) })
	slices.SortStableFunc(shared, func(a, b string) int {
		return len(l.spec.Programs[b].Instructions) - len(l.spec.Programs[a].Instructions)
	})
	return shared
}
