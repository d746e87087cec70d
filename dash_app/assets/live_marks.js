// What happened meanwhile, marked on latency over time: turns of the arms, seconds that are not measured or that the
// generator spoiled, scripted faults, a breaker that opened. Each with a word, as long as there is room for it.
(function () {
  "use strict";
  const live = (window.tailgateLive = window.tailgateLive || {});
  const BOUND_CORES = 0.9; // a generator that takes more of its core measures itself
  const NEAR_S = 3; // stretches of a kind that lie so close are one
  const MOST_WORDS = 8;
  const LETTER_PX = 7;
  const STRETCHES = { ramp: "ramp", warmup: "warm-up", drain: "drain" };

  // Each mark: from and until (elapsed s; the same for a moment), text, and kind, in which the first named is dearest.
  const KINDS = ["breaker", "bound", "faults", "turn", "phase"];

  function stretches(ticks, at, kind, textOf) {
    const found = [];
    let open = null;
    for (const tick of ticks) {
      const text = textOf(tick);
      if (!text) continue;
      const from = at(tick);
      if (open && open.text === text && from - open.until < NEAR_S) open.until = from + 1;
      else found.push((open = { kind, text, from, until: from + 1 }));
    }
    return found;
  }

  function happened(view) {
    const at = (tick) => Math.max(tick.time - view.origin - 1, view.from); // a tick tells of the second before it
    const found = stretches(view.ticks, at, "phase", (tick) => (tick.phase === "measure" ? null : STRETCHES[tick.phase] || tick.phase));
    found.push(...stretches(view.ticks, at, "bound", (tick) => (tick.generator.cpu > BOUND_CORES ? "generator-bound" : null)));
    for (const run of view.store.runs.values()) {
      for (const [start, end] of run.blocks.flatMap((block) => block.faults)) {
        const [from, until] = [Math.max(start - view.origin, view.from), Math.min(end - view.origin, view.until)];
        if (from < until) found.push({ kind: "faults", text: "faults", from, until });
      }
    }
    let turn = null;
    for (const tick of view.ticks) {
      const run = view.store.runs.get(tick.run);
      if (run && run.arm && turn !== tick.run + tick.block) {
        found.push({ kind: "turn", text: run.arm + " " + run.mode, short: run.arm, from: at(tick), until: at(tick) });
      }
      turn = tick.run + tick.block;
    }
    let breaker = null;
    for (const frame of view.serverFrames) {
      const moment = frame.time - view.origin;
      if (breaker && frame.breaker !== breaker) found.push({ kind: "breaker", text: "breaker " + frame.breaker, from: moment, until: moment });
      breaker = frame.breaker;
    }
    return found;
  }

  // Words over the figure, the dearest first, none over another.
  function words(found, view, colours) {
    const perPx = (view.until - view.from) / view.widthPx;
    const placed = [];
    // Turns are told in full or all in short: names of one arm only would read as if the other had no turn.
    const turns = found.filter((mark) => mark.kind === "turn");
    const tight = turns.some((mark, i) => i && (mark.from - turns[i - 1].from) / perPx < turns[i - 1].text.length * LETTER_PX);
    const said = (mark) => (tight && mark.short) || mark.text;
    const dearest = [...found].sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.from - a.from);
    for (const mark of dearest) {
      const wide = said(mark).length * LETTER_PX * perPx;
      const left = Math.max(view.from, Math.min(mark.from, view.until - wide));
      const free = placed.every((other) => left > other.left + other.wide || other.left > left + wide);
      if (free && placed.length < MOST_WORDS) placed.push({ left, wide, mark });
    }
    return placed.map(({ left, mark }) => ({
      x: left, y: 1, yref: "paper", yanchor: "bottom", xanchor: "left", text: said(mark), showarrow: false, font: { color: colours[mark.kind] },
    }));
  }

  // A moment is a line and a stretch a shade; faults, which are there by design, are a strip along the top.
  function shape(mark, colour) {
    const place = { x0: mark.from, x1: mark.until, y0: 0, y1: 1, yref: "paper" };
    if (mark.from === mark.until) return { ...place, type: "line", line: { color: colour, width: 1, dash: "dot" } };
    const filled = { ...place, type: "rect", fillcolor: colour, line: { width: 0 } };
    return mark.kind === "faults" ? { ...filled, ysizemode: "pixel", yanchor: 1, y0: 0, y1: -5 } : { ...filled, opacity: 0.14 };
  }

  live.BOUND_CORES = BOUND_CORES;
  live.marks = function (figure, view) {
    const muted = figure.layout.font.color;
    const bad = live.colour("bad");
    const colours = { breaker: bad, bound: bad, faults: bad, turn: muted, phase: muted };
    const found = happened(view);
    figure.layout.shapes = found.map((mark) => shape(mark, colours[mark.kind]));
    return words(found, view, colours);
  };
  // A colour of the page's own tokens, which hold for the theme that is on.
  live.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
})();
