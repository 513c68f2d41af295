// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopwatch/loopwatch/internal/application"
	"github.com/loopwatch/loopwatch/internal/observe"
)

// Defaults and bounds of the flags.
const (
	defaultThreshold = 100 * time.Millisecond
	defaultDuration  = 10 * time.Second
	maxRate          = 10_000  // samples a second and CPU: beyond, sampling is most of what a CPU does
	maxPID           = 1 << 22 // PID_MAX_LIMIT, include/linux/threads.h
	autoRate         = "auto"
)

// observeFlags are the flags all commands share that observe. Their values refuse nonsense
// while the command line is parsed, so that every complaint names the flag and the value.
type observeFlags struct {
	pids      pidList
	children  bool
	threshold durationValue
	duration  durationValue
	rate      rateValue
	attach    choice
	logLevel  choice
	usdt      probesValue
	code      codeFlags
	nice      niceValue
	output    string
	noColor   bool
	verbose   bool
}

// register declares the flags on c with their defaults.
func (f *observeFlags) register(c *cobra.Command) {
	f.threshold, f.duration = durationValue(defaultThreshold), durationValue(defaultDuration)
	f.attach = choice{"auto", []string{"auto", "fentry", "tracepoint"}}
	flags := c.Flags()
	flags.SortFlags = false
	flags.VarP(&f.pids, "pid", "p", "watch only this process; may be given several times (default every Python process, now and later)")
	flags.BoolVar(&f.children, "children", false, "with --pid: watch the processes it started, too")
	flags.VarP(&f.threshold, "threshold", "t", "an active period of at least this is a block")
	flags.VarP(&f.duration, "duration", "d", "how long to observe")
	flags.VarP(&f.rate, "rate", "r", "stack samples a second of a loop that is running")
	flags.StringVarP(&f.output, "output", "o", "", "write the result to this `file` instead of stdout")
	flags.Var(&f.attach, "attach", "how to hook the waits of the loops: "+f.attach.list())
	flags.Var(&f.usdt, "usdt", "the interpreters' own probes to use, where they have any: auto, none, or some of "+strings.Join(observe.USDTKinds(), ","))
	f.code.register(c)
	f.nice.register(c)
	flags.BoolVar(&f.noColor, "no-color", false, "no colours (also: the environment variable NO_COLOR, or stdout is no terminal)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show everything: whole stacks, every blocker")
	f.logLevel = logLevels()
	c.Flags().Var(&f.logLevel, "log-level", "what loopwatch itself does, on stderr: "+f.logLevel.list())
	complete(c, "log-level", f.logLevel.allowed)
	complete(c, "attach", f.attach.allowed)
	complete(c, "usdt", append([]string{autoProbes, noProbes}, observe.USDTKinds()...))
}

// codeFlags say which code is the application's.
type codeFlags struct{ patterns application.Patterns }

func (f *codeFlags) register(c *cobra.Command) {
	c.Flags().Var(&patternValue{&f.patterns, true}, "app", "what this package or file `pattern` matches is the application's: shop, shop.views, '/srv/shop/*'; may be given several times")
	c.Flags().Var(&patternValue{&f.patterns, false}, "lib", "what this package or file `pattern` matches is a library's, see --app; the longer pattern counts")
}

// patternValue is --app or --lib.
type patternValue struct {
	patterns *application.Patterns
	app      bool
}

func (v *patternValue) Set(s string) error {
	p, err := application.ParsePattern(s, v.app)
	if err == nil {
		*v.patterns = append(*v.patterns, p)
	}
	return err
}

func (v *patternValue) String() string { return "" }
func (v *patternValue) Type() string   { return "pattern" }

// forever makes observing until interrupted the default.
func (f *observeFlags) forever(c *cobra.Command) {
	f.duration = 0
	flag := c.Flags().Lookup("duration")
	flag.DefValue = "until interrupted"
}

// check finds what is wrong with the flags taken together.
func (f *observeFlags) check(c *cobra.Command) error {
	if f.children && len(f.pids) == 0 {
		return usage(c, "--children needs --pid: without it every process is watched anyway")
	}
	if c.Flags().Changed("output") && f.output == "" {
		return usage(c, "--output needs the name of a file")
	}
	return nil
}

