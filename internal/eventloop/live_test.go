// SPDX-License-Identifier: Apache-2.0

package eventloop_test

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/eventloop"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

//go:embed testdata/stand.py testdata/programs/*.py
var sources embed.FS

const recorded = "testdata/stacks.jsonl"

var record = flag.Bool("record", false, "write the stacks seen to "+recorded)

// programs are testdata/programs: the kind each has to be judged as, and what it imports. One
// that has no loop has no kind.
var programs = []struct {
	name    string
	kind    eventloop.Kind
	imports []string
}{
	{"asyncio_run", eventloop.Asyncio, nil},
	{"asyncio_selector_callback", eventloop.Asyncio, nil},
	{"asyncio_own_selector", eventloop.Asyncio, nil},
	{"asyncio_in_asyncio", eventloop.Asyncio, nil},
	{"nest_asyncio_run", eventloop.Asyncio, []string{"nest_asyncio"}},
	{"uvloop_run", eventloop.UVLoop, []string{"uvloop"}},
	{"uvloop_module", eventloop.UVLoop, []string{"uvloop"}},
	{"uvloop_tornado", eventloop.Tornado, []string{"uvloop", "tornado"}},
	{"tornado_start", eventloop.Tornado, []string{"tornado"}},
	{"tornado_under_asyncio", eventloop.Asyncio, []string{"tornado"}},
	{"trio_run", eventloop.Trio, []string{"trio"}},
	{"trio_guest", eventloop.Asyncio, []string{"trio.lowlevel"}},
	{"trio_in_asyncio", eventloop.Asyncio, []string{"trio"}},
	{"gevent_spawn", eventloop.Gevent, []string{"gevent"}},
	{"gevent_monkey", eventloop.Gevent, []string{"gevent"}},
	{"eventlet_spawn", eventloop.Eventlet, []string{"eventlet"}},
	{"eventlet_hub", eventloop.Eventlet, []string{"eventlet"}},
	{"twisted_epoll", eventloop.Twisted, []string{"twisted"}},
	{"twisted_poll", eventloop.Twisted, []string{"twisted"}},
	{"twisted_select", eventloop.Twisted, []string{"twisted"}},
	{"twisted_asyncio", eventloop.Twisted, []string{"twisted"}},
	{"curio_run", eventloop.Curio, []string{"curio"}},
	{"none", "", nil},
}

// stack is a line that testdata/stand.py prints, with where it came from.
type stack struct {
	Program string        `json:"program"`
	Python  string        `json:"python"`
	Label   string        `json:"label"`
	Frames  []model.Frame `json:"frames"`
	Modules files         `json:"modules"`
}

// files are the extension modules a program has loaded.
type files []string

func (f files) Extension(dir string) bool {
	return slices.ContainsFunc(f, func(file string) bool { return path.Base(path.Dir(file)) == dir })
}

// judge holds the verdict on a stack against what the program knows about itself.
func judge(t *testing.T, s stack, kind eventloop.Kind) {
	t.Helper()
	v := eventloop.Classify(s.Frames, s.Modules)
	where := s.Program + ", " + s.Python + ", " + s.Label + "\n" + render(s.Frames)
	switch label, _, _ := strings.Cut(s.Label, ","); label {
	case "idle":
		assert.Equal(t, kind, v.Kind, where)
		assert.True(t, v.Running, where)
		assert.True(t, v.AtRest, where)
		assert.True(t, v.Inside(kind), where)
		require.GreaterOrEqual(t, v.Root, 0, where)
		if s.Program == "nest_asyncio_run" {
			break // the application stands between the loop's two turns on the stack
		}
		for _, f := range s.Frames[:v.Root+1] {
			assert.True(t, eventloop.IsMachinery(f) || eventloop.IsApp(f.File) && strings.HasSuffix(f.Function, "select"), "%s: %v", where, f)
		}
	case "callback", "nested in the hub", "nested in a plain callback":
		assert.Equal(t, kind, v.Kind, where)
		assert.True(t, v.Running, where)
		assert.False(t, v.AtRest, where)
		assert.True(t, v.Inside(kind), where)
		assert.GreaterOrEqual(t, v.Root, 1, where)
	case "nested", "greenlet":
		assert.False(t, v.AtRest, where)
		assert.True(t, v.Inside(kind), where)
		if !kind.Greenlets() {
			assert.Equal(t, kind, v.Kind, where)
			assert.True(t, v.Running, where)
			assert.GreaterOrEqual(t, v.Root, 1, where)
		}
	case "after", "nested after", "none":
		assert.Equal(t, eventloop.Verdict{Root: -1}, v, where)
		assert.False(t, v.Inside(eventloop.Asyncio), where)
	case "idle bare":
		assert.Equal(t, eventloop.Verdict{Kind: kind, AtRest: true, Root: -1}, v, where)
	case "callback bare": // nothing can be told without the stack at the wait
		assert.False(t, v.Running, where)
	default:
		t.Errorf("a label the test does not know: %s", where)
	}
}

func render(frames []model.Frame) string {
	var b strings.Builder
	for _, f := range frames {
		b.WriteString("  " + f.Function + " | " + f.File + "\n")
	}
	return b.String()
}

