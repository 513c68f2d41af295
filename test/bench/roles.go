// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/observe"
	"github.com/loopwatch/loopwatch/internal/probes"
)

// The benchmark runs itself anew in the roles that need a process of their own. A role says
// "ready …" when it has begun, answers each line it is sent with one line, and ends with its
// stdin, which the death of the benchmark closes, too.

// rolePrefix marks, in argv[0], a process that plays a role.
const rolePrefix = "loopwatch-bench:"

var roles = map[string]func([]string) error{
	"watch":    watchRole,
	"load":     loadRole,
	"switch":   switchRole,
	"syscalls": syscallsRole,
}

func playRole(name string, args []string) {
	role, ok := roles[name]
	if !ok {
		role = func([]string) error { return fmt.Errorf("no role %q", name) }
	}
	if err := role(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// answer replies to every line of stdin with what reply returns, until stdin ends.
func answer(reply func() string) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println(reply())
	}
	return in.Err()
}

// watchRole observes the whole host, or the processes it is given, as `loopwatch report` does
// with its default flags, until its stdin ends. It says "ready ATTACH LOOPS" and, at the end, what it saw as JSON.
func watchRole(args []string) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	attach := flags.String("attach", probes.AttachAuto, "how to hook the waits")
	usdt := flags.String("usdt", "", "the interpreters' own probes to use (default: as loopwatch chooses)")
	options := observe.Options{Ready: func(s observe.Status) { fmt.Println("ready", s.Attach, s.Loops) }}
	if err := flags.Parse(args); err != nil {
		return err
	}
	options.Attach = *attach
	switch *usdt {
	case "":
	case "none":
		options.USDT = []string{}
	default:
		options.USDT = strings.Split(*usdt, ",")
	}
	for _, word := range flags.Args() {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("process id: %w", err)
		}
		options.PIDs = append(options.PIDs, pid)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	r, err := observe.Run(ctx, options)
	if err != nil {
		return err
	}
	saw := sighting{NS: r.EndedNS - r.StartedNS, Loops: len(r.Loops), Lost: r.Lost.Reasons}
	for _, l := range r.Loops {
		saw.Iterations += l.Iterations
	}
	return json.NewEncoder(os.Stdout).Encode(saw)
}

// sighting is what the watch role saw.
type sighting struct {
	Iterations int64
	NS         int64 // from the first moment watched to the last
	Loops      int
	Lost       map[string]int64
}

// loadRole keeps an HTTP server busy over args[1] connections to args[0], each with one request
// under way. It answers with the number of requests done.
func loadRole(args []string) error {
	var connections int
	if _, err := fmt.Sscan(args[1], &connections); err != nil {
		return fmt.Errorf("number of connections: %w", err)
	}
	var done atomic.Int64
	failed := make(chan error, connections)
	for range connections {
		go func() { failed <- customer(args[0], &done) }()
	}
	go func() {
		fmt.Fprintln(os.Stderr, <-failed)
		os.Exit(1)
	}()
	fmt.Println("ready")
	return answer(func() string { return fmt.Sprint(done.Load()) })
}

// switchRole passes a byte to and fro between two threads over pipes. Started on one CPU, it
// does nothing but switch tasks.
func switchRole([]string) error {
	// Blocking descriptors and bare syscalls: the Go runtime stays out of it.
	var there, back [2]int
	for _, p := range []*[2]int{&there, &back} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("make pipe: %w", err)
		}
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2) // two of them are taken for good
	pass := func(from, to int) {
		runtime.LockOSThread()
		var b [1]byte
		for rawIO(unix.SYS_READ, from, &b) && rawIO(unix.SYS_WRITE, to, &b) {
		}
	}
	go pass(there[0], back[1])
	go pass(back[0], there[1])
	if _, err := unix.Write(there[1], []byte{0}); err != nil {
		return fmt.Errorf("write to pipe: %w", err)
	}
	fmt.Println("ready")
	return answer(func() string { return "" })
}

// syscallsRole answers each line with nanoseconds per call of the syscall args[0], those of the
// quickest batch within args[1]: the others were interrupted.
func syscallsRole(args []string) error {
	window, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make epoll descriptor: %w", err)
	}
	var event unix.EpollEvent
	call := map[string]func(){
		getppid: func() { _, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0) },
		epollPwait: func() { // returns at once: no time to wait, and nothing to wait for
			_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&event)), 1, 0, 0, 0)
		},
	}[args[0]]
	runtime.LockOSThread()
	fmt.Println("ready")
	return answer(func() string {
		const batch = 1000
		best := time.Hour
		for started := time.Now(); time.Since(started) < window; {
			began := time.Now()
			for range batch {
				call()
			}
			best = min(best, time.Since(began))
		}
		return fmt.Sprint(float64(best) / batch)
	})
}

// Syscalls the role knows.
const (
	getppid    = "getppid"
	epollPwait = "epoll_pwait"
)

// rawIO reads or writes one byte of a blocking descriptor; false where that failed.
func rawIO(call uintptr, fd int, b *[1]byte) bool {
	n, _, _ := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(b)), 1)
	return n == 1
}
