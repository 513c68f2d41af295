// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/priority"
)

// niceValue is a niceness.
type niceValue int

const minNice, maxNice = -20, 19

func (n *niceValue) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < minNice || v > maxNice {
		return fmt.Errorf("must be a whole number from %d to %d", minNice, maxNice)
	}
	*n = niceValue(v)
	return nil
}

func (n *niceValue) String() string { return strconv.Itoa(int(*n)) }
func (n *niceValue) Type() string   { return "niceness" }

// register declares the flag on c.
func (n *niceValue) register(c *cobra.Command) {
	*n = priority.Default
	c.Flags().Var(n, "nice", "loopwatch's own priority, from -20, the highest, to 19; 0 leaves it as it is")
}

// usualPriority runs a function without the priority that loopwatch has itself.
type usualPriority func(func() error) error

// prefer has do run with the priority that the flags ask for.
func (a *app) prefer(c *cobra.Command, f *observeFlags, session priority.Session, do func(usualPriority) error) error {
	if a.raise == nil {
		return do(func(f func() error) error { return f() })
	}
	if f.output == "/dev/tty" && session == priority.Own {
		session = priority.Alone // another session has no such terminal
	}
	p, err := a.raise(priority.Options{Nice: int(f.nice), Chosen: c.Flags().Changed("nice"), Session: session})
	if err != nil {
		return err
	}
	a.priority = p
	if status, moved := p.Move(); moved {
		return childError(status)
	}
	stop := p.Guard(c.Context())
	err = do(p.Usual)
	stop()
	if f.verbose {
		a.sayPriority(p)
	}
	return err
}

// sayPriority says where the priority was not what was asked for.
func (a *app) sayPriority(p *priority.Priority) {
	if err := p.Err(); err != nil {
		why := err.Error()
		if errors.Is(err, fs.ErrPermission) {
			why += "; it takes CAP_SYS_NICE"
		}
		a.newProgress(0).warn("observed with the usual priority: " + why)
	}
	if l := p.Lowered(); l.Times > 0 {
		a.newProgress(0).warn(fmt.Sprintf("took more CPU time than its budget %s, and ran with the usual priority for %.1f s", count(int64(l.Times), "time"), l.For.Seconds()))
	}
}
