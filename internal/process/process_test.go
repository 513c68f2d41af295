// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func start(t *testing.T, name string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(name, args...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p, err := Open(cmd.Process.Pid)
	require.NoError(t, err)
	return p
}

func TestOpenTellsWhatAProcessIs(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "a) S 1 (b")
	copyFile(t, "/bin/sleep", odd)
	before := Now()
	p := start(t, odd, "600")
	// exec renames the process at some moment after fork.
	require.Eventually(t, func() bool {
		now, err := Open(p.PID)
		return err == nil && now.Comm == "a) S 1 (b"
	}, time.Minute, time.Millisecond)
	assert.Equal(t, os.Getpid(), p.PPID)
	assert.NotZero(t, p.StartTime)
	assert.GreaterOrEqual(t, p.StartTime, before)
	assert.LessOrEqual(t, p.StartTime, Now())
	assert.True(t, p.Same())
	assert.Equal(t, odd+" 600", p.Cmdline())
	exe, err := p.Exe()
	require.NoError(t, err)
	assert.Equal(t, odd, exe)
	tids, err := p.Threads()
	require.NoError(t, err)
	assert.Equal(t, []int{p.PID}, tids)
	inner, err := p.InnerTID(p.PID)
	require.NoError(t, err)
	assert.Equal(t, p.PID, inner)
	pids, err := Scan()
	require.NoError(t, err)
	assert.Contains(t, pids, p.PID)
	assert.Contains(t, pids, os.Getpid())
}

func TestSameNoticesAnotherProcess(t *testing.T) {
	p := start(t, "sleep", "600")
	other := *p
	other.StartTime--
	assert.False(t, other.Same(), "the same pid with another start time is another process")
	assert.True(t, p.Same())
}

func TestDescendants(t *testing.T) {
	p := start(t, "sh", "-c", "sh -c 'sleep 600 & wait' & wait")
	t.Cleanup(func() {
		below, _ := Descendants([]int{p.PID})
		for _, pid := range below {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	require.Eventually(t, func() bool {
		below, err := Descendants([]int{p.PID})
		require.NoError(t, err)
		for _, pid := range below {
			if q, err := Open(pid); err == nil && q.Cmdline() == "sleep 600" {
				return len(below) == 2 && q.PPID != p.PID && Exists(q.PPID)
			}
		}
		return false
	}, time.Minute, 10*time.Millisecond)
	below, err := Descendants([]int{os.Getpid()})
	require.NoError(t, err)
	assert.Contains(t, below, p.PID)
	assert.NotContains(t, below, os.Getpid())
	assert.False(t, Exists(1<<30))
}

func TestOpenOfNoProcess(t *testing.T) {
	for _, pid := range []int{-1, 0, 1 << 30} {
		_, err := Open(pid)
		assert.ErrorIs(t, err, os.ErrNotExist, "pid %d", pid)
	}
}

func TestCmdlineIsBounded(t *testing.T) {
	p := start(t, "sleep", "600", strings.Repeat("0", 10000))
	require.Eventually(t, func() bool { return strings.HasPrefix(p.Cmdline(), "sleep 600 0") }, time.Minute, time.Millisecond)
	assert.Len(t, p.Cmdline(), MaxCmdline)
}

func TestZombieHasNoMappings(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		return strings.Contains(string(b), ") Z ")
	}, time.Minute, time.Millisecond)
	p, err := Open(cmd.Process.Pid)
	require.NoError(t, err)
	maps, err := p.Maps()
	require.NoError(t, err)
	assert.Empty(t, maps)
	assert.Equal(t, "[true]", p.Cmdline())
}

func TestMemoryReadsWhatIsThere(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	want := []byte("loopwatch reads this")
	got := make([]byte, len(want))
	m := p.Memory()
	require.NoError(t, m.Read(uint64(uintptr(unsafe.Pointer(&want[0]))), got))
	assert.Equal(t, string(want), string(got))
	require.NoError(t, m.Read(0, nil))

	// A read that runs off the end of a mapping fails as a whole.
	page := os.Getpagesize()
	area, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer func() { _ = unix.Munmap(area) }()
	require.NoError(t, unix.Mprotect(area[page:], unix.PROT_NONE))
	addr := uint64(uintptr(unsafe.Pointer(&area[page-4])))
	assert.NoError(t, m.Read(addr, make([]byte, 4)))
	assert.ErrorIs(t, m.Read(addr, make([]byte, 5)), io.ErrUnexpectedEOF)
	assert.Error(t, m.Read(16, make([]byte, 8)))
	assert.Error(t, m.Read(^uint64(0)-3, make([]byte, 8)))
}

func TestMappingOfADeletedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sleeper")
	copyFile(t, "/bin/sleep", path)
	p := start(t, path, "600")
	m := waitMapping(t, p, path)
	before, err := p.StatMapping(m)
	require.NoError(t, err)

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("an impostor"), 0o755))
	m = waitMapping(t, p, path+" (deleted)")
	assert.Equal(t, "sleeper", m.Name())
	f, err := p.OpenMapping(m)
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
	require.NoError(t, err)
	want, err := os.ReadFile("/bin/sleep")
	require.NoError(t, err)
	assert.Equal(t, len(want), len(got))
	assert.Equal(t, want, got)
	after, err := p.StatMapping(m)
	require.NoError(t, err)
	assert.Equal(t, before.Inode, after.Inode)
	assert.Equal(t, int64(len(want)), after.Size)
}

