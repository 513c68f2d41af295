// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	pprof "github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/testpython"
	"github.com/loopwatch/loopwatch/test/truth"
)

// What truth.Hostile puts into all its names, as far as one command line shows it.
const (
	hostileScript = "app\x1b[31m\n\u202e<b>'\".py"
	hostileWord   = "w\x1b]0;pwned\a\x1b[6n\n\u202e\u009b31m<script>pwned=1</script>\xff\xfe"
)

// hostile prepares truth.Hostile under a hostile name, with a command line of a megabyte.
func hostile(t *testing.T) (*stage, testpython.Interp, *exec.Cmd) {
	t.Helper()
	python := onHost(t, "asyncio")
	stage, dir := newStage(t), publicDir(t)
	stage.install(t, python)
	source, err := os.ReadFile(filepath.Join(stage.dirs[""], truth.Hostile))
	require.NoError(t, err)
	file := filepath.Join(dir, hostileScript)
	require.NoError(t, os.WriteFile(file, source, 0o644))
	args := []string{"-W", "ignore", file, dir, hostileWord}
	for range 10 {
		args = append(args, strings.Repeat("long", 25_000)+hostileWord)
	}
	return stage, python, python.Command(args...)
}

func startHostile(t *testing.T) *program {
	t.Helper()
	stage, python, cmd := hostile(t)
	p, err := stage.startCommand(python, cmd)
	require.NoError(t, err)
	t.Cleanup(p.kill)
	line, err := p.line()
	require.NoError(t, err)
	require.Equal(t, "ready", string(line))
	return p
}

// inert asserts that a text does nothing to a terminal: it is UTF-8 without control characters,
// and without what hides or reorders. Written anew here, so as not to trust what is tested.
func inert(t *testing.T, what string, text []byte) {
	t.Helper()
	assert.True(t, utf8.Valid(text), "%s: UTF-8", what)
	marks := 0
	for i, r := range string(text) {
		if unicode.In(r, unicode.Mn, unicode.Me) {
			marks++
		} else {
			marks = 0
		}
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Variation_Selector) || marks > 6 {
			t.Errorf("%s: %U in %q", what, r, text[max(i-40, 0):min(i+40, len(text))])
			return
		}
	}
}

