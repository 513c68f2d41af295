// SPDX-License-Identifier: Apache-2.0

package probes

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/abi"
	"github.com/loopwatch/loopwatch/internal/probes/wire"
)

const setsAt = 0x30000

// Kinds of descriptors by how likely a thread waits for one, the most likely last. The first is one
// that is not open.
var descriptorKinds = []struct {
	mode, magic, family int
}{
	{},
	{0, unix.ANON_INODE_FS_MAGIC, 0},
	{unix.S_IFREG, unix.EXT4_SUPER_MAGIC, 0},
	{0, 0x50494446, 0}, // pidfs
	{unix.S_IFSOCK, unix.SOCKFS_MAGIC, unix.AF_UNIX},
	{unix.S_IFSOCK, unix.SOCKFS_MAGIC, unix.AF_INET},
}

// openFiles opens some descriptors and returns the kind of each.
func openFiles(r *rand.Rand, script *strings.Builder) map[int]int {
	kinds := map[int]int{}
	for range 1 + r.IntN(20) {
		fd, kind := r.IntN(1024), r.IntN(len(descriptorKinds))
		if r.IntN(3) == 0 {
			fd = r.IntN(70)
		}
		kinds[fd] = kind
	}
	for fd, kind := range kinds {
		k := descriptorKinds[kind]
		family := k.family
		if family == unix.AF_INET && r.IntN(2) == 0 {
			family = unix.AF_INET6
		}
		if kind > 0 {
			fmt.Fprintf(script, "file %d %d %d %d\n", fd, k.mode, k.magic, family)
		}
	}
	return kinds
}

// chosen is which of the descriptors counts: the first of the likeliest kind, and how many more are of it.
func chosen(fds []int, kinds map[int]int) (fd, others int) {
	best := 0
	for _, fd := range fds {
		best = max(best, kinds[fd])
	}
	if best == 0 {
		return -1, 0
	}
	i := slices.IndexFunc(fds, func(fd int) bool { return kinds[fd] == best })
	for _, fd := range fds[i+1:] {
		if kinds[fd] == best {
			others++
		}
	}
	return fds[i], others
}

func padded(fds []int) []int64 {
	out := make([]int64, 0, 8)
	for _, fd := range fds {
		out = append(out, int64(fd))
	}
	for len(out) < 8 {
		out = append(out, -1)
	}
	return out
}

func TestNativeDescriptors(t *testing.T) {
	n := newNative(t, false)
	r := rand.New(rand.NewPCG(9, 10))
	check := func(call, script string, fds []int, kinds map[int]int) {
		t.Helper()
		fd, others := chosen(fds, kinds)
		want := append([]int64{int64(fd), int64(others)}, padded(fds)...)
		lines := n.run(t, script+"choose "+call+"\n")
		require.Equal(t, want, numbers(t, lines[0], "chosen"), "%s of %v among %v", call, fds, kinds)
	}
	open := func(kinds map[int]int) []int {
		fds := make([]int, 0, len(kinds))
		for fd := range kinds {
			fds = append(fds, fd)
		}
		slices.Sort(fds)
		r.Shuffle(len(fds), func(i, j int) { fds[i], fds[j] = fds[j], fds[i] })
		return fds
	}
	for range 60 {
		var script strings.Builder
		kinds := openFiles(r, &script)
		fds := open(kinds)

		// poll: an array of struct pollfd, in which a descriptor below 0 is left out.
		var array []byte
		polled := slices.Clone(fds)
		for i := range polled {
			if r.IntN(6) == 0 {
				polled[i] = -1
			}
			array = binary.LittleEndian.AppendUint32(array, uint32(polled[i]))
			array = binary.LittleEndian.AppendUint32(array, r.Uint32())
		}
		check("poll", script.String()+fmt.Sprintf("memory %d %x registers %d %d 0 0 0 0\n", setsAt, array, setsAt, len(polled)),
			polled[:min(len(polled), 8)], kinds)

		// select: three sets of bits, of which those below n count.
		sets := make([]byte, 3*128)
		top := slices.Max(fds)
		for _, fd := range fds {
			sets[128*r.IntN(3)+fd/8] |= 1 << (fd % 8)
		}
		var selected []int
		for fd := range 1024 {
			if (sets[fd/8]|sets[128+fd/8]|sets[256+fd/8])>>(fd%8)&1 != 0 && len(selected) < 8 {
				selected = append(selected, fd)
			}
		}
		many := top + 1
		if r.IntN(4) == 0 {
			many = 4096 // more than are looked at
		}
		check("select", script.String()+fmt.Sprintf("memory %d %x registers %d %d %d %d 0 0\n", setsAt, sets, many, setsAt, setsAt+128, setsAt+256), selected, kinds)

		// epoll: the tree of what the instance watches, or the instance itself.
		for size := 0; size <= min(4, len(fds)); size++ {
			script := script.String() + fmt.Sprintf("file 1000 0 %d 0\n", unix.ANON_INODE_FS_MAGIC)
			kinds[1000] = 1
			words := []int{-1, -1, -1, -1}
			copy(words, fds[:size])
			watched := fds[:size]
			if size == 0 || size == 4 {
				watched = []int{1000}
			}
			check("epoll", script+fmt.Sprintf("watch 1000 %d %d %d %d registers 1000 0 0 0 0 0\n", words[0], words[1], words[2], words[3]), watched, kinds)
		}
		delete(kinds, 1000)
	}
	// An array that cannot be read has no descriptors.
	check("poll", fmt.Sprintf("registers %d 3 0 0 0 0\n", setsAt), nil, nil)
}

