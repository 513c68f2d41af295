// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBlockingTestsAreNamed: of 200 tests, two of which block, those two are named, as results of tests and as annotations.
func TestBlockingTestsAreNamed(t *testing.T) {
	python := onHost(t, "pytest_asyncio")
	dir := publicDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".git"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tests"), 0o755))
	var suite strings.Builder
	suite.WriteString("import asyncio, time, pytest\n\ndef read_all():\n    time.sleep(0.4)\n\n")
	for i := range 200 {
		blocks := ""
		if i == 57 || i == 142 {
			blocks = "    read_all()\n"
		}
		fmt.Fprintf(&suite, "@pytest.mark.asyncio\nasync def test_case_%d():\n    await asyncio.sleep(0)\n%s\n", i, blocks)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tests", "test_all.py"), []byte(suite.String()), 0o644))
	named := regexp.MustCompile(`tests/test_all\.py::test_case_\d+`)
	want := []string{"tests/test_all.py::test_case_142", "tests/test_all.py::test_case_57"}
	for _, format := range []string{"junit", "github"} {
		file := filepath.Join(dir, format)
		cmd := runOf([]string{"--fail-on-block", "-t", "300ms", "-f", format, "-o", file}, python.Path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
		cmd.Dir = filepath.Join(dir)
		got := finish(t, cmd)
		assert.Contains(t, got.stdout, "200 passed")
		assert.Equal(t, 3, got.status, got.stderr)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		of := string(text) // of the blocker in the suite, whatever else the machine did
		if format == "junit" {
			var all struct {
				Cases []struct {
					Name, Classname string `xml:",attr"`
					Failure         string `xml:"failure"`
				} `xml:"testsuite>testcase"`
			}
			require.NoError(t, xml.Unmarshal(text, &all))
			of = ""
			for _, c := range all.Cases {
				of += c.Failure
			}
		} else {
			assert.Regexp(t, `(?m)^::error file=tests/test_all\.py,line=4,title=Event loop blocked%3A sleep`, of)
		}
		found := named.FindAllString(of, -1)
		slices.Sort(found)
		assert.Equal(t, want, slices.Compact(found), "%s", text)
	}
}
