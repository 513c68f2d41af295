// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// put writes a text to a file as a command does.
func put(name, text string) error {
	out, err := Open(context.Background(), "--output", name, io.Discard)
	if err != nil {
		return err
	}
	defer out.Abandon()
	return out.Write(func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestFileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report")
	require.NoError(t, put(file, "a long text"))
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, put(file, "short"))
	assert.Equal(t, "short", content(t, file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "keeps its mode")

	out, err := Open(context.Background(), "--output", file, nil)
	require.NoError(t, err)
	defer out.Abandon()
	failed := errors.New("no result")
	assert.ErrorIs(t, out.Write(func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return failed }), failed)
	assert.Equal(t, "short", content(t, file), "a result that fails leaves the old file")

	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, put(link, "new"))
	target, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, file, target, "a link stays a link")
	assert.Equal(t, "new", content(t, file))
	assert.Equal(t, []string{"link", "report"}, names(t, dir), "no temporary file is left")
}

// TestFullDiskLeavesTheOldFile needs a file system of a few pages.
func TestFullDiskLeavesTheOldFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	file := filepath.Join(dir, "report")
	require.NoError(t, put(file, "old"))
	assert.EqualError(t, put(file, strings.Repeat("x", 200_000)),
		"cannot write to "+file+": no space left on device; make room there, or name another file with --output")
	assert.Equal(t, "old", content(t, file))
	assert.Equal(t, []string{"report"}, names(t, dir), "no half file is left")
}

func TestUmaskApplies(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	file := filepath.Join(t.TempDir(), "report")
	require.NoError(t, put(file, "x"))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

// TestOthersDoNotDecideWhereRootWrites puts into a directory what another user could.
func TestOthersDoNotDecideWhereRootWrites(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chown takes root")
	}
	const nobody = 65534
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o1777))
	precious := filepath.Join(dir, "precious")
	require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))

	link, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	require.NoError(t, os.Symlink(precious, link))
	require.NoError(t, unix.Mkfifo(fifo, 0o666))
	for _, path := range []string{link, fifo} {
		require.NoError(t, os.Lchown(path, nobody, nobody))
		_, err := Open(t.Context(), "--output", path, nil)
		assert.ErrorContains(t, err, "of another user (65534); remove it, or name another file")
	}
	ours := filepath.Join(dir, "ours") // a link of ours to theirs
	require.NoError(t, os.Symlink("link", ours))
	assert.Error(t, put(ours, "x"))
	assert.Equal(t, "precious", content(t, precious))
}

func TestLinksAreFollowedOnlySoFar(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("b", filepath.Join(dir, "a")))
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "b")))
	assert.ErrorIs(t, put(filepath.Join(dir, "a"), "x"), syscall.ELOOP)

	require.NoError(t, os.Symlink("report", filepath.Join(dir, "dangling")))
	require.NoError(t, put(filepath.Join(dir, "dangling"), "x"))
	assert.FileExists(t, filepath.Join(dir, "report"))
}
