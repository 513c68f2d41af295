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
func BuildSuite(ctx context.Context) (_ *Suite, err error) {
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
	for name, pkg := range map[string]string{"suite": "./vmtest/cmd/suite", "loopwatch": "./cmd/loopwatch"} {
		s.files[name] = filepath.Join(dir, name)
		if err := Build(ctx, pkg, s.files[name]); err != nil {
			return nil, err
		}
	}
	tests := filepath.Join(dir, "e2e.test")
	s.files["e2e.test"] = tests
	if err := BuildTests(ctx, "./test/e2e", tests); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, tests, "-test.list", ".")
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

// AttachModes are what each row is run with.
var AttachModes = []string{"fentry", "tracepoint"}

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
			"LOOPWATCH_ATTACH=" + mode,
			"LOOPWATCH_PYTHONS=" + strings.Join(releases, " "),
			"LOOPWATCH_EMULATED=1",
		},
	}
	if only != "" {
		step.Command = append(step.Command, "-test.run", only)
	} else if omitted := Omitted(row, s.Tests); len(omitted) > 0 {
		step.Command = append(step.Command, "-test.skip", "^("+strings.Join(omitted, "|")+")$")
	}
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
