// SPDX-License-Identifier: Apache-2.0

// Package debian makes Debian trees, one directory for each recipe, by mmdebstrap from the mirror
// the host itself uses. They are kept outside the source tree: package testpython finds their
// interpreters there and enters them by chroot, and package vmtest makes disks of them. A tree
// that is there already, made by the same recipe, is left alone.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// cacheEnv names the directory everything the tests fetch is kept in.
const cacheEnv = "LOOPWATCH_CACHE"

const (
	defaultCache = "/var/cache/loopwatch"
	stampFile    = ".loopwatch-recipe"
)

// Cache returns the directory that everything the tests fetch is kept in.
func Cache() string {
	if dir := os.Getenv(cacheEnv); dir != "" {
		return dir
	}
	return defaultCache
}

// Tree returns where a tree is, or will be.
func Tree(name string) string { return filepath.Join(Cache(), "roots", name) }

// Version returns a text that is another one when the tree has been made anew.
func Version(name string) (string, error) {
	info, err := os.Stat(filepath.Join(Tree(name), stampFile))
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(info.ModTime().UnixNano(), 36), nil
}

// Make makes the named trees that are missing, all of this machine's architecture that there are recipes
// for if none is named, and says so on progress.
func Make(ctx context.Context, progress io.Writer, names ...string) error {
	wanted, err := choose(names)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("trees are made and entered as root: run as root")
	}
	cache := Cache()
	m := maker{roots: filepath.Join(cache, "roots"), building: filepath.Join(cache, "building"), progress: &lines{w: progress}}
	if wanted = slices.DeleteFunc(wanted, m.have); len(wanted) == 0 {
		return nil
	}
	unlock, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return atOnce(ctx, slices.DeleteFunc(wanted, m.have), m.make) // some are there by now
}

// abreast is how many trees are made at once: a download waits for the mirror, and unpacking is the work of one
// process.
const abreast = 2

// atOnce makes trees side by side, each after the one it has its keys from. When one fails the others are given up, and
// its error is returned.
func atOnce(ctx context.Context, wanted []recipe, make1 func(context.Context, recipe) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var failed error
	var once sync.Once
	var wait sync.WaitGroup
	made := map[string]chan struct{}{}
	slots := make(chan struct{}, abreast)
	for _, r := range wanted {
		slots <- struct{}{}
		keys, done := made[r.keysFrom], make(chan struct{})
		made[r.name()] = done
		wait.Go(func() {
			defer func() { close(done); <-slots }()
			if keys != nil {
				<-keys
			}
			if ctx.Err() != nil {
				once.Do(func() { failed = context.Cause(ctx) })
				return
			}
			if err := make1(ctx, r); err != nil {
				once.Do(func() { failed = fmt.Errorf("make the Debian tree %s: %w", r.name(), err) })
				cancel(failed)
			}
		})
	}
	wait.Wait()
	return failed
}

// lines passes whole lines on, from several writers.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(line)
}

// maker makes trees in building and moves the finished ones to roots, so that a tree under
// roots is always whole. Both are on one file system.
type maker struct {
	roots, building string
	progress        io.Writer
}

// lock keeps two runs from making the same tree.
func (m maker) lock(ctx context.Context) (func(), error) {
	for _, dir := range []string{m.roots, m.building} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the cache (%s moves it): %w", cacheEnv, err)
		}
	}
	return Lock(ctx, filepath.Join(m.building, ".lock"))
}

// have reports whether the tree of r is there as the recipe now stands.
func (m maker) have(r recipe) bool {
	stamp, err := os.ReadFile(filepath.Join(m.roots, r.name(), stampFile))
	return err == nil && string(stamp) == r.stamp()
}

func (m maker) make(ctx context.Context, r recipe) error {
	// What a run that was killed left behind; the lock says nobody works on it.
	fresh, stale := filepath.Join(m.building, r.name()), filepath.Join(m.building, r.name()+".old")
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(stale)); err != nil {
		return err
	}
	if err := Room(m.building, abreast*r.bytes()); err != nil {
		return err
	}
	fmt.Fprintf(m.progress, "making the Debian tree %s, some minutes\n", r.name())
	if err := m.bootstrap(ctx, r, fresh); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	if r.arch != "" {
		if err := configure(fresh); err != nil {
			return errors.Join(err, os.RemoveAll(fresh))
		}
	}
	if err := os.WriteFile(filepath.Join(fresh, stampFile), []byte(r.stamp()), 0o644); err != nil {
		return err
	}
	target := filepath.Join(m.roots, r.name())
	if err := os.Rename(target, stale); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	return os.RemoveAll(stale)
}

// bootstrap unpacks and configures the packages of r and all they need into dir. What was
// downloaded before a failure is kept for the next attempt.
func (m maker) bootstrap(ctx context.Context, r recipe, dir string) error {
	args := []string{
		"--variant=apt", "--mode=root", "--quiet",
		"--include=" + strings.Join(r.packages, ","),
		`--aptopt=Acquire::Languages "none"`,
		"--dpkgopt=force-unsafe-io", // nobody minds a tree that a crash of the machine has torn: it has no stamp
	}
	if r.arch != "" {
		args[0] = "--variant=extract"
		args = append(args, "--architectures="+r.arch)
	}
	for _, path := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	options, err := hostOptions(ctx)
	if err != nil {
		return err
	}
	for _, o := range options {
		args = append(args, "--aptopt="+o)
	}
	if r.keysFrom != "" {
		keys := filepath.Join(m.roots, r.keysFrom, "usr/share/keyrings")
		if _, err := os.Stat(keys); err == nil {
			args = append(args, "--keyring="+keys)
		}
	}
	mirror, err := Mirror(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, r.suite, dir, mirror)...)
	// It filters each package by a Python script: a slow python3 on the caller's PATH, such as pyenv's, is not to run it.
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	// It goes on when asked to end, and dies with its mounts left behind when killed. In namespaces
	// of its own both its children and its mounts go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is sent when the thread ends that started the child
	defer runtime.UnlockOSThread()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return errors.New("mmdebstrap is not installed: apt-get install mmdebstrap")
	} else if err != nil {
		return fmt.Errorf("mmdebstrap: %w: %s", err, complaint(said.String()))
	}
	return nil
}

// configure does to a tree that was only unpacked what of the packages' own scripts matters to
// programs: there are users, and names are looked up in files.
func configure(dir string) error {
	for from, to := range map[string]string{
		"usr/share/base-passwd/passwd.master": "etc/passwd",
		"usr/share/base-passwd/group.master":  "etc/group",
		"usr/share/libc-bin/nsswitch.conf":    "etc/nsswitch.conf",
	} {
		content, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			return fmt.Errorf("configure: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// complaint finds what a failed mmdebstrap has to say in one line: apt's first error, else the
// last line.
func complaint(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "E: ") && !strings.Contains(line, "apt-get") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// Room fails where the file system of dir has less than so many bytes to spare.
func Room(dir string, bytes int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	if free := int64(s.Bavail) * s.Bsize; free < bytes {
		return fmt.Errorf("%s has %d MB free and needs %d: make room, or set %s to a directory elsewhere", dir, free>>20, bytes>>20, cacheEnv)
	}
	return nil
}
