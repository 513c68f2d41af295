// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const nobody = 65534

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("takes root")
	}
}

// theirs makes a file of another user.
func theirs(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	require.NoError(t, os.Chmod(path, 0o666))
	require.NoError(t, os.Chown(path, nobody, nobody))
	return path
}

// shared makes a directory that others may write to.
func shared(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, mode))
	return dir
}

// appendTo appends a text as watch does.
func appendTo(name, text string) error {
	out, err := OpenStream(context.Background(), "--output", name, io.Discard)
	if err != nil {
		return err
	}
	defer out.Abandon()
	_, err = out.Lines(func(string) {}, func() {}).Write([]byte(text))
	return err
}

// TestDescriptorsAreContinued has both kinds of result written to names of an open file, as a shell's >> and > leave it.
func TestDescriptorsAreContinued(t *testing.T) {
	for _, redirection := range []int{os.O_APPEND, os.O_TRUNC} {
		for _, name := range []string{"/dev/fd/%d", "/proc/self/fd/%d", "/proc/thread-self/fd/%d", fmt.Sprintf("/proc/%d/fd/%%d", os.Getpid())} {
			for kind, write := range map[string]func(string, string) error{"replaced": put, "appended": appendTo} {
				path := filepath.Join(t.TempDir(), "log")
				require.NoError(t, os.WriteFile(path, []byte("a long line of before\n"), 0o644))
				f, err := os.OpenFile(path, os.O_WRONLY|redirection, 0)
				require.NoError(t, err)
				_, err = f.WriteString("first\n")
				require.NoError(t, err)
				require.NoError(t, write(fmt.Sprintf(name, f.Fd()), "second\n"))
				_, err = f.WriteString("third\n")
				require.NoError(t, err)
				require.NoError(t, f.Close())
				want := "first\nsecond\nthird\n"
				if redirection == os.O_APPEND {
					want = "a long line of before\n" + want
				}
				assert.Equal(t, want, content(t, path), "%s %s %#x", kind, name, redirection)
			}
		}
	}
}

func TestDescriptorForReadingIsRefused(t *testing.T) {
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer f.Close()
	assert.ErrorContains(t, put(fmt.Sprintf("/dev/fd/%d", f.Fd()), "x"), "is open for reading only")
}

// TestFilesOfOthersAreLeftAlone puts files where another user could.
func TestFilesOfOthersAreLeftAlone(t *testing.T) {
	needRoot(t)
	for _, mode := range []os.FileMode{0o1777, 0o777, 0o755} {
		path := theirs(t, filepath.Join(shared(t, mode), "theirs"), "theirs")
		for _, write := range []func(string, string) error{put, appendTo} {
			assert.EqualError(t, write(path, "x"), "cannot write to "+path+
				": it is a file of another user (65534); remove it, or name another file with --output")
		}
		assert.Equal(t, "theirs", content(t, path))
		assert.Equal(t, []string{"theirs"}, names(t, filepath.Dir(path)))
	}
}

func TestLinksOfOthersAreNotFollowed(t *testing.T) {
	needRoot(t)
	private := t.TempDir()
	precious := filepath.Join(private, "precious")
	require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))
	for _, mode := range []os.FileMode{0o1777, 0o777} {
		dir := shared(t, mode)
		hard, soft, way := filepath.Join(dir, "hard"), filepath.Join(dir, "soft"), filepath.Join(dir, "way")
		require.NoError(t, os.Link(precious, hard))
		require.NoError(t, os.Symlink(precious, soft))
		require.NoError(t, os.Symlink(private, way))
		for _, link := range []string{soft, way} {
			require.NoError(t, os.Lchown(link, nobody, nobody))
		}
		assert.ErrorContains(t, appendTo(hard, "x"), "it has other names (hard links), which another user may have made; remove it")
		for _, path := range []string{soft, filepath.Join(way, "precious"), filepath.Join(way, "new"), way + "/../new"} {
			assert.ErrorContains(t, appendTo(path, "x"), "is a symbolic link of another user (65534)", path)
			assert.ErrorContains(t, put(path, "x"), "is a symbolic link of another user (65534)", path)
		}
		assert.Equal(t, "precious", content(t, precious))
		assert.Equal(t, []string{"precious"}, names(t, private))
		require.NoError(t, put(hard, "x"), "only the name is given to another file")
		assert.Equal(t, "precious", content(t, precious))
	}
}