func TestPathFallbackStaysInsideTheRootAndChecksTheFile(t *testing.T) {
	// With a range that is no mapping the kernel's link does not exist, and the path counts.
	path := filepath.Join(t.TempDir(), "sleeper")
	copyFile(t, "/bin/sleep", path)
	p := start(t, path, "600")
	m := waitMapping(t, p, path)
	m.Start++
	f, err := p.OpenMapping(m)
	require.NoError(t, err)
	f.Close()

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("an impostor"), 0o755))
	_, err = p.OpenMapping(m)
	assert.ErrorContains(t, err, "another file")

	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o755))
	_, err = p.OpenMapping(m)
	assert.ErrorIs(t, err, errNotRegular)

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink("/proc/self/exe", path))
	_, err = p.OpenMapping(m)
	assert.ErrorIs(t, err, unix.ELOOP)

	m.Path = "[vdso]"
	_, err = p.OpenMapping(m)
	assert.Error(t, err)
	m.Inode = 0
	_, err = p.OpenMapping(m)
	assert.Error(t, err)
}

func TestParseMapping(t *testing.T) {
	m, err := parseMapping("7f21c5600000-7f21c5628000 r-xp 0001a000 fe:01 1835023                    /opt/a b/lib c.so (deleted)")
	require.NoError(t, err)
	assert.Equal(t, Mapping{
		Start: 0x7f21c5600000, End: 0x7f21c5628000, Perms: "r-xp", Offset: 0x1a000,
		Major: 0xfe, Minor: 1, Inode: 1835023, Path: "/opt/a b/lib c.so (deleted)",
	}, m)
	assert.Equal(t, "lib c.so", m.Name())
	assert.True(t, m.Executable())
	m, err = parseMapping("7ffc3a5f0000-7ffc3a611000 rw-p 00000000 00:00 0")
	require.NoError(t, err)
	assert.Empty(t, m.Path)
	for _, bad := range []string{"", "x-y", "2-1 rw-p 0 0:0 0", "1-2 rw 0 0:0 0", "1-2 rw-p z 0:0 0", "1-2 rw-p 0 0 0", "1-2 rw-p 0 0:0 z"} {
		_, err := parseMapping(bad)
		assert.Error(t, err, "%q", bad)
	}
}

func TestParseNSpid(t *testing.T) {
	n, err := parseNSpid([]byte("Name:\tx\nTgid:\t901\nNSpid:\t901\t17\t3\nNSsid:\t1\n"))
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	_, err = parseNSpid([]byte("Name:\tNSpid:\n"))
	assert.Error(t, err)
}

func TestParseCgroup(t *testing.T) {
	const id = "3b8a4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70819"
	for _, c := range []struct{ text, container, unit string }{
		{"0::/\n", "", ""},
		{"0::/system.slice/web.service\n", "", "web.service"},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/job-7.scope\n", "", "job-7.scope"},
		{"0::/system.slice/docker-" + id + ".scope\n", "3b8a4c5d6e7f", ""},
		{"0::/docker/" + id + "\n", "3b8a4c5d6e7f", ""},
		{"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n", "3b8a4c5d6e7f", ""},
		{"0::/kubepods-pod1.slice:cri-containerd:" + id + "\n", "3b8a4c5d6e7f", ""},
		{"0::/kubepods/besteffort/pod1/crio-" + id + ".scope/container\n", "3b8a4c5d6e7f", ""},
		{"0::/system.slice/db.service/libpod-payload-" + id + "\n", "3b8a4c5d6e7f", "db.service"},
		{"0::/docker/" + id + "/system.slice/inner.service\n", "3b8a4c5d6e7f", "inner.service"},
		{"12:cpu,cpuacct:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/system.slice/containerd.service\n", "3b8a4c5d6e7f", "containerd.service"},
		{"4:cpu:/system.slice\n1:name=systemd:/system.slice/web.service\n", "", "web.service"},
		{"garbage\n0:\n", "", ""},
	} {
		container, unit := parseCgroup(c.text)
		assert.Equal(t, c.container, container, c.text)
		assert.Equal(t, c.unit, unit, c.text)
	}
}

