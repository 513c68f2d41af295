// SPDX-License-Identifier: Apache-2.0

package html

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/loopwatch/loopwatch/internal/model"
	"github.com/loopwatch/loopwatch/internal/report/reporttest"
	"github.com/loopwatch/loopwatch/internal/report/words"
	"github.com/loopwatch/loopwatch/internal/summary"
)

// browser is headless Chromium, started once.
var browser = sync.OnceValues(func() (context.Context, error) {
	if _, err := exec.LookPath("chromium"); err != nil {
		return nil, fmt.Errorf("%w: the pages are tested in Debian's chromium (.ci/deps test installs it)", err)
	}
	allocator, _ := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	ctx, _ := chromedp.NewContext(allocator)
	stopBrowser = func() { _ = chromedp.Cancel(ctx) }
	return ctx, chromedp.Do(ctx)
})

var stopBrowser = func() {}

func TestMain(m *testing.M) {
	status := m.Run()
	stopBrowser()
	os.Exit(status)
}

// tab is a page open in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open shows r in a window of that width. Whatever the browser complains about, and whatever it
// would load, fails the test.
func open(t *testing.T, r *model.Report, width int, scheme string) tab {
	t.Helper()
	return openPage(t, written(t, r), width, scheme)
}

// openPage is open for the text of a page.
func openPage(t *testing.T, page string, width int, scheme string) tab {
	t.Helper()
	running, err := browser()
	require.NoError(t, err)
	ctx, cancel := chromedp.NewContext(running)
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	file := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))

	var mu sync.Mutex
	var complaints []string
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		complaints = append(complaints, fmt.Sprintf(format, args...))
	}
	require.NoError(t, chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && !strings.HasPrefix(e.Request.URL, "file://"+file) && !strings.HasPrefix(e.Request.URL, "data:") {
			complain("loads %.200s", e.Request.URL)
		}
	}))
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			complain("console: %s", m)
		}
	}()
	t.Cleanup(func() {
		stop()
		cancel()
		mu.Lock()
		defer mu.Unlock()
		assert.Empty(t, complaints)
	})
	p := tab{t, ctx}
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	require.NoError(t, err)
	p.do(chromedp.EmulateViewport(int64(width), 900), chromedp.Navigate("file://"+file))
	return p
}

func (p tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, steps...))
}

func (p tab) press(keys string) { p.t.Helper(); p.do(chromedp.KeyEvent(keys)) }

// slash presses /, which goes to the search. chromedp would type it there, too, as no browser does.
func (p tab) slash() {
	p.t.Helper()
	ask[chromedp.Void](p, `document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}))`)
}

// ask evaluates a JavaScript expression.
func ask[T any](p tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return v
}

const (
	info    = `document.getElementById("flame-info").textContent`
	block   = `document.getElementById("block").textContent`
	focused = `document.activeElement.textContent`
)

func TestPageFitsEveryScreen(t *testing.T) {
	calm := summary.Assemble(summary.Meta{EndedNS: 1e10, ThresholdNS: 1e8}, []model.Loop{{PID: 1, TID: 1, Command: "app", IterationNS: model.Percentiles{Max: 1e6}}}, nil)
	for _, width := range []int{360, 800, 1400} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprint(width, scheme), func(t *testing.T) {
				for _, r := range []*model.Report{reporttest.Everything(), calm} {
					p := open(t, r, width, scheme)
					assert.Equal(t, width, ask[int](p, `document.documentElement.scrollWidth`), "no scrolling sideways")
					ask[chromedp.Void](p, `for (const d of document.querySelectorAll("details")) d.open = true`)
					assert.Equal(t, width, ask[int](p, `document.documentElement.scrollWidth`), "nor with all unfolded")
					if len(r.Blocks) > 0 {
						assert.Equal(t, len(r.Blocks), ask[int](p, `document.querySelectorAll(".track > i").length`))
						assert.Greater(t, ask[int](p, `document.querySelectorAll(".box").length`), 10)
						assert.Contains(t, ask[string](p, info), words.HumanDuration(reporttest.BlockedNS(r))+", 100.0% of the blocked time")
					}
				}
			})
		}
	}
}

// contrast is the lowest ratio of text to its background, by WCAG 2. Colours are drawn to read
// them whatever their syntax.
const contrast = `((selector) => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const light = (colour) => {
		canvas.fillStyle = "#000"; canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
		const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	return Math.min(...[...document.querySelectorAll(selector)].map((e) => {
		let back = e;
		while (getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
		const [x, y] = [light(getComputedStyle(e).color), light(getComputedStyle(back).backgroundColor)];
		return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
	}));
})`

