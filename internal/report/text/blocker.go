// SPDX-License-Identifier: Apache-2.0

package text

import (
	"fmt"
	"io"
	"strings"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/safetext"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// WriteBlocker writes a blocker for people, as number number of a list. A blocker without loops is
// one of a single loop.
func WriteBlocker(w io.Writer, number int, b *model.Blocker, o Options) error {
	t := &reportWriter{writer: narrowWriter(w, o)}
	t.blocker(number, b, nil)
	return t.err
}

// WriteStack writes what is known of a block but its times: the evidence, the stack that took most
// of it, and who held what it waited for.
func WriteStack(w io.Writer, b *model.Block, o Options) error {
	t := narrowWriter(w, o)
	if period := words.OfPeriod(b); period != "" {
		t.printf("      %s\n", t.cut(period, t.width-6))
	}
	if evidence := words.Evidence(b.Detail); evidence != "" {
		t.printf("      %s\n", t.cut(evidence, t.width-6))
	}
	if b.Delayed != nil {
		t.waited(b.Delayed)
	}
	switch {
	case len(b.Stacks) == 0 && b.InWait:
		t.printf("      %s\n", words.InWait(1, 1))
	case len(b.Stacks) == 0:
		t.printf("      %s\n", t.style(styleFaint, "no stack was taken of it yet"))
	default:
		t.stack(b.Stacks[0].Frames, b.Culprit, o.Verbose)
	}
	t.holder(b.Detail.Holder)
	return t.err
}

func (t *reportWriter) blockers() {
	blockers := t.r.Blockers
	if len(blockers) == 0 {
		return
	}
	t.section("Blockers, worst first")
	n := t.shown(len(blockers), textBlockers)
	about := summary.AboutBlockers(t.r)
	for i := range blockers[:n] {
		t.blocker(i+1, &blockers[i], about[blockers[i].Key()])
	}
	if rest := blockers[n:]; len(rest) > 0 {
		var total int64
		atLeast := false
		for _, b := range rest {
			total += b.TotalNS
			atLeast = atLeast || b.AtLeast
		}
		t.printf("%s\n", t.style(styleFaint, fmt.Sprintf("… and %s, %s in all (--verbose shows them)",
			words.Plural(int64(len(rest)), "more blocker"), words.BoundedDuration(total, atLeast))))
	}
}

func (t *reportWriter) blocker(number int, b *model.Blocker, about *summary.About) {
	where := ""
	if len(b.Loops) > 0 {
		where = ", in " + t.names.List(b.Loops, 3)
	}
	t.printf("%2d. %s  %s, %s in %s, max %s%s\n", number, t.style(styleRed, words.CulpritName(b.Culprit)), word(string(b.Cause)),
		words.BoundedDuration(b.TotalNS, b.AtLeast), words.Plural(b.Count, "block"), words.BoundedDuration(b.MaxNS, b.AtLeast), where)
	if evidence := words.Evidence(b.Detail); evidence != "" {
		t.printf("      %s\n", t.cut(evidence, t.width-6))
	}
	if about != nil {
		t.about(about, b.Detail.GIL)
	}
	if b.Advice != "" {
		t.printf("      %s\n", t.style(styleCyan, safetext.Line(b.Advice)))
	}
	switch {
	case len(b.Stack) == 0:
		t.printf("      %s\n", t.style(styleFaint, "no stack was taken of it"))
	case b.Culprit == nil:
		t.printf("      %s\n", t.style(styleFaint, "the loop was held up here:"))
	}
	t.stack(b.Stack, b.Culprit, t.o.Verbose)
	t.holder(b.Detail.Holder)
}

// smallPart is what of a split is not worth a word.
const smallPart = 0.01

// about prints what a blocker's time went to, where that is more than its cause, and who waited.
func (t *reportWriter) about(a *summary.About, gil model.GIL) {
	var facts []string
	if parts := summary.Parts(a.SplitNS); len(parts) > 1 && 1-parts[0].Share >= smallPart {
		var split []string
		for _, p := range parts {
			if p.Share >= smallPart {
				split = append(split, string(p.Cause)+" "+words.Percent(p.Share))
			}
		}
		facts = append(facts, strings.Join(split, ", "))
	}
	if gil != "" {
		facts = append(facts, "GIL "+string(gil))
	}
	if a.Many > 0 {
		facts = append(facts, fmt.Sprintf("many short callbacks in %d of %s", a.Many, words.Plural(int64(a.Blocks), "block")))
	}
	if len(facts) > 0 {
		t.printf("      %s\n", t.cut(strings.Join(facts, "; "), t.width-6))
	}
	if inWait := words.InWait(a.InWait, a.Blocks); inWait != "" {
		t.printf("      %s\n", t.cut(inWait, t.width-6))
	}
	t.waited(&a.Delayed)
}

// waited says who had to wait, if anybody.
func (t *writer) waited(d *model.Delayed) {
	if waited := words.WaitedIn(d, t.width-6); waited != "" {
		t.printf("      %s\n", waited)
	}
}
