// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newLoader(t testing.TB) loader {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	types := btf.NewCache()
	spec, _, err := loadObject(types)
	require.NoError(t, err)
	o := Options{}
	o.setDefaults()
	require.NoError(t, configure(spec, o))
	return loader{spec, types}
}

// The verifier's work is most of a start: nothing is loaded that is not used, and nothing twice.
func TestOpenLoadsWhatItUses(t *testing.T) {
	l := newLoader(t)
	p, err := Open(Options{Attach: AttachTracepoint})
	require.NoError(t, err)
	defer p.Close()
	want := slices.DeleteFunc(append(l.sharedPrograms(), waitPrograms(AttachTracepoint)...), func(name string) bool {
		return l.spec.Programs[name] == nil || name == loopwatchProgUsdt
	})
	assert.ElementsMatch(t, want, slices.Collect(maps.Keys(p.coll.Programs)))
	assert.Len(t, p.coll.Maps, len(l.spec.Maps))
	assert.Len(t, p.coll.Variables, len(l.spec.Variables))

	before := p.coll.Programs[loopwatchProgOnSwitch]
	require.NoError(t, l.load(p.coll, []string{loopwatchProgOnSwitch}))
	assert.Same(t, before, p.coll.Programs[loopwatchProgOnSwitch], "what is there is not loaded again")
	require.NoError(t, p.SetThreshold(50*time.Millisecond), "the variables are those that the programs read")
}

func BenchmarkOpen(b *testing.B) {
	newLoader(b)
	for b.Loop() {
		p, err := Open(Options{USDT: true})
		require.NoError(b, err)
		require.NoError(b, p.Close())
	}
}
