// SPDX-License-Identifier: Apache-2.0

package linetable_test

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/cpython/linetable"
	"github.com/loopwatch/loopwatch/internal/testpython"
)

//go:embed testdata/dump.py
var dumper string

// TestStandardLibrary holds the decoders against every interpreter's own word for every
// instruction of every fifth file of its standard library.
func TestStandardLibrary(t *testing.T) {
	const stride, objects, instructions = 5, 500, 30_000
	for _, interp := range testpython.All(t) {
		t.Run(interp.Name, func(t *testing.T) {
			script := interp.Script(t, "dump.py", dumper)
			cmd := interp.Command("-I", "-S", script, fmt.Sprint(stride))
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			d := dump{r: bufio.NewReaderSize(stdout, 1<<20), format: formatOf(interp)}
			d.compare(t)
			t.Logf("%d code objects, %d instructions, %d without a line, %d wrong", d.objects, d.instructions, d.without, d.wrong)
			require.Zero(t, d.wrong)
			require.Greater(t, d.objects, objects)
			require.Greater(t, d.instructions, instructions)
			if d.format != linetable.Lnotab {
				require.NotZero(t, d.without, "the library has instructions without a line")
			}
		})
	}
}

func formatOf(i testpython.Interp) linetable.Format {
	switch {
	case i.Minor <= 9:
		return linetable.Lnotab
	case i.Minor == 10:
		return linetable.Pairs
	}
	return linetable.Locations
}

// dump reads the stream of testdata/dump.py.
type dump struct {
	r      *bufio.Reader
	format linetable.Format

	objects, instructions, without, wrong int
}

type run struct{ Start, End, Line int32 }

func (d *dump) compare(t *testing.T) {
	for {
		var head [4]int32
		require.NoError(t, binary.Read(d.r, binary.LittleEndian, &head), "the dump ends early")
		first, units := int(head[0]), int(head[1])
		name := d.text(t) + ":" + d.text(t)
		if first == -1 && units == 0 {
			require.EqualValues(t, d.objects, head[3], "objects sent and read")
			return
		}
		table := make([]byte, head[2])
		_, err := io.ReadFull(d.r, table)
		require.NoError(t, err)
		runs := make([]run, head[3])
		require.NoError(t, binary.Read(d.r, binary.LittleEndian, runs))
		d.object(t, name, table, first, units, runs)
	}
}

func (d *dump) text(t *testing.T) string {
	var n int32
	require.NoError(t, binary.Read(d.r, binary.LittleEndian, &n))
	b := make([]byte, n)
	_, err := io.ReadFull(d.r, b)
	require.NoError(t, err)
	return string(b)
}

// lineEvery keeps the look-ups of single instructions from going quadratic: they are made for
// every instruction of tables up to this size, and for a share of them in bigger ones.
const lineEvery = 2048

func (d *dump) object(t *testing.T, name string, table []byte, first, units int, runs []run) {
	d.objects++
	want := make([]int32, units)
	covered := 0
	for _, r := range runs {
		covered += int(r.End - r.Start)
		for i := r.Start; i < r.End; i++ {
			want[i] = r.Line
		}
	}
	require.Equal(t, units, covered, "%s: the truth covers every instruction once", name)

	got := make([]int32, 0, units)
	for r := range linetable.Ranges(d.format, table, first) {
		line := int32(-1)
		if r.HasLine {
			line = int32(r.Line)
		}
		for i := r.Start; i < min(r.End, units); i++ {
			got = append(got, line)
		}
	}
	if len(got) != units {
		d.fail(t, "%s: %d of %d instructions covered", name, len(got), units)
		return
	}
	step := 1 + len(table)/lineEvery
	for i, w := range want {
		d.instructions++
		if w == -1 {
			d.without++
		}
		if got[i] != w {
			d.fail(t, "%s: instruction %d: range says line %d, want %d", name, i, got[i], w)
		}
		if i%step != 0 {
			continue
		}
		line, ok := linetable.Line(d.format, table, first, i)
		if ok != (w != -1) || ok && int32(line) != w {
			d.fail(t, "%s: instruction %d: line %d, %v; want %d", name, i, line, ok, w)
		}
	}
	if line, ok := linetable.Line(d.format, table, first, -1); line != first || !ok {
		d.fail(t, "%s: before the first instruction: line %d, %v; want %d", name, line, ok, first)
	}
}

func (d *dump) fail(t *testing.T, format string, args ...any) {
	if d.wrong++; d.wrong <= 20 {
		t.Errorf("%s", strings.ToValidUTF8(fmt.Sprintf(format, args...), "?"))
	}
}
