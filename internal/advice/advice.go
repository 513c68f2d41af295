// SPDX-License-Identifier: Apache-2.0

// Package advice says in one sentence what helps against a blocker. It goes by the evidence: the
// cause, the library between the application's line and the leaf, the peer, the native module, and
// whether the GIL was held. In go a blocker and the kind of its loop; out comes a sentence, or ""
// where one would be a guess. observe has every report filled in.
package advice

import (
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// For returns the advice on a blocker in a loop of the given kind (model.Loop.Loop).
func For(b *model.Blocker, kind string) string {
	libraries, functions := inner(b.Stack)
	for i := range rules {
		r := &rules[i]
		if r.matches(b, libraries, functions) {
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
	causes    []model.Cause
	libraries []string // one of them is inside the application's line
	functions []string // one of them is
	ports     []string // of the peer; enough instead of a library
	natives   []string // the native module that ran; enough instead of a library
	gil       model.GIL
	direct    bool // the application's own line did it, no library inside
	asyncio   string
	other     string // for other kinds of loop; "" none
}

func (r *rule) matches(b *model.Blocker, libraries, functions []string) bool {
	if !slices.Contains(r.causes, b.Cause) || r.gil != "" && r.gil != b.Detail.GIL {
		return false
	}
	if r.direct && len(libraries) > 0 {
		return false
	}
	if len(r.libraries)+len(r.functions)+len(r.ports)+len(r.natives) == 0 {
		return true
	}
	return meet(r.libraries, libraries) || meet(r.functions, functions) ||
		slices.Contains(r.ports, port(b.Detail.Target)) ||
		b.Detail.Native != "" && slices.Contains(r.natives, stem(b.Detail.Native))
}

// say fills in what the kind of loop calls its threads.
func (r *rule) say(kind string) string {
	text, thread := r.other, ""
	switch kind {
	case "asyncio", "uvloop", "tornado":
		text, thread = r.asyncio, "asyncio.to_thread"
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

// inner lists the libraries and functions between the leaf and the application's innermost line.
func inner(stack []model.Frame) (libraries, functions []string) {
	for _, f := range stack {
		if f.App {
			break
		}
		if l := library(f.File); l != "" && !slices.Contains(libraries, l) {
			libraries = append(libraries, l)
		}
		functions = append(functions, f.Function[strings.LastIndexByte(f.Function, '.')+1:])
	}
	return libraries, functions
}

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