// TestHostileNames: a program all of whose names are made to do harm, in every command and format. What
// is printed of it is inert, bounded, and still says what happened.
func TestHostileNames(t *testing.T) {
	p := startHostile(t)
	dir := t.TempDir()
	const window = "3s"
	pid := []string{"--pid", itoa(p.pid()), "-d", window, "--usdt", "gc,import,audit"}
	outputs := map[string]*lockedBuffer{}
	var wg sync.WaitGroup
	failures := make(chan string, 100)
	var stdin io.Reader
	start := func(name string, file bool, args ...string) {
		if attach := os.Getenv(attachEnv); attach != "" && args[0] != "doctor" && args[0] != "dump" {
			args = slices.Insert(args, 1, "--attach", attach)
		}
		if file {
			args = append(args, "-o", filepath.Join(dir, name))
		}
		cmd := exec.Command(binary, args...)
		stdout, stderr := new(lockedBuffer), new(lockedBuffer)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		outputs[name], outputs[name+" stderr"] = stdout, stderr
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		wg.Go(func() {
			defer timer.Stop()
			if err := cmd.Run(); err != nil {
				failures <- fmt.Sprintf("%s: %v: %s", name, err, stderr.String())
			}
		})
	}
	observe := func(name string, file bool, args ...string) { start(name, file, slices.Concat(args, pid)...) }
	whole := watch(t, "--pid", itoa(p.pid()), "--duration", "1h", "--usdt", "gc,import,audit") // "report json", until it has seen all
	since := monotonic()
	for _, format := range []string{"text", "folded", "speedscope"} {
		observe("report "+format, false, "report", "-f", format)
	}
	observe("report verbose", false, "report", "-v")
	observe("report.html", true, "report", "-f", "html")
	observe("report.pb.gz", true, "report", "-f", "pprof")
	observe("watch text", false, "watch", "-f", "text")
	observe("watch jsonl", false, "watch", "-f", "jsonl")
	observe("top", false, "top")
	start("doctor text", false, "doctor", "--pid", itoa(p.pid()))
	start("dump text", false, "dump", itoa(p.pid()))
	start("dump json", false, "dump", "-f", "json", itoa(p.pid()))
	start("doctor json", false, "doctor", "--pid", itoa(p.pid()), "-f", "json")
	_, _, command := hostile(t)
	ends, end := io.Pipe() // that of the program run
	stdin = ends
	start("run", false, slices.Concat([]string{"run", "--"}, command.Args)...)
	assert.Eventually(t, func() bool { return strings.Contains(outputs["run"].String(), "ready") }, patience, 10*time.Millisecond)
	time.AfterFunc(2*time.Second, func() { _ = end.Close() })
	for range 2 {
		for began := int64(0); began < since; {
			line, err := p.line()
			require.NoError(t, err)
			began, err = strconv.ParseInt(string(line), 10, 64)
			require.NoError(t, err)
		}
	}
	rep := whole.stop(t)
	outputs["report json"] = new(lockedBuffer)
	_, _ = outputs["report json"].Write(whole.stdout.Bytes())
	wg.Wait()
	close(failures)
	for failure := range failures {
		t.Error(failure)
	}

	for name, out := range outputs {
		if strings.HasPrefix(name, "report.") {
			continue
		}
		inert(t, name, out.Bytes())
		assert.Less(t, len(out.Bytes()), 8<<20, "%s is bounded", name)
		for _, line := range bytes.Split(out.Bytes(), []byte("\n")) {
			if !strings.Contains(name, "json") && !strings.Contains(name, "folded") && !strings.Contains(name, "speedscope") {
				assert.Less(t, len(line), 64<<10, "%s: a line is bounded", name)
			}
		}
	}
	for _, name := range []string{"report text", "watch text", "top", "run", "dump text"} {
		assert.Contains(t, outputs[name].String(), `app\x1b[31m`, "%s names the program, spelled out", name)
	}
	assert.Contains(t, outputs["report text"].String(), `e\x1b]0;pwned\x07`)

	causes := map[model.Cause]bool{}
	for _, b := range rep.Blocks {
		causes[b.Cause] = true
		for _, s := range b.Stacks {
			for _, f := range s.Frames {
				assert.LessOrEqual(t, len(f.Function), 4<<10)
				assert.LessOrEqual(t, len(f.File), 4<<10)
			}
		}
	}
	assert.True(t, causes[model.CauseSleep] && causes[model.CauseNet] && causes[model.CauseFile] && causes[model.CauseImport], "what it did is still told: %v", causes)
	blocks, torn := decodeBlocks(t, outputs["watch jsonl"].Bytes())
	assert.Zero(t, torn)
	assert.NotEmpty(t, blocks)
	for line := range strings.Lines(outputs["report folded"].String()) {
		assert.Regexp(t, `^[^;]+(;[^;]+)+ \d+\n$`, line)
	}
	assert.True(t, json.Valid(outputs["report speedscope"].Bytes()))
	assert.True(t, json.Valid(outputs["doctor json"].Bytes()))
	assert.True(t, json.Valid(outputs["dump json"].Bytes()))

	packed, err := os.ReadFile(filepath.Join(dir, "report.pb.gz"))
	require.NoError(t, err)
	profile, err := pprof.ParseData(packed)
	require.NoError(t, err)
	require.NoError(t, profile.CheckValid())
	inert(t, "pprof", []byte(profile.String()))

	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	inert(t, "html", page)
	assert.Less(t, len(page), 8<<20)
	showHostile(t, filepath.Join(dir, "report.html"))
	t.Run("top", func(t *testing.T) { topOfHostile(t, p) })
}

