// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
)

// TestWaits: every format has the waiting time that counts, to the nanosecond, whatever the names.
func TestWaits(t *testing.T) {
	for _, s := range append(reporttest.HostileNames, "") {
		p := reporttest.Waits(s)
		want := reporttest.WaitedNS(p)
		write := func(f func(io.Writer, *model.WaitProfile) error) []byte {
			var b bytes.Buffer
			require.NoError(t, f(&b, p))
			return b.Bytes()
		}
		sum := int64(0)
		for _, sample := range WaitSamples(p) {
			sum += sample.NS
		}
		require.Equal(t, want, sum)
		_, sum = readFolded(t, write(WriteFoldedWaits))
		require.Equal(t, want, sum)
		_, sum = readSpeedscope(t, write(WriteSpeedscopeWaits))
		require.Equal(t, want, sum)
		read, err := profile.ParseData(write(WritePprofWaits))
		require.NoError(t, err)
		require.NoError(t, read.CheckValid())
		samples := int64(0)
		sum = 0
		for _, s := range read.Sample {
			samples, sum = samples+s.Value[0], sum+s.Value[1]
		}
		require.Equal(t, want, sum)
		require.EqualValues(t, 100+50+10+45+10+10, samples)
	}
	folded := new(bytes.Buffer)
	require.NoError(t, WriteFoldedWaits(folded, reporttest.Waits("")))
	assert.Contains(t, folded.String(), "app.py[10];asyncio;serve (/srv//app.py:7);get (/srv//app.py:41);Lock.acquire (/srv//app.py:114) 1000000000000\n")
	assert.Contains(t, folded.String(), "other.py[20];uvloop thread 21;")
	p := PprofWaits(reporttest.Waits(""))
	assert.Equal(t, "waiting", p.DefaultSampleType)
	assert.Equal(t, []string{"lock"}, p.Sample[1].Label["on"])
	none := new(bytes.Buffer)
	require.NoError(t, WriteSpeedscopeWaits(none, &model.WaitProfile{}))
	assert.True(t, strings.Contains(none.String(), "no task waited"))
}
