// SPDX-License-Identifier: Apache-2.0
//
// Draws the timeline and the flame graph from the JSON in #data. Text gets into the page as text
// nodes and attribute values only.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);

  function element(tag, classes, text) {
    const e = document.createElement(tag);
    if (classes) e.className = classes;
    if (text !== undefined) e.textContent = text;
    return e;
  }

  // human writes nanoseconds as the rest of the page does: three significant digits.
  function human(ns) {
    if (data.unit) return (ns / 1e9).toLocaleString("en", { maximumFractionDigits: ns < 1e10 ? 2 : ns < 1e11 ? 1 : 0 }) + " " + data.unit;
    if (ns < 1000) return ns + " ns";
    const short = (s) => s.replace(/\.?0+$/, "");
    for (const [unit, name] of [[1e3, "µs"], [1e6, "ms"], [1e9, "s"]]) {
      const v = ns / unit;
      if (v < 9.995) return short(v.toFixed(2)) + " " + name;
      if (v < 99.95) return short(v.toFixed(1)) + " " + name;
      if (v < 999.5 && name !== "s") return v.toFixed(0) + " " + name;
    }
    const s = Math.round(ns / 1e9);
    return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  }
  const percent = (share) => share > 0 && share < 0.001 ? "<0.1%" : (share * 100).toFixed(1) + "%";
  const chip = (cause) => element("span", "chip c " + data.classes[cause], data.causes[cause]);

  // Links to folded blockers unfold them.
  function unfold() {
    const target = /^#b[0-9]+$/.test(location.hash) && $(location.hash.slice(1));
    if (target) {
      for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", unfold);
  unfold();

  // ---- timeline ----

  const [LANE, START, TOOK, CAUSE, BLOCKER, CULPRIT, BOUND, TASK, EVENTS, WAITED, PERIOD] = Array(11).keys();
  // A block can have begun before the observation did, and end after it.
  const first = Math.min(0, ...data.lanes.map((_, i) => data.blocks.find((b) => b[LANE] === i)?.[START] ?? 0));
  const last = data.blocks.reduce((max, b) => Math.max(max, b[START] + b[TOOK]), data.window) || 1;
  const span = last - first;
  const startedAt = Date.parse(data.startedAt);
  const zone = /(?:Z|[+-]\d\d:\d\d)$/.exec(data.startedAt)?.[0] ?? "Z";
  const shift = zone === "Z" ? 0 : (zone[0] === "-" ? -1 : 1) * (zone.slice(1, 3) * 60 + +zone.slice(4)) * 60000;
  const clock = (ns) => isNaN(startedAt) ? "" : new Date(startedAt + shift + ns / 1e6).toISOString().slice(11, 23);

  const took = (b) => (b[BOUND] ? "≥ " : "") + human(b[TOOK]) + (b[PERIOD] ? " of " + human(b[PERIOD]) : "");

  function describe(b) {
    return `${took(b)}, ${data.causes[b[CAUSE]]}, ${data.strings[b[CULPRIT]]}`;
  }

  function showBlock(lane, b, n, of) {
    const panel = $("block");
    panel.replaceChildren();
    panel.append(element("b", "", took(b)), chip(b[CAUSE]), " ");
    const culprit = data.strings[b[CULPRIT]];
    if (b[BLOCKER]) {
      const a = element("a", "", culprit);
      a.href = "#b" + b[BLOCKER];
      panel.append(a);
    } else {
      panel.append(culprit);
    }
    const notes = [`block ${n} of ${of}, ${lane.name}`, `${clock(b[START])}, ${human(Math.abs(b[START]))} ${b[START] < 0 ? "before" : "after"} the start`];
    if (b[BOUND] & 2) notes.push("had begun before the start, when is not known");
    if (b[BOUND] & 1) notes.push("still going on at the end");
    if (data.strings[b[TASK]]) notes.push("task " + data.strings[b[TASK]]);
    if (b[EVENTS]) notes.push(`${b[EVENTS]} events had to wait, the longest for ${human(b[WAITED])}`);
    panel.append(element("div", "dim", notes.join(" · ")));
  }

  let chosen = null; // the bar whose block is shown
  function addLane(lane, blocks) {
    const row = element("div", "lane");
    const name = element("div", "name", lane.name);
    name.title = `${lane.name}, ${lane.kind}: ${lane.blocks} blocks, ${human(lane.blocked)}`;
    const track = element("div", "track");
    track.tabIndex = 0;
    track.setAttribute("role", "slider");
    track.setAttribute("aria-label", `Blocks of ${lane.name}, ${lane.kind}`);
    track.setAttribute("aria-valuemin", 1);
    track.setAttribute("aria-valuemax", Math.max(blocks.length, 1));
    const bars = blocks.map((b) => {
      const bar = element("i", "c " + data.classes[b[CAUSE]]);
      bar.style.left = (b[START] - first) / span * 100 + "%";
      bar.style.width = `max(2px, ${b[TOOK] / span * 100}%)`;
      bar.title = describe(b);
      return bar;
    });
    track.append(...bars);
    let at = blocks.reduce((longest, b, i) => b[TOOK] > blocks[longest][TOOK] ? i : longest, 0);
    const announce = () => {
      track.setAttribute("aria-valuenow", at + 1);
      track.setAttribute("aria-valuetext", describe(blocks[at]));
    };
    const choose = (i) => {
      at = Math.min(Math.max(i, 0), blocks.length - 1);
      chosen?.classList.remove("on");
      chosen = bars[at];
      chosen.classList.add("on");
      announce();
      showBlock(lane, blocks[at], at + 1, blocks.length);
    };
    if (blocks.length) {
      announce();
      track.addEventListener("focus", () => { if (!bars.includes(chosen)) choose(at); });
      track.addEventListener("keydown", (e) => {
        const step = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: blocks.length - 1 }[e.key];
        if (step === undefined || e.altKey || e.ctrlKey || e.metaKey) return;
        e.preventDefault();
        choose(step);
      });
      track.addEventListener("click", (e) => {
        const r = track.getBoundingClientRect();
        const t = first + (e.clientX - r.left) / r.width * span;
        const away = (b) => Math.max(b[START] - t, t - b[START] - b[TOOK], 0);
        choose(blocks.reduce((best, b, i) => away(b) < away(blocks[best]) ? i : best, 0));
      });
    }
    row.append(name, track);
    $("lanes").append(row);
    return () => choose(at);
  }

  function drawAxis(axis) {
    axis.replaceChildren();
    const wanted = Math.max(2, Math.min(10, axis.clientWidth / 80));
    const power = 10 ** Math.floor(Math.log10(span / wanted));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= wanted) ?? span;
    for (let t = Math.ceil(first / step) * step; t <= last; t += step) {
      const share = (t - first) / span;
      const tick = element("span", share > 0.95 ? "end" : "", t === 0 ? "0 s" : human(Math.abs(t)).replace(/^/, t < 0 ? "−" : ""));
      tick.style.left = share * 100 + "%";
      axis.append(tick);
    }
  }

  const byLane = data.lanes.map(() => []);
  for (const b of data.blocks) byLane[b[LANE]].push(b);
  const choosers = data.lanes.map((lane, i) => addLane(lane, byLane[i]));
  const axisRow = element("div", "lane axis-row");
  const axis = element("div", "axis");
  axisRow.append(element("div", "name dim", "after the start"), axis);
  $("lanes")?.append(axisRow);
  if (data.blocks.length) {
    choosers[data.blocks.reduce((x, b) => b[TOOK] > x[TOOK] ? b : x)[LANE]]();
  }

  // ---- flame graph ----

  const [FUNCTION, FILE, LINE, APP] = [0, 1, 2, 3];

  // A box: its frame, time, the same by cause, and callees.
  function box(row) {
    const b = { frame: row[0], ns: row[1], causes: new Map(), kids: (row[3] ?? []).map(box) };
    addCauses(b.causes, b.kids);
    const own = b.ns - b.kids.reduce((sum, k) => sum + k.ns, 0);
    for (const [cause, ns] of Array.isArray(row[2]) ? row[2] : [[row[2], own]]) b.causes.set(cause, (b.causes.get(cause) ?? 0) + ns);
    return b;
  }
  function addCauses(sums, boxes) {
    for (const b of boxes) for (const [cause, ns] of b.causes) sums.set(cause, (sums.get(cause) ?? 0) + ns);
    return sums;
  }
  const whole = box(data.tree);

  // classOf colours a box by what most of its time went to; where that is not most, not at all.
  function classOf(b) {
    for (const [cause, ns] of b.causes) if (ns >= 0.6 * b.ns) return data.classes[cause];
    return "mixed";
  }

  // merge returns one box for boxes of equal frame, callees merged alike.
  function merge(boxes, parent) {
    const groups = new Map();
    for (const b of boxes) {
      if (!groups.has(b.frame)) groups.set(b.frame, []);
      groups.get(b.frame).push(b);
    }
    const merged = [];
    for (const [frame, group] of groups) {
      const m = { frame, ns: group.reduce((sum, b) => sum + b.ns, 0), causes: addCauses(new Map(), group), parent, level: parent.level + 1 };
      m.kids = merge(group.flatMap((b) => b.kids), m);
      merged.push(m);
    }
    return merged.sort((x, y) => y.ns - x.ns);
  }

  const isCode = (b) => data.frames[b.frame][FILE] !== "";
  const isApp = (b) => data.frames[b.frame][APP] === 1;

  // withoutLibraries leaves of library frames those that application code called, and the ends.
  function withoutLibraries(boxes, caller, depth) {
    return boxes.flatMap((b) => {
      const kids = withoutLibraries(b.kids, b, depth + 1);
      const keep = depth === 0 || !isCode(b) || isApp(b) || isApp(caller) || b.kids.length === 0;
      return keep ? [{ ...b, kids }] : kids;
    });
  }

  const pick = $("pick"), library = $("library"), search = $("search"), reset = $("reset"), flame = $("flame"), info = $("flame-info");
  let found = "", hidden = "";
  let root = whole, zoomed = whole, boxes = new Map(), current = null;

  function rebuild() {
    const loops = whole.kids;
    const loop = pick.value === "" ? null : loops[+pick.value];
    root = { ...(loop ?? whole), parent: null, level: 0 };
    let stacks = loop ? loop.kids : loops.length === 1 ? loops[0].kids : loops.flatMap((l) => l.kids);
    if (!library.checked) stacks = withoutLibraries(stacks, root, 0);
    root.kids = merge(stacks, root);
    zoomed = root;
    draw();
  }

  const nameOf = (b) => data.frames[b.frame][FUNCTION];
  const whereOf = (b) => {
    const [, file, line] = data.frames[b.frame];
    return file + (file && line > 0 ? ":" + line : "");
  };

  function draw() {
    flame.replaceChildren();
    boxes = new Map();
    const rows = getComputedStyle(flame).getPropertyValue("--row");
    const least = 1.2 / Math.max(flame.clientWidth, 300);
    let deepest = 0, narrow = 0;
    const parts = document.createDocumentFragment();
    const place = (b, left, width, above) => {
      const frame = data.frames[b.frame];
      const kind = b === root ? "top" : frame[FILE] === "" ? "none" : frame[APP] ? "app" : "";
      const e = element("div", `box c ${classOf(b)} ${kind}${above ? " above" : ""}`, nameOf(b));
      if (width * flame.clientWidth < 26) {
        e.classList.add("thin");
        e.textContent = "";
      }
      e.style.left = left * 100 + "%";
      e.style.width = width * 100 + "%";
      e.style.top = `calc(${b.level} * ${rows})`;
      e.tabIndex = -1;
      e.setAttribute("role", "treeitem");
      e.setAttribute("aria-level", b.level + 1);
      e.setAttribute("aria-label", `${nameOf(b)} ${whereOf(b)}, ${human(b.ns)}, ${percent(b.ns / root.ns)}`);
      boxes.set(e, b);
      b.element = e;
      deepest = Math.max(deepest, b.level);
      parts.append(e);
    };
    const walk = (b, left, width) => {
      place(b, left, width, false);
      for (const kid of b.kids) {
        const w = width * kid.ns / b.ns;
        if (w >= least) walk(kid, left, w);
        else {
          kid.element = null;
          narrow += kid.ns;
        }
        left += w;
      }
    };
    const ancestors = [];
    for (let b = zoomed.parent; b; b = b.parent) ancestors.unshift(b);
    for (const b of ancestors) place(b, 0, 1, true);
    walk(zoomed, 0, 1);
    // Height by the deepest box: an element of its own, as boxes are out of the flow.
    const floor = element("div");
    floor.style.height = `calc(${deepest + 1} * ${rows})`;
    parts.append(floor);
    flame.append(parts);
    reset.disabled = zoomed === root;
    current = zoomed;
    zoomed.element.tabIndex = 0;
    hidden = narrow > 0.01 * zoomed.ns ? `${percent(narrow / zoomed.ns)} of the time is in boxes too narrow to draw: zoom in, or search` : "";
    find();
    tell(zoomed);
  }

  function tell(b) {
    info.replaceChildren(element("b", "", nameOf(b)), element("span", "file", whereOf(b)));
    let text = `${human(b.ns)}, ${percent(b.ns / root.ns)} of the ${data.what}`;
    if (zoomed !== root) text += `, ${percent(b.ns / zoomed.ns)} of what is shown`;
    const line = element("div", "dim", text);
    info.append(line);
    const split = element("div", "shares");
    for (const [cause, ns] of [...b.causes].sort((x, y) => y[1] - x[1]).slice(0, 4)) {
      const share = element("span");
      share.append(chip(cause), percent(ns / b.ns));
      if (ns > 0.001 * b.ns) split.append(share);
    }
    info.append(split);
    if (hidden && b === zoomed) info.append(element("div", "dim", hidden));
    if (found) info.append(element("div", "dim", found));
  }

  function zoom(b, focus) {
    zoomed = b;
    draw();
    if (focus) zoomed.element.focus({ preventScroll: true });
  }

  function move(b) {
    if (!b || !b.element) return;
    current.element.tabIndex = -1;
    current = b;
    b.element.tabIndex = 0;
    b.element.focus();
  }

  // Boxes beside each other: those of one caller.
  function beside(b, step) {
    const row = b.parent ? b.parent.kids.filter((k) => k.element?.isConnected) : [b];
    return row[row.indexOf(b) + step];
  }

  function find() {
    const word = search.value.trim().toLowerCase();
    flame.classList.toggle("searching", word !== "");
    let ns = 0;
    const matches = (b) => word !== "" && (nameOf(b).toLowerCase().includes(word) || whereOf(b).toLowerCase().includes(word));
    const look = (b, counted) => {
      const hit = matches(b);
      b.element?.classList.toggle("hit", hit);
      if (hit && !counted) ns += b.ns;
      for (const kid of b.kids) look(kid, counted || hit);
    };
    for (let b = zoomed.parent; b; b = b.parent) b.element?.classList.toggle("hit", matches(b));
    look(zoomed, false);
    found = word === "" ? "" : `“${search.value.trim()}” is in ${percent(ns / zoomed.ns)} of what is shown, ${human(ns)}`;
  }

  flame.addEventListener("pointerover", (e) => { if (boxes.has(e.target)) tell(boxes.get(e.target)); });
  flame.addEventListener("focusin", (e) => {
    if (!boxes.has(e.target)) return;
    current = boxes.get(e.target);
    tell(current);
  });
  flame.addEventListener("click", (e) => { if (boxes.has(e.target)) zoom(boxes.get(e.target), true); });
  flame.addEventListener("keydown", (e) => {
    if (e.altKey || e.ctrlKey || e.metaKey || !boxes.has(e.target)) return;
    const b = boxes.get(e.target);
    const actions = {
      ArrowDown: () => move(b.kids.find((k) => k.element?.isConnected)),
      ArrowUp: () => move(b.parent),
      ArrowLeft: () => move(beside(b, -1)),
      ArrowRight: () => move(beside(b, 1)),
      Home: () => move(root),
      Enter: () => zoom(b, true),
      " ": () => zoom(b, true),
      Escape: () => zoom(root, true),
    };
    if (!actions[e.key]) return;
    e.preventDefault();
    actions[e.key]();
  });
  search.addEventListener("input", () => { find(); tell(current); });
  search.addEventListener("keydown", (e) => { if (e.key === "Escape") { search.value = ""; find(); tell(current); } });
  $("tools").addEventListener("submit", (e) => e.preventDefault());
  library.addEventListener("change", rebuild);
  pick.addEventListener("change", rebuild);
  reset.addEventListener("click", () => zoom(root, false));
  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    e.preventDefault();
    search.focus();
  });

  if (whole.kids.length > 1) {
    pick.append(new Option("all together", ""));
    whole.kids.forEach((l, i) => pick.append(new Option(`${nameOf(l)}, ${human(l.ns)}`, String(i))));
    $("pick-label").hidden = false;
  } else {
    pick.append(new Option("", ""));
  }
  if (whole.ns > 0) rebuild();

  let width = 0;
  new ResizeObserver(() => {
    if (flame.clientWidth === width) return;
    width = flame.clientWidth;
    drawAxis(axis);
    if (whole.ns === 0) return;
    const focused = flame.contains(document.activeElement);
    draw(); // takes the box with the focus away
    if (focused) (current.element?.isConnected ? current : zoomed).element.focus({ preventScroll: true });
  }).observe(flame);
})();
