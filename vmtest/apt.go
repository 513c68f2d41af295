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
type apt struct {
	options       []string
	suite, mirror string
}

// newApt sets one up in dir, which keeps the suite's index from one time to the next.
func newApt(ctx context.Context, dir, suite, arch string) (*apt, error) {
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
		os.WriteFile(sources, fmt.Appendf(nil, "deb [arch=%s] %s %s main\n", arch, mirror, suite), 0o644),
		os.WriteFile(status, nil, 0o644)); err != nil {
		return nil, err
	}
	return &apt{suite: suite, mirror: mirror, options: []string{"-q",
		"-o", "Dir::Etc::SourceList=" + sources,
		"-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State=" + filepath.Join(dir, "state"),
		"-o", "Dir::State::status=" + status,
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
		"-o", "APT::Architecture=" + arch,
		"-o", "APT::Architectures::=" + arch,
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "APT::Sandbox::User=root", // the cache need not be open to _apt
	}}, nil
}

// update fetches the suite's index, or what has changed of it.
func (a *apt) update(ctx context.Context) error {
	if _, err := a.run(ctx, "", "apt-get", "update", "--error-on=any"); err != nil {
		return fmt.Errorf("read the index of %s at %s (%s names another mirror): %w", a.suite, a.mirror, debian.MirrorEnv, err)
	}
	return nil
}

// version returns that of the package the index has now.
func (a *apt) version(ctx context.Context, name string) (string, error) {
	out, err := a.run(ctx, "", "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if version, ok := strings.CutPrefix(line, "Version: "); ok {
			return strings.TrimSpace(version), nil
		}
	}
	return "", fmt.Errorf("the index of %s gives no version of %s", a.suite, name)
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