// A directory that only root writes to may have files of several names, and links of root's lead anywhere.
func TestOwnLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	log, second := filepath.Join(dir, "log"), filepath.Join(dir, "second")
	require.NoError(t, appendTo(log, "1"))
	require.NoError(t, os.Link(log, second))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "a"), 0o755))
	require.NoError(t, os.Symlink("a/..", filepath.Join(dir, "round")))
	require.NoError(t, os.Symlink("../log", filepath.Join(dir, "a", "up")))
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "absolute")))
	for _, path := range []string{second, filepath.Join(dir, "round", "log"), filepath.Join(dir, "a", "up"),
		filepath.Join(dir, "absolute", "a", "..", ".", "round", "a", "up")} {
		require.NoError(t, appendTo(path, "x"), path)
	}
	assert.Equal(t, "1xxxx", content(t, log))
	t.Chdir(dir)
	require.NoError(t, appendTo("log", "x"))
	require.NoError(t, appendTo("a/../log", "x"))
	assert.Equal(t, "1xxxxxx", content(t, log))
}

// TestAppendingLooksAgain puts something in the place of a file after it was looked at.
func TestAppendingLooksAgain(t *testing.T) {
	needRoot(t)
	precious := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))
	for what, make := range map[string]func(string) error{
		"file": func(path string) error { theirs(t, path, ""); return nil },
		"link": func(path string) error { return os.Symlink(precious, path) },
		"neighbour": func(path string) error {
			_ = os.WriteFile(path+"2", nil, 0o600)
			return os.Symlink(filepath.Base(path)+"2", path)
		},
		"hard link": func(path string) error { return os.Link(precious, path) },
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o666) },
		"directory": func(path string) error { return os.Mkdir(path, 0o777) },
	} {
		path := filepath.Join(shared(t, 0o1777), "log")
		out, err := Open(t.Context(), "--output", path, nil)
		require.NoError(t, err)
		require.NoError(t, make(path))
		assert.Error(t, out.openAppended(), what)
		out.Abandon()
	}
	assert.Equal(t, "precious", content(t, precious))
}

// A FIFO that nobody reads is waited for, until that is interrupted.
func TestFIFOWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := Open(ctx, "--output", path, nil)
	assert.ErrorContains(t, err, "interrupted before it had a reader")

	read := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(path)
		read <- b
	}()
	text := string(bytes.Repeat([]byte("a line\n"), 100_000)) // more than a pipe holds
	require.NoError(t, put(path, text))
	assert.Equal(t, text, string(<-read))
}

// TestReopen renames a file as logrotate does.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "log"), filepath.Join(dir, "log.1")
	out, err := OpenStream(t.Context(), "--output", path, nil)
	require.NoError(t, err)
	defer func() { out.Abandon() }()
	var warnings []string
	l := out.Lines(func(s string) { warnings = append(warnings, s) }, nil)
	write := func(s string) {
		_, err := l.Write([]byte(s + "\n"))
		require.NoError(t, err)
	}
	require.True(t, l.CanReopen())
	write("first")
	require.NoError(t, os.Rename(path, old))
	write("second")
	l.Reopen(t.Context())
	write("third")
	assert.Equal(t, "first\nsecond\n", content(t, old))
	assert.Equal(t, "third\n", content(t, path))
	l.Reopen(t.Context()) // nobody has renamed it
	write("fourth")
	assert.Equal(t, "third\nfourth\n", content(t, path))
	assert.Empty(t, warnings)

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	l.Reopen(t.Context())
	write("fifth")
	require.Len(t, warnings, 1)
	assert.Contains(t, warnings[0], "is a directory; name another file with --output; going on with the file opened before")
	assert.Zero(t, l.Dropped())
}
