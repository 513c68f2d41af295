// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/histogram"
)

// The tests of this file and of native_*_test.go run the parts of bpf/ that need no kernel, compiled for
// this machine (bpf/test), and hold what comes out against what they work out by themselves.

const bpfDir = "../../bpf"

// compilers are tried in this order. The first is the one that compiles the objects.
var compilers = []string{"clang-19", "clang", "gcc", "cc"}

var errNoCompiler = fmt.Errorf("no C compiler: none of %v", compilers)

// nativeDir is where the programs are built.
var nativeDir string

func TestMain(m *testing.M) {
	var err error
	if nativeDir, err = os.MkdirTemp("", "native"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(nativeDir)
	os.Exit(status)
}

// A native is the kernel side compiled for this machine.
type native struct {
	path     string
	unrolled bool // as for kernels without bpf_loop
	steps    int  // frames of one walk
}

var natives = map[bool]func() (string, error){
	false: sync.OnceValues(func() (string, error) { return buildNative("native") }),
	true:  sync.OnceValues(func() (string, error) { return buildNative("unrolled", "-DWITHOUT_BPF_LOOP") }),
}

func buildNative(name string, flags ...string) (string, error) {
	var cc string
	for _, name := range compilers {
		if found, err := exec.LookPath(name); cc == "" && err == nil {
			cc = found
		}
	}
	if cc == "" {
		return "", errNoCompiler
	}
	// Read by the test itself, so that its cached result is of these files.
	if err := filepath.WalkDir(bpfDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = os.ReadFile(path)
		}
		return err
	}); err != nil {
		return "", err
	}
	out := filepath.Join(nativeDir, name)
	arch := map[string]string{"amd64": "x86", "arm64": "arm64"}[runtime.GOARCH]
	args := append([]string{"-O1", "-Wall", "-Werror", "-D__TARGET_ARCH_" + arch, "-I", filepath.Join(bpfDir, "test", "include"), "-o", out}, flags...)
	if strings.Contains(cc, "clang") { // an index out of bounds ends the program
		args = append(args, "-fsanitize=bounds,shift", "-fsanitize-trap=all")
	}
	if text, err := exec.Command(cc, append(args, filepath.Join(bpfDir, "test", "native.c"))...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cc, err, text)
	}
	return out, nil
}

func newNative(t *testing.T, unrolled bool) native {
	path, err := natives[unrolled]()
	if errors.Is(err, errNoCompiler) && os.Getenv("CI") == "" { // .ci/run sets it
		t.Skip(err)
	}
	require.NoError(t, err)
	if unrolled {
		return native{path, true, abi.WalkMaxUnrolled}
	}
	return native{path, false, abi.WalkMax}
}

// run gives commands to the kernel side and returns what it prints, line by line.
func (n native) run(t *testing.T, script string) [][]string {
	t.Helper()
	c := exec.Command(n.path)
	c.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s", &stderr)
	var lines [][]string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}

// hexOf is a struct as the commands take it.
func hexOf[T any](v *T) string {
	return hex.EncodeToString(unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)))
}

// unhex reads what the commands print.
func unhex(t *testing.T, line []string, name string) []byte {
	t.Helper()
	require.Len(t, line, 2)
	require.Equal(t, name, line[0])
	b, err := hex.DecodeString(line[1])
	require.NoError(t, err)
	return b
}

// numbers reads the numbers behind the name of a line.
func numbers(t *testing.T, line []string, name string) (out []int64) {
	t.Helper()
	require.NotEmpty(t, line)
	require.Equal(t, name, line[0])
	for _, word := range line[1:] {
		n, err := strconv.ParseInt(word, 10, 64)
		require.NoError(t, err)
		out = append(out, n)
	}
	return out
}

// lowerBounds are the shortest lengths of each bucket, by the definition in bpf/abi/statistics.h.
func lowerBounds() []int64 {
	bounds := []int64{0}
	for octave := int64(8192); octave < 1<<37; octave *= 2 {
		for part := range int64(16) {
			bounds = append(bounds, octave+octave*part/16)
		}
	}
	return append(bounds, 1<<37)
}

func TestNativeHistogram(t *testing.T) {
	n := newNative(t, false)
	bounds := lowerBounds()
	require.Len(t, bounds, abi.HistBuckets)
	var lengths []int64
	for _, b := range bounds {
		lengths = append(lengths, max(b-1, 0), b, b+1)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		lengths = append(lengths, r.Int64N(1<<r.IntN(63)|1))
	}
	var script strings.Builder
	for _, ns := range lengths {
		fmt.Fprintf(&script, "bucket %d\n", ns)
	}
	lines := n.run(t, script.String())
	require.Len(t, lines, len(lengths))
	for i, ns := range lengths {
		want := 0
		for want+1 < len(bounds) && bounds[want+1] <= ns {
			want++
		}
		require.Equal(t, []int64{int64(want)}, numbers(t, lines[i], "bucket"), "%d ns", ns)
		assert.Equal(t, want, histogram.BucketOf(ns), "%d ns, in user space", ns)
		assert.Equal(t, bounds[want], histogram.From(want))
	}
}
