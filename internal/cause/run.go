// SPDX-License-Identifier: Apache-2.0

package cause

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Run is a thread found on a CPU.
type Run struct {
	// Kernel is what it did in the kernel on its own behalf, as if it slept there; nil where it was in no syscall.
	Kernel *Sleep
	// Module is the base name of the file whose code it ran last: "" in no file, "[vdso]" and the like for what is none.
	Module      string
	Function    string    // the function in it, of native code, where a symbol says
	Interpreter bool      // that file is the Python interpreter
	GIL         model.GIL // whether it held the GIL
}

// OfRun says what a thread ran, and the module if that is native code. frames are its Python stack, innermost first.
func OfRun(r Run, frames []model.Frame) (c model.Cause, native string) {
	if r.Kernel != nil {
		switch c := OfSleep(*r.Kernel, frames); c {
		case model.CauseUnknown, model.CauseLock, model.CauseGIL: // it ran, so it did not wait for another thread
		default:
			return c, ""
		}
	}
	if r.Native() {
		return model.CauseNative, r.Module
	}
	return model.CauseCPU, ""
}

// Native tells code of an extension or a library. Every interpreter spends time in its C library; a thread without the
// GIL runs no Python, so there a library or an extension has called it.
func (r Run) Native() bool {
	if r.Interpreter || r.Module == "" || strings.HasPrefix(r.Module, "[") {
		return false
	}
	return !isCLibrary(r.Module) || r.GIL == model.GILReleased
}

// OfRuns says what a thread spent its time in that was found on a CPU a number of times within a short while, and with
// native code the module and the function. user are
// those times in user mode. recent says that the thread began no longer ago than that while.
func OfRuns(times int, user []Run, recent bool) (c model.Cause, native string) {
	switch {
	case times == 0 && recent: // ready all the time, and never on a CPU
		return model.CauseRunqueue, ""
	case len(user) == 0: // in the kernel, for whatever reason
		return model.CauseUnknown, ""
	}
	counts := make(map[string]int)
	functions := make(map[string]map[string]int64) // by module
	total := 0
	for _, r := range user {
		if !r.Native() {
			continue
		}
		counts[r.Module]++
		total++
		if functions[r.Module] == nil {
			functions[r.Module] = make(map[string]int64)
		}
		functions[r.Module][r.Function]++
	}
	if 2*total <= len(user) {
		return model.CauseCPU, ""
	}
	most := ""
	for name, n := range counts {
		if most == "" || n > counts[most] || n == counts[most] && name < most {
			most = name
		}
	}
	return model.CauseNative, NativeCode(most, MainFunction(functions[most]))
}

// NativeCode names native code: the module, and the function behind it where one is known.
func NativeCode(module, function string) string {
	if function == "" {
		return module
	}
	return module + " " + function
}

// MainFunction returns the function of one module with most time, given the nanoseconds of each; "" where code that no
// symbol names has more.
func MainFunction(ns map[string]int64) (best string) {
	for name, its := range ns {
		if its > ns[best] || its == ns[best] && its > 0 && (best == "" || name != "" && name < best) {
			best = name
		}
	}
	return best
}

// MainModule returns the module with most time, given the nanoseconds of each. What the C library did it did for another
// module, if there is one.
func MainModule(ns map[string]int64) string {
	best := ""
	for name := range ns {
		if best == "" || moreToBlame(name, best, ns) {
			best = name
		}
	}
	return best
}

func moreToBlame(name, than string, ns map[string]int64) bool {
	if its, theirs := isCLibrary(name), isCLibrary(than); its != theirs {
		return theirs
	}
	return ns[name] > ns[than] || ns[name] == ns[than] && name < than
}

// isCLibrary tells the C library and its loader, glibc's or musl's.
func isCLibrary(module string) bool {
	return strings.HasPrefix(module, "libc.so") || strings.HasPrefix(module, "libc-") || strings.HasPrefix(module, "ld-")
}
