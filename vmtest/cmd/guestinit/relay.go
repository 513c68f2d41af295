// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
)

// relay passes on to out what is written to the pipe it returns. end returns when all is passed on that was
// written before: whoever still holds the pipe open is not waited for, and how fast out is does not matter.
func relay(out io.Writer) (to *os.File, end func() error, err error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	mark := []byte(rand.Text()) // short enough for a pipe to keep together
	passed := make(chan error, 1)
	go func() { passed <- copyUntil(out, from, mark) }()
	return to, func() error {
		if _, err := to.Write(mark); err != nil {
			return err
		}
		return errors.Join(<-passed, to.Close())
	}, nil
}

// copyUntil copies what comes before mark.
func copyUntil(out io.Writer, from io.Reader, mark []byte) error {
	var held []byte // it may be the beginning of mark
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return err
		}
		held = append(held, buffer[:n]...)
		before, _, found := bytes.Cut(held, mark)
		if !found {
			before = held[:len(held)-overlap(held, mark)]
		}
		if _, err := out.Write(before); err != nil || found {
			return err
		}
		held = held[len(before):]
	}
}

// overlap returns how many bytes at the end of text are the first of mark.
func overlap(text, mark []byte) int {
	n := min(len(text), len(mark))
	for !bytes.HasSuffix(text, mark[:n]) {
		n--
	}
	return n
}
