// SPDX-License-Identifier: Apache-2.0

package application

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"path"
	"strings"
)

// Bounds of what is read of one directory that packages are installed into.
const (
	maxEntries = 1 << 14
	maxSources = 64      // distributions installed from a directory or a repository
	maxRecord  = 1 << 20 // bytes of the list of a distribution's files
)

// sourcePackages returns the top-level packages in a directory that were installed from a directory or from a repository, as
// an application is, and not from an index. Installers say so in direct_url.json (PEP 610).
func sourcePackages(files Files, dir string) map[string]bool {
	out := make(map[string]bool)
	names, _ := files.ReadDir(dir, maxEntries) // what cannot be read is of libraries
	sources := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".dist-info") {
			continue
		}
		b, err := files.ReadFile(path.Join(dir, name, "direct_url.json"), 1<<14)
		if err != nil || !isFromSource(b) {
			continue
		}
		if sources++; sources > maxSources {
			break
		}
		record, _ := files.ReadFile(path.Join(dir, name, "RECORD"), maxRecord)
		for _, top := range topLevel(record) {
			out[top] = true
		}
	}
	return out
}

// isFromSource reports whether a direct_url.json names a directory or a repository.
func isFromSource(b []byte) bool {
	var url struct {
		Directory  *json.RawMessage `json:"dir_info"`
		Repository *json.RawMessage `json:"vcs_info"`
	}
	return json.Unmarshal(b, &url) == nil && (url.Directory != nil || url.Repository != nil)
}

// topLevel returns the top-level packages and modules among the files that a RECORD lists.
func topLevel(record []byte) (out []string) {
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(bytes.NewReader(record)); lines.Scan(); {
		fields, err := csv.NewReader(strings.NewReader(lines.Text())).Read()
		if err != nil {
			continue // the last line may have been cut
		}
		top, _, inside := strings.Cut(fields[0], "/")
		if !inside {
			var module bool
			if top, module = strings.CutSuffix(top, ".py"); !module {
				continue
			}
		}
		if isIdentifier(top) && top != "__pycache__" && !seen[top] {
			seen[top] = true
			out = append(out, top)
		}
	}
	return out
}
