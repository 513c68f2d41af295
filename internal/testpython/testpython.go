// SPDX-License-Identifier: Apache-2.0

// Package testpython finds the Python interpreters of the machine a test runs on and starts
// programs with them. Tests of the other packages call it and so run on every interpreter
// there is: those in PATH, pyenv-style trees, and whole Debian trees entered by chroot, which
// stand in for containers. It is used by tests only.
package testpython

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may say nothing: not a measure of anything, but an end to waiting for one that
// hangs.
const patience = 10 * time.Minute

// RootsEnv names the directory that holds Debian trees (one directory each). Without it
// DefaultRoots is searched.
const RootsEnv = "LOOPWATCH_ROOTS"

// PythonsEnv names the releases All is to return ("3.14 3.15"), each of which must be there.
const PythonsEnv = "LOOPWATCH_PYTHONS"

// DefaultRoots is where the Debian trees are kept between test runs.
const DefaultRoots = "/var/cache/loopwatch/roots"

// firstMinor and lastMinor bound the releases 3.x that loopwatch watches.
const firstMinor, lastMinor = 8, 15

// Interp is one interpreter.
type Interp struct {
	Name    string // unique among those found, fit for t.Run: "cpython-3.9.18", "trixie-cpython-3.13.5"
	Version string // "3.9.18", as platform.python_version prints it
	Minor   int    // the 9 of 3.9.18
	Root    string // the tree to enter by chroot, "" for this machine's own
	Path    string // the executable, as seen inside Root

	impl  string // sys.implementation.name
	debug bool   // built with Py_DEBUG
	free  bool   // built without the GIL
}

// String returns the name.
func (i Interp) String() string { return i.Name }

// Supported reports whether loopwatch claims to watch this interpreter.
func (i Interp) Supported() bool {
	return i.impl == "cpython" && i.Minor >= firstMinor && i.Minor <= lastMinor && !i.free
}

// Command prepares a run of the interpreter with args, inside its root and with an
// environment that does not depend on the caller's. The process that Start makes is the
// interpreter itself, with no shell or chroot(1) between, so Process.Pid is its pid.
func (i Interp) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(i.Path, args...)
	cmd.Dir = "/tmp"
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=/tmp",
		"LANG=C.UTF-8",
		"PYTHONDONTWRITEBYTECODE=1",
		"PYTHONUNBUFFERED=1",
	}
	if i.Root != "" {
		// Chroot happens before chdir and exec: both paths are the inner ones. The look-up
		// that exec.Command may have done outside does not matter, Path is absolute.
		cmd.Err = nil
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.Root}
	}
	return cmd
}

// Script writes source to a fresh directory the interpreter can see and returns the path
// as the interpreter sees it. The directory is removed when the test ends.
func (i Interp) Script(t testing.TB, name, source string) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join("/", i.Root, "tmp"), "loopwatch-")
	if err != nil {
		t.Fatalf("make a directory for the script of %s: %v", i, err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	inner, err := filepath.Rel(filepath.Join("/", i.Root), dir)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join("/", inner, name)
}

// All returns the interpreters that loopwatch claims to watch, oldest first, debug builds
// left out, and only the releases in $LOOPWATCH_PYTHONS if that is set. A machine with none, or
// without one of those, fails the test: there would be nothing tested.
func All(t testing.TB) []Interp {
	t.Helper()
	var out []Interp
	wanted := strings.Fields(os.Getenv(PythonsEnv))
	found := map[string]bool{}
	for _, i := range everything() {
		release := fmt.Sprintf("3.%d", i.Minor)
		if i.Supported() && !i.debug && (len(wanted) == 0 || slices.Contains(wanted, release)) {
			found[release] = true
			out = append(out, i)
		}
	}
	for _, release := range wanted {
		if !found[release] {
			t.Fatalf("no Python %s found, which %s asks for", release, PythonsEnv)
		}
	}
	if len(out) == 0 {
		t.Fatal("no Python interpreter found: install python3")
	}
	return out
}

// Debug returns the supported interpreters built with Py_DEBUG; there may be none.
func Debug(testing.TB) []Interp {
	var out []Interp
	for _, i := range everything() {
		if i.Supported() && i.debug {
			out = append(out, i)
		}
	}
	return out
}

// Unsupported returns the interpreters that loopwatch must refuse; there may be none.
func Unsupported(testing.TB) []Interp {
	var out []Interp
	for _, i := range everything() {
		if !i.Supported() {
			out = append(out, i)
		}
	}
	return out
}

var everything = sync.OnceValue(find)

func find() []Interp {
	type answer struct {
		interp Interp
		key    string
		err    error
	}
	var answers []*answer
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	add := func(root, path string) {
		a := new(answer)
		answers = append(answers, a)
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			a.interp, a.key, a.err = probe(root, path)
		})
	}
	for _, path := range candidates("/") {
		add("", path)
	}
	if os.Geteuid() == 0 { // chroot needs it
		base := os.Getenv(RootsEnv)
		if base == "" {
			base = DefaultRoots
		}
		entries, _ := os.ReadDir(base)
		for _, e := range entries {
			root := filepath.Join(base, e.Name())
			// A tree still being made has no such file yet, or a name that begins with a dot.
			if _, err := os.Stat(filepath.Join(root, "usr/bin/env")); err != nil || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			for _, path := range candidates(root) {
				add(root, path)
			}
		}
	}
	wait.Wait()
	seen := map[string]bool{}
	var out []Interp
	for _, a := range answers {
		if a.err == nil && !seen[a.key] {
			seen[a.key] = true
			out = append(out, a.interp)
		}
	}
	sort.SliceStable(out, func(a, b int) bool { return out[a].Minor < out[b].Minor })
	names := map[string]int{}
	for n := range out {
		names[out[n].Name]++
		if k := names[out[n].Name]; k > 1 {
			out[n].Name = fmt.Sprintf("%s-%d", out[n].Name, k)
		}
	}
	return out
}

