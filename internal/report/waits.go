// SPDX-License-Identifier: Apache-2.0

package report

import (
	"io"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/html"
	"github.com/loopwatch/loopwatch/internal/report/json"
	"github.com/loopwatch/loopwatch/internal/report/profile"
	"github.com/loopwatch/loopwatch/internal/report/text"
)

// WaitFormat is a way to write a profile of awaits.
type WaitFormat struct {
	Name   string
	Binary bool // a terminal would obey some of its bytes
	// Write writes a profile. Only text heeds the options.
	Write func(io.Writer, *model.WaitProfile, text.Options) error
}

// waitFormats are all formats of a profile of awaits, the default first.
var waitFormats = [...]WaitFormat{
	{Name: "text", Write: text.WriteWaits},
	{Name: "json", Write: plainWaits(json.WriteWaits)},
	{Name: "folded", Write: plainWaits(profile.WriteFoldedWaits)},
	{Name: "speedscope", Write: plainWaits(profile.WriteSpeedscopeWaits)},
	{Name: "pprof", Write: plainWaits(profile.WritePprofWaits), Binary: true},
	{Name: "html", Write: plainWaits(html.WriteWaits)},
}

// plainWaits is for formats that have no options.
func plainWaits(write func(io.Writer, *model.WaitProfile) error) func(io.Writer, *model.WaitProfile, text.Options) error {
	return func(w io.Writer, p *model.WaitProfile, _ text.Options) error { return write(w, p) }
}

// WaitNames returns the names of all formats of a profile of awaits, the default first.
func WaitNames() []string {
	return namesOf(waitFormats[:], func(f WaitFormat) string { return f.Name })
}

// WaitsNamed returns the format of a name, and whether there is one.
func WaitsNamed(name string) (WaitFormat, bool) {
	return named(waitFormats[:], name, func(f WaitFormat) string { return f.Name })
}
