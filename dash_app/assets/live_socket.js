// One WebSocket of frames: comes back by itself, asks for what it missed by seq, tells how old the data is.
(function () {
  "use strict";
  const FIRST_RETRY_MS = 250;
  const LONGEST_RETRY_MS = 4000;

  class Socket {
    // store: where frames go. What it is given as onChange is called for something new to draw, or when the connection
    // has another state.
    constructor(store) {
      this.store = store;
      this.onChange = () => {};
      this.connected = false;
      this.closed = false;
      this.retry = FIRST_RETRY_MS;
      this.waiting = null; // frames that came while the history was on its way
      this.connect();
    }

    connect() {
      const scheme = location.protocol === "https:" ? "wss://" : "ws://";
      const socket = (this.socket = new WebSocket(scheme + location.host + "/live"));
      socket.onmessage = (event) => this.receive(JSON.parse(event.data));
      socket.onclose = () => {
        if (this.closed) return;
        this.connected = false;
        this.waiting = null;
        this.onChange();
        // Half of the wait is chance, so that many tabs do not come back at once.
        this.timer = setTimeout(() => this.connect(), this.retry * (0.5 + Math.random() / 2));
        this.retry = Math.min(this.retry * 2, LONGEST_RETRY_MS);
      };
    }

    close() {
      this.closed = true;
      clearTimeout(this.timer);
      this.socket.close();
    }

    receive(message) {
      if (message.type === "runs") {
        const first = !this.connected;
        this.connected = true;
        this.retry = FIRST_RETRY_MS;
        const known = message.runs.every((run) => this.store.runs.has(run.id));
        this.store.setRuns(message.runs);
        if (first || !known) this.backfill();
      } else if (message.type === "tick" || message.type === "server") {
        if (!this.waiting && this.store.lacksBefore(message)) this.backfill();
        if (this.waiting) this.waiting.push(message);
        else this.store.take(message);
      } else if (message.type === "server-state") {
        this.store.serverText = message.text;
      }
      this.onChange();
    }

    // Everything kept on the first connection; after that what lies above the seqs already taken.
    async backfill() {
      if (this.waiting) return;
      this.waiting = [];
      const socket = this.socket;
      const query = new URLSearchParams();
      for (const [run, seq] of this.store.seqs) query.append("have", run + ":" + seq);
      let frames = [];
      try {
        frames = await (await fetch("/live/history?" + query)).json();
      } catch (error) {
        if (socket === this.socket) socket.close(); // the server went away meanwhile: try all of it again
        return;
      }
      if (socket !== this.socket || this.closed) return;
      const late = this.waiting || [];
      this.waiting = null;
      for (const frame of frames.concat(late)) this.store.take(frame);
      this.onChange();
    }
  }

  window.tailgateLive = Object.assign(window.tailgateLive || {}, { Socket });
})();
