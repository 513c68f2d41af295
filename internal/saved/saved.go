// SPDX-License-Identifier: Apache-2.0

// Package saved reads what earlier observations left in files: a report, as JSON or as a recording that is judged again, and the
// rules of an ignore file. The name of a file goes in, what is in it comes out, or an error that says in one line what is wrong with
// which file. Nobody vouches for the files (packages report/json, recording, replay and known bound them).
package saved

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/loopwatch/loopwatch/internal/known"
	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/replay"
	"github.com/loopwatch/loopwatch/internal/report/json"
)

// Stdin is the name by which stdin is read.
const Stdin = "-"

// zstdMagic is how a recording begins (RFC 8878, section 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Report returns the report in a file: one that was written as JSON, or that on a recording. warning says what the file has that the
// report does not; it is empty where that is nothing.
func Report(name string) (rep *model.Report, warning string, err error) {
	file, err := open(name)
	if err != nil {
		return nil, "", fmt.Errorf("cannot read the report: %w", err)
	}
	defer file.Close()
	var unknown []string
	if rep, unknown, err = reportIn(bufio.NewReader(file)); err != nil {
		return nil, "", fmt.Errorf("cannot read the report in %s: %w", name, err)
	}
	if len(unknown) > 0 {
		warning = fmt.Sprintf("%s has fields that this version does not know, and that are left out: %s", name, strings.Join(unknown, ", "))
	}
	return rep, warning, nil
}

// open opens a file. A FIFO that nobody writes to is not waited for.
func open(name string) (io.ReadCloser, error) {
	if name == Stdin {
		return io.NopCloser(os.Stdin), nil
	}
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func reportIn(in *bufio.Reader) (rep *model.Report, unknown []string, err error) {
	begin, err := in.Peek(len(zstdMagic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, nil, err
	case len(begin) == 0:
		return nil, nil, errors.New("it is empty")
	case bytes.Equal(begin, zstdMagic):
		rep, err = onRecording(in)
		return rep, nil, err
	}
	if rep, unknown, err = json.Read(in); err != nil {
		return nil, nil, fmt.Errorf("it is no JSON report of this version: %w", err)
	}
	return rep, unknown, nil
}

func onRecording(in io.Reader) (*model.Report, error) {
	again, err := replay.Report(in)
	switch {
	case errors.Is(err, replay.ErrForeign):
		return nil, fmt.Errorf("%w; write a JSON report there, which can be read everywhere", err)
	case err != nil:
		return nil, fmt.Errorf("it is no recording of this version, or is cut: %w", err)
	case !again.Complete:
		return nil, errors.New("the recording has no end, and without that no figures of loops: it was cut, or an older version has written it")
	}
	return again.Report, nil
}

// Rules returns the rules in an ignore file.
func Rules(name string) ([]known.Rule, error) {
	file, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the rules: %w", err)
	}
	defer file.Close()
	return known.ParseRules(name, file)
}