// candidates lists what may be interpreters inside root, as paths inside root.
func candidates(root string) []string {
	var dirs []string
	if root == "/" {
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			if filepath.Base(dir) == "shims" { // pyenv's scripts, which take long to start what stands beside them
				dir = filepath.Join(filepath.Dir(dir), "versions/*/bin")
			}
			dirs = append(dirs, dir)
		}
		if r := os.Getenv("PYENV_ROOT"); r != "" {
			dirs = append(dirs, filepath.Join(r, "versions/*/bin"))
		}
		if home, err := os.UserHomeDir(); err == nil {
			dirs = append(dirs, filepath.Join(home, ".pyenv/versions/*/bin"))
		}
	}
	dirs = append(dirs, "/usr/local/bin", "/usr/bin", "/opt/*/bin", "/opt/*/versions/*/bin", "/opt/pyenv/versions/*/bin")
	var out []string
	seen := map[string]bool{}
	for _, dir := range dirs {
		for _, pattern := range []string{"python3", "python3.*", "pypy3"} {
			found, _ := filepath.Glob(filepath.Join(root, dir, pattern))
			for _, path := range found {
				rel, err := filepath.Rel(root, path)
				name := filepath.Base(path)
				if err != nil || seen[rel] || strings.HasSuffix(name, "-config") || strings.HasSuffix(name, ".py") {
					continue
				}
				seen[rel] = true
				// Most are names of another, which is asked anyway.
				if file, err := filepath.EvalSymlinks(path); err == nil && seen[file] {
					continue
				} else if err == nil {
					seen[file] = true
				}
				out = append(out, "/"+rel)
			}
		}
	}
	return out
}

// probe asks an executable what it is. The key is the same for two names of one interpreter.
func probe(root, path string) (Interp, string, error) {
	const ask = `import sys, os, json, platform
try:
    import sysconfig
    var = sysconfig.get_config_var
except ImportError:
    var = lambda name: None
print(json.dumps([sys.implementation.name, platform.python_version(), sys.version_info[1],
    os.path.realpath(sys.executable), hasattr(sys, "gettotalrefcount"), bool(var("Py_GIL_DISABLED"))]))`
	i := Interp{Root: root, Path: path}
	cmd := i.Command("-I", "-S", "-c", ask)
	var stdout strings.Builder
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		return i, "", err
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return i, "", err
	}
	var real string
	answer := []any{&i.impl, &i.Version, &i.Minor, &real, &i.debug, &i.free}
	if err := json.Unmarshal([]byte(stdout.String()), &answer); err != nil {
		return i, "", err
	}
	if real == "" {
		return i, "", errors.New("interpreter does not know its own path")
	}
	i.Path = real
	i.Name = i.impl + "-" + i.Version
	if i.debug {
		i.Name += "-debug"
	}
	if i.free {
		i.Name += "-free"
	}
	if root != "" {
		i.Name = filepath.Base(root) + "-" + i.Name
	}
	return i, root + "\x00" + real, nil
}
