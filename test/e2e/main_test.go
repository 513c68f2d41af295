// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binEnv names the loopwatch binary to test.
const binEnv = "LOOPWATCH_BIN"

// binary is the loopwatch under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: loopwatch observes as root: run the tests as root")
		return 1
	}
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
	if binary = os.Getenv(binEnv); binary == "" {
		binary = filepath.Join(dir, "loopwatch")
		build := exec.Command("go", "build", "-o", binary, "../../cmd/loopwatch")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: build loopwatch: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}
