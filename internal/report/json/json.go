// SPDX-License-Identifier: Apache-2.0

// Package json writes the machine formats: a report, one block on a line, a dump, and a profile of awaits. What goes in has the form of package
// model already; what comes out is printable, whatever a watched process chose (package safetext).
package json

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// noBlocks is how an indented report without blocks lists them. Newlines inside of strings
// are escaped, so this cannot stand anywhere else.
const noBlocks = "\n  \"blocks\": []"

// Write writes r as one indented JSON document (schema loopwatch.report/v1). The blocks,
// nearly all of a large report, are encoded one at a time: a document of 50 MB must not cost
// five times that in memory on a host that has trouble enough.
func Write(w io.Writer, r *model.Report) error {
	frame := *r
	frame.Blocks = []model.Block{}
	var b bytes.Buffer
	if err := encode(&b, &frame, ""); err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	before, after, found := bytes.Cut(b.Bytes(), []byte(noBlocks))
	if !found {
		return fmt.Errorf("encode report: no place for its blocks")
	}
	if err := writeAll(w, before, []byte("\n  \"blocks\": [")); err != nil {
		return err
	}
	var one bytes.Buffer
	for i := range r.Blocks {
		one.Reset()
		if i > 0 {
			one.WriteByte(',')
		}
		one.WriteString("\n    ")
		if err := encode(&one, &r.Blocks[i], "    "); err != nil {
			return fmt.Errorf("encode block: %w", err)
		}
		if err := writeAll(w, one.Bytes()); err != nil {
			return err
		}
	}
	if len(r.Blocks) > 0 {
		after = append([]byte("\n  ]"), after...)
	} else {
		after = append([]byte("]"), after...)
	}
	return writeAll(w, after, []byte("\n"))
}

// WriteBlock writes one block as one line of JSON (schema loopwatch.block/v1), in the form it
// has in a report.
func WriteBlock(w io.Writer, b model.Block) error {
	summary.Normalise(&b, 0)
	b.Schema = model.SchemaBlock
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(&b); err != nil {
		return fmt.Errorf("encode block: %w", err)
	}
	return writeAll(w, safetext.JSON(line.Bytes()))
}

// WriteDump writes d as one indented JSON document (schema loopwatch.dump/v1).
func WriteDump(w io.Writer, d *model.Dump) error {
	summary.NormaliseDump(d)
	return writeWhole(w, d, "dump")
}

// WriteWaits writes p as one indented JSON document (schema loopwatch.waits/v1).
func WriteWaits(w io.Writer, p *model.WaitProfile) error {
	summary.NormaliseWaits(p)
	return writeWhole(w, p, "profile of awaits")
}

// writeWhole writes a document that is encoded at once.
func writeWhole(w io.Writer, v any, what string) error {
	var b bytes.Buffer
	if err := encode(&b, v, ""); err != nil {
		return fmt.Errorf("encode %s: %w", what, err)
	}
	return writeAll(w, b.Bytes(), []byte("\n"))
}

// encode appends v to b, its lines after the first indented by prefix, without a newline at
// the end.
func encode(b *bytes.Buffer, v any, prefix string) error {
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false) // <module> is to stay readable; nobody pastes this into HTML unescaped
	e.SetIndent(prefix, "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	raw.Truncate(raw.Len() - 1)
	b.Write(safetext.JSON(raw.Bytes()))
	return nil
}

func writeAll(w io.Writer, parts ...[]byte) error {
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// WriteDiff writes d as one indented JSON document (schema loopwatch.diff/v1).
func WriteDiff(w io.Writer, d *model.Diff) error {
	var b bytes.Buffer
	if err := encode(&b, d, ""); err != nil {
		return fmt.Errorf("encode comparison: %w", err)
	}
	return writeAll(w, b.Bytes(), []byte("\n"))
}
