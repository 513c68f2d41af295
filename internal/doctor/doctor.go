// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out what this kernel, these privileges and the Python processes here allow,
// by trying: it loads and attaches the programs of an observation, and looks at the processes that one
// would watch. Out comes a Diagnosis, as text or JSON. It changes nothing on the host.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/loopwatch/loopwatch/internal/probes"
	"github.com/loopwatch/loopwatch/internal/probes/host"
)

// Schema of the JSON.
const Schema = "loopwatch.doctor/v1"

// Status is how one check came out.
type Status string

const (
	OK       = Status("ok")
	Fallback = Status("fallback") // does not work here; something else is used instead
	Reduced  = Status("reduced")  // works, and something is lost
	Failed   = Status("failed")   // nothing can be observed
	Unknown  = Status("unknown")  // could not be found out
)

// Check is one thing looked at. Every one that is not OK says what to do.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"`
}

// Process is one Python process. Watchable says that its interpreter was found and is one loopwatch
// knows; whether the host lets anything be watched is Diagnosis.Works.
type Process struct {
	PID       int      `json:"pid"`
	Command   string   `json:"command"`
	Python    string   `json:"python,omitempty"`
	Loops     []string `json:"loops"` // the kind of each loop seen on a stack
	USDT      []string `json:"usdt"`  // kinds of own probes that can be used
	Container string   `json:"container,omitempty"`
	Unit      string   `json:"unit,omitempty"`
	Watchable bool     `json:"watchable"`
	Reason    string   `json:"reason,omitempty"`
	Do        string   `json:"do,omitempty"`
}

// Diagnosis is everything found out.
type Diagnosis struct {
	Schema     string    `json:"schema"`
	Answer     string    `json:"answer"`
	Works      bool      `json:"works"`
	Attach     string    `json:"attach,omitempty"` // how the waits would be hooked
	Host       Host      `json:"host"`
	Checks     []Check   `json:"checks"` // of the host
	Hooks      []Check   `json:"hooks"`  // each one tried
	Processes  []Process `json:"processes"`
	Unreadable int       `json:"unreadable"` // processes that may be anything

	opaque   []Process // those
	asked    bool      // for certain processes
	fallback *host.Error
}

// Host is the machine looked at.
type Host struct {
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"`
	Arch     string `json:"arch"`
}

// Watchable returns how many processes can be watched.
func (d *Diagnosis) Watchable() (n int) {
	for _, p := range d.Processes {
		if p.Watchable {
			n++
		}
	}
	return n
}

// Examine tries everything. With pids only these processes are looked at. Where ctx is done first, that is the error.
func Examine(ctx context.Context, pids []int) (*Diagnosis, error) {
	d := &Diagnosis{Schema: Schema, asked: len(pids) > 0}
	var err error
	if d.Processes, d.opaque, err = survey(ctx, pids); err != nil {
		return nil, err
	}
	d.Unreadable = len(d.opaque)
	d.Host.Arch = runtime.GOARCH
	d.Host.Hostname, _ = os.Hostname()

	allowed := true
	for _, r := range host.Requirements() {
		if r.Name == "kernel" {
			d.Host.Kernel = r.Found
		}
		c := Check{Name: r.Name, Status: OK, Found: r.Found}
		if r.Err != nil {
			allowed = false
			c.Status, c.Found, c.Do = Failed, r.Err.Why, r.Err.Do
		}
		d.Checks = append(d.Checks, c)
	}
	d.Checks = append(d.Checks, capabilityChecks()...)
	// What counts is whether all of it loads together, so that is what is tried.
	p, failure := probes.Open(probes.Options{USDT: true})
	if failure == nil {
		d.Works, d.Attach = true, p.Attach()
		if err := p.Close(); err != nil {
			return nil, err
		}
	}
	d.Checks = append(d.Checks, configCheck(d.Host.Kernel), tracefsCheck(d.Attach), memlockCheck(), lockdownCheck(), symbolsCheck(), cgroupCheck())
	if err := d.tryHooks(allowed); err != nil {
		return nil, err
	}
	d.Answer = d.answer(failure)
	return d, nil
}

