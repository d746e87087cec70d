// What the live page knows: frames folded into seconds, and the quantiles read from them.
(function () {
  "use strict";
  const BINS = 360;
  const BINS_PER_DECADE = 40;
  const KEEP_S = 960;
  const HIT = 0;
  const MISS = 1;
  const FAILED = 3;

  // The q quantile in ms of counts by log bin, log-linear inside its bin: reports.bins.quantile_ns, in the browser.
  function quantileMs(counts, q) {
    let total = 0;
    for (let i = 0; i < BINS; i++) total += counts[i];
    if (!total) return null;
    const rank = q * total;
    let below = 0;
    for (let i = 0; i < BINS; i++) {
      if (counts[i] && below + counts[i] >= rank) {
        const inside = Math.min(Math.max((rank - below) / counts[i], 0), 1);
        return Math.pow(10, (i + inside) / BINS_PER_DECADE) / 1000;
      }
      below += counts[i];
    }
    return null;
  }

  function emptySecond() {
    return {
      bins: [new Uint32Array(BINS), new Uint32Array(BINS)],
      counts: [0, 0, 0, 0],
      attempts: [0, 0, 0, 0, 0, 0], // 0, 1, 2, 3, 4, 5 and more
    };
  }

  class Store {
    constructor() {
      this.clear();
    }

    clear() {
      this.runs = new Map(); // id -> what the server told of it
      this.seqs = new Map(); // id -> seq of the last frame taken
      this.seconds = new Map(); // whole second since the epoch -> counts
      this.points = []; // one a tick: users, CPU, in-flight, phase
      this.server = []; // one a server frame: in-flight, breaker, limiter
      this.latest = 0; // time of the newest frame, s since the epoch
      this.version = 0;
    }

    setRuns(runs) {
      const known = new Set(runs.map((run) => run.id));
      const sameExperiment = runs.some((run) => this.runs.has(run.id));
      if (runs.length && this.runs.size && !sameExperiment) this.clear();
      for (const run of runs) this.runs.set(run.id, run);
      this.running = known;
      this.version++;
    }

    // Seq of the frame that is missing before this one, or null when it may be taken.
    gapBefore(frame) {
      const last = this.seqs.get(frame.run);
      return last !== undefined && frame.seq > last + 1 ? last : null;
    }

    take(frame) {
      const last = this.seqs.get(frame.run);
      if (last !== undefined && frame.seq <= last) return false;
      this.seqs.set(frame.run, frame.seq);
      const run = this.runs.get(frame.run);
      const base = Math.floor(run ? run.started : frame.time - frame.t);
      const cells = frame.cells;
      for (let i = 0; i < cells.length; i += 5) {
        const second = base + cells[i];
        const kind = cells[i + 1];
        const attempts = cells[i + 2];
        const count = cells[i + 4];
        let entry = this.seconds.get(second);
        if (!entry) this.seconds.set(second, (entry = emptySecond()));
        entry.counts[kind] += count;
        if (kind === HIT || kind === MISS) entry.bins[kind][cells[i + 3]] += count;
        if (attempts >= 0) entry.attempts[Math.min(attempts, 5)] += count;
      }
      this.points.push({
        time: frame.time,
        users: frame.users,
        phase: frame.phase,
        arm: run ? run.arm : null,
        mode: run ? run.mode : "",
        run: frame.run,
        block: frame.block,
        generator: frame.generator,
        server: frame.server,
      });
      this.latest = Math.max(this.latest, frame.time);
      this.version++;
      return true;
    }

    takeServer(frame) {
      this.server.push(frame);
      this.latest = Math.max(this.latest, frame.time);
      this.version++;
    }

    forget() {
      const before = this.latest - KEEP_S;
      for (const second of this.seconds.keys()) if (second < before) this.seconds.delete(second);
      while (this.points.length && this.points[0].time < before) this.points.shift();
      while (this.server.length && this.server[0].time < before) this.server.shift();
    }

    // Counts summed over [from, until), seconds since the epoch.
    sum(from, until) {
      const total = emptySecond();
      for (let second = Math.floor(from); second < until; second++) {
        const entry = this.seconds.get(second);
        if (!entry) continue;
        for (let kind = 0; kind < 4; kind++) total.counts[kind] += entry.counts[kind];
        for (let n = 0; n < 6; n++) total.attempts[n] += entry.attempts[n];
        for (let b = 0; b < BINS; b++) {
          total.bins[HIT][b] += entry.bins[HIT][b];
          total.bins[MISS][b] += entry.bins[MISS][b];
        }
      }
      return total;
    }
  }

  window.tailgateLive = Object.assign(window.tailgateLive || {}, { Store, quantileMs, HIT, MISS, FAILED, BINS });
})();
