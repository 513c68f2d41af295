// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// emulator puts a script in qemu's place: it finds what qemu would be told to write to in $console and
// $status, leaves its process number in pid, and counts in $boots how often it was run. Where it calls hang, and
// there alone, the patience with it is at an end.
func emulator(t *testing.T, script string) (m *Machine, pid func() int) {
	t.Helper()
	dir := t.TempDir()
	head := fmt.Sprintf(`#!/bin/sh
cd %s
echo $$ > pid
printf . >> boots
boots=$(wc -c < boots)
for a; do case $a in
file,id=console,*) console=${a##*path=} ;;
file,id=status,*) status=${a##*path=} ;;
esac; done
hang() { : > hangs; exec sleep 600; }
`, dir)
	fake := arch{name: "amd64", emulator: filepath.Join(dir, "qemu"), pkg: "qemu-system-fake"}
	require.NoError(t, os.WriteFile(fake.emulator, []byte(head+script), 0o755))
	init := filepath.Join(dir, "init")
	require.NoError(t, os.WriteFile(init, nil, 0o755))
	hangs := func(ctx context.Context, _ int, _ func() bool) error {
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			if os.Remove(filepath.Join(dir, "hangs")) == nil {
				return errors.New("it hangs")
			}
		}
		return nil
	}
	m = &Machine{Kernel: &Kernel{Modules: dir}, Init: init, Output: io.Discard, arch: fake, hangs: hangs}
	return m, func() int {
		content, err := os.ReadFile(filepath.Join(dir, "pid"))
		require.NoError(t, err)
		var n int
		_, err = fmt.Sscan(string(content), &n)
		require.NoError(t, err)
		return n
	}
}

// gone asserts that a process has ended and been waited for.
func gone(t *testing.T, pid int) {
	t.Helper()
	assert.ErrorIs(t, unix.Kill(pid, 0), unix.ESRCH)
}

func TestGuestThatEnds(t *testing.T) {
	m, pid := emulator(t, `printf 'ready\nexit 7\n' > $status`)
	status, err := m.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 7, status)
	gone(t, pid())
}

func TestGuestThatHangsInBoot(t *testing.T) {
	m, pid := emulator(t, `seq 200 > $console; hang`)
	_, err := m.Run(t.Context())
	var guest *GuestError
	require.ErrorAs(t, err, &guest)
	assert.False(t, guest.Booted)
	assert.Equal(t, "it hangs", guest.Why)
	lines := strings.Split(guest.Console, "\n")
	assert.Len(t, lines, 50)
	assert.Equal(t, "200", lines[49])
	gone(t, pid())
}

func TestGuestThatHangsLater(t *testing.T) {
	m, pid := emulator(t, `echo ready > $status; hang`)
	_, err := m.Run(t.Context())
	var guest *GuestError
	require.ErrorAs(t, err, &guest)
	assert.True(t, guest.Booted, "it is not booted again")
	assert.Equal(t, "it hangs", guest.Why)
	gone(t, pid())
}

func TestGuestThatPanics(t *testing.T) {
	m, _ := emulator(t, `echo ready > $status; echo 'Kernel panic - not syncing' > $console`)
	_, err := m.Run(t.Context())
	var guest *GuestError
	require.ErrorAs(t, err, &guest)
	assert.True(t, guest.Booted)
	assert.Contains(t, guest.Console, "Kernel panic")
}

func TestGuestIsBootedOnceMore(t *testing.T) {
	for script, want := range map[string]struct {
		boots int
		says  []string
	}{
		`hang`: {2, []string{"booting once more", "last lines of its console"}},
		`[ $boots = 1 ] && hang; printf 'ready\nexit 0\n' > $status`: {2, []string{"booting once more"}},
		`echo ready > $status`:               {1, []string{"last lines of its console"}},
		`printf 'ready\nexit 3\n' > $status`: {1, nil},
	} {
		m, _ := emulator(t, script)
		var said strings.Builder
		_, _ = m.Boot(t.Context(), "6.1", &said)
		boots, err := os.ReadFile(filepath.Join(filepath.Dir(m.arch.emulator), "boots"))
		require.NoError(t, err)
		assert.Len(t, string(boots), want.boots, script)
		for _, text := range want.says {
			assert.Contains(t, said.String(), text)
		}
		assert.Equal(t, len(want.says), strings.Count(said.String(), "==>"), said.String())
	}
}

