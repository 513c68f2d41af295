// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// title begins the figures of one benchmark.
func (b *bench) title(format string, args ...any) {
	fmt.Fprintf(b.out, "\n"+format+"\n\n", args...)
}

// note says something about the table before.
func (b *bench) note(format string, args ...any) {
	fmt.Fprintf(b.out, format+"\n", args...)
}

// table prints rows under titles, the first column to the left and numbers to the right.
func (b *bench) table(titles []string, rows [][]string) error {
	align := make([]tw.Align, len(titles))
	for i := range align {
		align[i] = tw.AlignRight
	}
	align[0] = tw.AlignLeft
	var out bytes.Buffer
	table := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithPadding(tw.Padding{Right: "   ", Overwrite: true}),
	)
	table.Configure(func(c *tablewriter.Config) {
		c.Header.Alignment.PerColumn, c.Row.Alignment.PerColumn = align, align
	})
	table.Header(titles)
	if err := table.Bulk(rows); err != nil {
		return fmt.Errorf("lay out table: %w", err)
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("lay out table: %w", err)
	}
	for line := range bytes.Lines(out.Bytes()) {
		fmt.Fprintf(b.out, "%s\n", bytes.TrimRight(line, " \n"))
	}
	return nil
}
