// SPDX-License-Identifier: Apache-2.0

package ci

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// annotation is a workflow command as GitHub reads it.
type annotation struct {
	name       string
	properties map[string]string
	message    string
}

var commandLine = regexp.MustCompile(`^::(error|warning|notice) ([^:]*)::(.*)$`)

// annotations reads what GitHub would read: every line has to be a command, as the documentation has it.
func annotations(t require.TestingT, text string) (out []annotation) {
	for l := range strings.Lines(text) {
		m := commandLine.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		require.NotNil(t, m, "%q", l)
		a := annotation{m[1], map[string]string{}, unescape(m[3])}
		for _, p := range strings.Split(m[2], ",") {
			key, value, ok := strings.Cut(p, "=")
			require.True(t, ok && slices.Contains([]string{"file", "line", "title"}, key), "%q", p)
			require.NotContains(t, a.properties, key)
			a.properties[key] = unescape(value)
		}
		out = append(out, a)
	}
	return out
}

func unescape(s string) string {
	return strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",").Replace(s)
}

func github(t require.TestingT, r *model.Report, o Options) []annotation {
	var b bytes.Buffer
	require.NoError(t, WriteGitHub(&b, r, o))
	return annotations(t, b.String())
}

func TestGitHub(t *testing.T) {
	o := Options{WorkTree: "/srv/shop", Directory: "/srv/shop/tests"}
	r := reporttest.Everything()
	all := github(t, r, o)
	require.Len(t, all, len(r.Blockers)+1)
	first := all[0]
	assert.Equal(t, "warning", first.name)
	assert.Equal(t, map[string]string{"file": "orders/repository.py", "line": "118", "title": first.properties["title"]}, first.properties)
	assert.Regexp(t, `^Event loop blocked: net, .+ in 24 blocks, max .+`, first.properties["title"])
	assert.Contains(t, first.message, "Orders.latest")
	assert.Contains(t, first.message, "asyncpg")
	last := all[len(all)-1]
	assert.Equal(t, "notice", last.name)
	assert.Contains(t, last.message, "loops blocked")
	assert.Contains(t, last.message, "were lost")
	for _, a := range all[1:] {
		if strings.Contains(a.properties["title"], "gil") {
			assert.NotContains(t, a.properties, "file", "no line to blame")
		}
	}

	o.Fail = true
	r.Blockers[0].Known = &model.Known{Rule: "i:3", Why: "legacy"}
	all = github(t, r, o)
	assert.Equal(t, "notice", all[0].name)
	assert.Contains(t, all[0].message, "let through by i:3: legacy")
	assert.Equal(t, "error", all[1].name)
}

// GitHub drops what is more than ten of a kind: it is counted.
func TestGitHubKeepsTen(t *testing.T) {
	all := github(t, reporttest.Many(2000), Options{})
	assert.Len(t, all, maxAnnotations+1)
	assert.Contains(t, all[maxAnnotations].message, "more blockers without an annotation")
}

func TestRelative(t *testing.T) {
	o := Options{WorkTree: "/w", Directory: "/w/sub"}
	for file, want := range map[string]string{
		"/w/a.py": "a.py", "/w/b/../a.py": "a.py", "a.py": "sub/a.py", "../a.py": "a.py", "../../a.py": "", "/w": "", "/x/a.py": "", "/wide/a.py": "",
		"": "", "<string>": "", "/w/../etc/passwd": "", "/w/..a.py": "..a.py",
	} {
		got, ok := o.relative(file)
		assert.Equal(t, want, got, file)
		assert.Equal(t, want != "", ok, file)
	}
	_, ok := Options{}.relative("/a.py")
	assert.False(t, ok)
}

