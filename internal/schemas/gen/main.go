// SPDX-License-Identifier: Apache-2.0

// Command gen writes the JSON Schemas of the machine formats to docs/schemas. It runs at the root of the module.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/loopwatch/loopwatch/internal/schemas"
)

func main() {
	for _, name := range schemas.Names() {
		text, err := schemas.Generate(name, ".", false)
		if err == nil {
			err = os.WriteFile(filepath.Join("docs", "schemas", name+".json"), text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}
