// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/vmtest/job"
)

// Suite is the end-to-end tests, compiled to be brought along.
type Suite struct {
	Tests []string // all there are, as the binary itself lists them
	files map[string]string
	dir   string
}

// BuildSuite compiles the tests, loopwatch, and what runs them in a guest.
func (l *Lab) BuildSuite(ctx context.Context) (_ *Suite, err error) {
	dir, err := os.MkdirTemp("", "loopwatch-suite-")
	if err != nil {
		return nil, err
	}
	s := &Suite{dir: dir, files: make(map[string]string)}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	for name, pkg := range map[string]string{"suite": "./vmtest/cmd/suite", "loopwatch": "./cmd/loopwatch", "soak": "./test/soak"} {
		s.files[name] = filepath.Join(dir, name)
		if err := l.Build(ctx, pkg, s.files[name]); err != nil {
			return nil, err
		}
	}
	tests := filepath.Join(dir, "e2e.test")
	s.files["e2e.test"] = tests
	if err := l.BuildTests(ctx, "./test/e2e", tests); err != nil {
		return nil, err
	}
	lister := tests
	if !l.arch.native() { // the same tests, compiled for this machine
		lister = filepath.Join(dir, "list.test")
		if err := compileTests(ctx, runtime.GOARCH, "./test/e2e", lister); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, lister, "-test.list", "^Test")
	cmd.Env = append(os.Environ(), "LOOPWATCH_BIN="+s.files["loopwatch"])
	list, err := outputOf(cmd)
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	if s.Tests = strings.Fields(list); len(s.Tests) == 0 {
		return nil, fmt.Errorf("the test binary lists no test")
	}
	if err := checkOmissions(omissions, s.Tests); err != nil {
		return nil, err
	}
	return s, nil
}

// Close removes what was built.
func (s *Suite) Close() error { return os.RemoveAll(s.dir) }

// Drills is the mode of the guest in which things are broken on purpose; the others are ways to attach.
const Drills = "drills"

// Modes are what a row can be run in.
var Modes = []string{"fentry", "tracepoint", Drills}

// drill is what the names of tests begin with that are for such a guest alone.
const drill = "TestDrill"

// Of returns the tests that a guest has to run.
func (s *Suite) Of(row Row, mode string) []string {
	return slices.DeleteFunc(slices.Clone(s.Tests), func(name string) bool {
		return strings.HasPrefix(name, drill) != (mode == Drills) || listed(omissions, row, mode, name)
	})
}

// Prepare gives a machine what it needs to run the tests of a row, attached one way; those only
// that match a regular expression, if there is one.
func (s *Suite) Prepare(m *Machine, row Row, mode, only string) (job.Step, error) {
	var releases []string
	for _, i := range row.Interpreters {
		releases = append(releases, strings.TrimPrefix(i, "python"))
	}
	step := job.Step{
		Name:    row.Name + "-" + mode,
		Command: []string{path.Join(job.Payload, "e2e.test"), "-test.v=test2json", "-test.timeout=20m"},
		Env: []string{
			"LOOPWATCH_BIN=" + path.Join(job.Payload, "loopwatch"),
			"LOOPWATCH_PYTHONS=" + strings.Join(releases, " "),
			"LOOPWATCH_EMULATED=" + map[bool]string{true: "counted", false: "1"}[m.Clock == CountedClock],
		},
	}
	if mode == Drills {
		step.Env = append(step.Env, "LOOPWATCH_SOAK="+path.Join(job.Payload, "soak"))
	} else {
		step.Env = append(step.Env, "LOOPWATCH_ATTACH="+mode)
	}
	if only == "" {
		only = "^(" + strings.Join(s.Of(row, mode), "|") + ")$"
	}
	step.Command = append(step.Command, "-test.run", only)
	content, err := json.MarshalIndent([]job.Step{step}, "", "\t")
	if err != nil {
		return step, err
	}
	file := filepath.Join(s.dir, "steps-"+step.Name+".json")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return step, err
	}
	m.Files = map[string]string{path.Base(job.StepsPath): file}
	for name, from := range s.files {
		m.Files[name] = from
	}
	m.Command = []string{path.Join(job.Payload, "suite")}
	return step, nil
}