// options returns what the flags ask of an observation, which logs to log.
func (f *observeFlags) options(log *slog.Logger) observe.Options {
	return observe.Options{
		PIDs:      f.pids,
		Children:  f.children,
		Threshold: time.Duration(f.threshold),
		Duration:  time.Duration(f.duration),
		Rate:      int(f.rate),
		Attach:    f.attach.value,
		USDT:      f.usdt,
		Patterns:  f.code.patterns,
		Log:       log,
	}
}

// complete offers words to the shell's completion of a flag.
func complete(c *cobra.Command, flag string, words []string) {
	err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is not declared, or declared twice
	}
}

// noArguments refuses arguments of a command that takes flags only.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if _, err := parsePID(args[0]); err == nil && c.Flags().Lookup("pid") != nil {
		return usage(c, "unexpected argument %q: to watch one process, write --pid %s", args[0], args[0])
	}
	return usage(c, "unexpected argument %q", args[0])
}

// pidList is a flag that may be given several times, or with commas.
type pidList []int

func (l *pidList) Set(s string) error {
	for _, word := range strings.Split(s, ",") {
		pid, err := parsePID(strings.TrimSpace(word))
		if err != nil {
			return err
		}
		if !slices.Contains(*l, pid) {
			*l = append(*l, pid)
		}
	}
	return nil
}

func (l *pidList) String() string {
	words := make([]string, len(*l))
	for i, pid := range *l {
		words[i] = strconv.Itoa(pid)
	}
	return strings.Join(words, ",")
}

func (l *pidList) Type() string { return "pid" }

func parsePID(s string) (int, error) {
	pid, err := strconv.Atoi(s)
	if err != nil || pid <= 0 || pid > maxPID {
		return 0, fmt.Errorf("a process id is a whole number from 1 to %d", maxPID)
	}
	return pid, nil
}

// durationValue is a duration of more than nothing.
type durationValue time.Duration

func (d *durationValue) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("not a duration; write a number with its unit, like 500us, 20ms, 1.5s or 2m")
	}
	if v <= 0 {
		return errors.New("must be more than 0")
	}
	*d = durationValue(v)
	return nil
}

func (d *durationValue) String() string { return time.Duration(*d).String() }
func (d *durationValue) Type() string   { return "duration" }

// rateValue is a number of samples a second; 0 leaves the choice to the observation.
type rateValue int

func (r *rateValue) Set(s string) error {
	if s == autoRate {
		*r = 0
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 || v > maxRate {
		return fmt.Errorf("must be %s or a whole number from 1 to %d", autoRate, maxRate)
	}
	*r = rateValue(v)
	return nil
}

func (r *rateValue) String() string {
	if *r == 0 {
		return autoRate
	}
	return strconv.Itoa(int(*r))
}

func (r *rateValue) Type() string { return "hz" }

// probesValue is a list of kinds of probes; nil leaves the choice to the observation.
type probesValue []string

const (
	autoProbes = "auto"
	noProbes   = "none"
)

func (p *probesValue) Set(s string) error {
	switch s {
	case autoProbes:
		*p = nil
		return nil
	case noProbes:
		*p = probesValue{}
		return nil
	}
	var kinds probesValue
	for _, word := range strings.Split(s, ",") {
		if word = strings.TrimSpace(word); !slices.Contains(observe.USDTKinds(), word) {
			return fmt.Errorf("must be %s, %s, or some of %s with commas between", autoProbes, noProbes, strings.Join(observe.USDTKinds(), ", "))
		}
		if !slices.Contains(kinds, word) {
			kinds = append(kinds, word)
		}
	}
	*p = kinds
	return nil
}

func (p *probesValue) String() string {
	switch {
	case *p == nil:
		return autoProbes
	case len(*p) == 0:
		return noProbes
	}
	return strings.Join(*p, ",")
}

func (p *probesValue) Type() string { return "kinds" }

// choice is a word out of a list.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be %s", c.list())
	}
	c.value = s
	return nil
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "word" }

// list returns the allowed words for people: "a, b or c".
func (c *choice) list() string {
	last := len(c.allowed) - 1
	if last == 0 {
		return c.allowed[0]
	}
	return strings.Join(c.allowed[:last], ", ") + " or " + c.allowed[last]
}
