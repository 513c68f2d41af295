// SPDX-License-Identifier: Apache-2.0

// Package release knows the releases of CPython. In go a version, or the memory at the address of a _PyRuntime that
// describes itself; out comes the layout of that release: where its structures keep what loopwatch reads. What a runtime
// says of itself is checked and bounded.
package release

import "fmt"

// oldest is the minor version of the oldest release whose layout is known.
const oldest = 8

// Supported returns the minor versions of the oldest and of the newest CPython 3 that are supported.
func Supported() (from, to int) { return oldest, newest() }

// Measured returns the layout of a release that does not describe itself, as the headers of its minor version have it.
// The error is an *UnsupportedError.
func Measured(v Version) (Layout, error) {
	if v.Major() != 3 || v.Minor() < oldest {
		return Layout{}, TooOld(v)
	}
	layout, ok := layouts[v.Minor()]
	if !ok {
		return Layout{}, &UnsupportedError{fmt.Sprintf("CPython %s: it has no debug offsets", v)}
	}
	return layout, nil
}

// UnsupportedError says that a process is a Python, but none that can be watched.
type UnsupportedError struct {
	Reason string // for the user: "CPython 3.7: too old, 3.8 is the oldest supported"
}

func (e *UnsupportedError) Error() string { return e.Reason }

// TooOld is the error for a release before the oldest that is supported, of which the version may be 0, not known.
func TooOld(v Version) error {
	name := "CPython"
	if v != 0 {
		name += " " + v.String()
	}
	return &UnsupportedError{fmt.Sprintf("%s: too old, 3.%d is the oldest supported", name, oldest)}
}
