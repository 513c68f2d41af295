// SPDX-License-Identifier: Apache-2.0

package json

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Bounds of a report that is read. They are beyond what Write writes of an observation.
const (
	maxFile        = 256 << 20 // bytes
	maxElement     = 16 << 20  // bytes of one block, blocker or loop
	maxObjects     = 64 << 10  // in one of them
	maxBlocks      = 20_000
	maxBlockers    = 20_000
	maxLoops       = 100_000
	maxUnsupported = 100_000
	maxFrames      = 4 << 20 // in all stacks together
	maxUnknown     = 8       // fields named that this version does not know
)

// Read reads a report that Write has written, whoever may have changed it since: all lengths, counts and numbers are
// bounded. What it returns is written by every format as the report was that Write got. unknown names fields that
// this version does not know and that are left out, eight at most.
func Read(r io.Reader) (rep *model.Report, unknown []string, err error) {
	in := &reader{report: &model.Report{}, source: &window{r: r}, seen: map[string]bool{}}
	in.decoder = json.NewDecoder(in.source)
	if err := in.document(); err != nil {
		return nil, nil, in.explain(err)
	}
	return in.report, in.unknown, nil
}

// window reads no further than to its limit.
type window struct {
	r    io.Reader
	read int64
	end  int64 // of the value that is being read
}

var (
	errLong = fmt.Errorf("longer than %d MiB", maxElement>>20)
	errHuge = fmt.Errorf("the file is longer than %d MiB", maxFile>>20)
)

func (w *window) Read(p []byte) (int, error) {
	switch {
	case w.read >= maxFile:
		return 0, errHuge
	case w.read >= w.end:
		return 0, errLong
	}
	n, err := w.r.Read(p[:min(int64(len(p)), maxFile-w.read, w.end-w.read)])
	w.read += int64(n)
	return n, err
}

// reader reads one document.
type reader struct {
	report  *model.Report
	source  *window
	decoder *json.Decoder
	seen    map[string]bool // fields of the report
	at      string          // where in the document
	unknown []string
	figures figures
}

// next allows for one more value.
func (in *reader) next() { in.source.end = in.decoder.InputOffset() + maxElement }

func (in *reader) more() bool {
	in.next()
	return in.decoder.More()
}

func (in *reader) token() (json.Token, error) {
	in.next()
	return in.decoder.Token()
}

func (in *reader) document() error {
	if start, err := in.token(); err != nil || start != json.Delim('{') {
		return cmp.Or(err, errors.New("no JSON object"))
	}
	for in.more() {
		key, err := in.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		in.at = name
		if in.seen[name] {
			return errors.New("stands there twice")
		}
		in.seen[name] = true
		if err := in.field(name); err != nil {
			return err
		}
	}
	in.at = ""
	if _, err := in.token(); err != nil {
		return err
	}
	if _, err := in.token(); !errors.Is(err, io.EOF) {
		return cmp.Or(err, errors.New("something follows the report"))
	}
	for _, name := range []string{"schema", "started_ns", "ended_ns", "threshold_ns", "loops", "blockers", "blocks", "lost"} {
		if !in.seen[name] {
			return fmt.Errorf("no %q", name)
		}
	}
	return in.figures.check(in.report)
}

// field reads one field of the report.
func (in *reader) field(name string) error {
	r := in.report
	switch name {
	case "schema":
		if err := in.value(&r.Schema); err != nil {
			return err
		}
		if r.Schema != model.SchemaReport {
			return fmt.Errorf("%.60q is not %q", r.Schema, model.SchemaReport)
		}
		return nil
	case "started_at":
		return in.value(&r.StartedAt)
	case "started_ns":
		return in.value(&r.StartedNS)
	case "ended_ns":
		return in.value(&r.EndedNS)
	case "threshold_ns":
		return in.value(&r.ThresholdNS)
	case "processes":
		return in.value(&r.Processes)
	case "host":
		return in.value(&r.Host)
	case "lost":
		return in.value(&r.Lost)
	case "let_through":
		r.LetThrough = new(model.LetThrough)
		return in.value(r.LetThrough)
	case "loops":
		return list(in, name, &r.Loops, maxLoops, in.figures.loop)
	case "blockers":
		return list(in, name, &r.Blockers, maxBlockers, in.figures.blocker)
	case "blocks":
		return list(in, name, &r.Blocks, maxBlocks, in.figures.block)
	case "unsupported":
		return list(in, name, &r.Unsupported, maxUnsupported, in.figures.unsupported)
	}
	in.leaveOut(name)
	var ignored json.RawMessage
	in.next()
	return in.decoder.Decode(&ignored)
}

// list reads a list, one element after the other: few bytes cannot become many elements.
func list[T any](in *reader, name string, to *[]T, limit int, check func(*T) error) error {
	*to = []T{}
	if start, err := in.token(); err != nil || start != json.Delim('[') {
		return cmp.Or(err, errors.New("no list"))
	}
	for in.more() {
		in.at = fmt.Sprintf("%s[%d]", name, len(*to))
		if len(*to) == limit {
			return fmt.Errorf("more than %d", limit)
		}
		var one T
		if err := in.value(&one); err != nil {
			return err
		}
		if err := check(&one); err != nil {
			return err
		}
		*to = append(*to, one)
	}
	in.at = name
	_, err := in.token()
	return err
}

// value reads one value.
func (in *reader) value(to any) error {
	var raw json.RawMessage
	in.next()
	if err := in.decoder.Decode(&raw); err != nil {
		return err
	}
	if bytes.Count(raw, []byte("{")) > maxObjects {
		return fmt.Errorf("more than %d parts", maxObjects)
	}
	if string(raw) == "null" {
		return errors.New("is null")
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	err := strict.Decode(to)
	if name, ok := strings.CutPrefix(fmt.Sprint(err), "json: unknown field "); ok {
		in.leaveOut(strings.Trim(name, `"`))
		return json.Unmarshal(raw, to)
	}
	return err
}

func (in *reader) leaveOut(name string) {
	name = fmt.Sprintf("%.40s", name)
	if len(in.unknown) < maxUnknown && !slices.Contains(in.unknown, name) {
		in.unknown = append(in.unknown, name)
	}
}

// explain says where in the file something is wrong.
func (in *reader) explain(err error) error {
	if bad := (*json.UnmarshalTypeError)(nil); errors.As(err, &bad) {
		err = fmt.Errorf("%s is %s", cmp.Or(bad.Field, "it"), wrongType(bad))
	}
	if bad := (*json.SyntaxError)(nil); errors.As(err, &bad) {
		err = fmt.Errorf("no JSON at byte %d: %w", in.decoder.InputOffset(), err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends too early")
	}
	if in.at == "" || errors.Is(err, errHuge) {
		return err
	}
	return fmt.Errorf("%.80q: %w", in.at, err)
}

func wrongType(bad *json.UnmarshalTypeError) string {
	if strings.HasPrefix(bad.Value, "number ") {
		return "a number out of range"
	}
	return fmt.Sprintf("a %s, where a %s should be", bad.Value, kindName(bad.Type.Kind().String()))
}

func kindName(kind string) string {
	switch kind {
	case "struct", "map", "ptr":
		return "object"
	case "slice":
		return "list"
	case "string", "bool":
		return kind
	}
	return "number"
}
