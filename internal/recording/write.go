// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/loopwatch/loopwatch/internal/block"
)

// ErrTooLong says that there are more samples of one period than a recording has room for.
var ErrTooLong = errors.New("a line is too long")

// Writer writes a recording. It is not safe for concurrent use.
type Writer struct {
	zip *zstd.Encoder
	err error // the first; nothing is written after it
}

// NewWriter returns a writer that compresses to w.
func NewWriter(w io.Writer) (*Writer, error) {
	zip, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return &Writer{zip: zip}, nil
}

// Begin writes the header. It comes before all else. Close returns what goes wrong.
func (w *Writer) Begin(h Header) {
	h.Schema = Schema
	w.line(h, maxHeader)
}

// Add writes the evidence on one period. Close returns what goes wrong.
func (w *Writer) Add(e *block.Evidence) { w.line(e, maxLine) }

// Note writes a note. Close returns what goes wrong.
func (w *Writer) Note(n Note) { w.line(n, maxRest) }

func (w *Writer) line(v any, limit int) {
	if w.err != nil {
		return
	}
	line, err := json.Marshal(v)
	switch {
	case err != nil:
		w.err = err
	case len(line) >= limit:
		w.err = fmt.Errorf("%w: %d bytes, and %d are too many", ErrTooLong, len(line), limit)
	default:
		_, w.err = w.zip.Write(append(line, '\n'))
	}
}

// Close ends the recording and returns the first error of all.
func (w *Writer) Close() error {
	closed := w.zip.Close()
	if w.err != nil {
		return w.err
	}
	return closed
}