// TestLive runs the programs on the interpreters that have what they import; with -short on the
// newest only. They mostly wait, so several run at once.
func TestLive(t *testing.T) {
	interps := testpython.All(t)
	if testing.Short() {
		interps = interps[len(interps)-1:]
	}
	type result struct {
		interp testpython.Interp
		name   string
		kind   eventloop.Kind
		wait   func() ([]stack, error)
	}
	var results []result
	atOnce := make(chan struct{}, 8)
	for _, interp := range interps {
		there := importable(t, interp)
		for _, p := range programs {
			if slices.ContainsFunc(p.imports, func(m string) bool { return !slices.Contains(there, m) }) {
				continue // its recorded stacks are judged by TestRecorded
			}
			cmd := interp.Command("-I", "-W", "ignore", script(t, interp, p.name))
			results = append(results, result{interp, p.name, p.kind, async(func() ([]stack, error) {
				atOnce <- struct{}{}
				defer func() { <-atOnce }()
				return run(cmd, p.name, interp.Version)
			})})
		}
	}
	var seen []stack
	for _, r := range results {
		t.Run(r.interp.Name+"/"+r.name, func(t *testing.T) {
			stacks, err := r.wait()
			require.NoError(t, err)
			require.NotEmpty(t, stacks)
			for _, s := range stacks {
				judge(t, s, r.kind)
			}
			seen = append(seen, stacks...)
		})
	}
	if *record && !t.Failed() {
		require.NoError(t, os.WriteFile(recorded, encode(t, seen), 0o644))
	}
}

// async starts f and returns what waits for its results.
func async(f func() ([]stack, error)) func() ([]stack, error) {
	var stacks []stack
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		stacks, err = f()
	}()
	return func() ([]stack, error) { <-done; return stacks, err }
}

// importable returns the packages among those the programs need that an interpreter has.
func importable(t *testing.T, interp testpython.Interp) []string {
	t.Helper()
	var names []string
	for _, p := range programs {
		names = append(names, p.imports...)
	}
	const ask = `import importlib, json, sys
out = []
for name in set(sys.argv[1:]):
    try:
        importlib.import_module("eventlet.hubs" if name == "eventlet" else name)
        out.append(name)
    except ImportError:
        pass
print(json.dumps(out))`
	cmd := interp.Command(append([]string{"-I", "-W", "ignore", "-c", ask}, names...)...)
	out, err := cmd.Output()
	require.NoError(t, err)
	var there []string
	require.NoError(t, json.Unmarshal(out, &there))
	return there
}

func script(t *testing.T, interp testpython.Interp, name string) string {
	t.Helper()
	helper, err := sources.ReadFile("testdata/stand.py")
	require.NoError(t, err)
	program, err := sources.ReadFile("testdata/programs/" + name + ".py")
	require.NoError(t, err)
	return interp.Script(t, name+".py", string(helper)+string(program))
}

func run(cmd *exec.Cmd, name, version string) ([]stack, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, &stderr)
	}
	var stacks []stack
	for line := range bytes.Lines(out) {
		s := stack{Program: name, Python: version}
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		stacks = append(stacks, s)
	}
	return stacks, nil
}

// TestRecorded judges the stacks that were seen where the file was written, so that loops
// which are not installed here are looked at, too.
func TestRecorded(t *testing.T) {
	data, err := os.ReadFile(recorded)
	require.NoError(t, err)
	judged := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s stack
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s))
		for _, p := range programs {
			if p.name == s.Program {
				judge(t, s, p.kind)
				judged[p.name]++
			}
		}
	}
	require.NoError(t, lines.Err())
	for _, p := range programs {
		assert.NotZero(t, judged[p.name], "stacks of %s", p.name)
	}
}

var (
	scratch = regexp.MustCompile(`^/tmp/loopwatch-[^/]+/`)
	prefix  = regexp.MustCompile(`^/(root|home|tmp)/.*/lib/python3`)
)

// encode writes stacks without what is particular to a machine and without modules that nobody
// asks for; of those that look the same only the first.
func encode(t *testing.T, stacks []stack) []byte {
	t.Helper()
	slices.SortStableFunc(stacks, func(a, b stack) int {
		return strings.Compare(a.Program+a.Python, b.Program+b.Python)
	})
	general := func(file string) string {
		return prefix.ReplaceAllString(scratch.ReplaceAllString(file, "/srv/"), "/opt/python/lib/python3")
	}
	var b bytes.Buffer
	looks := map[string]bool{}
	for _, s := range stacks {
		s.Frames = slices.Clone(s.Frames)
		for i := range s.Frames {
			s.Frames[i].File = general(s.Frames[i].File)
		}
		var modules files
		for _, m := range s.Modules {
			if strings.Contains(m, "uvloop/") || strings.Contains(m, "gevent/_gevent_cgreenlet") || strings.Contains(m, "greenlet/_greenlet") {
				modules = append(modules, general(m))
			}
		}
		s.Modules = modules
		if look := s.Program + s.Label + render(s.Frames); looks[look] {
			continue
		} else {
			looks[look] = true
		}
		line, err := json.Marshal(s)
		require.NoError(t, err)
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}
