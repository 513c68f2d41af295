// SPDX-License-Identifier: Apache-2.0

// Suite runs in a guest: it runs the steps it was given, one after the other, whatever comes of
// each, and says on its output where one ends and how.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

func run() error {
	content, err := os.ReadFile(job.StepsPath)
	if err != nil {
		return err
	}
	var steps []job.Step
	if err := json.Unmarshal(content, &steps); err != nil {
		return fmt.Errorf("read %s: %w", job.StepsPath, err)
	}
	// A test program that dies for want of memory would look like any other failure.
	if err := os.WriteFile("/proc/sys/vm/panic_on_oom", []byte("1"), 0); err != nil {
		return err
	}
	for _, step := range steps {
		fmt.Printf("\n%s%s\n", job.Begin, step.Name)
		start := time.Now()
		cmd := exec.Command(step.Command[0], step.Command[1:]...)
		cmd.Env = append(os.Environ(), step.Env...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		status := 0
		if err := cmd.Run(); err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				fmt.Println(err)
			}
			status = max(cmd.ProcessState.ExitCode(), 1)
		}
		fmt.Printf("\n%s%d %d\n", job.End, status, time.Since(start).Milliseconds())
	}
	return nil
}
