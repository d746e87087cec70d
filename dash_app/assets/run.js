// The run page: the brush on latency over time, and the address that restores the view.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});

  // "0:30-1:00" in seconds, null for nothing written, undefined for anything else.
  function seconds(text) {
    if (!text || !text.trim()) return null;
    const ends = text.split(/[-–]/).map((end) => end.trim());
    if (ends.length !== 2 || !ends.every((end) => /^(\d+:)?\d{1,3}(:\d\d)?$/.test(end))) return undefined;
    const [from, until] = ends.map((end) => end.split(":").reduce((sum, part) => sum * 60 + Number(part), 0));
    return from < until ? [from, until] : undefined;
  }

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    // The stretch of load that the other figures show: a zoom of latency over time, or what is written beside it.
    brush: function (relayout, written, brushed) {
      const none = clientside.no_update;
      if (clientside.callback_context.triggered_id === "run-time") {
        const stretch = seconds(written);
        return stretch === undefined ? [none, none, "such as 0:30-1:00"] : [stretch, none, ""];
      }
      if (relayout && relayout["xaxis.autorange"] && brushed) return [null, "", ""];
      const from = Math.max(0, (relayout || {})["xaxis.range[0]"]);
      const until = (relayout || {})["xaxis.range[1]"];
      if (!(until - from >= 0.5)) return [none, none, none];
      return [[from, until], [from, until].map(window.tailgateNumbers.elapsed).join("-"), ""];
    },

    // Keeps the address in step with the controls, without a new page.
    runAddress: function (shown, slo, brush) {
      const query = new URLSearchParams(location.search);
      const set = (name, value) => (value ? query.set(name, value) : query.delete(name));
      set("show", shown === "all" ? "" : shown);
      set("slo", slo);
      set("time", brush ? brush.map((s) => s.toFixed(1)).join("-") : "");
      history.replaceState(history.state, "", location.pathname + (query.size ? "?" + query : ""));
      return clientside.no_update;
    },
  });
})();
