// SPDX-License-Identifier: Apache-2.0

// Package python is one Python process seen from outside. In goes a process id; out comes the process with its interpreter,
// its memory, what names its frames, and the modules mapped into it. From that follow its thread states and stacks, the
// garbage collector and the GIL of each of its interpreters, its asyncio tasks, what a syscall of it works on, and which
// event loop a stack belongs to: the process's own, or the parent's, copied by fork. The process goes on meanwhile, so an
// answer is as good as its threads are still. What is read is hostile and bounded.
package python

import (
	"context"
	"errors"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/asyncio"
	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/native"
	"github.com/loopwatch/loopwatch/internal/parallel"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/symbolize"
	"github.com/loopwatch/loopwatch/internal/target"
)

// Process is one Python process. It is not safe for concurrent use.
type Process struct {
	*process.Process
	Runtime *cpython.Runtime
	Memory  process.Memory
	Names   *symbolize.Resolver // names its frames
	Modules *Modules
	app     *application.Application

	// As they were when it was opened. Container and Unit are empty where they cannot be read.
	Command, Container, Unit string

	opener    *Opener // of its parent
	functions *native.Cache
	tasks     map[uint64]*asyncio.Tasks // found so far, by interpreter

	unnamedNative int64

	// What FindLoop has found. inherited are the outermost frames of the main thread that are the parent's.
	inherited   []cpython.RawFrame
	lookedAbove bool
	parentCut   bool
}

// Opener opens processes, and remembers what it found in the files of their interpreters. It is safe for concurrent use.
type Opener struct {
	locator   *locate.Locator
	patterns  application.Patterns
	functions native.Cache
	names     *symbolize.Pool
}

// NewOpener returns an opener that knows no file yet. patterns are what the user says of which code is the application's.
func NewOpener(patterns application.Patterns) *Opener {
	return &Opener{locator: locate.New(), patterns: patterns, names: symbolize.NewPool(symbolize.MaxTogether)}
}

// New returns the process that a runtime was found in.
func (o *Opener) New(p *process.Process, rt *cpython.Runtime) *Process {
	memory := p.Memory()
	command := p.Cmdline()
	app := application.New(o.patterns, command, p)
	out := &Process{
		opener: o, functions: &o.functions,
		Process: p, Runtime: rt, Memory: memory, Modules: NewModules(p.Maps, rt), app: app,
		Command: command, tasks: make(map[uint64]*asyncio.Tasks),
	}
	out.Names = symbolize.New(rt, memory, app.IsApp, symbolize.NewSources(p, out.templateOf), o.names)
	out.Container, out.Unit, _ = p.Cgroup()
	return out
}

// Open opens a process and finds its interpreter. It returns either the process or why not.
func (o *Opener) Open(pid int) (*Process, *Refusal) {
	p, err := process.Open(pid)
	if err != nil {
		return nil, &Refusal{PID: pid, Err: err}
	}
	rt, err := process.Together(p, o.locator.Locate)
	if err != nil {
		return nil, &Refusal{PID: pid, Command: p.Cmdline(), Err: err, process: p}
	}
	return o.New(p, rt), nil
}

// Opened is what came of opening one process: the process, or why not.
type Opened struct {
	Process *Process
	Refusal *Refusal
}

// LearnStart has the process learn which package it was started as, if it was opened.
func (o Opened) LearnStart() {
	if o.Process != nil {
		o.Process.LearnStart()
	}
}

// OpenAll opens many processes at once, until ctx is done: of those that it has not come to, neither is set. also, which may be nil, is called with what came of each, from several goroutines.
// The result is in the order of pids.
func (o *Opener) OpenAll(ctx context.Context, pids []int, also func(Opened)) []Opened {
	out := make([]Opened, len(pids))
	parallel.For(ctx, len(pids), func(i int) {
		out[i].Process, out[i].Refusal = o.Open(pids[i])
		if also != nil {
			also(out[i])
		}
	})
	return out
}

// maxInterpreters bounds the interpreters of one process whose tasks are remembered.
const maxInterpreters = 64

// FindTasks finds out how the interpreter at this address keeps its asyncio tasks. What it finds it remembers; what it does
// not, a program may still import. The error is that of asyncio.Find.
func (p *Process) FindTasks(interp uint64) (*asyncio.Tasks, error) {
	if known := p.tasks[interp]; known != nil {
		return known, nil
	}
	found, err := process.Together(p.Process, func(q *process.Process) (*asyncio.Tasks, error) { return asyncio.Find(q, p.Runtime, interp) })
	if err != nil {
		return nil, err
	}
	if len(p.tasks) >= maxInterpreters {
		return nil, errTooManyInterpreters
	}
	p.tasks[interp] = found
	return found, nil
}

var errTooManyInterpreters = errors.New("too many interpreters in one process")

// NativeFunction names the function of native code that an instruction lies in, "" where no symbol does. It reads the file
// that is mapped there.
func (p *Process) NativeFunction(ip uint64) string {
	m, ok := p.Modules.Mapping(ip)
	if !ok {
		if p.Modules.Cut() {
			p.unnamedNative++
		}
		return ""
	}
	name, err := p.functions.Function(p.Process, m, ip)
	if err != nil {
		p.unnamedNative++
	}
	return name
}

// ReasonNative counts instructions whose function was not looked up.
const ReasonNative = "native_functions_over_budget"

// UnnamedNative returns how many instructions have no function because the files of the process are too large, or change too
// fast, to be read, or because it has too many mappings.
func (p *Process) UnnamedNative() int64 { return p.unnamedNative }

// Call returns the syscall that a thread of the process sleeps in.
func (p *Process) Call(number int, args [5]uint64) target.Call {
	return target.Call{Process: p.Process, Memory: p.Memory, Number: number, Args: args}
}
