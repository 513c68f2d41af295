// SPDX-License-Identifier: Apache-2.0

package words

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"github.com/loopwatch/loopwatch/internal/report/safetext"
)

// Column describes one column of a text table.
type Column struct {
	Title string
	Right bool // numbers stand right
	// Optional columns are left out, the highest first, while the table is too wide; 0 stays.
	Optional int
	// Flexible columns are cut in the middle once only needed columns are left.
	Flexible bool
	// Minimum width a flexible column is cut to.
	Minimum int
}

// gap is the space between columns.
const gap = 2

// WriteTable lays rows out in at most width columns: first optional columns go, then
// flexible ones are cut. Cells have to be safe text already.
func WriteTable(w io.Writer, columns []Column, rows [][]string, width int) error {
	keep, widths := fit(columns, rows, width)
	var laidOut bytes.Buffer
	table := tablewriter.NewTable(&laidOut,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Settings: tw.Settings{
				Lines:      tw.LinesNone,
				Separators: tw.SeparatorsNone,
			},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
	)
	align := make([]tw.Align, len(keep))
	header := make([]string, len(keep))
	for i, c := range keep {
		align[i] = tw.AlignLeft
		if columns[c].Right {
			align[i] = tw.AlignRight
		}
		header[i] = columns[c].Title
	}
	table.Configure(func(cfg *tablewriter.Config) {
		cfg.Header.Alignment.PerColumn = align
		cfg.Row.Alignment.PerColumn = align
	})
	table.Header(header)
	for _, row := range rows {
		cells := make([]string, len(keep))
		for i, c := range keep {
			cells[i] = safetext.Middle(row[c], widths[i])
		}
		if err := table.Append(cells); err != nil {
			return fmt.Errorf("lay out table: %w", err)
		}
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("lay out table: %w", err)
	}
	for line := range bytes.Lines(laidOut.Bytes()) {
		// The padding of the last column only makes lines wrap and diffs differ.
		if _, err := w.Write(append(bytes.TrimRight(line, " \n"), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// fit returns the columns to show and their widths.
func fit(columns []Column, rows [][]string, width int) (keep, widths []int) {
	for i := range columns {
		keep = append(keep, i)
	}
	natural := make([]int, len(columns))
	total := 0
	for i, c := range columns {
		natural[i] = safetext.Width(c.Title)
		for _, row := range rows {
			natural[i] = max(natural[i], safetext.Width(row[i]))
		}
		total += natural[i] + gap
	}
	least := func(i int) int { // what column i cannot do without
		if columns[i].Flexible {
			return min(natural[i], max(columns[i].Minimum, safetext.Width(columns[i].Title)))
		}
		return natural[i]
	}
	leastTotal := 0
	for i := range columns {
		leastTotal += least(i) + gap
	}
	for leastTotal > width {
		drop := -1
		for at, i := range keep {
			if columns[i].Optional > 0 && (drop < 0 || columns[i].Optional > columns[keep[drop]].Optional) {
				drop = at
			}
		}
		if drop < 0 {
			break
		}
		leastTotal -= least(keep[drop]) + gap
		total -= natural[keep[drop]] + gap
		keep = append(keep[:drop], keep[drop+1:]...)
	}
	for _, i := range keep {
		w := natural[i]
		if over := total - width; over > 0 && columns[i].Flexible {
			w = max(least(i), w-over)
			total -= natural[i] - w
		}
		widths = append(widths, w)
	}
	return keep, widths
}

// Hang breaks text at spaces where it is wider than width (0: any); what follows the first line is indented.
func Hang(text string, width int) string {
	const indent = "      "
	if width <= 0 || safetext.Width(text) <= width {
		return text
	}
	begin := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line, used := begin, false
	var b strings.Builder
	for _, word := range strings.Fields(text) {
		word = safetext.Middle(word, width-len(indent))
		if used && safetext.Width(line)+1+safetext.Width(word) > width {
			b.WriteString(line + "\n")
			line, used = indent, false
		}
		if used {
			line += " "
		}
		line, used = line+word, true
	}
	return b.String() + line
}
