// What the live page knows: frames folded into seconds, and the quantiles read from them.
(function () {
  "use strict";
  const BINS = 360;
  const BINS_PER_DECADE = 40;
  const KEEP_S = 960;
  const HIT = 0;
  const MISS = 1;
  const OTHER = 2;
  const FAILED = 3;
  const MOST_ATTEMPTS = 5;

  // The q quantile in ms of counts by log bin, log-linear inside its bin: reports.records.bins.quantile_ns, in the browser.
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

  // Requests of a stretch of time: latency bins of hits and misses, counts by kind, counts by attempts (the last: and more).
  class Counts {
    constructor() {
      this.bins = [new Uint32Array(BINS), new Uint32Array(BINS)];
      this.kinds = [0, 0, 0, 0];
      this.attempts = [0, 0, 0, 0, 0, 0];
    }

    add(other) {
      for (let kind = 0; kind < 4; kind++) this.kinds[kind] += other.kinds[kind];
      for (let n = 0; n <= MOST_ATTEMPTS; n++) this.attempts[n] += other.attempts[n];
      for (let b = 0; b < BINS; b++) {
        this.bins[HIT][b] += other.bins[HIT][b];
        this.bins[MISS][b] += other.bins[MISS][b];
      }
    }

    get all() {
      return this.kinds[0] + this.kinds[1] + this.kinds[2] + this.kinds[3];
    }

    get reached() {
      return this.attempts[1] + this.attempts[2] + this.attempts[3] + this.attempts[4] + this.attempts[5];
    }
  }

  // Counts by whole second since the epoch.
  class Seconds extends Map {
    at(second) {
      let counts = this.get(second);
      if (!counts) this.set(second, (counts = new Counts()));
      return counts;
    }

    // Summed over [from, until).
    sum(from, until) {
      const total = new Counts();
      for (let second = Math.floor(from); second < until; second++) {
        const counts = this.get(second);
        if (counts) total.add(counts);
      }
      return total;
    }

    forget(before) {
      for (const second of this.keys()) if (second < before) this.delete(second);
    }
  }

  // One source of requests: begun is by intended start, ended by when the answer was there.
  class Ledger {
    constructor() {
      this.begun = new Seconds();
      this.ended = new Seconds();
    }

    count(begun, ended, kind, attempts, bin, count) {
      for (const counts of [this.begun.at(begun), this.ended.at(ended)]) {
        counts.kinds[kind] += count;
        if (kind <= MISS) counts.bins[kind][bin] += count;
        if (attempts >= 0) counts.attempts[Math.min(attempts, MOST_ATTEMPTS)] += count;
      }
    }
  }

  class Store {
    constructor() {
      this.clear();
      this.serverText = "";
    }

    clear() {
      this.runs = new Map(); // id -> what the server told of it
      this.running = new Set();
      this.seqs = new Map(); // source -> seq of the last frame taken
      this.load = new Ledger(); // what the load generator recorded
      this.server = new Ledger(); // what a followed server counted, for when no run goes on
      this.ticks = [];
      this.serverFrames = [];
      this.version = 0;
    }

    setRuns(runs) {
      const goesOn = runs.some((run) => this.runs.has(run.id));
      if (runs.length && this.runs.size && !goesOn) this.clear();
      for (const run of runs) this.runs.set(run.id, run);
      this.running = new Set(runs.map((run) => run.id));
      this.version++;
    }

    // Whether frames between the last one taken and this one are missing; a source counts from 0.
    lacksBefore(frame) {
      const last = this.seqs.get(frame.run);
      return frame.seq > (last === undefined ? 0 : last + 1);
    }

    take(frame) {
      const last = this.seqs.get(frame.run);
      if (last !== undefined && frame.seq <= last) return;
      this.seqs.set(frame.run, frame.seq);
      if (frame.type === "server") this.takeServer(frame);
      else this.takeTick(frame);
      this.version++;
    }

    takeTick(frame) {
      const run = this.runs.get(frame.run);
      const started = Math.floor(run ? run.started : frame.time - frame.t);
      const ended = Math.floor(frame.time) - 1; // a tick tells of the second before it
      const cells = frame.cells;
      for (let i = 0; i < cells.length; i += 5) {
        this.load.count(started + cells[i], ended, cells[i + 1], cells[i + 2], cells[i + 3], cells[i + 4]);
      }
      frame.cells = null;
      // The arms of an experiment come one after the other from the history, but took turns.
      let place = this.ticks.length;
      while (place && this.ticks[place - 1].time > frame.time) place--;
      this.ticks.splice(place, 0, frame);
    }

    takeServer(frame) {
      const second = Math.floor(frame.time);
      const tally = (kind, pairs) => {
        for (let i = 0; i < pairs.length; i += 2) this.server.count(second, second, kind, -1, pairs[i], pairs[i + 1]);
      };
      tally(HIT, frame.hit);
      tally(MISS, frame.miss);
      this.server.count(second, second, FAILED, -1, 0, frame.failed);
      for (const counts of [this.server.begun.at(second), this.server.ended.at(second)]) {
        for (let i = 0; i < frame.attempts.length; i += 2) {
          counts.attempts[Math.min(frame.attempts[i], MOST_ATTEMPTS)] += frame.attempts[i + 1];
        }
      }
      this.serverFrames.push(frame);
    }

    get active() {
      return this.running.size > 0;
    }

    get ledger() {
      return this.runs.size ? this.load : this.server;
    }

    // Time of the newest frame that the figures are drawn from, s since the epoch; 0 when there is none.
    get latest() {
      const frames = this.runs.size ? this.ticks : this.serverFrames;
      return frames.length ? frames[frames.length - 1].time : 0;
    }

    // Where the time axis begins: the first run's start, or the first frame.
    get origin() {
      const started = [...this.runs.values()].map((run) => run.started);
      if (started.length) return Math.floor(Math.min(...started));
      return this.serverFrames.length ? Math.floor(this.serverFrames[0].time) : 0;
    }

    forget() {
      const before = this.latest - KEEP_S;
      for (const ledger of [this.load, this.server]) {
        ledger.begun.forget(before);
        ledger.ended.forget(before);
      }
      for (const frames of [this.ticks, this.serverFrames]) while (frames.length && frames[0].time < before) frames.shift();
    }
  }

  window.tailgateLive = Object.assign(window.tailgateLive || {}, { Store, Counts, quantileMs, HIT, MISS, OTHER, FAILED, BINS });
})();
