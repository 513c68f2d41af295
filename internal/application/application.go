// SPDX-License-Identifier: Apache-2.0

// Package application tells which code of a process is the application's. In go what the user says, the command line, the
// frames that a program was started by and how its packages were installed; out comes, for the file that a code object was
// compiled from, whether a developer of the application wrote it. What the process says of itself is hostile and bounded.
package application

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
)

// Bounds of what is kept of one process.
const (
	maxFiles = 4096 // decided ones
	maxDirs  = 8    // that packages are installed into
)

// Application is what is known of one process. It is not safe for concurrent use.
type Application struct {
	patterns Patterns
	files    Files
	packages map[string]bool       // installed ones that the program was started as
	dirs     map[string]*installed // by directory that packages are installed into
	decided  map[string]bool       // by file
	seen     int                   // how many of dirs had been read then
	slow     bool                  // one of dirs took long: its file system may not answer
}

// Files are those of one process, in its root. *process.Process is one.
type Files interface {
	ReadDir(path string, limit int) ([]string, error)
	ReadFile(path string, limit int64) ([]byte, error)
}

// New returns what the command line says of a process. files, which may be nil, tells how its packages were installed.
func New(patterns Patterns, command string, files Files) *Application {
	a := &Application{patterns: patterns, files: files, packages: make(map[string]bool), dirs: make(map[string]*installed)}
	for _, name := range named(command) {
		a.packages[name] = true
	}
	a.decided = make(map[string]bool)
	return a
}

// IsApp reports whether a code object compiled from this file is the application's. How the packages in a directory were
// installed is read in the background, and waited for a moment only: until that is known they count as libraries.
func (a *Application) IsApp(file string) bool {
	if n := a.read(); n != a.seen {
		a.seen = n
		clear(a.decided)
	}
	app, known := a.decided[file]
	if !known {
		app = a.decide(file)
		if len(a.decided) >= maxFiles {
			clear(a.decided)
		}
		a.decided[file] = app
	}
	return app
}

func (a *Application) decide(file string) bool {
	if app, known := a.patterns.says(file); known {
		return app
	}
	if eventloop.IsApp(file) {
		return true
	}
	name, dir := eventloop.Package(file)
	if name == "" || eventloop.IsMachinery(model.Frame{File: file}) {
		return false
	}
	if a.packages[name] {
		return true
	}
	in := a.dirs[dir]
	if in == nil && a.files != nil && len(a.dirs) < maxDirs && !a.slow && !eventloop.IsFramework(name) {
		in = &installed{done: make(chan struct{})}
		a.dirs[dir] = in
		go in.look(a.files, dir)
		a.slow = !in.wait()
	}
	return in != nil && in.fromSource(name)
}

// read returns how many of the directories have been read.
func (a *Application) read() (n int) {
	for _, in := range a.dirs {
		if in.packages.Load() != nil {
			n++
		}
	}
	return n
}

// LearnStart learns from the frames that the main thread was started by, outside its loop, innermost first: the package
// that a script in bin/, an entry point or "python -m" called is the application, unless it is a framework.
func (a *Application) LearnStart(outside []model.Frame) {
	for i := len(outside) - 1; i >= 0; i-- {
		file := outside[i].File
		name, _ := eventloop.Package(file)
		switch {
		case name != "" && !eventloop.IsFramework(name) && !eventloop.IsMachinery(outside[i]):
			if !a.packages[name] {
				a.packages[name] = true
				clear(a.decided)
			}
			return
		case name == "" && eventloop.IsApp(file) && !isStarter(file):
			return // a program of its own
		}
	}
}

// isStarter reports whether a file only starts a package: a script in bin/, which has no suffix, or what is made at run time.
func isStarter(file string) bool {
	if strings.HasPrefix(file, "<") {
		return true
	}
	slash := strings.LastIndexByte(file, '/')
	dir, base := file[:max(slash, 0)], file[slash+1:]
	return !strings.Contains(base, ".") && (strings.HasSuffix(dir, "bin") || dir == "")
}

// installed says how the packages in one directory were installed.
type installed struct {
	packages atomic.Pointer[map[string]bool] // those installed from a directory or a repository; nil until they are known
	done     chan struct{}                   // closed then
}

// patience is how long a frame may have to wait for its name because of what its process has installed.
const patience = 10 * time.Millisecond

// wait waits for look, and reports whether it has ended.
func (in *installed) wait() bool {
	select {
	case <-in.done:
		return true
	case <-time.After(patience):
		return false
	}
}

func (in *installed) fromSource(name string) bool {
	packages := in.packages.Load()
	return packages != nil && (*packages)[name]
}

func (in *installed) look(files Files, dir string) {
	packages := sourcePackages(files, dir)
	in.packages.Store(&packages)
	close(in.done)
}