// A directory of a made-up namespace, with its path from the top.
type directory struct {
	dentry, mount int
	path          []string // from the outermost component on
	crossings     int      // mounts between it and the top
}

// A namespace has mounts on directories of others.
type namespace struct {
	script      strings.Builder
	directories []directory
}

func newNamespace(r *rand.Rand) *namespace {
	ns := &namespace{}
	dentries, mounts := 0, 0
	dentry := func(parent int, name string) int {
		if parent < 0 {
			parent = dentries
		}
		fmt.Fprintf(&ns.script, "dentry %d %d %x\n", dentries, parent, name)
		dentries++
		return dentries - 1
	}
	root := dentry(-1, "/")
	fmt.Fprintf(&ns.script, "mount 0 0 0 %d\n", root)
	mounts++
	ns.directories = append(ns.directories, directory{dentry: root})
	deepest := ns.directories[0]
	for range 60 {
		parent := ns.directories[r.IntN(len(ns.directories))]
		if r.IntN(3) > 0 { // some are deep
			parent = deepest
		}
		name := strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(12))
		if r.IntN(12) == 0 {
			name = strings.Repeat("n", 200+r.IntN(56))
		}
		d := directory{dentry: dentry(parent.dentry, name), mount: parent.mount, crossings: parent.crossings, path: append(slices.Clone(parent.path), name)}
		if r.IntN(5) == 0 { // something is mounted there
			top := dentry(-1, "/")
			fmt.Fprintf(&ns.script, "mount %d %d %d %d\n", mounts, d.mount, d.dentry, top)
			d.dentry, d.mount = top, mounts
			d.crossings++
			mounts++
		}
		ns.directories = append(ns.directories, d)
		deepest = d
	}
	return ns
}

// wantedPath is the path of d as seen from root where so many bytes of data are there for it: the innermost
// components that fit, each with a NUL.
func wantedPath(d, root directory, room int) (string, bool) {
	components, crossings := d.path, d.crossings
	if len(root.path) <= len(d.path) && slices.Equal(root.path, d.path[:len(root.path)]) {
		components, crossings = d.path[len(root.path):], d.crossings-root.crossings
	}
	const steps = 40
	fit, size := "", 0
	taken := 0
	for _, c := range slices.Backward(components) {
		if size += len(c) + 1; size > room {
			break
		}
		fit = "/" + c + fit
		taken++
	}
	if taken == len(components) && len(components)+crossings < steps {
		return "/" + strings.TrimPrefix(fit, "/"), true
	}
	return fit, false
}

func TestNativePaths(t *testing.T) {
	n := newNative(t, false)
	r := rand.New(rand.NewPCG(11, 12))
	whole, cut := 0, 0
	for range 15 {
		ns := newNamespace(r)
		var script strings.Builder
		script.WriteString(ns.script.String())
		type query struct {
			what, path string
		}
		var queries []query
		for i := range 40 {
			d := ns.directories[r.IntN(len(ns.directories))]
			root := ns.directories[0]
			if r.IntN(3) == 0 && len(d.path) > 1 { // a process in a chroot
				root = ns.directories[r.IntN(len(ns.directories))]
			}
			argument := ""
			if r.IntN(3) == 0 {
				argument = strings.Repeat("r", 1+r.IntN(60))
				if r.IntN(5) == 0 {
					argument = strings.Repeat("long/", 40+r.IntN(200)) + "end"
				}
				if r.IntN(4) == 0 {
					argument = "/" + argument
				}
			}
			at := 0
			if argument != "" {
				at = 0x40000 + 8192*i
				fmt.Fprintf(&script, "memory %d %x\n", at, append([]byte(argument), 0))
			}
			fmt.Fprintf(&script, "path %d %d %d %d %d\n", root.mount, root.dentry, d.mount, d.dentry, at)
			queries = append(queries, query{fmt.Sprintf("%v from %v with %.20q", d, root, argument), wantedTarget(d, root, argument)})
		}
		lines := n.run(t, script.String())
		require.Len(t, lines, len(queries))
		for i, q := range queries {
			raw := unhex(t, lines[i], "target")
			got := wire.TargetOf((*abi.Target)(unsafe.Pointer(&raw[0])))
			require.Equal(t, q.path, got.Path, q.what)
			if strings.HasPrefix(q.path, "…") {
				cut++
			} else {
				whole++
			}
		}
	}
	assert.Greater(t, whole, 100)
	assert.Greater(t, cut, 50)
}

// wantedTarget is how a path is shown, with the argument that counts from it.
func wantedTarget(d, root directory, argument string) string {
	const data = 256
	switch {
	case len(argument) >= data: // its end matters
		return "…" + argument[len(argument)-data+1:]
	case strings.HasPrefix(argument, "/"):
		return argument
	}
	room := data
	if argument != "" {
		room -= len(argument) + 1
	}
	path, complete := wantedPath(d, root, room)
	switch {
	case !complete && path == "":
		path = "…/"
	case !complete:
		path = "…" + path
	}
	if argument == "" {
		return path
	}
	return strings.TrimSuffix(path, "/") + "/" + argument
}

// What has no name in any directory is shown by its own.
func TestNativeDetachedPath(t *testing.T) {
	n := newNative(t, false)
	lines := n.run(t, fmt.Sprintf("dentry 0 0 %x\ndentry 1 1 %x\ndentry 2 2 %x\nmount 0 0 0 0\nmount 1 1 2 2\npath 0 0 1 1 0\n", "/", "[eventpoll]", "/"))
	raw := unhex(t, lines[0], "target")
	got := wire.TargetOf((*abi.Target)(unsafe.Pointer(&raw[0])))
	assert.Equal(t, "[eventpoll]", got.Path)
	assert.True(t, got.Detached)
}
