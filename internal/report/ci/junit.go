// SPDX-License-Identifier: Apache-2.0

package ci

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/words"
)

// The elements of JUnit's results that readers agree on: what Jenkins' schema has
// (https://github.com/jenkinsci/xunit-plugin, junit-10.xsd), in its order.
type (
	testSuites struct {
		XMLName xml.Name    `xml:"testsuites"`
		Name    string      `xml:"name,attr"`
		Suites  []testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name      string     `xml:"name,attr"`
		Tests     int        `xml:"tests,attr"`
		Failures  int        `xml:"failures,attr"`
		Errors    int        `xml:"errors,attr"`
		Skipped   int        `xml:"skipped,attr"`
		Time      string     `xml:"time,attr"`
		Timestamp string     `xml:"timestamp,attr,omitempty"`
		Hostname  string     `xml:"hostname,attr,omitempty"`
		Cases     []testCase `xml:"testcase"`
		Out       string     `xml:"system-out,omitempty"`
	}
	testCase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Skipped *problem `xml:"skipped"`
		Failure *problem `xml:"failure"`
	}
	problem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes a report as results of tests: one for each blocker, which fails unless the blocker is let through, and one that
// says whether anything was watched. Time is that in blocks.
func WriteJUnit(w io.Writer, r *model.Report, o Options) error {
	answer := words.AnswerOf(r)
	watched := testCase{Name: "event loops were watched", Class: "loopwatch", Time: seconds(0)}
	suite := testSuite{Name: "loopwatch", Time: seconds(max(r.EndedNS-r.StartedNS, 0)), Hostname: line(r.Host.Hostname)}
	if at, err := time.Parse(time.RFC3339Nano, r.StartedAt); err == nil {
		suite.Timestamp = at.UTC().Format("2006-01-02T15:04:05")
	}
	if len(r.Loops) == 0 {
		watched.Skipped = &problem{Message: line(answer.Summary)}
		suite.Skipped++
	}
	suite.Cases = append(suite.Cases, watched)
	names := map[testCase]int{}
	for _, f := range findings(r, o) {
		c := testCase{Name: f.name(), Class: f.class(), Time: seconds(f.blocker.TotalNS)}
		same := testCase{Name: c.Name, Class: c.Class}
		if names[same]++; names[same] > 1 { // the same function at another line
			c.Name += fmt.Sprintf(" (%d)", names[same])
		}
		said := problem{Message: line(f.title), Type: line(string(f.blocker.Cause)), Text: strings.Join(f.lines, "\n")}
		if f.blocker.Known.LetThrough() {
			c.Skipped = &problem{Message: words.Known(f.blocker.Known)}
			suite.Skipped++
		} else {
			c.Failure = &said
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Tests = len(suite.Cases)
	suite.Out = strings.Join(append([]string{line(answer.Summary)}, leftOut(r)...), "\n")
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(testSuites{Name: "loopwatch", Suites: []testSuite{suite}}); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// name does not change when lines are added to a file above the culprit.
func (f *finding) name() string {
	if f.blocker.Culprit == nil {
		return line(string(f.blocker.Cause))
	}
	return line(f.blocker.Culprit.Function) + " (" + line(string(f.blocker.Cause)) + ")"
}

// class is the file, as tests of one are shown together.
func (f *finding) class() string {
	if f.blocker.Culprit == nil {
		return "loopwatch"
	}
	return line(cmp.Or(f.path, f.blocker.Culprit.File, "loopwatch"))
}

func seconds(ns int64) string { return fmt.Sprintf("%.3f", float64(ns)/1e9) }