func TestInterruptEndsGuest(t *testing.T) {
	m, pid := emulator(t, `echo ready > $status; exec sleep 600`)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	m.hangs = func(ctx context.Context, _ int, ready func() bool) error {
		for ctx.Err() == nil && !ready() {
			time.Sleep(10 * time.Millisecond)
		}
		cancel(interrupted)
		return nil
	}
	_, err := m.Run(ctx)
	require.ErrorContains(t, err, interrupted.Error())
	gone(t, pid())
}

// A KVM that is there and hangs the guest is no KVM.
func TestNativeIsTriedByBooting(t *testing.T) {
	for script, works := range map[string]bool{
		`printf 'ready\nexit 0\n' > $status`:  true,
		`echo no MSR for you >&2; kill -6 $$`: false,
	} {
		m, _ := emulator(t, script)
		m.arch.name = arches[0].name
		if !m.arch.native() {
			m.arch.name = arches[1].name
		}
		var said strings.Builder
		l := &Lab{arch: m.arch, init: m.Init, progress: &said}
		assert.Equal(t, works, l.Native(t.Context(), m.Kernel), script)
		assert.Equal(t, 1, strings.Count(said.String(), "\n"), said.String())
	}
}

func TestWhatIsMissingIsSaidInOneLine(t *testing.T) {
	t.Setenv("LOOPWATCH_CACHE", t.TempDir())
	said := func(err error) string {
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "\n")
		return err.Error()
	}
	t.Run("qemu", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := OpenLab(t.Context(), "arm64", io.Discard)
		assert.Contains(t, said(err), "apt-get install")
		m, _ := emulator(t, "")
		m.arch.emulator = "qemu-system-none"
		_, err = m.Run(t.Context())
		assert.Contains(t, said(err), "qemu-system-none is not installed; run: apt-get install qemu-system-fake")
	})
	t.Run("mirror", func(t *testing.T) {
		t.Setenv("LOOPWATCH_MIRROR", "http://127.0.0.1:1/debian")
		c, err := OpenCache()
		require.NoError(t, err)
		row := Row{Name: "9", Arch: "amd64", Suite: "trixie", Package: "linux-image"}
		var progress strings.Builder
		_, err = c.Kernel(t.Context(), row, &progress)
		assert.Contains(t, said(err), "LOOPWATCH_MIRROR")
		assert.Contains(t, said(err), "127.0.0.1:1")

		// With a kernel in the cache it is a remark.
		modules := filepath.Join(c.dir, "vm", "kernel-trixie-linux-image-9.1", "tree/lib/modules/9.1")
		require.NoError(t, os.MkdirAll(modules, 0o755))
		boot := filepath.Join(c.dir, "vm", "kernel-trixie-linux-image-9.1", "tree/boot")
		require.NoError(t, os.MkdirAll(boot, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(boot, "vmlinuz-9.1"), nil, 0o644))
		require.NoError(t, os.MkdirAll(filepath.Join(c.dir, "vm", "kernel-trixie-linux-image-9.2.unfinished"), 0o755))
		kernel, err := c.Kernel(t.Context(), row, &progress)
		require.NoError(t, err)
		assert.Equal(t, "9.1", kernel.Release, "what is half made is not taken")
		assert.Contains(t, progress.String(), "newer kernel")
	})
	t.Run("room", func(t *testing.T) {
		c, err := OpenCache()
		require.NoError(t, err)
		// A file system of 64 KB.
		require.NoError(t, unix.Mount("tmpfs", filepath.Join(c.dir, "vm"), "tmpfs", 0, "size=64k"))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(filepath.Join(c.dir, "vm"), 0)) })
		err = c.fetchKernel(t.Context(), nil, filepath.Join(c.dir, "vm", "kernel"), Row{})
		assert.Contains(t, said(err), "make room, or set LOOPWATCH_CACHE")
	})
}
