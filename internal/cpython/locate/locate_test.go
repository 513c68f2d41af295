// SPDX-License-Identifier: Apache-2.0

package locate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython"
	"github.com/loopwatch/loopwatch/internal/cpython/cpythontest"
	"github.com/loopwatch/loopwatch/internal/cpython/locate"
	"github.com/loopwatch/loopwatch/internal/cpython/release"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

// config asks an interpreter for variables of its build.
func config(t *testing.T, py testpython.Interp, names ...string) map[string]any {
	t.Helper()
	cmd := py.Command("-c", "import sys, json, sysconfig\nv = {k: sysconfig.get_config_var(k) for k in sys.argv[1:]}\n"+
		"v['include'] = sysconfig.get_path('include'); v['platinclude'] = sysconfig.get_path('platinclude'); print(json.dumps(v))")
	cmd.Args = append(cmd.Args, names...)
	out, err := cmd.Output()
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, json.Unmarshal(out, &v))
	return v
}

func TestUnsupportedInterpretersSayWhy(t *testing.T) {
	for _, py := range testpython.Unsupported(t) {
		t.Run(py.Name, func(t *testing.T) {
			prog := testpython.Start(t, py.Command("-c", "import time; print(1); time.sleep(600)"))
			prog.ReadLine(t)
			p, err := process.Open(prog.PID)
			require.NoError(t, err)
			_, err = locate.New().Locate(p)
			var unsupported *release.UnsupportedError
			require.ErrorAs(t, err, &unsupported)
			t.Log(unsupported.Reason)
			assert.Contains(t, unsupported.Reason, py.Version)
		})
	}
}

func TestNotPython(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for _, pid := range []int{cmd.Process.Pid, os.Getpid(), 2} {
		p, err := process.Open(pid)
		if pid == 2 && err != nil {
			continue // a container may have no such process
		}
		require.NoError(t, err)
		_, err = locate.New().Locate(p)
		assert.ErrorIs(t, err, locate.ErrNotPython, "pid %d", pid)
	}
}

// TestStarting looks at interpreters from their first moment on: each answer has to be right
// or say "not yet", and the last one right.
func TestStarting(t *testing.T) {
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			cmd := py.Command("-c", "import time; time.sleep(600)")
			prog := testpython.Start(t, cmd)
			answers := map[string]int{}
			locator := locate.New()
			require.Eventually(t, func() bool {
				p, err := process.Open(prog.PID)
				require.NoError(t, err)
				rt, err := locator.Locate(p)
				if err == nil {
					answers["found"]++
					assert.Equal(t, py.Version, rt.Version.String())
					return answers["found"] > 3
				}
				answers[err.Error()]++
				var unsupported *release.UnsupportedError
				assert.NotErrorAs(t, err, &unsupported)
				return false
			}, time.Minute, time.Millisecond)
			t.Log(answers)
		})
	}
}

// TestFinalizing catches an interpreter at its end, where atexit has run and modules go.
func TestFinalizing(t *testing.T) {
	const source = `
import time
class Late:
    def __init__(self): self.sleep = time.sleep; self.print = print
    def __del__(self): self.print(1, flush=True); self.sleep(600)
import sys
sys.modules[__name__].late = Late()
`
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			prog := testpython.Start(t, py.Command("-c", source))
			prog.ReadLine(t)
			p, err := process.Open(prog.PID)
			require.NoError(t, err)
			_, err = locate.New().Locate(p)
			assert.ErrorIs(t, err, cpython.ErrNotReady)
		})
	}
}

