// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

// Result is what came of one step: one run of a test binary.
type Result struct {
	Step                    string
	Passed, Failed, Missing []string          // tests; Missing have no result
	Skipped                 map[string]string // reason by test, those below other tests too
	Status                  int               // of the test binary; -1 if it did not end
	Took                    time.Duration
	Complaints              string // output of what failed
}

// Run counts the tests that have a result.
func (r *Result) Run() int {
	n := len(r.Passed) + len(r.Failed)
	for name := range r.Skipped {
		if !strings.Contains(name, "/") {
			n++
		}
	}
	return n
}

// OK reports whether every test ran and none failed.
func (r *Result) OK() bool { return r.Status == 0 && len(r.Failed)+len(r.Missing) == 0 }

// ReadResult reads the result of a step from the output of cmd/suite, whether or not the step has
// come to its end, or been reached; want is what the test binary is to run.
func ReadResult(ctx context.Context, output []byte, step job.Step, want []string) (Result, error) {
	r := Result{Step: step.Name, Status: -1, Skipped: make(map[string]string)}
	if s := sections(output)[step.Name]; s != nil {
		r.Status, r.Took = s.status, s.took
		if err := r.read(ctx, s.output); err != nil {
			return r, err
		}
	}
	for _, name := range want {
		_, skipped := r.Skipped[name]
		if !skipped && !slices.Contains(r.Passed, name) && !slices.Contains(r.Failed, name) {
			r.Missing = append(r.Missing, name)
		}
	}
	return r, nil
}

// section is the output of one step.
type section struct {
	output []byte
	status int
	took   time.Duration
}

func sections(output []byte) map[string]*section {
	said := make(map[string]*section)
	var open *section
	for line := range bytes.Lines(output) {
		text := strings.TrimRight(string(line), "\r\n")
		if name, ok := strings.CutPrefix(text, job.Begin); ok {
			open = &section{status: -1}
			said[name] = open
			continue
		}
		if open == nil {
			continue
		}
		if end, ok := strings.CutPrefix(text, job.End); ok {
			if status, ms, ok := twoNumbers(end); ok {
				open.status, open.took = status, time.Duration(ms)*time.Millisecond
				open = nil
				continue
			}
		}
		open.output = append(open.output, line...)
	}
	return said
}

func twoNumbers(s string) (a, b int, ok bool) {
	first, second, ok := strings.Cut(s, " ")
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(second)
	return a, b, ok && err1 == nil && err2 == nil
}

// event is a line of "go tool test2json".
type event struct{ Action, Test, Output string }

// read counts what a test binary run with -test.v=test2json has said.
func (r *Result) read(ctx context.Context, output []byte) error {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(output)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go tool test2json: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return r.count(&out)
}

func (r *Result) count(events io.Reader) error {
	outputs := make(map[string]*strings.Builder)
	var order []string
	decoder := json.NewDecoder(bufio.NewReader(events))
	for {
		var e event
		if err := decoder.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("read test2json: %w", err)
		}
		top := e.Test != "" && !strings.Contains(e.Test, "/")
		switch e.Action {
		case "output":
			if outputs[e.Test] == nil {
				outputs[e.Test] = new(strings.Builder)
				order = append(order, e.Test)
			}
			outputs[e.Test].WriteString(e.Output)
		case "skip":
			if e.Test != "" {
				r.Skipped[e.Test] = reason(outputs[e.Test])
			}
		case "pass":
			if top {
				r.Passed = append(r.Passed, e.Test)
			}
		case "fail":
			if top {
				r.Failed = append(r.Failed, e.Test)
			}
		}
	}
	if r.Status == 0 && len(r.Failed) == 0 {
		return nil
	}
	// What belongs to no test is a panic, a leak, or the end of a run cut short.
	var complaints strings.Builder
	for _, name := range order {
		top, _, _ := strings.Cut(name, "/")
		if top == "" || !slices.Contains(r.Passed, top) && r.Skipped[top] == "" {
			complaints.WriteString(outputs[name].String())
		}
	}
	r.Complaints = complaints.String()
	return nil
}

var (
	frame    = regexp.MustCompile(`^(===|---) `)
	position = regexp.MustCompile(`^\S+_test\.go:\d+: `)
)

// reason is what a test gave for skipping itself.
func reason(output *strings.Builder) string {
	if output == nil {
		return "?"
	}
	var said []string
	for line := range strings.Lines(output.String()) {
		line = strings.TrimSpace(line)
		if line != "" && !frame.MatchString(line) {
			said = append(said, position.ReplaceAllString(line, ""))
		}
	}
	if len(said) == 0 {
		return "?"
	}
	return said[len(said)-1]
}
