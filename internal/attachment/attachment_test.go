// SPDX-License-Identifier: Apache-2.0

package attachment

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/process"
	"github.com/loopwatch/loopwatch/internal/usdt"
)

// kernel is one in which attaching and detaching take long, and which has room for so many probes.
type kernel struct {
	room               int64
	attached, detached atomic.Int64
	slow               time.Duration
}

func (k *kernel) attach(string, probes.USDTKind, []usdt.Site) (probe, error) {
	time.Sleep(k.slow)
	if k.attached.Load()-k.detached.Load() >= k.room {
		return nil, probes.ErrFullUSDT
	}
	k.attached.Add(1)
	return made{k}, nil
}

// there is how many probes are attached.
func (k *kernel) there() int { return int(k.attached.Load() - k.detached.Load()) }

type made struct{ *kernel }

func (m made) Hits() ([]uint64, error) { return []uint64{0}, nil }
func (m made) CloseStart() error       { return nil }
func (m made) Close() error {
	time.Sleep(m.slow)
	m.detached.Add(1)
	return nil
}

// self is a process that has its file open: this one.
type self struct{ t *testing.T }

func (s self) OpenProbes() (*process.File, *usdt.File, error) {
	p, err := process.Open(os.Getpid())
	require.NoError(s.t, err)
	maps, err := p.Maps()
	require.NoError(s.t, err)
	i := slices.IndexFunc(maps, func(m process.Mapping) bool { return m.Inode != 0 })
	require.GreaterOrEqual(s.t, i, 0)
	f, err := p.OpenMapping(maps[i])
	return f, &usdt.File{}, err
}

func newFiles(t *testing.T, k *kernel) *Files {
	f := New(nil, Options{Kinds: []probes.USDTKind{probes.USDTGC}}, func(err error) { assert.NoError(t, err) }, slog.New(slog.DiscardHandler))
	f.attach = k.attach
	return f
}

func stamp(n int) process.FileStamp { return process.FileStamp{Inode: uint64(n)} }

// during looks after the files for so long.
func during(f *Files, length time.Duration) {
	for range length / (250 * time.Millisecond) {
		time.Sleep(250 * time.Millisecond)
		f.Limit(0)
	}
}

// atOnce asserts that something does not wait for the kernel.
func atOnce(t *testing.T, what string, do func()) {
	t.Helper()
	begun := time.Now()
	do()
	assert.Zero(t, time.Since(begun), what)
}

// TestShortLived: processes that follow one another have the probes of their file attached once, for as long as they do.
func TestShortLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{room: 10}
		f := newFiles(t, k)
		for range 50 {
			b := f.use(stamp(1), self{t})
			during(f, time.Second)
			assert.Equal(t, []string{"gc"}, b.Kinds())
			f.Release(b)
			during(f, idleAfter-time.Second)
		}
		assert.EqualValues(t, 1, k.attached.Load())
		assert.Equal(t, 1, k.there())
		during(f, 2*time.Second)
		assert.Zero(t, k.there())
		assert.Zero(t, f.Len())
		f.Close()
	})
}

// TestNobodyWaits: neither attaching nor detaching holds the caller up, however long the kernel takes.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{room: 10, slow: time.Minute}
		f := newFiles(t, k)
		var b *File
		atOnce(t, "attach", func() { b = f.use(stamp(1), self{t}) })
		atOnce(t, "look", func() { f.Limit(0) })
		time.Sleep(2 * k.slow)
		atOnce(t, "take over", func() { f.Limit(0) })
		assert.Equal(t, 1, k.there())
		f.Release(b)
		time.Sleep(2 * idleAfter)
		atOnce(t, "detach", func() { f.Limit(0) })
		assert.Equal(t, 1, k.there(), "it is being detached")
		time.Sleep(2 * k.slow)
		assert.Zero(t, k.there())
	})
}

// TestManyIdle: of files that are idle no more than some keep their probes, those used last.
func TestManyIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{room: 1000}
		f := newFiles(t, k)
		for n := range 100 {
			b := f.use(stamp(n), self{t})
			time.Sleep(time.Millisecond)
			f.Release(b)
		}
		f.Limit(0) // takes over what was attached
		f.Limit(0)
		synctest.Wait()
		assert.Equal(t, maxIdle, k.there())
		assert.Contains(t, f.files, stamp(99))
		f.Close()
	})
}

// TestRoomOfIdle: a file that finds no room gets that of files that are idle.
func TestRoomOfIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{room: 2}
		f := newFiles(t, k)
		for n := range 2 {
			b := f.use(stamp(n), self{t})
			during(f, time.Second)
			f.Release(b)
		}
		b := f.use(stamp(2), self{t})
		during(f, time.Second)
		assert.Equal(t, []string{"gc"}, b.Kinds())
		assert.Empty(t, f.Lost())
		assert.Equal(t, 1, k.there())

		third, fourth := f.use(stamp(3), self{t}), f.use(stamp(4), self{t})
		during(f, time.Second)
		assert.Len(t, slices.Concat(third.Kinds(), fourth.Kinds()), 1, "nobody is idle")
		assert.Equal(t, map[string]int64{ReasonFailed: 1}, f.Lost())
		f.Close()
	})
}

// TestErrorsOfDetaching are told to whoever wants to know.
func TestErrorsOfDetaching(t *testing.T) {
	f := newFiles(t, &kernel{})
	var told []error
	f.failed = func(err error) { told = append(told, err) }
	broken := errors.New("broken")
	f.detach(func() error { return broken })
	f.detach(func() error { return nil })
	f.Close()
	f.takeDetached()
	assert.Equal(t, []error{broken}, told)
}
