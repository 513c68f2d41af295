// SPDX-License-Identifier: Apache-2.0

package html

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/profile"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// Bounds of a page of a profile of awaits.
const (
	maxPlaces  = 50 // in which tasks waited for one another, and others
	openPlaces = 3  // of them unfolded
	maxChains  = 3  // of one place
)

// waitsView is what the template shows of a profile of awaits. Its strings are fit to be shown.
type waitsView struct {
	shell
	leftOut
	Answer    words.WaitAnswer
	Facts     []fact
	Contended []placeView
	Idle      []placeView
	Loops     []waitLoopView
	Causes    []causeView // kinds of waits that occur
}

type placeView struct {
	Number                  int
	Kind                    causeView
	What, Held              string
	Share, Time, Mean, Most string
	Width                   string // of its bar
	Open                    bool
	Chains                  []chainView
}

type chainView struct {
	Share string // "" of the only one
	Stack []stackGroup
}

type waitLoopView struct{ Name, Command, Kind, Python, Where, Tasks, Time string }

// Flamed is what the flame graph shows, Drawn whether there is something to draw.
func (v *waitsView) Flamed() string { return waitingTime }
func (v *waitsView) Drawn() bool    { return len(v.Contended)+len(v.Idle) > 0 }

// WriteWaits writes p as one HTML file.
func WriteWaits(w io.Writer, p *model.WaitProfile) error {
	summary.NormaliseWaits(p)
	v := newWaitsView(p)
	g := emptyGraphs(waitingTime, kindOf)
	g.StartedAt, g.WindowNS = clean(p.StartedAt), max(p.EndedNS-p.StartedNS, 0)
	g.Unit = "task-seconds"
	g.flame(profile.WaitSamples(p), &v.leftOut)
	if err := v.shell.fill(g); err != nil {
		return err
	}
	if err := waitsPage().Execute(w, v); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func newWaitsView(p *model.WaitProfile) *waitsView {
	groups := words.GroupWaits(p)
	v := &waitsView{Answer: words.AnswerOfWaits(p, groups)}
	v.Title = "loopwatch waits"
	if p.Host.Hostname != "" {
		v.Title += " of " + clean(p.Host.Hostname)
	}
	v.Answer.Summary = glued(v.Answer.Summary)
	v.facts(p)
	v.Contended = v.places(groups.Contended, groups.ContendedNS)
	v.Idle = v.places(groups.Idle, groups.IdleNS)
	for _, l := range p.Loops[:min(len(p.Loops), maxLoops)] {
		v.Loops = append(v.Loops, waitLoopView{
			Name: words.LoopName(model.Loop{PID: l.PID, TID: l.TID, Command: l.Command}), Command: clean(l.Command), Kind: clean(l.Loop),
			Python: clean(l.Python), Where: clean(cmp.Or(l.Container, l.Unit)), Tasks: strconv.Itoa(l.TasksMax), Time: words.SecondsOf(l.TaskNS),
		})
	}
	if out := len(p.Loops) - maxLoops; out > 0 {
		v.Limits = append(v.Limits, words.Plural(int64(out), "more loop")+", whose tasks waited less than these, are in the JSON format.")
	}
	v.leftOut.fill(p.Lost, p.Unsupported)
	return v
}

func (v *waitsView) facts(p *model.WaitProfile) {
	started := clean(p.StartedAt)
	if at, err := time.Parse(time.RFC3339Nano, p.StartedAt); err == nil {
		started = at.Format("2006-01-02 15:04:05 MST")
	}
	v.Facts = []fact{
		{"Host", clean(p.Host.Hostname)}, {"Started", started}, {"Watched for", words.HumanDuration(p.EndedNS - p.StartedNS)},
		{"Samples", strconv.FormatInt(p.Samples, 10)}, {"Kernel", "Linux " + clean(p.Host.Kernel)}, {"Machine", clean(p.Host.Arch)},
	}
	v.Facts = slices.DeleteFunc(v.Facts, func(f fact) bool { return f.Value == "" || f.Value == "Linux " })
}

func (v *waitsView) places(groups []words.WaitGroup, total int64) (out []placeView) {
	for i := range groups[:min(len(groups), maxPlaces)] {
		g := &groups[i]
		kind := kindOf(model.Cause(g.Wait.On))
		if !slices.Contains(v.Causes, kind) {
			v.Causes = append(v.Causes, kind)
		}
		place := placeView{
			Number: i + 1, Kind: kind, What: words.WaitingFor(g.Wait), Held: words.HeldBy(g.Wait), Share: glued(words.ShareOf(g.TaskNS, total)),
			Time: words.SecondsOf(g.TaskNS), Mean: strconv.FormatFloat(g.Mean, 'f', 1, 64), Most: strconv.Itoa(g.Most), Open: i < openPlaces,
			Width: "0",
		}
		if total > 0 {
			place.Width = strconv.FormatFloat(100*float64(g.TaskNS)/float64(total), 'f', 2, 64)
		}
		if g.Wait.Place != nil {
			place.What += " at " + words.CulpritName(g.Wait.Place)
		}
		for _, c := range g.Chains[:min(len(g.Chains), maxChains)] {
			chain := chainView{Stack: stackOf(c.Chain, c.Place)}
			if len(g.Chains) > 1 {
				chain.Share = words.ShareOf(c.TaskNS, g.TaskNS)
			}
			place.Chains = append(place.Chains, chain)
		}
		out = append(out, place)
	}
	if left := len(groups) - maxPlaces; left > 0 {
		v.Limits = append(v.Limits, words.Plural(int64(left), "more place")+", where tasks waited less than in these, are in the JSON format and in the flame graph.")
	}
	return out
}

// kinds are what tasks wait for, and the colours they are drawn in.
var kinds = []struct {
	kind  model.WaitKind
	color string
}{
	{model.WaitLock, "#c4453c"}, {model.WaitSemaphore, "#d4762c"}, {model.WaitQueue, "#b8901f"}, {model.WaitCondition, "#a34a8f"},
	{model.WaitBarrier, "#7a54b8"}, {model.WaitExecutor, "#2f7f95"}, {model.WaitEvent, "#5b7fc7"}, {model.WaitTask, "#4c8f6a"},
	{model.WaitStream, "#3f8fd0"}, {model.WaitSleep, "#8b8a86"}, {model.WaitFuture, "#6f7c52"},
}

// kindOf says how what tasks wait for is shown.
func kindOf(on model.Cause) causeView {
	for _, k := range kinds {
		if string(k.kind) == string(on) {
			return causeView{"w-" + string(k.kind), string(k.kind), "tasks waited: " + words.WaitingFor(&model.Wait{On: k.kind})}
		}
	}
	return causeView{"w-future", clean(string(on)), "tasks waited for something else"}
}

// kindRules returns a CSS rule for each kind of wait.
func kindRules() string {
	var rules []string
	for _, k := range kinds {
		rules = append(rules, fmt.Sprintf(".w-%s { --h: %s; }", k.kind, k.color))
	}
	return strings.Join(rules, "\n")
}