func TestCgroupOfThisProcess(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	_, _, err = p.Cgroup()
	assert.NoError(t, err)
}

func FuzzParseMaps(f *testing.F) {
	own, err := os.ReadFile("/proc/self/maps")
	require.NoError(f, err)
	f.Add(own)
	f.Add([]byte("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		maps, err := parseMaps(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, m := range maps {
			require.LessOrEqual(t, m.Start, m.End)
			require.Len(t, m.Perms, 4)
			_ = m.Name()
		}
	})
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	require.NoError(f, err)
	f.Add(own)
	f.Add([]byte("1 () R 0 0"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseStat(b)
		_, _ = parseNSpid(b)
		_, _ = parseCgroup(string(b))
	})
}

func waitMapping(t *testing.T, p *Process, path string) (found Mapping) {
	t.Helper()
	require.Eventually(t, func() bool {
		maps, err := p.Maps()
		require.NoError(t, err)
		for _, m := range maps {
			if m.Path == path {
				found = m
				return true
			}
		}
		return false
	}, time.Minute, time.Millisecond)
	return found
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o755))
}

// A zombie is there and runs nothing.
func TestRuns(t *testing.T) {
	assert.True(t, Runs(os.Getpid()))
	assert.False(t, Runs(1<<30))
	child := exec.Command("sleep", "60")
	require.NoError(t, child.Start())
	assert.True(t, Runs(child.Process.Pid))
	require.NoError(t, child.Process.Kill())
	require.Eventually(t, func() bool { return !Runs(child.Process.Pid) }, time.Minute, time.Millisecond)
	assert.True(t, Exists(child.Process.Pid))
	require.Error(t, child.Wait())
}

// What is not mapped is left out, and the rest read, whatever stands between.
func TestReadEach(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	page := os.Getpagesize()
	area, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer func() { _ = unix.Munmap(area) }()
	for i := range area {
		area[i] = byte(i % 251)
	}
	require.NoError(t, unix.Mprotect(area[page:], unix.PROT_NONE))
	start := uint64(uintptr(unsafe.Pointer(&area[0])))
	var places []Place
	for i := range 3000 {
		at := start + uint64(i%(page-8))
		switch {
		case i%97 == 5:
			at = 16 // never mapped
		case i%89 == 7:
			at = start + uint64(page) - 3 // runs off the end
		}
		places = append(places, Place{Addr: at, P: make([]byte, 1+i%8), OK: i%2 == 0})
	}
	counted := &counting{m: p.Memory()}
	for name, m := range map[string]Memory{"at once": p.Memory(), "one by one": counted} {
		ReadEach(m, places)
		for _, it := range places {
			one := make([]byte, len(it.P))
			if err := p.Memory().Read(it.Addr, one); assert.Equal(t, err == nil, it.OK, "%s, %#x", name, it.Addr) && it.OK {
				assert.Equal(t, one, it.P, "%s, %#x", name, it.Addr)
			}
		}
	}
	assert.Equal(t, len(places), counted.n)
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	ended, err := Open(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	gone := []Place{{Addr: start, P: make([]byte, 8), OK: true}}
	ReadEach(ended.Memory(), gone)
	assert.False(t, gone[0].OK)
	ReadEach(p.Memory(), nil)
}

// counting is a Memory that reads only one place at a time.
type counting struct {
	m Memory
	n int
}

func (c *counting) Read(addr uint64, p []byte) error {
	c.n++
	return c.m.Read(addr, p)
}

func FuzzParseSyscall(f *testing.F) {
	f.Add("running\n")
	f.Add("-1 0x7ffd0 0x7f00\n")
	f.Add("230 0x0 0x0 0x7ffd0 0x0 0x0 0x0 0x7ffd0 0x7f00\n")
	f.Add("pos:\t0\nflags:\t02000002\nPid:\t17\nNSpid:\t17\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = parseSyscall(text)
		require.LessOrEqual(t, len(parseFDInfo(text, "Pid", 1)), 1)
	})
}