func TestTextCanBeRead(t *testing.T) {
	for _, scheme := range []string{"light", "dark"} {
		p := open(t, reporttest.Everything(), 1400, scheme)
		ask[chromedp.Void](p, `document.getElementById("library").click()`)
		for _, selector := range []string{"h1", ".facts .k", ".chip", ".at", ".frame .file", ".box:not(.none)", ".advice", ".note, .dim", "td", ".legend li"} {
			assert.GreaterOrEqual(t, ask[float64](p, contrast+`("`+selector+`")`), 4.5, "%s %s", scheme, selector)
		}
	}
}

func TestZoomAndSearch(t *testing.T) {
	p := open(t, reporttest.Everything(), 1400, "light")
	boxes := ask[int](p, `document.querySelectorAll(".box").length`)
	find := `[...document.querySelectorAll(".box")].find((b) => b.textContent === %q)`
	narrow := ask[float64](p, fmt.Sprintf(find, "Orders.latest")+`.getBoundingClientRect().width`)
	ask[chromedp.Void](p, fmt.Sprintf(find, "Orders.latest")+`.click()`)
	assert.Greater(t, ask[float64](p, fmt.Sprintf(find, "Orders.latest")+`.getBoundingClientRect().width`), narrow)
	assert.Equal(t, ask[float64](p, `document.getElementById("flame").clientWidth`), ask[float64](p, fmt.Sprintf(find, "Orders.latest")+`.getBoundingClientRect().width`))
	assert.Contains(t, ask[string](p, info), "Orders.latest/srv/shop/orders/repository.py:118")
	assert.Less(t, ask[int](p, `document.querySelectorAll(".box").length`), boxes)
	p.do(chromedp.Click(chromedp.ID("reset")))
	assert.Equal(t, boxes, ask[int](p, `document.querySelectorAll(".box").length`))
	assert.True(t, ask[bool](p, `document.getElementById("reset").disabled`))

	p.slash()
	p.press("REPOSITORY.py")
	assert.Equal(t, "REPOSITORY.py", ask[string](p, `document.activeElement.value`))
	assert.Equal(t, []string{"Orders.latest"}, ask[[]string](p, `[...document.querySelectorAll(".box.hit")].map((b) => b.textContent)`))
	var ns int64
	r := reporttest.Everything()
	for _, b := range r.Blocks {
		for _, s := range b.Stacks {
			if s.Frames[0].Function == "Orders.latest" || s.Frames[1].Function == "Orders.latest" {
				ns += s.NS
			}
		}
	}
	assert.Contains(t, ask[string](p, info), fmt.Sprintf("“REPOSITORY.py” is in %s of what is shown, %s",
		words.Percent(float64(ns)/float64(reporttest.BlockedNS(r))), words.HumanDuration(ns)))
	p.press(kb.Escape)
	assert.Zero(t, ask[int](p, `document.querySelectorAll(".box.hit").length`))

	ask[chromedp.Void](p, `document.getElementById("library").click()`)
	assert.Greater(t, ask[int](p, `document.querySelectorAll(".box").length`), boxes, "with library frames")
	ask[chromedp.Void](p, `(() => { const s = document.getElementById("pick"); s.value = "1"; s.dispatchEvent(new Event("change")); })()`)
	assert.Contains(t, ask[string](p, info), "gunicorn[41")
}

func TestKeyboardAlone(t *testing.T) {
	p := open(t, reporttest.Everything(), 1400, "light")
	p.do(chromedp.Focus(chromedp.CSS("#flame .box")))
	assert.Equal(t, "all loops", ask[string](p, focused))
	p.press(kb.ArrowDown)
	assert.Equal(t, "<module>", ask[string](p, focused))
	p.press(kb.ArrowRight)
	assert.Equal(t, "[held back by the CPU quota]", ask[string](p, focused))
	p.press(kb.ArrowLeft)
	p.press(kb.ArrowDown)
	assert.Equal(t, "main", ask[string](p, focused))
	p.press(kb.Enter)
	assert.Equal(t, "main", ask[string](p, focused), "keeps the focus while zooming")
	assert.False(t, ask[bool](p, `document.getElementById("reset").disabled`))
	p.press(kb.Escape)
	assert.True(t, ask[bool](p, `document.getElementById("reset").disabled`))
	assert.Equal(t, 1, ask[int](p, `document.querySelectorAll("#flame [tabindex='0']").length`), "one stop for Tab")

	p.do(chromedp.Focus(chromedp.CSS(".track")))
	p.press(kb.Home)
	assert.Contains(t, ask[string](p, block), "block 1 of 15, gunicorn[4")
	p.press(kb.ArrowRight)
	assert.Contains(t, ask[string](p, block), "block 2 of 15")
	p.press(kb.End)
	assert.Contains(t, ask[string](p, block), "block 15 of 15")
	assert.Equal(t, "15", ask[string](p, `document.activeElement.getAttribute("aria-valuenow")`))
	assert.NotEmpty(t, ask[string](p, `document.activeElement.getAttribute("aria-valuetext")`))
}

