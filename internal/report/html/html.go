// SPDX-License-Identifier: Apache-2.0

// Package html writes a report as one HTML file for people: the answer, loops, blockers with
// their stacks, a timeline of the blocks and a flame graph of the blocked time; and a profile of awaits in the same way. The file needs
// nothing but itself; a content security policy keeps it from loading or running anything else.
// A report or such a profile goes in, the page goes out; what a watched process chose is neutralised
// (package safetext) and escaped (html/template, JSON read by text nodes alone).
package html

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"

	"github.com/loopwatch/loopwatch/internal/model"
)

// Bounds of a page: what a browser shows without effort, and a chat message carries.
const (
	maxLoops       = 500    // rows of the table of loops, the most blocked
	firstLoops     = 8      // of them shown at once
	maxBlockers    = 50     // blockers with their stacks
	firstBlockers  = 10     // of them shown at once
	openBlockers   = 3      // of them unfolded
	maxDrawn       = 5_000  // blocks in the timeline, the longest
	maxLanes       = 40     // loops in the timeline
	maxNodes       = 12_000 // boxes of the flame graph
	maxProblems    = 50     // processes that could not be watched
	maxName        = 160    // columns of a name
	maxTask        = 40     // of a task's, among others
	longestBlocks  = 10     // in the table under the timeline
	holderFrames   = 12
	blockerLoops   = 5
	blockerTasks   = 5
	maxStackFrames = 120 // lines of one stack
	maxParts       = 32  // causes of one split: a report of another version has other ones
)

//go:embed assets/page.html.tmpl
var pageText string

//go:embed assets/waits.html.tmpl
var waitsText string

//go:embed assets/style.css
var styleFile string

//go:embed assets/script.js
var scriptText string

// style is the page's style sheet. The rules that colour the causes are made from the table of causes.
func style() string { return strings.Replace(styleFile, causesHere, causeRules()+"\n"+kindRules(), 1) }

// page is parsed when it is first needed: most commands write no page.
var page = sync.OnceValue(func() *template.Template { return template.Must(template.New("page").Parse(pageText)) })

// waitsPage is the page of a profile of awaits: it shares the parts of the other one.
var waitsPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.Must(template.New("page").Parse(pageText)).New("waits").Parse(waitsText))
})

// policy lets the page use its own style and script and nothing else.
func policy(style string) string {
	return fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'",
		hashOf(scriptText), hashOf(style))
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Write writes r as one HTML file.
func Write(w io.Writer, r *model.Report) error {
	v := newView(r)
	if err := v.shell.fill(newGraphs(r, v)); err != nil {
		return err
	}
	if err := page().Execute(w, v); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// fill takes what is drawn, and what draws it.
func (s *shell) fill(g *graphs) error {
	data, err := json.Marshal(g) // escapes <, > and &
	if err != nil {
		return fmt.Errorf("encode the graphs: %w", err)
	}
	css := style()
	s.Policy = policy(css)
	s.Style, s.Script, s.Data = template.CSS(css), template.JS(scriptText), template.JS(data)
	return nil
}
