// SPDX-License-Identifier: Apache-2.0

//go:build man

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// With the build tag man, loopwatch has a command that writes its own man pages: the Makefile runs
// it, and the binary people install does without the packages it takes.
func buildCommands() []*cobra.Command { return []*cobra.Command{manCommand()} }

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages to a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return writePages(c.Root(), args[0])
		},
	}
}

// writePages writes a page for the root command and each of its own. SOURCE_DATE_EPOCH dates them.
func writePages(root *cobra.Command, dir string) error {
	for _, c := range append(root.Commands(), root) {
		if !c.IsAvailableCommand() && c != root {
			continue
		}
		c.DisableAutoGenTag = true
		c.InitDefaultHelpFlag()
		var page bytes.Buffer
		if err := doc.GenMan(c, &doc.GenManHeader{Section: "8", Source: "loopwatch " + version, Manual: "loopwatch"}, &page); err != nil {
			return err
		}
		// A switch takes no value.
		text := bytes.ReplaceAll(page.Bytes(), []byte("[=false]"), nil)
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".8"
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
