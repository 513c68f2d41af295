// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/elffile"
	"github.com/loopwatch/loopwatch/internal/process"
)

// headers makes the beginning of an ELF file of segments and sections.
func headers(segments []elf.Prog64, sections []elf.Section64) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Phoff: 64, Phentsize: 56, Phnum: uint16(len(segments)),
		Shoff: 64 + 56*uint64(len(segments)), Shentsize: 64, Shnum: uint16(len(sections)),
	})
	_ = binary.Write(&b, binary.LittleEndian, segments)
	_ = binary.Write(&b, binary.LittleEndian, sections)
	return b.Bytes()
}

// zeros is a file that begins with some bytes and goes on with zeros.
type zeros []byte

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z)) {
		copy(p, z[off:])
	}
	return len(p), nil
}

// TestSectionsOverAndOver has 4,096 sections name the same bytes: no more is read than of one table of each kind.
func TestSectionsOverAndOver(t *testing.T) {
	for _, size := range []uint64{32 << 20, maxTable, 256 << 20} {
		sections := []elf.Section64{{}, {Type: 3, Off: 1 << 20, Size: size}}
		for len(sections) < elffile.MaxSections {
			kind := []uint32{elffile.SectionDynamic, elffile.SectionSymbols}[len(sections)%2]
			sections = append(sections, elf.Section64{Type: kind, Link: 1, Off: 1 << 20, Size: size})
		}
		r := &elffile.Counter{From: zeros(headers(nil, sections))}
		_, err := scan(r, 1<<40)
		assert.ErrorIs(t, err, ErrNothing)
		assert.LessOrEqual(t, r.Bytes, int64(elffile.MaxRead+64<<10))
	}
}

// TestManyMappings has 127 segments at one place of a file that is mapped 65,000 times.
func TestManyMappings(t *testing.T) {
	img := &Image{}
	for i := range 127 {
		img.segments = append(img.segments, elffile.Segment{Addr: uint64(i) << 20, FileSize: 0x1000, MemSize: 0x1000})
	}
	var maps []process.Mapping
	for i := range 65_000 {
		maps = append(maps, process.Mapping{Start: 1<<40 + uint64(i)<<12, End: 1<<40 + uint64(i+1)<<12})
	}
	sum := 0
	for _, n := range img.votes(NewMappings(maps)) {
		sum += n
	}
	assert.Equal(t, 127*maxVotes, sum)
	_, ok := img.Bias(NewMappings(maps), 0)
	assert.True(t, ok)
	_, ok = img.Bias(NewMappings(maps), 1<<30)
	assert.False(t, ok, "no segment has it")
}

// counted counts what is read.
type counted int

func (c *counted) Read(_ uint64, p []byte) error {
	*c += counted(len(p))
	return nil
}

// TestZeroedSegments has 127 segments promise zeroed data: of all together no more is read than of one.
func TestZeroedSegments(t *testing.T) {
	img := &Image{}
	for range 127 {
		img.segments = append(img.segments, elffile.Segment{MemSize: 1 << 40})
	}
	var read counted
	assert.Zero(t, img.LiveVersion(&read, 0, -1))
	assert.EqualValues(t, maxZeroed, read)
}

// mapped returns this process and the mapping of a file of zeros behind some bytes.
func mapped(t *testing.T, begins []byte, size int64) (*process.Process, process.Mapping, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made")
	require.NoError(t, os.WriteFile(path, begins, 0o644))
	require.NoError(t, os.Truncate(path, size))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(b)) })
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	maps, err := p.Maps()
	require.NoError(t, err)
	i := slices.IndexFunc(maps, func(m process.Mapping) bool { return m.Path == path })
	require.GreaterOrEqual(t, i, 0)
	return p, maps[i], path
}

