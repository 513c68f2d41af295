// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	pprof "github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/html"
	"github.com/loopwatch/loopwatch/internal/report/profile"
)

// checkFormats holds what the formats of a real report add up to against its blocks.
func checkFormats(t testing.TB, rep *model.Report) {
	t.Helper()
	var blocked, folded, speedscope, sampled int64
	for _, b := range rep.Blocks {
		blocked += b.DurationNS
	}
	write := func(write func(io.Writer, *model.Report) error) []byte {
		var b bytes.Buffer
		require.NoError(t, write(&b, rep))
		return b.Bytes()
	}

	for line := range strings.Lines(string(write(profile.WriteFolded))) {
		ns, err := strconv.ParseInt(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 10, 64)
		require.NoError(t, err)
		folded += ns
	}
	require.Equal(t, blocked, folded, "folded")

	var file struct {
		Profiles []struct{ Weights []int64 }
	}
	require.NoError(t, json.Unmarshal(write(profile.WriteSpeedscope), &file))
	for _, p := range file.Profiles {
		for _, ns := range p.Weights {
			speedscope += ns
		}
	}
	require.Equal(t, blocked, speedscope, "speedscope")

	p, err := pprof.ParseData(write(profile.WritePprof))
	require.NoError(t, err)
	for _, s := range p.Sample {
		sampled += s.Value[1]
	}
	require.Equal(t, blocked, sampled, "pprof")

	page := write(html.Write)
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindSubmatch(page)
	if len(rep.Blocks) == 0 {
		require.Nil(t, data)
		return
	}
	require.NotNil(t, data)
	var graphs struct{ Tree []json.RawMessage }
	require.NoError(t, json.Unmarshal(data[1], &graphs))
	require.Equal(t, strconv.FormatInt(blocked, 10), string(graphs.Tree[1]), "html")
}
