// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// screenOf returns whether w is a terminal, and how wide; a terminal that does not tell its
// width has 80 columns.
func screenOf(w io.Writer) (columns int, terminal bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
		return columns, true
	}
	return 80, true
}

// fail prints why a command could not be done, in one line.
func (a *app) fail(err error) {
	fmt.Fprintf(a.stderr, "loopwatch: %s\n", safetext.Line(err.Error()))
}

// sayWatching tells that blocks are printed from now on, and of what.
func (a *app) sayWatching(s observe.Status, threshold time.Duration) {
	least := words.HumanDuration(int64(threshold))
	text := fmt.Sprintf("watching %s in %s, blocks of %s and more", count(int64(s.Loops), "loop"), count(int64(s.Processes), "Python process"), least)
	if s.Loops == 0 {
		text = fmt.Sprintf("watching %s, no event loop yet; blocks of %s and more", count(int64(s.Processes), "Python process"), least)
		if s.Processes == 0 {
			text = fmt.Sprintf("watching for Python processes, none is here yet; blocks of %s and more", least)
		}
	}
	const how = " (Ctrl-C ends it)"
	if columns, terminal := a.screen(a.stderr); !terminal || len(text)+len(how) <= columns {
		text += how
	}
	fmt.Fprintln(a.stderr, text)
}

// eraseLine goes to the start of the line and clears it: ECMA-48 EL.
const eraseLine = "\r\x1b[K"

// progress is the one line on stderr that says how an observation goes, and the warnings
// above it. Without a terminal there are only the warnings.
type progress struct {
	app      *app
	duration time.Duration

	mu    sync.Mutex // callbacks come from the observation's goroutines
	shown bool
	last  string
	begun bool // starting has nothing to say any more
	done  bool
}

func (a *app) newProgress(duration time.Duration) *progress {
	return &progress{app: a, duration: duration}
}

// update shows the totals so far.
func (p *progress) update(s observe.Status) {
	text := fmt.Sprintf("%s in %s, %s", count(int64(s.Loops), "loop"),
		count(int64(s.Processes), "Python process"), count(s.Blocks, "block"))
	p.running(s.Elapsed, text)
}

// running shows what is watched, and how long that goes on.
func (p *progress) running(elapsed time.Duration, text string) {
	if left := p.duration - elapsed; left > 0 {
		text += fmt.Sprintf(", %d s left", (left+time.Second-1)/time.Second)
	}
	p.show("watching "+text+" (Ctrl-C ends early)", false)
}

// starting shows what is done before an observation begins.
func (p *progress) starting(doing string) { p.show("starting: "+doing, true) }

// begin ends what starting shows.
func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
	p.shown, p.begun = false, true
}

func (p *progress) show(text string, starting bool) {
	columns, terminal := p.app.screen(p.app.stderr)
	if !terminal || p.app.logging {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done || starting && p.begun {
		return
	}
	p.last = safetext.Cut(text, columns-1) // the last column may wrap
	p.shown = true
	fmt.Fprint(p.app.stderr, eraseLine, p.last)
}

// warn prints one warning, above the line where there is one.
func (p *progress) warn(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
	fmt.Fprintf(p.app.stderr, "loopwatch: warning: %s\n", safetext.Line(text))
	if p.shown {
		fmt.Fprint(p.app.stderr, p.last)
	}
}

// erase takes the line away for good.
func (p *progress) erase() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
	p.shown, p.done = false, true
}

func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if thing[len(thing)-1] == 's' {
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
