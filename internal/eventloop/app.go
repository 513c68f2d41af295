// SPDX-License-Identifier: Apache-2.0

package eventloop

import (
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// IsApp reports whether a code object compiled from this file is the application's: not of the
// standard library, not installed into site-packages or dist-packages, not a loop's machinery.
// What was compiled at run time ("<string>") counts as the application's.
func IsApp(file string) bool {
	switch {
	case file == "" || file[0] == '[':
		return false
	case file[0] == '<':
		return !isGenerated(file)
	}
	return !isLibrary(file) && !isMachinery(file)
}

// IsMachinery reports whether a frame is part of an event loop: of asyncio, of a selector or of a
// loop library. Such a frame is never a culprit while there is another.
func IsMachinery(f model.Frame) bool { return isMachinery(f.File) }

// generated are names that the interpreter and libraries give to code without a file.
var generated = []string{
	"<frozen ",                  // modules built into the interpreter
	"<attrs generated ",         // attrs
	"<decorator-gen-",           // decorator
	"<makefun-gen-",             // makefun
	"<__array_function__ inter", // NumPy before 1.25
}

func isGenerated(file string) bool {
	for _, prefix := range generated {
		if strings.HasPrefix(file, prefix) {
			return true
		}
	}
	return false
}

// isLibrary reports whether a file is of the standard library or installed as a package.
func isLibrary(file string) bool {
	if strings.HasPrefix(file, "<frozen ") {
		return true
	}
	dir, _ := cutLast(file)
	prev := ""
	for dir != "" {
		var elem string
		elem, dir, _ = strings.Cut(dir, "/")
		switch {
		case holdsPackages(elem):
			return true
		case strings.HasPrefix(prev, "lib") && isVersioned(elem, "python", ""):
			return true // lib/python3.11, lib64/python3.9
		case isVersioned(elem, "python", ".zip"):
			return true // python311.zip
		}
		prev = elem
	}
	return false
}

// isVersioned reports whether elem is prefix, "3", perhaps a dot, digits, perhaps the letters of
// an ABI, and suffix.
func isVersioned(elem, prefix, suffix string) bool {
	elem, ok := strings.CutPrefix(elem, prefix+"3")
	if !ok {
		return false
	}
	if elem, ok = strings.CutSuffix(elem, suffix); !ok {
		return false
	}
	elem = strings.TrimPrefix(elem, ".")
	elem = strings.TrimRight(elem, "td")
	return elem != "" && strings.Trim(elem, "0123456789") == ""
}

func cutLast(path string) (dir, base string) {
	slash := strings.LastIndexByte(path, '/')
	return path[:slash+1], path[slash+1:]
}

// machinery are files and directories of loops, wherever they are installed.
var machinery = []string{
	"asyncio/base_events.py", "asyncio/events.py", "asyncio/runners.py", "asyncio/selector_events.py", "asyncio/unix_events.py",
	"nest_asyncio.py", "uvloop/__init__.py",
	"trio/_core/", "outcome/_impl.py",
	"tornado/ioloop.py", "tornado/platform/",
	"twisted/internet/", "twisted/python/context.py", "twisted/python/log.py",
	"gevent/hub.py", "gevent/_ffi/", "gevent/libev/", "gevent/libuv/", "gevent/greenlet.py", "gevent/_waiter.py", "gevent/_hub_primitives.py",
	"eventlet/hubs/", "eventlet/greenthread.py",
	"curio/kernel.py", "curio/task.py",
}

func isMachinery(file string) bool {
	if isLibrary(file) && (within(file, "selectors.py") || within(file, "asyncio/")) {
		return true
	}
	for _, m := range machinery {
		if within(file, m) {
			return true
		}
	}
	return false
}
