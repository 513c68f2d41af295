// SPDX-License-Identifier: Apache-2.0

// Package tui shows the loops of a host while they are watched, like top: a table, one loop in
// depth, and the same as plain lines where there is no terminal. In go the views of
// internal/live; out come screens, and the threshold the user chooses. cmd/loopwatch calls it. All
// names in a view are foreign: they pass through safetext before they are shown.
package tui

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"github.com/loopwatch/loopwatch/internal/crash"
	"github.com/loopwatch/loopwatch/internal/live"
)

// Observe observes until ctx is done and calls show with each view. It takes changes of the
// threshold from thresholds.
type Observe func(ctx context.Context, thresholds <-chan time.Duration, show func(*live.View)) error

// framesPerSecond bounds how often the screen is drawn. It changes with views and keys only, and
// over a slow line more would only wait.
const framesPerSecond = 20

// Run shows what observe sees on the terminal until the user leaves or ctx is done. The terminal is
// as it was when Run returns, whatever happened. The screen is taken over with the first view
// only: an observation that cannot begin says why on a screen left alone.
func Run(ctx context.Context, terminal *os.File, color bool, observe Observe) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		views      = make(chan *live.View, 1)
		thresholds = make(chan time.Duration, 16)
		ended      = make(chan error, 1)
	)
	go func() { ended <- crash.Guard(func() error { return observe(ctx, thresholds, latest(views)) }) }()

	fmt.Fprint(terminal, "loopwatch: starting …")
	var first *live.View
	var err error
	select {
	case first = <-views:
	case err = <-ended:
	}
	fmt.Fprint(terminal, "\r\x1b[K") // ECMA-48 EL
	if first == nil {
		return err
	}
	m := newMonitor(first, func(t time.Duration) {
		select {
		case thresholds <- t:
		default: // it is behind: the next key tells it the newest
		}
	})
	options := []tea.ProgramOption{
		tea.WithOutput(terminal), tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler(),
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		options = append(options, tea.WithInput(terminal)) // a terminal is for both
	}
	if !color {
		options = append(options, tea.WithColorProfile(colorprofile.ASCII))
	}
	p := tea.NewProgram(guarded{m}, options...)

	// The observation does not wait for the terminal, which may be slow or stopped.
	fed := make(chan struct{})
	var observed error
	go func() {
		defer close(fed)
		for {
			select {
			case s := <-views:
				p.Send(viewMsg{s})
			case observed = <-ended:
				p.Send(endMsg{})
				return
			}
		}
	}()
	stop := context.AfterFunc(ctx, func() { p.Send(endMsg{}) })
	defer stop()

	final, err := p.Run()
	cancel()
	<-fed
	if g, ok := final.(guarded); ok && g.failure != nil {
		err = g.failure
	}
	return cmp.Or(err, observed)
}

// latest returns a function that puts a view into a channel of room for one, in place of one not
// yet taken.
func latest(c chan *live.View) func(*live.View) {
	return func(s *live.View) {
		select {
		case <-c:
		default:
		}
		select {
		case c <- s:
		default: // somebody else was quicker; there is nobody else
		}
	}
}

// guarded is a monitor that ends the program in order where it would panic.
type guarded struct{ *monitor }

func (g guarded) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	if err := crash.Guard(func() error { cmd = g.update(msg); return nil }); err != nil {
		g.failure = err
		return g, tea.Quit
	}
	if g.failure != nil { // of View
		return g, tea.Quit
	}
	return g, cmd
}

func (g guarded) Init() tea.Cmd { return nil }

func (g guarded) View() tea.View {
	var text string
	if err := crash.Guard(func() error { text = g.screen(); return nil }); err != nil {
		g.failure = err
	}
	v := tea.NewView(text)
	v.AltScreen = true
	v.WindowTitle = "loopwatch top"
	return v
}

// Plain prints each view that observe shows as a block of lines to w: the answer, a table, and an
// empty line. rows bounds the loops of one table, 0 does not. It returns how many views were left
// out because w takes them too slowly, and the first error.
func Plain(ctx context.Context, w io.Writer, rows int, observe Observe) (missed int, err error) {
	views := make(chan *live.View, 4)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := true
	go func() {
		defer close(views)
		ended <- crash.Guard(func() error {
			return observe(ctx, nil, func(s *live.View) {
				if first { // it is of no time at all
					first = false
					return
				}
				select {
				case views <- s:
				default:
					missed++
				}
			})
		})
	}()
	for s := range views {
		if err == nil {
			if err = writePlain(w, s, rows); err != nil {
				cancel()
			}
		}
	}
	return missed, cmp.Or(err, <-ended)
}
