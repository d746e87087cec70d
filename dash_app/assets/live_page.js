// The live page: when to draw, what to say, and the controls.
(function () {
  "use strict";
  const live = (window.tailgateLive = window.tailgateLive || {});
  const numbers = window.tailgateNumbers;
  const DRAW_EVERY_MS = 500;
  const NOW_S = 10; // key figures are of the last so many seconds
  const OLD_S = 4; // a tick comes once a second: older data is told
  const PHASES = { ramp: "users ramp up", warmup: "warm-up", measure: "measuring", drain: "last answers", idle: "between blocks" };
  let page = null; // what is mounted, null on every other page

  // Frames are asked for as soon as the scripts are there: they come while Dash still lays the page out.
  let early = null;
  if (location.pathname === "/") document.addEventListener("DOMContentLoaded", () => (early = new live.Socket(new live.Store())));

  class Page {
    constructor(root) {
      this.root = root;
      this.zoom = null;
      this.paused = false;
      this.drawn = -1;
      this.lastDraw = 0;
      this.heardAt = performance.now();
      this.heardVersion = 0;
      this.socket = early || new live.Socket(new live.Store());
      early = null;
      this.store = this.socket.store;
      this.socket.onChange = () => this.changed();
      this.clock = setInterval(() => this.tell(), 500);
      this.visible = () => this.changed();
      document.addEventListener("visibilitychange", this.visible);
    }

    close() {
      this.socket.close();
      clearInterval(this.clock);
      document.removeEventListener("visibilitychange", this.visible);
    }

    // New settings or another theme: the figures are made anew from their skeletons.
    set(settings) {
      this.heldAt = settings.paused ? this.heldAt || this.store.latest : null; // what is held may still change its looks
      Object.assign(this, settings);
      this.figures = JSON.parse(JSON.stringify(settings.skeletons[settings.theme]));
      this.drawn = -1;
      this.changed();
    }

    changed() {
      if (this.store.version !== this.heardVersion) {
        this.heardVersion = this.store.version;
        this.heardAt = performance.now();
      }
      if (this.asked || !this.figures) return;
      if (!window.Plotly || !window.Plotly.react) {
        if (!this.fetching) this.fetching = window.tailgatePlotly().then(() => this.changed(), () => (this.fetching = null));
        return;
      }
      this.asked = true;
      const wait = Math.max(0, DRAW_EVERY_MS - (performance.now() - this.lastDraw));
      setTimeout(() => requestAnimationFrame(() => this.draw()), wait);
    }

    draw() {
      this.asked = false;
      if (!this.root.isConnected) return stop();
      this.tell();
      if (document.hidden || !this.store.latest || this.drawn === this.store.version) return;
      if (this.heldAt && this.drawn !== -1) return;
      this.drawn = this.store.version;
      this.lastDraw = performance.now();
      this.store.forget();
      const view = (this.shownView = this.view());
      this.keyFigures(view);
      this.chips(view);
      this.drawFigures(Object.keys(live.figures), view);
    }

    // All at once, but for the first time: the six then take a quarter of a second, so each is shown when it is there.
    drawFigures(ids, view) {
      for (let i = 0; i < ids.length; i++) {
        const place = document.getElementById(ids[i]);
        if (!place || view !== this.shownView) return; // another page, or newer data: its own turn draws the rest
        const fresh = !place.data;
        this.drawOne(place, this.figures[ids[i]], live.figures[ids[i]], view);
        if (fresh) return void requestAnimationFrame(() => this.drawFigures(ids.slice(i + 1), view));
      }
    }

    view() {
      const store = this.store;
      const latest = this.heldAt || store.latest;
      const now = latest - store.origin;
      const [from, until] = this.zoom || [Math.max(0, now - this.window), Math.max(now, 20)];
      const inside = (frame) => frame.time - store.origin >= from - 1 && frame.time - store.origin <= until + 1;
      const recent = store.ledger.ended.sum(latest - 60, latest);
      const slow = live.quantileMs(recent.bins[live.MISS], 0.99) || live.quantileMs(recent.bins[live.HIT], 0.99) || 0;
      return {
        store, from, until, now, latest,
        origin: store.origin,
        ledger: store.ledger,
        shown: this.shown,
        settled: now - Math.min(10, Math.ceil(slow / 1000)), // later seconds still lack their slow requests
        ticks: store.ticks.filter((tick) => tick.phase !== "idle" && inside(tick)),
        serverFrames: store.serverFrames.filter(inside),
      };
    }

    drawOne(place, figure, fill, view) {
      view.px = Math.max(60, place.clientHeight - figure.layout.margin.t - figure.layout.margin.b);
      view.widthPx = Math.max(60, place.clientWidth - figure.layout.margin.l - figure.layout.margin.r);
      figure.layout.annotations = fill(figure, view);
      Object.assign(figure.layout.xaxis, { range: [view.from, view.until] }, numbers.ticks(view.from, view.until));
      figure.layout.datarevision = this.store.version;
      const fresh = !place.data;
      window.Plotly.react(place, figure.data, figure.layout, live.CONFIG);
      if (!fresh) return;
      place.on("plotly_relayout", (change) => {
        if (change["xaxis.range[0]"] !== undefined) this.zoomTo([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
      });
      place.on("plotly_doubleclick", () => {
        this.zoomTo(null);
        return false;
      });
    }

    // A stretch held still in all figures; null follows the newest again.
    zoomTo(range) {
      this.zoom = range;
      this.drawn = -1;
      this.changed();
    }

    keyFigures(view) {
      const { store } = this;
      const until = Math.floor(view.latest);
      const span = Math.min(NOW_S, Math.max(1, until - store.origin));
      const now = view.ledger.ended.sum(until - span, until);
      const successes = now.all - now.kinds[live.FAILED];
      const misses = now.kinds[live.MISS];
      const spent = now.attempts.reduce((sum, count, n) => sum + n * count, 0);
      const count = (n) => n.toLocaleString("en-US");
      const quantile = (q, needed) => numbers.latency(misses >= needed ? live.quantileMs(now.bins[live.MISS], q) : null);
      const figures = {
        throughput: [[numbers.threeDigits(now.all / span), "req/s"], count(now.all) + " requests", (c) => c.all],
        "miss-p50": [quantile(0.5, 20), "n = " + count(misses), (c) => live.quantileMs(c.bins[live.MISS], 0.5)],
        "miss-p99": [quantile(0.99, 1000), "n = " + count(misses), (c) => live.quantileMs(c.bins[live.MISS], 0.99)],
        "hit-share": [numbers.share(successes ? now.kinds[live.HIT] / successes : null), count(now.kinds[live.HIT]) + " hits",
          (c) => (c.all > c.kinds[live.FAILED] ? c.kinds[live.HIT] / (c.all - c.kinds[live.FAILED]) : null)],
        attempts: [now.reached ? [(spent / now.reached).toFixed(3), "×"] : [numbers.DASH, ""], "n = " + count(now.reached),
          (c) => (c.reached ? c.attempts.reduce((sum, k, n) => sum + n * k, 0) / c.reached : null)],
        failed: [numbers.share(now.all ? now.kinds[live.FAILED] / now.all : null), count(now.kinds[live.FAILED]) + " of " + count(now.all),
          (c) => (c.all ? c.kinds[live.FAILED] / c.all : null)],
      };
      const step = Math.max(1, Math.ceil((view.until - view.from) / 60));
      const course = [];
      for (let t = Math.floor(view.from); t + step <= view.until; t += step) {
        const counts = view.ledger.ended.sum(view.origin + t, view.origin + t + step);
        course.push(counts.all ? counts : null);
      }
      for (const [name, [[value, unit], note, of]] of Object.entries(figures)) {
        const card = document.getElementById("live-kpi-" + name);
        card.querySelector(".kpi-value").textContent = value;
        card.querySelector(".kpi-unit").textContent = unit;
        card.querySelector(".kpi-note").textContent = note;
        card.querySelector(".kpi-drawn").innerHTML = numbers.sparkline(course.map((c) => c && of(c)));
      }
    }

    chips(view) {
      const said = [];
      const tick = view.ticks[view.ticks.length - 1];
      const frame = this.store.serverFrames[this.store.serverFrames.length - 1];
      if (tick) said.push(["plain", tick.users.toLocaleString("en-US") + " users"]);
      if (tick) said.push(["plain", this.store.active ? PHASES[tick.phase] || tick.phase : "ended"]);
      if (tick && this.store.active && tick.generator.cpu !== undefined) {
        const bound = tick.generator.cpu > live.BOUND_CORES;
        said.push([bound ? "bad" : "good", "generator " + Math.round(tick.generator.cpu * 100) + "% of a core"]);
      }
      if (frame) {
        said.push([frame.breaker === "closed" ? "good" : "bad", "breaker " + frame.breaker]);
        const waiting = frame.limiter.waiting;
        said.push([waiting ? "warn" : "good", "limiter " + (waiting ? waiting + " waiting" : "free")]);
      }
      const place = document.getElementById("live-chips");
      const html = said.map(([tone, text]) => '<span class="pill ' + tone + '"></span>').join("");
      if (place.childElementCount !== said.length) place.innerHTML = html;
      said.forEach(([tone, text], i) => {
        place.children[i].className = "pill " + tone;
        if (place.children[i].textContent !== text) place.children[i].textContent = text;
      });
    }

    // Title, banners and the state that the style sheet goes by.
    tell() {
      if (!this.root.isConnected) return stop();
      const { store, socket } = this;
      const runs = [...store.runs.values()];
      const data = store.latest > 0;
      const ageS = Math.round((performance.now() - this.heardAt) / 1000);
      const lost = !socket.connected && (data || runs.length > 0);
      const ended = !lost && runs.length > 0 && !store.active;
      let banner = "";
      if (lost) banner = "Reconnecting, data " + ageS + " s old";
      else if (ended) banner = "ended";
      else if (store.active && data && ageS >= OLD_S) banner = "No new data for " + ageS + " s";
      const state = !socket.connected && !data ? "connecting" : data || store.active ? (banner && !ended ? "stale" : "running") : "idle";
      if (this.root.dataset.state !== state) this.root.dataset.state = state;
      this.banner("live-banner", banner, ended ? runs : null);
      this.banner("live-server-banner", store.serverText);
      const title = runs.map((run) => ((run.arm ? run.arm + " " : "") + run.mode + " · " + run.commit).replaceAll(" ", "\u00a0")).join("  vs  ");
      this.text("live-title", title || (data ? "Server" : "Live"));
      const first = runs[0];
      const elapsed = data ? " · " + numbers.elapsed(store.latest - store.origin) : "";
      const followed = data && !first;
      const about = first ? first.scenario + " · " + first.users.toLocaleString("en-US") + " users" : followed ? "as the server itself counts" : "";
      this.text("live-subline", about && about + elapsed);
      this.text("live-latency-from", followed ? "since they reached the server" : "from their intended start");
    }

    text(id, text) {
      const place = document.getElementById(id);
      if (place && place.textContent !== text) place.textContent = text;
    }

    banner(id, text, runs) {
      const place = document.getElementById(id);
      if (place.dataset.said === text) return;
      place.dataset.said = text;
      place.hidden = !text;
      place.textContent = runs ? "The run has ended. Its report: " : text;
      for (const run of runs || []) {
        const link = document.createElement("a");
        link.href = "/run/" + encodeURIComponent(run.id);
        link.textContent = run.id;
        place.append(link, " ");
      }
    }
  }

  function stop() {
    if (page) page.close();
    page = null;
  }

  const clientside = (window.dash_clientside = window.dash_clientside || {});
  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    live: function (theme, skeletons, window_, shown, pauses) {
      const root = document.getElementById("live-root");
      if (page && page.root !== root) stop();
      if (!page) page = live.page = new Page(root);
      const paused = Boolean((pauses || 0) % 2);
      const button = document.getElementById("live-pause");
      button.setAttribute("aria-pressed", String(paused));
      button.lastChild.textContent = paused ? "Go on" : "Pause";
      button.firstChild.className = "icon icon-" + (paused ? "play" : "pause");
      const query = new URLSearchParams(location.search);
      if (window_ === "300") query.delete("window");
      else query.set("window", window_);
      if (shown === "all") query.delete("show");
      else query.set("show", shown);
      if (location.pathname === "/") history.replaceState(history.state, "", "/" + (query.size ? "?" + query : ""));
      page.set({ theme, skeletons, window: Number(window_), shown, paused });
      return clientside.no_update;
    },
  });
})();
