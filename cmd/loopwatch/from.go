// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/output"
	"github.com/loopwatch/loopwatch/internal/replay"
	"github.com/loopwatch/loopwatch/internal/report/json"
)

const fromFlag = "from"

// withFrom are the flags that say what to do with a report. All others say how to observe.
var withFrom = []string{fromFlag, "format", "output", "fail-on-block", ignoreFlag, baselineFlag, writeBaselineFlag, "no-color", "verbose", "help"}

// reportFrom prints the report in a file.
func (a *app) reportFrom(c *cobra.Command, f *reportFlags) error {
	if f.from == "" {
		return usage(c, "--from needs the name of a file")
	}
	var wrong []string
	c.Flags().Visit(func(flag *pflag.Flag) {
		if !slices.Contains(withFrom, flag.Name) {
			wrong = append(wrong, "--"+flag.Name)
		}
	})
	if len(wrong) > 0 {
		return usage(c, "--from observes nothing: leave out %s", strings.Join(wrong, " and "))
	}
	if err := f.check(c); err != nil {
		return err
	}
	if err := a.checkFormat(c, f.format.value, f.output); err != nil {
		return err
	}
	if a.letGo != nil {
		a.letGo() // nothing is lost if a signal ends this at once
	}
	line := a.newProgress(0)
	blockers, err := f.known.open(c.Context(), a, c, 0)
	if err != nil {
		return err
	}
	defer blockers.close()
	rep, err := a.readReport(line, f.from)
	if err != nil {
		return err
	}
	out, err := output.Open(c.Context(), outputFlag, f.output, a.stdout)
	if err != nil {
		return err
	}
	defer out.Abandon()
	if err := blockers.mark(line, rep, f.format.value); err != nil {
		return err
	}
	if err := out.Write(func(w io.Writer) error { return a.render(w, rep, f) }); err != nil {
		return err
	}
	return a.reported(line, rep, f)
}

// zstdMagic is how a recording begins (RFC 8878, section 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// readReport returns the report in a file: one that was written as JSON, or that on a recording. What the file has that the report
// does not is said on line.
func (a *app) readReport(line *progress, name string) (*model.Report, error) {
	file := os.Stdin
	if name != output.Stdout {
		// A FIFO that nobody writes to is not waited for.
		opened, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("cannot read the report: %w", err)
		}
		defer opened.Close()
		file = opened
	}
	in := bufio.NewReader(file)
	rep, err := reportIn(line, name, in)
	if err != nil {
		return nil, fmt.Errorf("cannot read the report in %s: %w", name, err)
	}
	return rep, nil
}

func reportIn(line *progress, name string, in *bufio.Reader) (*model.Report, error) {
	begin, err := in.Peek(len(zstdMagic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case len(begin) == 0:
		return nil, errors.New("it is empty")
	case bytes.Equal(begin, zstdMagic):
		return reportOnRecording(in)
	}
	rep, unknown, err := json.Read(in)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON report of this version: %w", err)
	}
	if len(unknown) > 0 {
		line.warn(fmt.Sprintf("%s has fields that this version does not know, and that are left out: %s", name, strings.Join(unknown, ", ")))
	}
	return rep, nil
}

func reportOnRecording(in io.Reader) (*model.Report, error) {
	again, err := replay.Report(in)
	if errors.Is(err, replay.ErrForeign) {
		return nil, fmt.Errorf("%w; write a JSON report there, which can be read everywhere", err)
	}
	if err != nil {
		return nil, fmt.Errorf("it is no recording of this version, or is cut: %w", err)
	}
	if !again.Complete {
		return nil, errors.New("the recording has no end, and without that no figures of loops: it was cut, or an older version has written it")
	}
	return again.Report, nil
}
