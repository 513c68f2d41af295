// SPDX-License-Identifier: Apache-2.0

package difference

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"sync"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

const (
	rowHeight = 18 // of the flame graph
	maxRows   = 200
	maxColumn = 160 // columns of a name
)

//go:embed assets/page.html.tmpl
var pageText string

//go:embed assets/style.css
var style string

// page is parsed when it is first needed.
var page = sync.OnceValue(func() *template.Template { return template.Must(template.New("page").Parse(pageText)) })

type view struct {
	Policy, Answer, Before, After string
	Style                         template.CSS
	Rows                          []row
	More                          string
	Boxes                         []box
	Height                        int
	Cut                           bool
	Notes                         []string
}

type row struct{ Class, Verdict, Cause, Name, File, PerHour, Mean, Part, Count, Change string }

// WriteHTML writes a comparison as one page that needs nothing but itself and runs nothing: the answer, each blocker, and a flame
// graph in which red has grown and blue has shrunk.
func WriteHTML(w io.Writer, d *model.Diff, before, after *model.Report) error {
	sum := sha256.Sum256([]byte(style))
	v := view{
		Policy: fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; img-src data:; base-uri 'none'; form-action 'none'", base64.StdEncoding.EncodeToString(sum[:])),
		Style:  template.CSS(style), Answer: Answer(d), Before: Side(&d.Before), After: Side(&d.After),
	}
	for _, s := range []*model.DiffSide{&d.Before, &d.After} {
		if lost := words.LostLine(s.Lost); lost != "" {
			v.Notes = append(v.Notes, lost)
		}
	}
	for i := range d.Blockers[:min(len(d.Blockers), maxRows)] {
		b := &d.Blockers[i]
		v.Rows = append(v.Rows, row{string(b.Verdict), verdictWords[b.Verdict], clean(string(b.Cause)), name(b), clean(b.File), figure(b.Before, b.After, perHour),
			figure(b.Before, b.After, func(f model.DiffFigures) string { return words.HumanDuration(f.MeanNS) }),
			figure(b.Before, b.After, func(f model.DiffFigures) string { return words.Percent(f.Part) }),
			figure(b.Before, b.After, func(f model.DiffFigures) string { return fmt.Sprint(f.Count) }), change(b)})
	}
	if more := len(d.Blockers) - maxRows; more > 0 {
		v.More = words.Plural(int64(more), "more blocker")
	}
	var rows int
	v.Boxes, rows, v.Cut = boxes(tree(before, after, d))
	v.Height = rows * rowHeight
	if err := page().Execute(w, v); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func clean(s string) string {
	return safetext.Middle(safetext.Line(safetext.Bound(s, 4*maxColumn)), maxColumn)
}