// TestDeletedAndStripped copies an interpreter, strips the copy, starts it and deletes it.
func TestDeletedAndStripped(t *testing.T) {
	for _, py := range testpython.All(t) {
		if py.Root != "" {
			continue // these are Debian's, and stripped already
		}
		t.Run(py.Name, func(t *testing.T) {
			t.Parallel()
			v := config(t, py, "INSTSONAME", "LIBDIR", "Py_ENABLE_SHARED")
			dir := t.TempDir()
			exe := filepath.Join(dir, "interpreter") // a name that gives no hint
			copyFile(t, py.Path, exe)
			files := []string{exe}
			cmd := py.Command(py.Script(t, "places.py", cpythontest.Places()))
			if shared, _ := v["Py_ENABLE_SHARED"].(float64); shared != 0 {
				lib := filepath.Join(dir, v["INSTSONAME"].(string))
				copyFile(t, filepath.Join(v["LIBDIR"].(string), v["INSTSONAME"].(string)), lib)
				files = append(files, lib)
				cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+dir)
			}
			for _, f := range files {
				out, err := exec.Command("strip", f).CombinedOutput()
				require.NoError(t, err, "%s", out)
			}
			prefix := config(t, py, "prefix")["prefix"].(string)
			cmd.Path = exe
			cmd.Args[0] = exe
			cmd.Env = append(cmd.Env, "PYTHONHOME="+prefix)
			prog := testpython.Start(t, cmd)
			deleted := &testpython.Program{}
			*deleted = *prog
			// Deleted once it runs, which reading the line shows; checkPlaces reads it.
			line := prog.ReadLine(t)
			for _, f := range files {
				require.NoError(t, os.Remove(f))
			}
			cpythontest.CheckStacks(t, py, prog.PID, line)
			_, rt := cpythontest.Locate(t, prog.PID)
			assert.Contains(t, rt.Path, dir)
			assert.Contains(t, rt.Path, "(deleted)")
		})
	}
}

// TestOtherNamespaces starts an interpreter in a root and PID and mount namespaces of its own,
// as a container engine would.
func TestOtherNamespaces(t *testing.T) {
	for _, py := range testpython.All(t) {
		if py.Root == "" {
			continue
		}
		t.Run(py.Name, func(t *testing.T) {
			t.Parallel()
			cmd := py.Command(py.Script(t, "places.py", cpythontest.Places()))
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
			prog := testpython.Start(t, cmd)
			line := prog.ReadLine(t)
			cpythontest.CheckStacks(t, py, prog.PID, line)
			p, _ := cpythontest.Locate(t, prog.PID)
			inner, err := p.InnerTID(prog.PID)
			require.NoError(t, err)
			assert.Equal(t, 1, inner)
		})
	}
}

const embedding = `
#include <Python.h>
#include <stdio.h>
/* Taking the address makes the linker give this program its own copy of the variable. */
PyTypeObject *volatile code_type = &PyCode_Type;
int main(int argc, char **argv)
{
    FILE *f;
    Py_Initialize();
    f = fopen(argv[1], "r");
    return PyRun_SimpleFile(f, argv[1]);
}
`

// TestEmbedded links libpython into a program, once as a library and once into the program
// itself, where the build has what it takes.
func TestEmbedded(t *testing.T) {
	tried := 0
	for _, py := range testpython.All(t) {
		if py.Root != "" {
			continue // its libraries would not run outside
		}
		v := config(t, py, "LIBDIR", "LIBPL", "LDVERSION", "LIBS", "SYSLIBS", "LINKFORSHARED", "prefix")
		str := func(name string) string { s, _ := v[name].(string); return s }
		include := []string{"-I" + str("include"), "-I" + str("platinclude")}
		if _, err := os.Stat(filepath.Join(str("include"), "Python.h")); err != nil {
			t.Logf("%s: has no headers", py)
			continue
		}
		static := filepath.Join(str("LIBPL"), "libpython"+str("LDVERSION")+".a")
		builds := map[string][]string{
			"shared":       {"-L" + str("LIBDIR"), "-lpython" + str("LDVERSION"), "-Wl,-rpath," + str("LIBDIR")},
			"shared-nopie": {"-no-pie", "-L" + str("LIBDIR"), "-lpython" + str("LDVERSION"), "-Wl,-rpath," + str("LIBDIR")},
		}
		if _, err := os.Stat(static); err == nil {
			libs := append(strings.Fields(str("LIBS")), strings.Fields(str("SYSLIBS"))...)
			builds["static-nopie"] = append(append([]string{"-no-pie", "-s", static}, libs...), "-Wl,-export-dynamic", "-lz", "-lexpat", "-lm")
		}
		for name, flags := range builds {
			tried++
			t.Run(py.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				source, exe := filepath.Join(dir, "main.c"), filepath.Join(dir, "server")
				require.NoError(t, os.WriteFile(source, []byte(embedding), 0o644))
				args := append(append(include, "-o", exe, source), flags...)
				if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
					t.Fatalf("cc %v: %v\n%s", args, err, out)
				}
				script := py.Script(t, "places.py", cpythontest.Places())
				cmd := py.Command()
				cmd.Path, cmd.Args = exe, []string{exe, script}
				cmd.Env = append(cmd.Env, "PYTHONHOME="+str("prefix"))
				prog := testpython.Start(t, cmd)
				cpythontest.CheckStacks(t, py, prog.PID, prog.ReadLine(t))
			})
		}
	}
	require.NotZero(t, tried, "install python3-dev: no interpreter here can be embedded")
}

