// Numbers as people read them, the words of reports.readable in the browser, and ticks of elapsed time.
(function () {
  "use strict";
  const DASH = "–";
  const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];

  function threeDigits(value) {
    const size = Math.abs(value);
    if (value === 0) return "0";
    if (size >= 99.95) return Math.round(value).toLocaleString("en-US");
    if (size >= 9.995) return value.toFixed(1);
    if (size >= 0.9995) return value.toFixed(2);
    return String(Number(value.toPrecision(3)));
  }

  // [number, unit] of a latency in ms; a dash for none.
  function latency(ms) {
    if (ms === null || ms === undefined) return [DASH, ""];
    if (ms < 0.9995) return [threeDigits(ms * 1000), "µs"];
    if (ms < 999.5) return [threeDigits(ms), "ms"];
    return [threeDigits(ms / 1000), "s"];
  }

  function share(fraction) {
    if (fraction === null || fraction === undefined) return [DASH, ""];
    if (fraction > 0 && fraction < 0.00995) return [threeDigits(fraction * 100), "%"];
    return [(fraction * 100).toFixed(1), "%"];
  }

  function elapsed(seconds) {
    const whole = Math.round(seconds);
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor((whole % 3600) / 60);
    const rest = String(whole % 60).padStart(2, "0");
    return hours ? hours + ":" + String(minutes).padStart(2, "0") + ":" + rest : minutes + ":" + rest;
  }

  // Tick places and texts of an axis from..until in elapsed seconds.
  function ticks(from, until) {
    const step = TICKS.find((s) => (until - from) / s <= 7) || 1200;
    const places = [];
    for (let t = Math.max(0, Math.ceil(from / step)) * step; t <= until; t += step) places.push(t);
    return { tickvals: places, ticktext: places.map(elapsed) };
  }

  // Values moved apart as little as it takes for neighbours to be gap apart, their order kept, none below bottom.
  function spread(values, gap, bottom) {
    const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
    const placed = values.slice();
    for (let round = 0; round < 12; round++) {
      for (let k = 1; k < order.length; k++) {
        const lack = gap - (placed[order[k]] - placed[order[k - 1]]);
        if (lack > 0) {
          placed[order[k]] += lack / 2;
          placed[order[k - 1]] -= lack / 2;
        }
      }
    }
    order.forEach((index, k) => (placed[index] = Math.max(placed[index], bottom + k * gap)));
    return placed;
  }

  function sparkline(values) {
    const known = values.filter((value) => value !== null);
    if (known.length < 2) return "";
    const low = Math.min(...known);
    const span = Math.max(...known) - low;
    let path = "";
    let pen = false;
    values.forEach((value, i) => {
      if (value === null) pen = false;
      else {
        const y = 37 - (span ? (value - low) / span : 0.5) * 34;
        path += (pen ? "L" : "M") + ((i * 120) / (values.length - 1)).toFixed(1) + " " + y.toFixed(1);
        pen = true;
      }
    });
    return (
      '<svg viewBox="0 0 120 40" preserveAspectRatio="none"><path d="' + path +
      '" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" vector-effect="non-scaling-stroke"/></svg>'
    );
  }

  window.tailgateNumbers = { DASH, threeDigits, latency, share, elapsed, ticks, spread, sparkline };
})();
