// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/template"
)

// disk is the files of a process. One that is not there fails with the error of "", ENOENT if that is nil.
type disk struct {
	texts map[string]string
	err   error
	hang  chan struct{} // reading waits for it, if it is set
	reads int
}

func (d *disk) ReadFile(path string, limit int64) ([]byte, error) {
	if d.hang != nil {
		<-d.hang
	}
	d.reads++
	text, ok := d.texts[path]
	switch {
	case ok:
		return []byte(text)[:min(int64(len(text)), limit)], nil
	case d.err != nil:
		return nil, d.err
	}
	return nil, fmt.Errorf("open %s: %w", path, unix.ENOENT)
}

// resolved names one frame in line of file.
func resolved(d *disk, of TemplateOf, file, name string, line int) model.Frame {
	s := &shelf{codes: map[uint64]cpython.Code{1: {Name: name, File: file, FirstLine: line, Check: 11}}}
	r := newResolver(s, &space{}, eventloop.IsApp, NewPool(MaxTogether))
	r.sources = NewSources(d, of)
	return r.Frames([]cpython.RawFrame{{Code: 1, Instr: -1, Check: 11}})[0]
}

func noTemplate(uint64, string) (*template.Map, int, error) { return nil, 0, template.ErrNone }
func goneBefore(uint64, string) (*template.Map, int, error) { return nil, 0, cpython.ErrNotRunning }

// A line that is in no file is not told.
func TestLinesOutsideFiles(t *testing.T) {
	d := &disk{texts: map[string]string{
		"/srv/app.py": "a\nb\n\nd", "/srv/mac.py": "a\rb\r", "/srv/dos.py": "a\r\nb\r\n", "/srv/none.py": "", "run.cgi": "a\n",
	}}
	for _, test := range []struct {
		file string
		line int
		told bool
	}{
		{"/srv/app.py", 4, true}, {"/srv/app.py", 5, false},
		{"/srv/mac.py", 2, true}, {"/srv/mac.py", 3, false}, {"/srv/dos.py", 2, true}, {"/srv/dos.py", 3, false},
		{"/srv/none.py", 1, false}, {"/srv/gone.py", 1, false}, {"/srv/gone", 1, false},
		{"run.cgi", 1, true}, {"run.cgi", 2, false}, {"gone.cgi", 1, false},
		{"gone.py", 7, true},                     // the program may have left its directory
		{"<string>", 7, true},                    // nobody takes it for a file
		{"/usr/lib/python3.11/gone.py", 7, true}, // not the application's: not looked at
	} {
		want := 0
		if test.told {
			want = test.line
		}
		f := resolved(d, noTemplate, test.file, "f", test.line)
		assert.Equal(t, want, f.Line, "%s:%d", test.file, test.line)
		assert.Equal(t, test.file, f.File)
	}
	f := resolved(&disk{err: unix.EACCES}, noTemplate, "/srv/gone.py", "f", 7)
	assert.Equal(t, 7, f.Line, "what cannot be read says nothing")
}

// A frame of what was compiled from a template tells a line of that, or none.
func TestTemplates(t *testing.T) {
	d := &disk{texts: map[string]string{"/srv/page.html": "a\nb\n", "/srv/models.py": "{{ x }}\n", "/usr/bin/serve": "a\nb\nc\n"}}
	for _, test := range []struct {
		file, name string
		line       int
		want       string // where the template's map could not be read
	}{
		{"/srv/page.html", "root", 2, "/srv/page.html:0"},
		{"list_html.generated.py", "_tt_execute", 7, "<template list_html>:0"},
		{"<string>.generated.py", "_tt_execute", 7, "<template>:0"},
		{"memory:0x7f0012345678", "render_body", 7, "<template>:0"},
		{"/usr/bin/serve", "main", 2, "/usr/bin/serve:2"},
		{"/srv/app.py", "main", 2, "/srv/app.py:0"}, // no template, and not there
	} {
		f := resolved(d, goneBefore, test.file, test.name, test.line)
		assert.Equal(t, test.want, fmt.Sprintf("%s:%d", f.File, f.Line))
	}
	f := resolved(d, noTemplate, "/srv/page.html", "root", 2)
	assert.Equal(t, 2, f.Line, "a file that is compiled as it stands")
}

// The map of a template is looked for a few times, and once found it is kept.
func TestTemplateIsLookedForAgain(t *testing.T) {
	s := &shelf{codes: map[uint64]cpython.Code{1: {Name: "root", File: "/srv/page.html", FirstLine: 2, Check: 11}}}
	r := newResolver(s, &space{}, eventloop.IsApp, NewPool(MaxTogether))
	asked := 0
	r.sources = NewSources(&disk{}, func(code uint64, file string) (*template.Map, int, error) {
		asked++
		return nil, 0, errors.New("not now")
	})
	raw := []cpython.RawFrame{{Code: 1, Instr: -1, Check: 11}}
	for range 3 {
		require.Zero(t, r.Frames(raw)[0].Line)
	}
	assert.Equal(t, 1, asked, "not at once again")
	known, _ := r.codes.Peek(1)
	for range 2 * maxTries {
		known.template.tried = known.template.tried.Add(-believed)
		r.Frames(raw)
	}
	assert.Equal(t, maxTries, asked)
	assert.Positive(t, r.Stats().Failures[ReasonTemplate])
	r.codes.Purge()
	assert.Zero(t, r.Stats().Bytes)
}

// A file system that does not answer delays one frame, and no other.
func TestHangingFile(t *testing.T) {
	d := &disk{texts: map[string]string{"/srv/a.py": "a\n"}, hang: make(chan struct{})}
	s := NewSources(d, noTemplate)
	for range 50 {
		assert.True(t, s.has("/srv/a.py", 9))
		assert.True(t, s.has("/srv/b.py", 9))
	}
	close(d.hang)
	<-s.known["/srv/a.py"].done
	assert.False(t, s.has("/srv/a.py", 9))
	assert.Equal(t, 1, d.reads)
	assert.True(t, s.slow)
	s.has("/srv/b.py", 9)
	<-s.known["/srv/b.py"].done
	assert.False(t, s.has("/srv/b.py", 9), "not there, once that is known")
}