// TestDoublesOfTheLibrary maps the interpreter's own file once more, as data and as code, the
// way ctypes and libffi do.
func TestDoublesOfTheLibrary(t *testing.T) {
	const doubles = `
import ctypes, mmap, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
path = [l.split(None, 5)[5].strip() for l in open("/proc/self/maps") if len(l.split(None, 5)) == 6
        and (l.split(None, 5)[5].startswith(("/usr/bin/python", "/")) and "python3." in l.split(None, 5)[5].rsplit("/", 1)[-1])][0]
keep = open(path, "rb")
low = 0x10000000
for prot in (1, 5, 3):
    for offset in (0, 4096 * 64, 4096 * 512):
        assert libc.mmap(low, 1 << 20, prot, 2 | 0x10, keep.fileno(), offset) == low
        low += 1 << 21
CB = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
callback = CB(lambda x: x)
assert callback(3) == 3
`
	for _, py := range testpython.All(t) {
		if py.Root != "" {
			continue // no /proc inside
		}
		t.Run(py.Name, func(t *testing.T) {
			t.Parallel()
			head, tail, ok := strings.Cut(cpythontest.Places(), "noted = {}\n")
			require.True(t, ok)
			source := head + doubles + "noted = {}\n" + tail
			prog := testpython.Start(t, py.Command(py.Script(t, "places.py", source)))
			cpythontest.CheckStacks(t, py, prog.PID, prog.ReadLine(t))
		})
	}
}

func TestSubinterpreters(t *testing.T) {
	const source = `
import sys, threading, time
try:
    import _interpreters as api
except ImportError:
    import _xxsubinterpreters as api
run = getattr(api, "run_string", None) or api.exec
ids = [api.create() for _ in range(3)]
for n, i in enumerate(ids):
    threading.Thread(target=run, args=(i, "import time\n" * (n + 1) + "time.sleep(3600)"), daemon=True).start()
time.sleep(0.2)
print(1)
time.sleep(3600)
`
	for _, py := range testpython.All(t) {
		t.Run(py.Name, func(t *testing.T) {
			t.Parallel()
			prog := testpython.Start(t, py.Command("-c", source))
			prog.ReadLine(t)
			p, rt := cpythontest.Locate(t, prog.PID)
			m := p.Memory()
			var found map[string]bool
			require.Eventually(t, func() bool {
				found = map[string]bool{}
				threads, err := rt.Threads(m)
				if err != nil {
					return false
				}
				for _, th := range threads {
					stack := cpythontest.Seen(t, rt, m, th.Addr)
					if len(stack) == 1 {
						found[stack[0]] = true
					}
				}
				return len(found) >= 3
			}, time.Minute, 20*time.Millisecond)
			file := "<string>"
			if py.Minor >= 14 {
				file = "<script>"
			}
			for line := 2; line <= 4; line++ {
				assert.Contains(t, fmt.Sprint(found), fmt.Sprintf(" %s:%d [1]", file, line))
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o755))
}

// TestLocateTogether has many goroutines look at the same processes, for the race detector.
func TestLocateTogether(t *testing.T) {
	py := testpython.All(t)[0]
	prog := testpython.Start(t, py.Command("-c", "import time; print(1); time.sleep(600)"))
	prog.ReadLine(t)
	var wg sync.WaitGroup
	locator := locate.New()
	for range 8 {
		wg.Go(func() {
			p, err := process.Open(prog.PID)
			if assert.NoError(t, err) {
				_, err = locator.Locate(p)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkLocate(b *testing.B) {
	for _, py := range testpython.All(b) {
		cmd := py.Command("-c", "import asyncio, ssl, json, time; print(1); time.sleep(600)")
		var out bytes.Buffer
		cmd.Stderr = &out
		stdout, err := cmd.StdoutPipe()
		require.NoError(b, err)
		require.NoError(b, cmd.Start())
		_, err = stdout.Read(make([]byte, 2))
		require.NoError(b, err, out.String())
		p, err := process.Open(cmd.Process.Pid)
		require.NoError(b, err)
		for _, cold := range []bool{true, false} {
			name := py.Name + "/cached"
			if cold {
				name = py.Name + "/cold"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				locator := locate.New()
				for b.Loop() {
					if cold {
						locator = locate.New()
					}
					_, err := locator.Locate(p)
					require.NoError(b, err)
				}
			})
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
