// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/loopwatch/loopwatch/internal/testpython"
)

// binEnv names the loopwatch binary to test.
const binEnv = "LOOPWATCH_BIN"

// binary is the loopwatch under test.
var binary = os.Getenv(binEnv)

// stalls tells when the machine itself stood still.
var stalls *witness

func TestMain(m *testing.M) {
	switch {
	case os.Geteuid() != 0:
		fmt.Fprintln(os.Stderr, "e2e: loopwatch observes as root: run the tests as root")
		os.Exit(1)
	case binary == "":
		os.Exit(buildAndRun())
	default:
		for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
			if signal.Ignored(sig) { // as under nohup: the programs started here do not inherit that
				signal.Notify(make(chan os.Signal, 1), sig)
			}
		}
		var err error
		if stalls, err = newWitness(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(1)
		}
		testpython.Main(m)
	}
}

// buildAndRun builds loopwatch and runs the tests anew with it, so as to be there to clean up
// when they have ended, however that was.
func buildAndRun() int {
	dir, err := os.MkdirTemp("", "loopwatch-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	// The tests that give up root must be able to reach the binary.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	built := filepath.Join(dir, "loopwatch")
	build := exec.Command("go", "build", "-o", built, "../../cmd/loopwatch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: build loopwatch: %v\n%s", err, out)
		return 1
	}
	tests := exec.Command(os.Args[0], os.Args[1:]...)
	tests.Env = append(os.Environ(), binEnv+"="+built)
	tests.Stdout, tests.Stderr = os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := tests.Run(); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: run the tests:", err)
		return 1
	}
	return 0
}