// The elements of a file of JUnit's and their attributes, as Jenkins' schema has them (xunit-plugin, junit-10.xsd).
var junitSchema = map[string]struct{ required, optional, children []string }{
	"testsuites": {nil, []string{"name", "time", "tests", "failures", "errors"}, []string{"testsuite"}},
	"testsuite": {[]string{"name", "tests", "failures", "errors"}, []string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
		[]string{"testsuite", "properties", "testcase", "system-out", "system-err"}},
	"testcase":   {[]string{"name"}, []string{"time", "classname", "group"}, []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"failure":    {nil, []string{"type", "message"}, nil},
	"skipped":    {nil, []string{"type", "message"}, nil},
	"system-out": {},
}

var surefireTime = regexp.MustCompile(`^(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?$`)

// valid holds a file against the schema, and its sums against what is in it.
func valid(t require.TestingT, text []byte) testSuites {
	d := xml.NewDecoder(bytes.NewReader(text))
	path := []string{"testsuites"}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			rule, ok := junitSchema[name]
			require.True(t, ok, name)
			if len(path) > 1 {
				require.Contains(t, junitSchema[path[len(path)-1]].children, name)
			}
			var given []string
			for _, a := range e.Attr {
				require.Contains(t, slices.Concat(rule.required, rule.optional), a.Name.Local, name)
				given = append(given, a.Name.Local)
				if a.Name.Local == "time" {
					require.Regexp(t, surefireTime, a.Value)
				}
			}
			require.Subset(t, given, rule.required, name)
			path = append(path, name)
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
	var all testSuites
	require.NoError(t, xml.Unmarshal(text, &all))
	for _, s := range all.Suites {
		failures, skipped, names := 0, 0, map[[2]string]bool{}
		for _, c := range s.Cases {
			if c.Failure != nil {
				failures++
			}
			if c.Skipped != nil {
				skipped++
			}
			require.False(t, names[[2]string{c.Class, c.Name}], c.Name)
			names[[2]string{c.Class, c.Name}] = true
		}
		require.Equal(t, []int{len(s.Cases), failures, skipped, 0}, []int{s.Tests, s.Failures, s.Skipped, s.Errors})
	}
	return all
}

func junit(t require.TestingT, r *model.Report, o Options) testSuite {
	var b bytes.Buffer
	require.NoError(t, WriteJUnit(&b, r, o))
	all := valid(t, b.Bytes())
	require.Len(t, all.Suites, 1)
	return all.Suites[0]
}

func TestJUnit(t *testing.T) {
	r := reporttest.Everything()
	r.Blockers[1].Known = &model.Known{Baseline: model.StandingKnown}
	s := junit(t, r, Options{WorkTree: "/srv/shop"})
	assert.Equal(t, "shop-3", s.Hostname)
	assert.Equal(t, "2026-02-03T03:05:06", s.Timestamp)
	assert.Equal(t, len(r.Blockers)+1, s.Tests)
	assert.Equal(t, 1, s.Skipped)
	assert.Nil(t, s.Cases[0].Failure)
	assert.Equal(t, "orders/repository.py", s.Cases[1].Class)
	assert.Equal(t, "Orders.latest (net)", s.Cases[1].Name)
	assert.Equal(t, "net", s.Cases[1].Failure.Type)
	assert.Contains(t, s.Cases[1].Failure.Text, "/srv/shop/orders/repository.py:118")
	assert.Equal(t, "let through: the baseline has it", s.Cases[2].Skipped.Message)

	s = junit(t, summary.Assemble(summary.Meta{}, nil, nil), Options{})
	assert.Equal(t, 1, s.Skipped, "nothing was watched")
}

// TestUnderPytest names the tests that ran: those of the innermost test_… frame, and only where pytest runs.
func TestUnderPytest(t *testing.T) {
	stack := func(files ...string) []model.Frame {
		frames := []model.Frame{{Function: "fetch", File: "/w/shop.py", Line: 3, App: true}, {Function: "TestShop.test_price.<locals>.inner", File: "/w/tests/test_shop.py", Line: 9},
			{Function: "test_outer", File: "/w/tests/test_shop.py"}}
		for _, f := range files {
			frames = append(frames, model.Frame{Function: "pytest_pyfunc_call", File: f})
		}
		return frames
	}
	report := func(frames []model.Frame) *model.Report {
		b := model.Block{PID: 1, TID: 1, DurationNS: 5e8, Cause: model.CauseNet, Culprit: &frames[0], Stacks: []model.Stack{{NS: 5e8, Cause: model.CauseNet, Frames: frames}}}
		return summary.Assemble(summary.Meta{ThresholdNS: 1e8}, []model.Loop{{PID: 1, TID: 1}}, []model.Block{b})
	}
	const says = "while this test ran: tests/test_shop.py::TestShop::test_price"
	r := report(stack("/usr/lib/python3/dist-packages/_pytest/python.py"))
	assert.Contains(t, github(t, r, Options{WorkTree: "/w"})[0].message, says+"\n")
	assert.Contains(t, junit(t, r, Options{WorkTree: "/w"}).Cases[1].Failure.Text, says+"\n")
	assert.NotContains(t, github(t, report(stack()), Options{WorkTree: "/w"})[0].message, "test ran")
}

var hostile = append([]string{"\n::add-mask::x", "##[error]x", "%0A::error::x", ",line=1::", "a\r\nb", "]]>", "&#0;", "::", "\ufffe", "</failure>"}, reporttest.HostileNames...)

// What a process has made adds no command, no element and no control character.
func TestHostileNames(t *testing.T) {
	for _, s := range hostile {
		checkHostile(t, s)
	}
}

func checkHostile(t require.TestingT, s string) {
	r := reporttest.Hostile(s)
	for _, o := range []Options{{}, {WorkTree: "/w", Directory: "/w", Fail: true}} {
		all := github(t, r, o)
		require.Len(t, all, len(r.Blockers)+1)
		for _, a := range all {
			for _, text := range []string{a.message, a.properties["title"], a.properties["file"]} {
				require.NotRegexp(t, `[\x00-\x09\x0b-\x1f\x7f]`, text)
			}
			require.NotContains(t, a.properties["title"], "\n")
			require.NotContains(t, a.properties["file"], "\n")
		}
		require.Len(t, junit(t, r, o).Cases, len(r.Blockers)+1)
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range hostile[:10] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkHostile(t, s) })
}
