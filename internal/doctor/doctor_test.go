// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/host"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/text"
)

func healthy() *Diagnosis {
	return &Diagnosis{
		Schema: Schema, Works: true, Attach: probes.AttachFentry,
		Checks: []Check{{Name: "kernel", Status: OK, Found: "6.1.0"}},
		Hooks:  []Check{{Name: "fentry", Status: OK, Found: "do_epoll_wait"}},
		Processes: []Process{
			{PID: 1234, Command: "python3 /srv/app.py", Python: "3.11.2", Loops: []string{"asyncio", "asyncio", "trio"}, USDT: []string{"gc", "import"}, Watchable: true},
		},
	}
}

func TestAnswer(t *testing.T) {
	lacking := &host.Error{What: "cannot watch this host", Why: "no BTF", Do: "boot another kernel"}
	for _, test := range []struct {
		change func(*Diagnosis)
		err    error
		answer string
	}{
		{func(*Diagnosis) {}, nil, "loopwatch works here: attached by fentry; the one Python process can be watched"},
		{func(d *Diagnosis) { d.Processes = nil }, nil, "loopwatch works here: attached by fentry; no Python process is here"},
		{func(d *Diagnosis) { d.Processes = append(d.Processes, Process{PID: 2}) }, nil,
			"loopwatch works here: attached by fentry; 1 of 2 Python processes can be watched"},
		{func(d *Diagnosis) {
			d.asked, d.Processes = true, []Process{{PID: 2, Reason: "PyPy", Do: "use CPython"}}
		}, nil,
			"loopwatch works here: attached by fentry; process 2 cannot be watched: PyPy; use CPython"},
		{func(d *Diagnosis) { d.asked, d.Processes = true, append(d.Processes, Process{PID: 2}) }, nil,
			"loopwatch works here: attached by fentry; 1 of 2 processes asked for can be watched"},
		{func(d *Diagnosis) {
			d.Attach = probes.AttachTracepoint
			d.fallback = &host.Error{Err: unix.EINVAL}
		}, nil,
			"loopwatch works here: fentry does not work, tracepoints are used; the one Python process can be watched"},
		{func(d *Diagnosis) {
			d.Checks = append(d.Checks, Check{Name: "CAP_SYS_PTRACE", Status: Reduced}, Check{Name: "lockdown", Status: Unknown})
		}, nil, "loopwatch works here: attached by fentry; less is seen than could be (CAP_SYS_PTRACE); the one Python process can be watched"},
		{func(d *Diagnosis) { d.Works = false }, lacking, "loopwatch cannot observe here: no BTF; boot another kernel"},
	} {
		d := healthy()
		test.change(d)
		assert.Equal(t, test.answer, d.answer(test.err))
	}
}

// The first line is the answer, no line is wider than the screen, and what a process calls itself
// does nothing to the terminal.
func TestTextFitsAndIsSafe(t *testing.T) {
	for _, name := range append(reporttest.HostileNames, strings.Repeat("x", 5000), strings.Repeat("word ", 300)) {
		for _, width := range []int{0, 80, 200} {
			d := healthy()
			d.Answer = "the answer"
			d.Checks = append(d.Checks, Check{Name: "privileges", Status: Failed, Found: name, Do: name})
			d.Processes = append(d.Processes, Process{PID: 4194304, Command: name, Container: name, Reason: name, Do: "do " + name})
			var b bytes.Buffer
			require.NoError(t, WriteText(&b, d, text.Options{Width: width}))
			assert.True(t, strings.HasPrefix(b.String(), "the answer\n"))
			for line := range strings.Lines(b.String()) {
				line = strings.TrimSuffix(line, "\n")
				assert.Equal(t, safetext.Line(line), line, "%q", name)
				limit := max(width, 80)
				if width == 0 {
					limit = 120
				}
				assert.LessOrEqual(t, safetext.Width(line), limit, "%q: %s", name, line)
			}

			b.Reset()
			require.NoError(t, WriteJSON(&b, d))
			var back Diagnosis
			require.NoError(t, json.Unmarshal(b.Bytes(), &back))
			assert.LessOrEqual(t, len(back.Processes[1].Command), maxString)
		}
	}
}

func TestTextCountsWhatItLeavesOut(t *testing.T) {
	d := healthy()
	for range 30 {
		d.Processes = append(d.Processes, Process{PID: 9, Reason: "CPython 3.7: too old", Do: "upgrade"})
	}
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, d, text.Options{}))
	assert.Contains(t, b.String(), "asyncio x2, trio")
	assert.Contains(t, b.String(), "… and 11 more")
	assert.Contains(t, b.String(), " and 25 more: CPython 3.7: too old\n    → upgrade\n")
	b.Reset()
	require.NoError(t, WriteText(&b, d, text.Options{Verbose: true}))
	assert.NotContains(t, b.String(), "… and")
}

func TestConfigCountsOnlyWhatIsBuiltIn(t *testing.T) {
	set, err := readConfig(strings.NewReader("#\n# CONFIG_KPROBES is not set\nCONFIG_BPF_JIT=y\nCONFIG_X=m\nCONFIG_HZ=250\n"))
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"CONFIG_BPF_JIT": true}, set)
}

// What comes out of this very machine, whatever it is, has an answer and something to do for
// everything that is not as it should be.
func TestExamine(t *testing.T) {
	d, err := Examine(t.Context(), nil)
	require.NoError(t, err)
	assert.NotEmpty(t, d.Answer)
	assert.NotEmpty(t, d.Host.Kernel)
	for _, c := range append(d.Checks, d.Hooks...) {
		assert.NotEmpty(t, c.Found, c.Name)
		assert.Equal(t, c.Status != OK, c.Do != "", c.Name)
	}
}