// showHostile opens a page in headless Chromium: nothing of the program's making has become an
// element, a script or a request.
func showHostile(t *testing.T, file string) {
	t.Helper()
	allocator, release := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	defer release()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, 2*patience)
	defer stop()
	require.NoError(t, chromedp.Do(ctx), "the page is looked at in Debian's chromium (.ci/deps test installs it)")
	defer func() { _ = chromedp.Cancel(ctx) }()
	var mu sync.Mutex
	var requests []string
	require.NoError(t, chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && !strings.HasPrefix(e.Request.URL, "file://"+file) && !strings.HasPrefix(e.Request.URL, "data:") {
			mu.Lock()
			defer mu.Unlock()
			requests = append(requests, e.Request.URL)
		}
	}))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(390, 844), chromedp.Navigate("file://"+file)))
	type seen struct {
		Pwned            bool
		Scripts, Foreign int
		Width            int
		Boxes, Blocks    int
		Title            string
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[seen](`(() => {
		for (const d of document.querySelectorAll("details")) d.open = true;
		return {
			pwned: "pwned" in window, scripts: document.scripts.length,
			foreign: document.querySelectorAll("img, iframe, object, embed, form:not(#tools), b > script, link:not([rel=icon])").length,
			width: document.documentElement.scrollWidth,
			boxes: document.querySelectorAll(".box").length, blocks: document.querySelectorAll(".track > i").length,
			title: document.title,
		};
	})()`))
	require.NoError(t, err)
	assert.False(t, got.Pwned, "a script ran")
	assert.Equal(t, 2, got.Scripts, "the data and our own")
	assert.Zero(t, got.Foreign)
	assert.Equal(t, 390, got.Width, "no name makes the page wider than a phone")
	assert.Positive(t, got.Boxes)
	assert.Positive(t, got.Blocks)
	assert.NotContains(t, got.Title, "\x1b")
	mu.Lock()
	defer mu.Unlock()
	assert.Empty(t, requests)
}

// own are the escape sequences a terminal program needs: cursor, colours, modes and questions about
// them, and the title of top.
var own = regexp.MustCompile("\x1b(\\[[0-9;:?=<>]*[ -/]?[@-~]|[=>78cDEHMNOPZ]|[()#][0-9A-Z]|P[^\x1b]*\x1b\\\\|\\\\|\\]2;(loopwatch[a-z ]*)?\a)")

// topOfHostile shows the program in the live view of a terminal.
func topOfHostile(t *testing.T, p *program) {
	master, peer := openTerminal(t)
	cmd := exec.Command(binary, "top", "--pid", itoa(p.pid()))
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = peer, peer, peer
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	require.NoError(t, cmd.Start())
	require.NoError(t, peer.Close())
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	shown, read := new(lockedBuffer), make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 64<<10)
		for {
			n, err := master.Read(buffer)
			if err != nil {
				return
			}
			_, _ = shown.Write(buffer[:n])
		}
	}()
	require.Eventually(t, func() bool { return strings.Contains(shown.String(), `app\x1b[31m`) }, patience, 20*time.Millisecond)
	time.Sleep(settling)
	for _, key := range []string{"\r", "\x1b", "q"} { // into the loop, back, away
		_, err := master.Write([]byte(key))
		require.NoError(t, err)
		time.Sleep(settling)
	}
	err := cmd.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	<-read
	assert.Zero(t, cmd.ProcessState.ExitCode(), shown.String())
	text := shown.String()
	for _, evil := range []string{"\x1b]0;pwned", "\x1b[6n", "\x1b[31m\x1b[2J", "\u202e", "\u2066", "\u200b", "\u009b", "\ufeff"} {
		assert.NotContains(t, text, evil)
	}
	rest := strings.NewReplacer("\r", "", "\n", "", "\t", "", "\b", "").Replace(own.ReplaceAllString(text, ""))
	inert(t, "top", []byte(rest))
}
