// SPDX-License-Identifier: Apache-2.0

// Command roots makes the Debian trees whose interpreters the tests run in by chroot: one
// directory for each recipe, made by mmdebstrap from the mirror the host itself uses and kept
// outside the source tree, where package testpython finds them. "make test" calls it; a tree
// that is there already, made by the same recipe, is left alone.
//
//	go run ./test/roots [SUITE...]
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// cacheEnv names the directory everything the tests fetch is kept in.
const cacheEnv = "LOOPWATCH_CACHE"

const (
	defaultCache = "/var/cache/loopwatch"
	stampFile    = ".loopwatch-recipe"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	wanted, err := choose(names)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("trees are made and entered as root: run as root")
	}
	cache := os.Getenv(cacheEnv)
	if cache == "" {
		cache = defaultCache
	}
	m := maker{roots: filepath.Join(cache, "roots"), building: filepath.Join(cache, "building")}
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, r := range wanted {
		if m.have(r) {
			continue
		}
		if err := m.make(r); err != nil {
			return fmt.Errorf("make the tree of %s: %w", r.suite, err)
		}
	}
	return nil
}

// maker makes trees in building and moves the finished ones to roots, so that a tree under
// roots is always whole. Both are on one file system.
type maker struct {
	roots, building string
}

// lock keeps two runs from making the same tree.
func (m maker) lock() (func(), error) {
	for _, dir := range []string{m.roots, m.building} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the cache: %w", err)
		}
	}
	f, err := os.Open(m.building)
	if err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// have tells whether the tree of r is there as the recipe now stands.
func (m maker) have(r recipe) bool {
	stamp, err := os.ReadFile(filepath.Join(m.roots, r.suite, stampFile))
	return err == nil && string(stamp) == r.stamp()
}

func (m maker) make(r recipe) error {
	// What a run that was killed left behind; the lock says nobody works on it.
	fresh, stale := filepath.Join(m.building, r.suite), filepath.Join(m.building, r.suite+".old")
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(stale)); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "roots: making %s, some minutes\n", r.suite)
	if err := m.bootstrap(r, fresh); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	if err := os.WriteFile(filepath.Join(fresh, stampFile), []byte(r.stamp()), 0o644); err != nil {
		return err
	}
	target := filepath.Join(m.roots, r.suite)
	if err := os.Rename(target, stale); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	return os.RemoveAll(stale)
}

// bootstrap unpacks and configures the packages of r and all they need into dir.
func (m maker) bootstrap(r recipe, dir string) error {
	args := []string{
		"--variant=apt", "--mode=root", "--quiet",
		"--include=" + strings.Join(r.packages, ","),
		`--aptopt=Acquire::Languages "none"`,
	}
	for _, path := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	options, err := hostOptions()
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
	mirror, err := hostMirror()
	if err != nil {
		return err
	}
	cmd := exec.Command("mmdebstrap", append(args, r.suite, dir, mirror)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: apt-get install mmdebstrap", err)
	} else if err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	return nil
}
