// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Lab makes machines for rows of the matrix. Close it after the last of them has run.
type Lab struct {
	cache *Cache
	dir   string
	init  string
}

// needed are the programs a lab runs, and the Debian packages they are in.
var needed = []struct{ program, pkg string }{
	{"qemu-system-x86_64", "qemu-system-x86"}, {"mke2fs", "e2fsprogs"}, {"xz", "xz-utils"}, {"zstd", "zstd"}, {"mmdebstrap", "mmdebstrap"},
}

// OpenLab builds what every guest starts with.
func OpenLab(ctx context.Context) (*Lab, error) {
	for _, n := range needed {
		if _, err := exec.LookPath(n.program); err != nil {
			return nil, fmt.Errorf("%s is not installed; run: apt-get install %s", n.program, n.pkg)
		}
	}
	cache, err := OpenCache()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "loopwatch-lab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{cache: cache, dir: dir, init: filepath.Join(dir, "init")}
	if err := Build(ctx, "./vmtest/cmd/guestinit", l.init); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close removes what OpenLab made; the cache stays.
func (l *Lab) Close() error { return os.RemoveAll(l.dir) }

// Machine returns a machine with the kernel and the root of a row, fetching and making what
// the cache lacks. What it is to run is for the caller to fill in.
func (l *Lab) Machine(ctx context.Context, row Row, progress io.Writer) (*Machine, error) {
	kernel, err := l.cache.Kernel(ctx, row)
	if err != nil {
		return nil, err
	}
	disk, err := l.cache.Image(ctx, row.Root, progress)
	if err != nil {
		return nil, err
	}
	return &Machine{Kernel: kernel, Disk: disk, Init: l.init}, nil
}

// LogFile is where the output of a row's guest is kept until the next.
func (l *Lab) LogFile(row Row, mode string) string {
	return filepath.Join(l.cache.dir, "vm", "log-"+row.Name+"-"+mode+".txt")
}

// Build compiles a command of this module for a guest, from anywhere in the module.
func Build(ctx context.Context, pkg, binary string) error {
	return compile(ctx, pkg, "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", binary)
}

// BuildTests compiles the tests of a package for a guest.
func BuildTests(ctx context.Context, pkg, binary string) error {
	return compile(ctx, pkg, "test", "-c", "-ldflags=-s -w", "-o", binary)
}

func compile(ctx context.Context, pkg string, args ...string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// Source returns the path of a file of this module.
func Source(ctx context.Context, name string) (string, error) {
	root, err := moduleRoot(ctx)
	return filepath.Join(root, name), err
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	mod := strings.TrimSpace(out)
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("not inside loopwatch's module: run it in the source tree")
	}
	return filepath.Dir(mod), nil
}
