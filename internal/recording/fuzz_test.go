// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// real is a recording of one loop, made by "report --record".
const real = "testdata/real.zst"

// some is how many periods of a recording the fuzz tests read.
const some = 50

// Reading takes so much memory at most: the buffers, and for each byte what "{}," becomes.
const fixed, perByte = 8 << 20, 1200

// FuzzReader reads files that are no recordings, or have been one.
func FuzzReader(f *testing.F) {
	seed, err := os.ReadFile(real)
	require.NoError(f, err)
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			require.Nil(t, r)
			return
		}
		defer r.Close()
		for range some {
			if e, err := r.Next(); err != nil {
				require.Equal(t, Entry{}, e)
				return
			}
		}
	})
}

// FuzzLines reads what is in them. It takes memory in proportion to what there is to read, and what was read comes back
// as it was when it is written and read again.
func FuzzLines(f *testing.F) {
	seed, err := os.Open(real)
	require.NoError(f, err)
	defer seed.Close()
	unzip, err := zstd.NewReader(seed)
	require.NoError(f, err)
	defer unzip.Close()
	lines, err := io.ReadAll(unzip)
	require.NoError(f, err)
	f.Add(lines)
	begin := fmt.Sprintf("{\"schema\":%q}\n", Schema)
	for _, list := range []string{"{\"samples\":[%s{}]}\n", "{\"samples\":[{\"frames\":[%s{}]}]}\n", "{\"samples\":[{\"raw\":[%s{}]}]}\n", "{\"account\":{\"audits\":[%s{}]}}\n"} {
		f.Add([]byte(begin + fmt.Sprintf(list, strings.Repeat("{},", 10_000))))
	}
	text, err := json.Marshal(example())
	require.NoError(f, err)
	f.Add(append([]byte(begin), append(text, '\n')...))
	f.Add([]byte(begin + `{"of_block":{"tid":5,"start_ns":7,"delayed":{"events":3}}}` + "\n" + `{"of_end":{"ended_ns":9}}` + "\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		file := zipped(t, string(lines))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := NewReader(file)
		if err != nil {
			return
		}
		defer r.Close()
		var read []Entry
		for range some {
			e, err := r.Next()
			if err != nil {
				require.Equal(t, Entry{}, e)
				break
			}
			read = append(read, e)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, fixed+perByte*uint64(len(lines)))

		var again bytes.Buffer
		w, err := NewWriter(&again)
		require.NoError(t, err)
		w.Begin(r.Header)
		for _, e := range read {
			if e.Note != nil {
				w.Note(*e.Note)
			} else {
				w.Add(e.Evidence)
			}
		}
		require.NoError(t, w.Close())
		back, err := NewReader(&again)
		require.NoError(t, err)
		defer back.Close()
		require.Equal(t, r.Header, back.Header)
		for _, e := range read {
			want, err := json.Marshal(e)
			require.NoError(t, err)
			e, err = back.Next()
			require.NoError(t, err)
			got, err := json.Marshal(e)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		}
		_, err = back.Next()
		require.True(t, errors.Is(err, io.EOF), err)
	})
}
