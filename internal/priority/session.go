// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sessionEnv tells the process that Move starts whose it is, and the niceness from before.
const sessionEnv = "LOOPWATCH_SESSION"

// Move runs this program anew in a session of its own where Raise found others in the session, and
// returns the status with which that has ended. Signals that come here are passed on: the first
// process keeps the place in the shell's job and at the terminal. Where there is no need, or no
// such process can be started, moved is false and the caller goes on itself.
func (p *Priority) Move() (status int, moved bool) {
	if !p.shared {
		return 0, false
	}
	// The other one is killed when the thread that started it ends.
	runtime.LockOSThread()
	c := exec.Command("/proc/self/exe", os.Args[1:]...) // also where the file was replaced
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", sessionEnv, os.Getpid(), p.original))
	said, say, err := os.Pipe()
	if err != nil {
		runtime.UnlockOSThread()
		return 0, false
	}
	defer said.Close()
	c.ExtraFiles = []*os.File{say} // sayFD
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGWINCH, unix.SIGTSTP)
	if !signal.Ignored(unix.SIGHUP) {
		signal.Notify(signals, unix.SIGHUP)
	}
	defer signal.Stop(signals)
	err = c.Start()
	say.Close()
	if err != nil {
		runtime.UnlockOSThread()
		return 0, false
	}
	signal.Notify(signals, unix.SIGHUP) // the other ignores it where this one did, as under nohup, unless it has a use for it
	// It does so itself as well. On a busy host it would take seconds to get there.
	_ = setAutogroup(c.Process.Pid, p.options.Nice)
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	done := make(chan int, 1)
	go func() {
		var b [1]byte
		if n, _ := said.Read(b[:]); n == 1 {
			done <- int(b[0])
		}
	}()
	var late <-chan time.Time
	for {
		select {
		case s := <-signals:
			pass(c.Process, s)
		case err := <-ended:
			return statusOf(err), true
		case status = <-done:
			late = time.After(lastWait)
		case <-late: // a thread of it hangs in the kernel
			return status, true
		}
	}
}

// lastWait is how long a process may take to end that has said its status.
const lastWait = time.Second

// Done says that the program ends now with this status. A process started by Move tells the first one, which waits no longer
// than a second for its end: a file system that has taken a request and never answers it keeps the process from ending. It
// closes the standard streams, whose readers wait for that. A nil Priority does nothing.
func (p *Priority) Done(status int) {
	if p == nil || p.first == nil {
		return
	}
	_ = os.Stdout.Close()
	_ = os.Stderr.Close()
	_, _ = p.first.Write([]byte{byte(status)})
	_ = p.first.Close()
}

// sayFD is the descriptor by which a process that Move has started says its status.
const sayFD = 3

// pass hands a signal on. The other session has no terminal that could stop it. It is called on a locked
// thread.
func pass(to *os.Process, s os.Signal) {
	if s != unix.SIGTSTP {
		_ = to.Signal(s)
		return
	}
	_ = to.Signal(unix.SIGSTOP)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP) // this thread, or it would run on for a moment
	// The shell has continued this process.
	_ = to.Signal(unix.SIGCONT)
}

// statusOf returns the exit status, or ends this process by the signal that has ended the other.
func statusOf(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return exit.ExitCode()
	}
	switch s := status.Signal(); s {
	case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGKILL:
		signal.Reset(s)
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), s)
	}
	return 128 + int(status.Signal())
}

// arrive reports whether this process was started by Move, and binds its life to that of the first one.
func (p *Priority) arrive() (bool, error) {
	var first, nice int
	if n, _ := fmt.Sscanf(os.Getenv(sessionEnv), "%d %d", &first, &nice); n != 2 {
		return false, nil
	}
	if err := os.Unsetenv(sessionEnv); err != nil {
		return false, err
	}
	if os.Getppid() != first {
		return false, errAbandoned
	}
	unix.CloseOnExec(sayFD)
	p.first = os.NewFile(sayFD, "status")
	// All threads: that of one is lost with it. Not by exec's attribute, which a file's capabilities undo.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0); errno != 0 {
		// A build with cgo cannot: this thread is the first, and the last to end.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return false, err
		}
	}
	if os.Getppid() != first { // it ended before this was asked for
		return false, errAbandoned
	}
	// Not "exe", by which it was started. A name is no more than a help for those who look.
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
	p.original = nice
	return true, nil
}