// TestChangingFileWaits touches a file that is no Python all the time: what was read of it bounds how soon it is read again.
func TestChangingFileWaits(t *testing.T) {
	const size = 32 << 20
	p, m, path := mapped(t, headers(nil, []elf.Section64{{}, {Type: elffile.SectionDynamic, Link: 1, Off: 0, Size: size}}), size)
	var c Cache
	_, err := c.Files(p).Get(m)
	require.ErrorIs(t, err, ErrNothing)
	for i := range 100 {
		require.NoError(t, os.Chtimes(path, time.Now(), time.Unix(int64(i), 0)))
		_, err = c.Files(p).Get(m)
		assert.ErrorIs(t, err, elffile.ErrChanges)
	}
	assert.Equal(t, 1, c.m.Len())
}

// TestManyFiles: of files that nobody asks for any more, no more than some are remembered, and those asked for stay.
func TestManyFiles(t *testing.T) {
	var c Cache
	for i := range 10 * maxImages {
		c.keep(process.FileStamp{Inode: uint64(i + 1)}, cached{})
		_, known := c.known(process.FileStamp{Inode: 1})
		require.True(t, known)
	}
	assert.Equal(t, maxImages, c.m.Len())
}

// TestSmallFileMayChange: a small file is read again at once when it has become another.
func TestSmallFileMayChange(t *testing.T) {
	p, m, path := mapped(t, headers(nil, nil), 1<<20)
	var c Cache
	for i := range 100 {
		require.NoError(t, os.Chtimes(path, time.Now(), time.Unix(int64(i), 0)))
		_, err := c.Files(p).Get(m)
		assert.ErrorIs(t, err, ErrNothing)
	}
}

// TestFilesOfOneProcess reads no more of all files of one process than its share, and of the next process again.
func TestFilesOfOneProcess(t *testing.T) {
	p, m, _ := mapped(t, headers(nil, nil), 1<<20)
	var c Cache
	files := c.Files(p)
	files.left = 0
	_, err := files.Get(m)
	require.ErrorIs(t, err, ErrTooMuch)
	_, err = c.Files(p).Get(m)
	require.ErrorIs(t, err, ErrNothing)
	_, err = files.Get(m)
	assert.ErrorIs(t, err, ErrNothing, "what is known costs nothing")
}

// TestManyLargeFiles: once much has been read of large files, no more is read of another one than a Python's needs, until later.
func TestManyLargeFiles(t *testing.T) {
	const size = 8 << 20
	p, large, _ := mapped(t, headers(nil, []elf.Section64{{}, {Type: elffile.SectionDynamic, Link: 1, Off: 0, Size: size}}), size)
	_, small, _ := mapped(t, headers(nil, []elf.Section64{{}, {Type: elffile.SectionDynamic, Link: 1, Off: 0, Size: maxSmall / 4}}), size)
	var c Cache
	now := time.Now()
	c.reads.Charge(largeFiles, savedLarge+64<<20, now)
	_, err := c.Files(p).Get(large)
	assert.ErrorIs(t, err, ErrLater)
	_, err = c.Files(p).Get(small)
	assert.ErrorIs(t, err, ErrNothing)
	c.reads = elffile.Reads{} // later
	_, err = c.Files(p).Get(large)
	assert.ErrorIs(t, err, ErrNothing, "that it could not be read is not remembered")
	assert.False(t, c.reads.May(largeFiles, 0, now), "what it took counts for all")
}

// TestOneReaderOfAFile: who wants to read a file that another look reads waits for that.
func TestOneReaderOfAFile(t *testing.T) {
	var c Cache
	file, other := elffile.FileOf(process.FileStamp{Inode: 1}), elffile.FileOf(process.FileStamp{Inode: 2})
	first := c.begin(file)
	c.begin(other)()
	ended, waited := make(chan struct{}), make(chan bool)
	go func() {
		done := c.begin(file)
		defer done()
		select {
		case <-ended:
			waited <- true
		default:
			waited <- false
		}
	}()
	close(ended)
	first()
	assert.True(t, <-waited)
	assert.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.being) == 0 }, time.Minute, time.Millisecond)
}