// instead says what is used where a hook cannot be had.
var instead = map[host.Hook]string{
	host.Fentry:     "nothing: tracepoints are used instead, which make every syscall of the host slightly dearer while loopwatch runs (docs/costs.md)",
	host.Tracepoint: "nothing: fentry is used, which is the better way",
	host.Uprobes:    "nothing: collections and imports are told by samples instead (docs/usdt.md)",
}

// tryHooks tries them one by one. Where the host lacks what all need there is nothing to try.
func (d *Diagnosis) tryHooks(allowed bool) error {
	d.Hooks = []Check{}
	if !allowed {
		for _, h := range probes.Hooks() {
			d.Hooks = append(d.Hooks, Check{Name: string(h), Status: Unknown, Found: "not tried", Do: "first mend what has failed above"})
		}
		return nil
	}
	trials, err := probes.TryHooks()
	if err != nil {
		return err
	}
	for _, t := range trials {
		c := Check{Name: string(t.Hook), Status: OK, Found: t.What}
		if t.Err != nil {
			c.Status, c.Found, c.Do = Failed, t.Err.Why, t.Err.Do
			if do, ok := instead[t.Hook]; ok && d.Works {
				c.Status, c.Do = Fallback, do
			} else if t.Hook == host.Fentry {
				c.Do = "mend the tracepoints, which do as well, or boot a kernel that allows it"
			}
			if t.Hook == host.Fentry {
				d.fallback = t.Err
			}
		}
		d.Hooks = append(d.Hooks, c)
	}
	return nil
}

// answer is the first line. err is why nothing can be observed.
func (d *Diagnosis) answer(err error) string {
	if !d.Works {
		why := "something failed below; see there"
		if e := (*host.Error)(nil); errors.As(err, &e) {
			why = e.Why + "; " + e.Do
		} else if err != nil {
			why = err.Error()
		}
		return "loopwatch cannot observe here: " + why
	}
	how := "attached by fentry"
	if d.Attach == probes.AttachTracepoint {
		how = "tracepoints are used"
		mode := host.Lockdown()
		switch refused := d.fallback != nil && errors.Is(d.fallback, unix.EPERM); {
		case refused && mode != "" && mode != "none":
			how = "fentry refused (lockdown), tracepoints are used"
		case refused:
			how = "fentry refused, tracepoints are used"
		case d.fallback != nil:
			how = "fentry does not work, tracepoints are used"
		}
	}
	parts := []string{"loopwatch works here: " + how}
	if n := len(d.reduced()); n > 0 {
		parts = append(parts, "less is seen than could be ("+strings.Join(d.reduced(), ", ")+")")
	}
	return strings.Join(append(parts, d.processesAnswer()), "; ")
}

func (d *Diagnosis) reduced() (names []string) {
	for _, c := range slices.Concat(d.Checks, d.Hooks) {
		if c.Status == Reduced {
			names = append(names, c.Name)
		}
	}
	return names
}

func (d *Diagnosis) processesAnswer() string {
	n, of := d.Watchable(), len(d.Processes)
	switch {
	case of == 0:
		return "no Python process is here"
	case of == 1 && n == 1:
		return "the one Python process can be watched"
	case d.asked && of == 1:
		p := d.Processes[0]
		return fmt.Sprintf("process %d cannot be watched: %s; %s", p.PID, p.Reason, p.Do)
	case n == 0:
		worst := groupsOf(d.Processes)[0]
		who := fmt.Sprintf("none of the %d Python processes", of)
		if of == 1 {
			who = "not even the one Python process"
		}
		return fmt.Sprintf("%s can be watched: %s; %s", who, worst.reason, worst.do)
	case d.asked && n < of:
		return fmt.Sprintf("%d of %d processes asked for can be watched", n, of)
	case n == of:
		return fmt.Sprintf("all %d Python processes can be watched", n)
	}
	return fmt.Sprintf("%d of %d Python processes can be watched", n, of)
}
