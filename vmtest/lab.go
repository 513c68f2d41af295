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
	"slices"
	"strings"
	"sync"
	"time"
)

// Lab makes machines for rows of the matrix, all of one architecture. Close it after the last of
// them has run.
type Lab struct {
	cache    *Cache
	arch     arch
	dir      string
	init     string
	progress io.Writer

	mu       sync.Mutex
	machines map[string]func() (Machine, error)
	native   func() bool
}

// needed are the programs a lab runs beside the emulator, and the Debian packages they are in.
var needed = []struct{ program, pkg string }{
	{"mke2fs", "e2fsprogs"}, {"xz", "xz-utils"}, {"zstd", "zstd"}, {"mmdebstrap", "mmdebstrap"},
}

// OpenLab builds what every guest starts with. What is fetched, made and tried later is told on
// progress.
func OpenLab(ctx context.Context, architecture string, progress io.Writer) (*Lab, error) {
	arch, err := archNamed(architecture)
	if err != nil {
		return nil, err
	}
	for _, n := range append(slices.Clone(needed), struct{ program, pkg string }{arch.emulator, arch.pkg}) {
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
	l := &Lab{cache: cache, arch: arch, dir: dir, init: filepath.Join(dir, "init"), progress: progress,
		machines: make(map[string]func() (Machine, error))}
	if err := l.Build(ctx, "./vmtest/cmd/guestinit", l.init); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close removes what OpenLab made; the cache stays.
func (l *Lab) Close() error { return os.RemoveAll(l.dir) }

// Machine returns a machine with the kernel and the root of a row, fetching and making what
// the cache lacks, once for each row. What it is to run is for the caller to fill in.
func (l *Lab) Machine(ctx context.Context, row Row) (*Machine, error) {
	l.mu.Lock()
	made := l.machines[row.Name]
	if made == nil {
		made = sync.OnceValues(func() (Machine, error) { return l.machine(ctx, row) })
		l.machines[row.Name] = made
	}
	l.mu.Unlock()
	m, err := made()
	return &m, err
}

func (l *Lab) machine(ctx context.Context, row Row) (Machine, error) {
	kernel, err := l.cache.Kernel(ctx, row, l.progress)
	if err != nil {
		return Machine{}, err
	}
	disk, err := l.cache.Image(ctx, row.Root, l.progress)
	if err != nil {
		return Machine{}, err
	}
	return Machine{Kernel: kernel, Disk: disk, Init: l.init, arch: l.arch}, nil
}

// nativeBoot is how long a guest may take to come up on the host's own CPUs.
const nativeBoot = 20 * time.Second

// Native reports whether guests can run on the host's own CPUs. That is tried once, by booting: the
// device for it may be there and not work.
func (l *Lab) Native(ctx context.Context, kernel *Kernel) bool {
	l.mu.Lock()
	if l.native == nil {
		l.native = sync.OnceValue(func() bool {
			if !l.arch.native() {
				return false
			}
			m := Machine{Kernel: kernel, Init: l.init, arch: l.arch, Clock: NativeClock, MemoryMiB: 512, ComeUp: nativeBoot, Silence: nativeBoot}
			_, err := m.Run(ctx)
			if err != nil {
				why, _, _ := strings.Cut(err.Error(), "\n")
				fmt.Fprintf(l.progress, "==> guests are emulated: with KVM, %s\n", why)
			} else {
				fmt.Fprintln(l.progress, "==> guests run on this machine's CPUs (KVM)")
			}
			return err == nil
		})
	}
	try := l.native
	l.mu.Unlock()
	return try()
}

// LogFile is where the output of a row's guest is kept until the next.
func (l *Lab) LogFile(row Row, mode string) string {
	return filepath.Join(l.cache.dir, "vm", "log-"+row.Arch+"-"+row.Name+"-"+mode+".txt")
}

// Path is where a file can be put that is gone with the lab.
func (l *Lab) Path(name string) string { return filepath.Join(l.dir, name) }

// Build compiles a command of this module for a guest, from anywhere in the module.
func (l *Lab) Build(ctx context.Context, pkg, binary string) error {
	return compile(ctx, l.arch.name, pkg, "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", binary)
}

// BuildTests compiles the tests of a package for a guest.
func (l *Lab) BuildTests(ctx context.Context, pkg, binary string) error {
	return compileTests(ctx, l.arch.name, pkg, binary)
}

func compileTests(ctx context.Context, arch, pkg, binary string) error {
	return compile(ctx, arch, pkg, "test", "-c", "-tags=drills", "-ldflags=-s -w", "-o", binary)
}

func compile(ctx context.Context, arch, pkg string, args ...string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
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
