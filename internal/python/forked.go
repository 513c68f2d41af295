// SPDX-License-Identifier: Apache-2.0

package python

import (
	"iter"
	"slices"
	"time"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Stack is the stack of one thread of a process.
type Stack struct {
	Raw    []cpython.RawFrame
	Frames []model.Frame // the same with names, and one without a file for a middle that was cut
	// Main says that the thread is the main thread. Fork copies one thread, and that is the child's main thread: no other
	// has frames of the parent.
	Main bool
}

// believed is how long the mappings of a process are taken for what they are now.
const believed = time.Second

// Classify tells which loop of the process's own a stack belongs to. Where none is seen, a module mapped since may be the
// reason: then it refreshes Modules, once a second at most.
func (p *Process) Classify(s Stack) eventloop.Verdict {
	v := p.classify(s)
	if v.Kind == "" && time.Since(p.Modules.at) > believed {
		p.Modules.Refresh()
		v = p.classify(s)
	}
	return v
}

func (p *Process) classify(s Stack) eventloop.Verdict {
	if n := p.inheritedOf(s); n > 0 {
		return eventloop.ClassifyForked(s.Frames, n, p.Modules)
	}
	return eventloop.Classify(s.Frames, p.Modules)
}

// Origin returns what Classify goes by besides the frames: which of eventloop.Extensions are mapped, and how many of the
// outermost frames are the parent's. It refreshes Modules where Classify does.
func (p *Process) Origin(s Stack) (extensions []string, inherited int) {
	p.Classify(s)
	for _, dir := range eventloop.Extensions() {
		if p.Modules.Extension(dir) {
			extensions = append(extensions, dir)
		}
	}
	return extensions, p.inheritedOf(s)
}

// inheritedOf returns how many of the outermost frames of a stack are the parent's.
func (p *Process) inheritedOf(s Stack) int {
	n := len(p.inherited)
	if n > len(s.Frames) || !s.Main || common(s.Raw, p.inherited) < n {
		return 0
	}
	return n
}

// Known is what the caller of FindLoop knows already of a process. The zero value is nothing.
type Known struct {
	Process *Process
	Loops   []LoopThread // those of its threads that run a loop
}

// LoopThread is a thread that runs a loop.
type LoopThread struct {
	State uint64 // address of its thread state
	Since uint64 // when the loop became known, in the unit of process.Process.StartTime; 0 unknown
}

// FindLoop is Classify for a thread that has not been judged. Where it sees a loop outside its wait for the first time, it
// finds out whether that is the parent's, copied by fork, and remembers the answer. known, which may be nil, is asked what
// is known of the parent.
func (p *Process) FindLoop(s Stack, known func(pid int) Known) eventloop.Verdict {
	v := p.Classify(s)
	if p.lookedAbove || !s.Main || !v.Running || v.AtRest {
		return v
	}
	p.lookedAbove = true
	parent := p.findParent(known)
	if parent.Process == nil {
		return v
	}
	if p.inherited = p.findInherited(s, v.Root, parent); len(p.inherited) == 0 {
		return v
	}
	return p.Classify(s)
}

// findParent finds the process that this one was forked from. Process is nil where that has ended, is no Python, or cannot
// be what this one is a copy of.
func (p *Process) findParent(known func(pid int) Known) (parent Known) {
	if known != nil {
		parent = known(p.PPID)
	}
	if parent.Process == nil {
		parent.Process, _ = p.opener.Open(p.PPID)
	}
	// A parent with its runtime at another address shows that this process has called exec. One that began later has the
	// process id of the parent, which has ended.
	if above := parent.Process; above == nil || above.Runtime.Addr != p.Runtime.Addr || above.StartTime > p.StartTime {
		return Known{}
	}
	return parent
}

// findInherited returns the outermost frames of a stack that are the parent's, if those reach to the frame root of the loop
// that the stack shows; else nil. Both may also have come to the same line after the fork, each with a loop of its own:
// then this process has epoll objects of its own alone, and no other loop further in.
func (p *Process) findInherited(s Stack, root int, parent Known) []cpython.RawFrame {
	shared := p.share(s, root, parent)
	if shared.unread && shared.frames == 0 {
		return p.inheritedUnread(s, root, parent)
	}
	if shared.frames == 0 && !shared.cut {
		return nil
	}
	looped := slices.ContainsFunc(parent.Loops, func(l LoopThread) bool { return l.Since != 0 && p.StartTime > l.Since })
	if !looped && !shared.another && p.OwnEpolls(parent.Process.PID) {
		return nil
	}
	p.parentCut = shared.cut
	return s.Raw[len(s.Raw)-shared.frames:]
}

// inheritedUnread is findInherited where the parent's stacks cannot be read. What is left are the epoll objects: of a process
// that shares some with its parent, and of one that has ended meanwhile, the loop is taken for the parent's, and so are those
// further in.
func (p *Process) inheritedUnread(s Stack, root int, parent Known) []cpython.RawFrame {
	if p.OwnEpolls(parent.Process.PID) && p.Same() {
		return nil
	}
	for inner := eventloop.Classify(s.Frames[:root], p.Modules); inner.Running; inner = eventloop.Classify(s.Frames[:root], p.Modules) {
		root = inner.Root
	}
	return s.Raw[root:]
}

// shared is what a stack has in common with those of the parent.
type shared struct {
	frames  int  // the outermost, 0 where these do not reach to the loop's frame
	another bool // the other frames show a loop, too
	cut     bool // not all threads of the parent were asked, and one of the others may share more
	unread  bool // no stack of the parent could be read
}

// maxAsked bounds the threads of a parent whose stacks are read for one child: a parent may have a thousand of both.
const maxAsked = 64

// share compares a stack with those of the parent, one after the other. It stops where the frames that are not shared show
// no loop: a stack that shares more would tell nothing else.
func (p *Process) share(s Stack, root int, parent Known) (out shared) {
	asked := 0
	out.unread = true
	for state, tries := range parent.states() {
		if asked == maxAsked {
			out.cut = true
			break
		}
		asked++
		n := 0
		for try := 0; try < tries && n < len(s.Frames)-root; try++ {
			if raw, _, err := parent.Process.Stack(state); err == nil {
				n, out.unread = min(common(s.Raw, raw), len(s.Frames)), false
			}
		}
		if n < len(s.Frames)-root || n <= out.frames {
			continue
		}
		rest := eventloop.Classify(s.Frames[:len(s.Frames)-n], p.Modules)
		out.frames, out.another = n, rest.Running && rest.Root < len(s.Frames)-n-1
		if !rest.Running {
			break
		}
	}
	return out
}

// likelyTries is how often a thread is asked that is likely to run the loop. It goes on meanwhile, and a walk may lead past
// its frames.
const likelyTries = 3

// states yields the thread states of the process, each once, and how often to ask each. Those of its loops come first: a
// child has its frames from one of them. The others come from the oldest, which is the main thread's, to the newest.
func (k *Known) states() iter.Seq2[uint64, int] {
	return func(yield func(uint64, int) bool) {
		yielded := make(map[uint64]bool)
		for _, l := range k.Loops {
			if yielded[l.State] = true; !yield(l.State, likelyTries) {
				return
			}
		}
		threads, _ := k.Process.ThreadStates() // those read so far where the list is cut
		for i, t := range slices.Backward(threads) {
			tries := 1
			if i == len(threads)-1 {
				tries = likelyTries
			}
			if !yielded[t.Addr] && !yield(t.Addr, tries) {
				return
			}
		}
	}
}

// common returns how many of the outermost frames two stacks have in common.
func common(a, b []cpython.RawFrame) (n int) {
	for n < len(a) && n < len(b) && a[len(a)-1-n].Code == b[len(b)-1-n].Code {
		n++
	}
	return n
}

// ReasonParentCut is the reason under which Lost counts the processes for which ParentCut is true.
const ReasonParentCut = "parent_threads_over_limit"

// ParentCut reports whether the loop that FindLoop has found may be the parent's all the same: the parent has more threads
// than it asks.
func (p *Process) ParentCut() bool { return p.parentCut }
