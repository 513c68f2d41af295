// SPDX-License-Identifier: Apache-2.0

// Package report lists the formats of a report. A report of package model and the name of a format go in, a file goes
// out. Each format is a package of its own; what they say alike stands in package words.
package report

import (
	"io"
	"slices"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/ci"
	"github.com/loopwatch/loopwatch/internal/report/html"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/profile"
	"github.com/loopwatch/loopwatch/internal/report/text"
)

// Format is a way to write a report.
type Format struct {
	Name   string
	Binary bool // a terminal would obey some of its bytes
	// Silent says that the file has no words for the blocks that a report had no room for.
	Silent bool
	// Write writes a report.
	Write func(io.Writer, *model.Report, Options) error
}

// Options are those of all formats.
type Options struct {
	Text text.Options
	CI   ci.Options
}

// formats are all formats, the default first.
var formats = [...]Format{
	{Name: "text", Write: func(w io.Writer, r *model.Report, o Options) error { return text.Write(w, r, o.Text) }},
	{Name: "json", Write: plain(json.Write)},
	{Name: "folded", Write: plain(profile.WriteFolded), Silent: true},
	{Name: "speedscope", Write: plain(profile.WriteSpeedscope), Silent: true},
	{Name: "pprof", Write: plain(profile.WritePprof), Silent: true, Binary: true},
	{Name: "html", Write: plain(html.Write)},
	{Name: "github", Write: func(w io.Writer, r *model.Report, o Options) error { return ci.WriteGitHub(w, r, o.CI) }},
	{Name: "junit", Write: func(w io.Writer, r *model.Report, o Options) error { return ci.WriteJUnit(w, r, o.CI) }},
}

// plain is for formats that have no options.
func plain(write func(io.Writer, *model.Report) error) func(io.Writer, *model.Report, Options) error {
	return func(w io.Writer, r *model.Report, _ Options) error { return write(w, r) }
}

// Names returns the names of all formats, the default first.
func Names() []string { return namesOf(formats[:], func(f Format) string { return f.Name }) }

// Named returns the format of a name, and whether there is one.
func Named(name string) (Format, bool) {
	return named(formats[:], name, func(f Format) string { return f.Name })
}

// namesOf returns the names of some formats.
func namesOf[F any](formats []F, nameOf func(F) string) (names []string) {
	for _, f := range formats {
		names = append(names, nameOf(f))
	}
	return names
}

// named returns the one of some formats that has a name, and whether there is one.
func named[F any](formats []F, name string, nameOf func(F) string) (found F, ok bool) {
	i := slices.IndexFunc(formats, func(f F) bool { return nameOf(f) == name })
	if i < 0 {
		return found, false
	}
	return formats[i], true
}
