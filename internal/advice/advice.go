// SPDX-License-Identifier: Apache-2.0

// Package advice says in one sentence what helps against a blocker. It goes by the evidence: the
// cause, the libraries and functions between the application's line and the leaf, the syscall and what
// it works on, the native module, and whether the GIL was held. In go a blocker and the kind of its loop; out comes a sentence, or ""
// where one would be a guess. observe has every report filled in.
package advice

import (
	"cmp"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// For returns the advice on a blocker in a loop of the given kind (model.Loop.Loop).
func For(b *model.Blocker, kind string) string {
	in := inner(b.Stack)
	for i := range rules {
		if r := &rules[i]; r.matches(b, &in) {
			return r.say(kind)
		}
	}
	return ""
}

// Fill enters the advice on every blocker of a report. Loops of different kinds may share a
// blocker: then there is advice where it is the same for all.
func Fill(r *model.Report) {
	kinds := make(map[model.LoopID]string, len(r.Loops))
	for _, l := range r.Loops {
		kinds[model.LoopID{PID: l.PID, TID: l.TID}] = l.Loop
	}
	for i := range r.Blockers {
		b := &r.Blockers[i]
		for n, id := range b.Loops {
			text := For(b, kinds[id])
			if n > 0 && text != b.Advice {
				b.Advice = ""
				break
			}
			b.Advice = text
		}
	}
}

// rule is one row of the table. What is left empty is not asked for.
type rule struct {
	// All of these have to hold.
	causes   causes
	gil      model.GIL
	during   model.Cause
	syscalls []string // one of them
	targets  []string // what its target begins with, one of them
	direct   bool     // the application's own line did it, no library inside
	loop     bool     // the application's own line runs a loop, which rests
	// One of these, if there is any.
	libraries []string // is inside the application's line
	functions []string // the same
	calls     []string // the same, "library.function"
	ports     []string // of the peer
	natives   []string // the native module that ran

	all     string // for all kinds of loops, or else:
	asyncio string // for asyncio's
	other   string // for other kinds; "" none
}

func (r *rule) matches(b *model.Blocker, in *inside) bool {
	d := &b.Detail
	if len(r.causes) > 0 && !slices.Contains(r.causes, b.Cause) || r.gil != "" && r.gil != d.GIL || r.during != d.During && r.during != "" {
		return false
	}
	if len(r.syscalls) > 0 && !slices.Contains(r.syscalls, d.Syscall) || r.direct && len(in.libraries) > 0 || r.loop && !in.loop {
		return false
	}
	if len(r.targets) > 0 && !slices.ContainsFunc(r.targets, func(t string) bool { return strings.HasPrefix(d.Target, t) }) {
		return false
	}
	if len(r.libraries)+len(r.functions)+len(r.calls)+len(r.ports)+len(r.natives) == 0 {
		return true
	}
	module, _, _ := strings.Cut(d.Native, " ") // the function follows
	return meet(r.libraries, in.libraries) || meet(r.functions, in.functions) || meet(r.calls, in.calls) ||
		slices.Contains(r.ports, port(d.Target)) || d.Native != "" && slices.Contains(r.natives, stem(module))
}

// say fills in what the kind of loop calls its threads.
func (r *rule) say(kind string) string {
	text, thread := cmp.Or(r.all, r.other), ""
	switch kind {
	case "asyncio", "uvloop", "tornado":
		text, thread = cmp.Or(r.all, r.asyncio), "asyncio.to_thread"
	case "trio":
		thread = "trio.to_thread.run_sync"
	case "twisted":
		thread = "twisted.internet.threads.deferToThread"
	case "gevent":
		thread = "gevent.get_hub().threadpool"
	case "eventlet":
		thread = "eventlet.tpool.execute"
	case "curio":
		thread = "curio.run_in_thread"
	}
	if thread == "" && strings.Contains(text, "{thread}") {
		return ""
	}
	return strings.ReplaceAll(text, "{thread}", thread)
}

func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// inside is what stands between the leaf and the application's innermost line.
type inside struct {
	libraries, functions, calls []string
	loop                        bool // a loop of its own at rest
}

// inner lists it. Where there is no line of the application, what called the loop, or the loop its callback, is no evidence.
func inner(stack []model.Frame) (in inside) {
	if app := slices.IndexFunc(stack, func(f model.Frame) bool { return f.App }); app > 0 {
		v := eventloop.Classify(stack[:app], nil)
		in.loop = v.Running && v.AtRest
	}
	for _, f := range stack {
		if f.App || eventloop.IsMachinery(f) && !isSelector(f.File) {
			break
		}
		function := f.Function[strings.LastIndexByte(f.Function, '.')+1:]
		in.functions = append(in.functions, function)
		l := library(f.File)
		if l == "" {
			continue
		}
		in.calls = append(in.calls, l+"."+function)
		if !slices.Contains(in.libraries, l) {
			in.libraries = append(in.libraries, l)
		}
	}
	return in
}

// isSelector tells the module by which libraries wait as well as loops.
func isSelector(file string) bool { return strings.HasSuffix(file, "/selectors.py") }

// library returns the top-level name that a file belongs to: "urllib3" of
// ".../dist-packages/urllib3/connection.py", "json" of ".../lib/python3.11/json/decoder.py".
func library(file string) string {
	if name, ok := strings.CutPrefix(file, "<frozen "); ok {
		return stem(strings.TrimSuffix(name, ">"))
	}
	for _, dir := range []string{"/site-packages/", "/dist-packages/"} {
		if i := strings.LastIndex(file, dir); i >= 0 {
			return first(file[i+len(dir):])
		}
	}
	if i := strings.LastIndex(file, "/python3."); i >= 0 {
		if _, rest, ok := strings.Cut(file[i+1:], "/"); ok {
			return first(rest)
		}
	}
	return ""
}

// first returns the first element of a path, without ".py".
func first(path string) string {
	element, _, _ := strings.Cut(path, "/")
	return strings.TrimSuffix(element, ".py")
}

// stem strips what follows the first dot: "_bcrypt" of "_bcrypt.abi3.so".
func stem(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, ".")
	return name
}

// port returns the port of a target such as "tcp 127.0.0.1:5432".
func port(target string) string {
	if !strings.HasPrefix(target, "tcp ") {
		return ""
	}
	return target[strings.LastIndexByte(target, ':')+1:]
}
