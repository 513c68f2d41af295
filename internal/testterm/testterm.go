// SPDX-License-Identifier: Apache-2.0

// Package testterm is a terminal for tests: programs draw on one side of a pseudo-terminal, an
// emulator takes the other side, and the test looks at the screen as a user would and presses keys.
// It is used by tests only.
package testterm

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Terminal is a terminal with a screen.
type Terminal struct {
	File   *os.File // the program's side
	master *os.File
	screen *vt.SafeEmulator
	before unix.Termios
}

// New opens a terminal of the given size, and closes it with the test.
func New(t testing.TB, width, height int) *Terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err, "open a terminal")
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	require.Zero(t, errno, "open the terminal's other side")
	x := &Terminal{File: os.NewFile(peer, "terminal"), master: master, screen: vt.NewSafeEmulator(width, height)}
	x.Resize(t, width, height)
	x.before = x.modes(t)
	shown, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(x.screen, master) // ends with EIO once nobody has the other side open
	}()
	go func() {
		defer close(answered)
		_, _ = io.Copy(master, x.screen) // what the terminal is asked
	}()
	t.Cleanup(func() {
		_ = x.File.Close()
		<-shown
		_ = x.screen.Close()
		<-answered
		_ = master.Close()
	})
	return x
}

// Resize changes the size; programs that have it as their terminal are told.
func (x *Terminal) Resize(t testing.TB, width, height int) {
	t.Helper()
	require.NoError(t, unix.IoctlSetWinsize(int(x.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)}))
	x.screen.Resize(width, height)
}

// Press types a text; "\r" is Enter and "\x1b" Esc.
func (x *Terminal) Press(t testing.TB, text string) {
	t.Helper()
	_, err := x.master.WriteString(text)
	require.NoError(t, err)
}

// Screen returns what is to be seen, a line each, without spaces at their ends.
func (x *Terminal) Screen() string {
	lines := strings.Split(ansi.Strip(x.screen.Render()), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	return strings.Join(lines, "\n")
}

// Await waits until the screen is as wanted and returns it.
func (x *Terminal) Await(t testing.TB, patience time.Duration, what string, wanted func(screen string) bool) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s := x.Screen()
		if wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not to be seen within %s; there is:\n%s", what, patience, s)
		}
	}
}

// Restored checks that the terminal is as it was before: its modes, the main screen, the cursor.
func (x *Terminal) Restored(t testing.TB) {
	t.Helper()
	require.Equal(t, x.before, x.modes(t), "modes of the terminal")
	deadline := time.Now().Add(time.Minute)
	for x.screen.IsAltScreen() || x.screen.CursorHidden() {
		require.True(t, time.Now().Before(deadline), "alternate screen %v, cursor hidden %v", x.screen.IsAltScreen(), x.screen.CursorHidden())
		time.Sleep(5 * time.Millisecond)
	}
}

// Full reports whether a program has taken over the whole screen.
func (x *Terminal) Full() bool { return x.screen.IsAltScreen() }

func (x *Terminal) modes(t testing.TB) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(x.master.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return *m
}