func TestTimelineTellsOfABlock(t *testing.T) {
	r := reporttest.Everything()
	p := open(t, r, 1400, "light")
	first := r.Blocks[0]
	lane := fmt.Sprintf(`[...document.querySelectorAll(".lane")].find((l) => l.textContent === "gunicorn[%d]")`, first.PID)
	ask[chromedp.Void](p, lane+`.querySelector(".track").dispatchEvent(new MouseEvent("click", {clientX: `+lane+`.querySelector("i").getBoundingClientRect().left + 1}))`)
	says := ask[string](p, block)
	assert.Contains(t, says, words.HumanDuration(first.DurationNS))
	assert.Contains(t, says, "Orders.latest repository.py:118")
	assert.Contains(t, says, "04:05:06.", "the wall clock, in the zone of the host")
	assert.Contains(t, says, "12 events had to wait")
	assert.Contains(t, says, "task Task-20")

	ask[chromedp.Void](p, `for (const d of document.querySelectorAll("details.blocker")) d.open = false`)
	ask[chromedp.Void](p, `document.querySelector("#block a").click()`)
	p.do(chromedp.WaitVisible(chromedp.CSS("details.blocker[open] .body")))
}

// hostilePage is one report of many hostile processes.
func hostilePage(names []string) *model.Report {
	all := reporttest.Hostile("x")
	for i, s := range names {
		r := reporttest.Hostile(s)
		for j := range r.Loops {
			r.Loops[j].PID += 10 * (i + 1)
		}
		for j := range r.Blocks {
			r.Blocks[j].PID += 10 * (i + 1)
		}
		all.Loops = append(all.Loops, r.Loops...)
		all.Blocks = append(all.Blocks, r.Blocks...)
		all.Blockers = append(all.Blockers, r.Blockers[0])
		all.Unsupported = append(all.Unsupported, r.Unsupported...)
		all.Lost.Reasons[s] = 1
		all.Host.Hostname += s
	}
	return all
}

func TestHostilePages(t *testing.T) {
	names := append(reporttest.HostileNames,
		`<img src=x onerror="window.pwned=1">`, `"><svg onload=window.pwned=1>`, `javascript:window.pwned=1`, `--></style><script>window.pwned=1</script>`,
		`</script><script>window.pwned=1</script>`, `{{.Policy}}`, `');window.pwned=1;//`, `<!--<script>`, `__proto__`, `constructor`)
	for _, width := range []int{360, 1400} {
		p := open(t, hostilePage(names), width, "light")
		ask[chromedp.Void](p, `for (const d of document.querySelectorAll("details")) d.open = true`)
		p.slash()
		p.press("img")
		assert.False(t, ask[bool](p, `"pwned" in window`))
		assert.Equal(t, 2, ask[int](p, `document.scripts.length`))
		assert.Zero(t, ask[int](p, `document.querySelectorAll("img, iframe, object, embed, base, svg:not(.bar), [onerror], [onload], a:not([href^='#'])").length`))
		assert.Equal(t, "loopwatch report of ", ask[string](p, `document.title.slice(0, 20)`))
		assert.Greater(t, ask[int](p, `document.querySelectorAll(".box.hit").length`), 0, "found as text")
		assert.Empty(t, ask[[]string](p, fmt.Sprintf(`[...document.querySelectorAll("body *")]
			.filter((e) => !e.closest(".scroll, #flame, svg") && e.getBoundingClientRect().right > %d)
			.slice(0, 3).map((e) => e.outerHTML.slice(0, 200))`, width+1)), "too wide")
	}
}

func TestThePolicyHolds(t *testing.T) {
	running, err := browser()
	require.NoError(t, err)
	ctx, cancel := chromedp.NewContext(running)
	defer cancel()
	page := strings.Replace(written(t, reporttest.Everything()), "</main>", `<img src="https://127.0.0.1:1/x"><script>window.pwned = 1</script><b style="color: rgb(1, 2, 3)" onclick="window.pwned = 1">x</b></main>`, 1)
	file := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("file://"+file)))
	p := tab{t, ctx}
	ask[chromedp.Void](p, `document.querySelector("b[onclick]").click()`)
	assert.False(t, ask[bool](p, `"pwned" in window`))
	assert.NotEqual(t, "rgb(1, 2, 3)", ask[string](p, `getComputedStyle(document.querySelector("b[onclick]")).color`))
	assert.Greater(t, ask[int](p, `document.querySelectorAll(".box").length`), 10, "the page's own script runs")
}

func TestLargeReportIsUsable(t *testing.T) {
	p := open(t, reporttest.Many(12_000), 1400, "light")
	assert.Equal(t, 41, ask[int](p, `document.querySelectorAll(".lane").length`), "and the axis")
	assert.Greater(t, ask[int](p, `document.querySelectorAll(".box").length`), 40)
	p.slash()
	p.press("step_3")
	assert.Contains(t, ask[string](p, info), "of what is shown")
}
