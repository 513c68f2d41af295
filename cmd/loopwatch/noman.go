// SPDX-License-Identifier: Apache-2.0

//go:build !man

package main

import "github.com/spf13/cobra"

// buildCommands returns the commands that only builds with a tag of their own have.
func buildCommands() []*cobra.Command { return nil }
