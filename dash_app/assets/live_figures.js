// The live figures: traces of the skeletons that the server drew, filled from the store.
(function () {
  "use strict";
  const live = (window.tailgateLive = window.tailgateLive || {});
  const numbers = window.tailgateNumbers;
  const STEPS = [1, 2, 5, 10, 15, 30];
  const BINS_A_ROW = 2;
  const NEEDED = { 0.5: 20, 0.99: 1000 }; // ten samples beyond the quantile
  const LABEL_PX = 17;
  const FEWEST_ON_AXIS = 4; // below, ticks of whole numbers would repeat themselves
  const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, showTips: false };

  const column = (step, from) => Math.floor(from / step) * step;
  const stepFor = (span, columns) => STEPS.find((s) => span / s <= columns) || 60;

  function trace(figure, name) {
    return figure.data.find((each) => each.name === name);
  }

  function fill(figure, name, x, y, text) {
    Object.assign(trace(figure, name), { x, y }, text ? { text } : {});
  }

  // Direct labels at the right end, moved apart where they would touch. Each: [trace name, y, text].
  function labelEnds(figure, view, ends, top, bottom) {
    const known = ends.filter((end) => end[1] !== null && end[1] !== undefined);
    const places = numbers.spread(known.map((end) => end[1]), ((top - bottom) * LABEL_PX) / view.px, bottom);
    return known.map(([name, , text], i) => ({
      x: 1, xref: "paper", xanchor: "left", xshift: 6, y: places[i], text, showarrow: false,
      font: { color: trace(figure, name).line.color },
    }));
  }

  const last = (values) => {
    for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null) return values[i];
    return null;
  };

  // ---- one function a figure: (figure, view) -> annotations; view has store, from, until (elapsed s), origin, shown

  function latency(figure, view) {
    const step = stepFor(view.until - view.from, 150);
    const first = column(step, view.from);
    const columns = [];
    for (let t = first; t < view.until; t += step) {
      columns.push(view.ledger.begun.sum(view.origin + t, view.origin + t + step));
    }
    const parts = { hit: live.HIT, miss: live.MISS };
    if (view.shown !== "all") delete parts[view.shown === "hit" ? "miss" : "hit"];
    const kinds = Object.values(parts);
    const used = [live.BINS, -1];
    for (const counts of columns) {
      for (const kind of kinds) {
        const bins = counts.bins[kind];
        for (let b = 0; b < live.BINS; b++) {
          if (bins[b]) {
            if (b < used[0]) used[0] = b;
            if (b > used[1]) used[1] = b;
          }
        }
      }
    }
    if (used[1] < 0) return [];
    const low = Math.max(0, Math.floor((used[0] - 4) / 10) * 10); // in steps, so that the axis holds still
    const high = Math.min(live.BINS, Math.ceil((used[1] + 5) / 10) * 10);
    const z = [];
    const y = [];
    for (let b = low; b < high; b += BINS_A_ROW) {
      y.push((b + BINS_A_ROW / 2) / 40 - 3);
      z.push(columns.map((counts) => {
        let n = 0;
        for (const kind of kinds) n += counts.bins[kind][b] + counts.bins[kind][b + 1];
        return n || null;
      }));
    }
    Object.assign(trace(figure, "requests"), { x: columns.map((_, i) => first + (i + 0.5) * step), y, z });
    const range = [low / 40 - 3, high / 40 - 3];
    figure.layout.yaxis.range = range;
    Object.assign(figure.layout.yaxis, decades(range));
    const ends = [];
    for (const [name, part, q] of [["miss p99", "miss", 0.99], ["miss p50", "miss", 0.5], ["hit p50", "hit", 0.5]]) {
      const line = part in parts ? quantileLine(columns, parts[part], q, first, step, view.settled) : { x: [], y: [] };
      const texts = line.y.map((each) => (each === null ? "" : name + " " + numbers.latency(10 ** each).join(" ")));
      fill(figure, name, line.x, line.y, texts);
      if (trace(figure, name + " halo")) fill(figure, name + " halo", line.x, line.y);
      const end = last(line.y);
      if (end !== null) ends.push([name, end, "<b>" + name + "</b> " + numbers.latency(10 ** end).join(" ")]);
    }
    return labelEnds(figure, view, ends, range[1], range[0]).concat(live.marks(figure, view));
  }

  function decades(range) {
    const vals = [];
    for (let d = Math.ceil(range[0]); d <= range[1]; d++) vals.push(d);
    return { tickvals: vals, ticktext: vals.map((d) => Number(d < 0 ? 10 ** (d + 3) : d < 3 ? 10 ** d : 10 ** (d - 3)) + (d < 0 ? " µs" : d < 3 ? " ms" : " s")) };
  }

  // A quantile over as many columns together as it takes to have samples enough, never more than a sixth of them.
  function quantileLine(columns, kind, q, first, step, settled) {
    const totals = columns.map((counts) => counts.kinds[kind]);
    const filled = totals.filter((n) => n).sort((a, b) => a - b);
    const line = { x: [], y: [] };
    if (!filled.length) return line;
    const typical = filled[filled.length >> 1];
    const most = Math.max(1, Math.floor(columns.length / 6));
    const width = Math.min(Math.max(1, Math.ceil((1.2 * NEEDED[q]) / typical)), most);
    let end = 0;
    for (let i = 0; i < columns.length; i += width) {
      const from = first + i * step;
      if (from + width * step > settled) break;
      const sum = new Uint32Array(live.BINS);
      let n = 0;
      for (let k = i; k < Math.min(i + width, columns.length); k++) {
        n += totals[k];
        const bins = columns[k].bins[kind];
        for (let b = 0; b < live.BINS; b++) sum[b] += bins[b];
      }
      if (n >= NEEDED[q]) {
        if (line.x.length && from - end > 3 * step) { // nothing was asked between two blocks: no line leads across
          line.x.push((from + end) / 2);
          line.y.push(null);
        }
        end = from + width * step;
        line.x.push(from + (width * step) / 2);
        line.y.push(Math.log10(live.quantileMs(sum, q)));
      }
    }
    return line;
  }

  function retries(figure, view) {
    const step = stepFor(view.until - view.from, 50);
    const x = [];
    const stacks = [[], [], [], []];
    for (let t = column(step, view.from); t < view.until; t += step) {
      const counts = view.ledger.ended.sum(view.origin + t, view.origin + t + step);
      x.push(t + step / 2);
      for (let n = 2; n <= 5; n++) stacks[n - 2].push(counts.reached ? counts.attempts[n] / counts.reached : null);
    }
    ["2", "3", "4", "5+"].forEach((name, i) => fill(figure, name, x, stacks[i]));
    const spent = stacks.some((stack) => stack.some((value) => value));
    const highest = Math.max(0.01, ...x.map((_, i) => stacks.reduce((sum, stack) => sum + stack[i], 0)));
    figure.layout.yaxis.range = [0, highest * 1.15];
    figure.layout.yaxis.tickformat = highest < 0.05 ? ".1%" : ".0%";
    figure.layout.xaxis.visible = figure.layout.yaxis.visible = spent;
    if (!spent) {
      const reached = view.ledger.ended.sum(view.origin + view.from, view.origin + view.until).reached;
      const text = "No retries in " + reached.toLocaleString("en-US") + " requests";
      return [{ x: 0.5, xref: "paper", y: 0.5, yref: "paper", text, showarrow: false }];
    }
    return ["2", "3", "4", "5+"].map((name, i) => ({
      x: 0.02 + i * 0.1, xref: "paper", xanchor: "left", y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
      text: "<span style='color:" + trace(figure, name).marker.color + "'>■</span> " + name,
    }));
  }

  function shares(figure, view) {
    const step = stepFor(view.until - view.from, 150);
    const x = [];
    const hit = [];
    const failed = [];
    for (let t = column(step, view.from); t + step <= view.until; t += step) {
      const counts = view.ledger.ended.sum(view.origin + t, view.origin + t + step);
      const successes = counts.all - counts.kinds[live.FAILED];
      x.push(t + step / 2);
      hit.push(successes ? counts.kinds[live.HIT] / successes : null);
      failed.push(counts.all ? counts.kinds[live.FAILED] / counts.all : null);
    }
    fill(figure, "hit", x, hit);
    fill(figure, "failed", x, failed);
    const say = (name, value) => [name, value, "<b>" + name + "</b> " + numbers.share(value).join("")];
    return labelEnds(figure, view, [say("hit", last(hit)), say("failed", last(failed))], 1, 0);
  }

  function inFlight(figure, view) {
    // Ticks tell of both arms, from the start; a followed server only of itself, since somebody looks.
    const told = view.ticks.some((tick) => Object.keys((tick.server && tick.server.in_flight) || {}).length);
    const frames = told ? view.ticks : view.serverFrames;
    const x = frames.map((frame) => frame.time - view.origin);
    const states = (frame) => frame.in_flight || (frame.server && frame.server.in_flight) || {};
    const ends = [];
    let base = 0;
    let top = FEWEST_ON_AXIS;
    const sums = x.map(() => 0);
    for (const each of figure.data) {
      const y = frames.map((frame) => states(frame)[each.name] || 0);
      fill(figure, each.name, x, y);
      y.forEach((value, i) => (sums[i] += value));
      const end = y.length ? y[y.length - 1] : 0;
      if (end) ends.push([each.name, base + end / 2, "<b>" + each.name.toLowerCase() + "</b> " + Math.round(end).toLocaleString("en-US")]);
      base += end;
    }
    for (const sum of sums) top = Math.max(top, sum);
    figure.layout.yaxis.range = [0, top * 1.1];
    return labelEnds(figure, view, ends, top * 1.1, 0);
  }

  function load(figure, view) {
    const x = view.ticks.map((tick) => tick.time - view.origin);
    const users = view.ticks.map((tick) => tick.users);
    fill(figure, "users", x, users);
    const step = stepFor(view.until - view.from, 150);
    const places = [];
    const rates = [];
    const known = Math.min(view.until, view.now); // what lies ahead is not zero
    for (let t = column(step, view.from); t + step <= known; t += step) {
      places.push(t + step / 2);
      rates.push(view.ledger.ended.sum(view.origin + t, view.origin + t + step).all / step);
    }
    fill(figure, "req/s", places, rates);
    const top = Math.max(FEWEST_ON_AXIS, ...users, ...rates) * 1.1;
    figure.layout.yaxis.range = [0, top];
    const end = (name, value) => [name, value, "<b>" + name + "</b> " + (value === null ? "" : Math.round(value).toLocaleString("en-US"))];
    return labelEnds(figure, view, [end("users", last(users)), end("req/s", last(rates))], top, 0);
  }

  function cpu(figure, view) {
    const ends = [];
    let top = 1;
    for (const name of ["server", "generator"]) {
      const frames = name === "server" && !view.ticks.length ? view.serverFrames : view.ticks;
      const cores = frames.map((f) => { const own = f.type === "server" ? f.cpu : f[name] && f[name].cpu; return own === undefined ? null : own; });
      fill(figure, name, frames.map((frame) => frame.time - view.origin), cores);
      for (const value of cores) if (value > top) top = value;
      const end = last(cores);
      if (end !== null) ends.push([name, end, "<b>" + name + "</b> " + numbers.threeDigits(end)]);
    }
    figure.layout.yaxis.range = [0, top * 1.1];
    return labelEnds(figure, view, ends, top * 1.1, 0);
  }

  live.CONFIG = CONFIG;
  live.figures = {
    "live-latency": latency,
    "live-retries": retries,
    "live-shares": shares,
    "live-in-flight": inFlight,
    "live-load": load,
    "live-cpu": cpu,
  };
})();
