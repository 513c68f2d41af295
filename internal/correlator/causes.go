// SPDX-License-Identifier: Apache-2.0

package correlator

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/kernelstack"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/syscalls"
)

// restful tells whether a thread sleeps in something a loop may rest in. It may have to wait for
// the GIL in the same frame.
func restful(s *probes.Sample) bool {
	switch call := syscalls.Lookup(s.Syscall); call.Waits {
	case syscalls.Time, syscalls.Readiness:
		return true
	default:
		return call.Object == syscalls.Epoll
	}
}

// offCause says what a thread slept in. leaf is its innermost Python frame, or nil.
func (t *thread) offCause(s *probes.Sample, leaf *model.Frame) model.Cause {
	return sleepCause(s, t.isGIL(s.Args[0]), leaf)
}

// sleepCause is offCause of a thread of which it is known whether its futex would be the GIL's.
func sleepCause(s *probes.Sample, gil bool, leaf *model.Frame) model.Cause {
	if s.Stopped {
		return model.CauseStopped
	}
	call := syscalls.Lookup(s.Syscall)
	if call.Waits == syscalls.Futex {
		if gil {
			return model.CauseGIL
		}
		return model.CauseLock
	}
	cause := targetCause(s, call, leaf)
	if cause == model.CauseUnknown && len(s.Kernel) > 0 {
		cause = kernelCauses[kernelstack.Where(s.Kernel)]
	}
	switch cause {
	case model.CauseNet, model.CauseFile, model.CauseUnknown:
		if resolving(s, leaf) {
			return model.CauseDNS
		}
	}
	return cause
}

// isCLibrary tells the C library and its loader, glibc's or musl's.
func isCLibrary(module string) bool {
	return strings.HasPrefix(module, "libc.so") || strings.HasPrefix(module, "libc-") || strings.HasPrefix(module, "ld-")
}

// mainModule returns the module most native time was spent in. What the C library did it did for
// another, if there is one.
func mainModule(pieces []piece) string {
	sums := make(map[string]int64)
	for i := range pieces {
		if p := &pieces[i]; p.native != "" {
			sums[p.native] += p.ns
		}
	}
	best := ""
	for name, ns := range sums {
		if best == "" {
			best = name
			continue
		}
		if ours, its := isCLibrary(name), isCLibrary(best); ours != its {
			if its {
				best = name
			}
			continue
		}
		if ns > sums[best] || ns == sums[best] && name < best {
			best = name
		}
	}
	return best
}

// tickCause says what a thread ran when it was found running, and the native module if so.
func (t *thread) tickCause(s *probes.Sample, leaf *model.Frame) (model.Cause, string) {
	if s.Syscall >= 0 { // in the kernel on its own behalf
		if cause := t.offCause(s, leaf); cause != model.CauseUnknown && cause != model.CauseLock && cause != model.CauseGIL {
			return cause, ""
		}
	}
	name, interpreter := t.proc.modules().Find(s.IP)
	if name == "" {
		t.proc.mapModules()
		name, interpreter = t.proc.modules().Find(s.IP)
	}
	switch {
	case interpreter, name == "", strings.HasPrefix(name, "["):
		return model.CauseCPU, ""
	case isCLibrary(name):
		// Every interpreter spends time in its C library. Without the GIL it runs no Python: then a
		// library or an extension called it.
		if s.GIL == probes.GILReleased {
			return model.CauseNative, name
		}
		return model.CauseCPU, ""
	}
	return model.CauseNative, name
}
