// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/loopwatch/loopwatch/internal/block"
)

// maxWindow bounds the memory of the decompressor.
const maxWindow = 1 << 20

// Reader reads a recording. It is not safe for concurrent use.
type Reader struct {
	Header Header
	zip    *zstd.Decoder
	lines  *bufio.Reader
}

// NewReader reads the header of a recording.
func NewReader(r io.Reader) (*Reader, error) {
	zip, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	out := &Reader{zip: zip, lines: bufio.NewReaderSize(io.LimitReader(zip, maxTotal), 64<<10)}
	if err := out.header(); err != nil {
		zip.Close()
		return nil, err
	}
	return out, nil
}

func (r *Reader) header() error {
	line, err := r.line(maxHeader)
	if err != nil {
		return fmt.Errorf("read header: %w", noEnd(err))
	}
	if err := json.Unmarshal(line, &r.Header); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	if r.Header.Schema != Schema {
		return fmt.Errorf("schema %.40q is not %q", r.Header.Schema, Schema)
	}
	return nil
}

// Close releases the decompressor.
func (r *Reader) Close() { r.zip.Close() }

// Next returns the next entry, and io.EOF after the last.
func (r *Reader) Next() (Entry, error) {
	line, err := r.line(maxLine)
	if err != nil {
		return Entry{}, err
	}
	// The samples are taken apart one by one, so that few bytes cannot become many samples.
	e := struct {
		*block.Evidence
		*Note
		Samples json.RawMessage `json:"samples"`
	}{new(block.Evidence), new(Note), nil}
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("read evidence: %w", err)
	}
	if e.Evidence == nil || e.Note == nil || len(line)-len(e.Samples) > maxRest {
		return Entry{}, errors.New("read evidence: longer than it may be")
	}
	if !e.Note.empty() {
		return Entry{Note: e.Note}, nil
	}
	if e.Evidence.Samples, err = samples(e.Samples); err != nil {
		return Entry{}, fmt.Errorf("read samples: %w", err)
	}
	return Entry{Evidence: e.Evidence}, nil
}

func samples(raw json.RawMessage) (out []block.Sample, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if start, err := d.Token(); err != nil || start != json.Delim('[') {
		return nil, errors.New("no list")
	}
	for d.More() {
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return nil, err
		}
		if len(out) == maxSamples || len(one) > maxSample {
			return nil, errors.New("too many or too long")
		}
		var s block.Sample
		if err := json.Unmarshal(one, &s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// line returns the next line, without its end.
func (r *Reader) line(limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(out)+len(part) > limit {
			return nil, fmt.Errorf("a line is longer than %d bytes", limit)
		}
		out = append(out, part...)
		switch {
		case err == nil:
			return out[:len(out)-1], nil
		case errors.Is(err, io.EOF) && len(out) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// noEnd returns an error that does not say that all was read.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
