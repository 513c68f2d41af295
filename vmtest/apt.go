// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/loopwatch/loopwatch/test/debian"
)

// apt is a private apt for one suite: it sees no source and no installed package of the host,
// but goes through its mirror, its keys and its proxy.
type apt struct{ options []string }

// newApt sets one up in dir and fetches the suite's index.
func newApt(ctx context.Context, dir, suite string) (*apt, error) {
	mirror, err := debian.Mirror(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	sources, status := filepath.Join(dir, "sources.list"), filepath.Join(dir, "status")
	if err := errors.Join(
		os.WriteFile(sources, fmt.Appendf(nil, "deb [arch=amd64] %s %s main\n", mirror, suite), 0o644),
		os.WriteFile(status, nil, 0o644)); err != nil {
		return nil, err
	}
	a := &apt{options: []string{"-q",
		"-o", "Dir::Etc::SourceList=" + sources,
		"-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State=" + filepath.Join(dir, "state"),
		"-o", "Dir::State::status=" + status,
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Sandbox::User=root", // the cache need not be open to _apt
	}}
	if _, err = a.run(ctx, "", "apt-get", "update", "--error-on=any"); err != nil {
		return nil, fmt.Errorf("read the index of %s at %s (%s names another mirror): %w", suite, mirror, debian.MirrorEnv, err)
	}
	return a, nil
}

// depends returns the names a package depends on, the first of each alternative.
func (a *apt) depends(ctx context.Context, name string) ([]string, error) {
	out, err := a.run(ctx, "", "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.SplitSeq(out, "\n") {
		list, ok := strings.CutPrefix(line, "Depends: ")
		if !ok {
			continue
		}
		for d := range strings.SplitSeq(list, ",") {
			names = append(names, strings.Fields(d)[0])
		}
	}
	return names, nil
}

// download fetches a package into dir; apt checks it against the signed index.
func (a *apt) download(ctx context.Context, dir, name string) error {
	_, err := a.run(ctx, dir, "apt-get", "download", name)
	return err
}

func (a *apt) run(ctx context.Context, dir, command string, args ...string) (string, error) {
	return output(ctx, dir, command, append(a.options, args...)...)
}

// output runs a command; the error carries what it complained about.
func output(ctx context.Context, dir, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = dir
	return outputOf(cmd)
}

// complaint is the line that says best what went wrong: apt's first error, else the last line.
func complaint(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: Failed to fetch") {
			return line
		}
	}
	return lines[len(lines)-1]
}

func outputOf(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, complaint(stderr.String()))
	}
	return stdout.String(), nil
}
