// The run page: the brush on latency over time, and the address that restores the view.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    // What a zoom of latency over time means for the other figures: a stretch of its time axis, or all of it.
    brush: function (relayout, brushed) {
      if (!relayout) return clientside.no_update;
      if (relayout["xaxis.autorange"] && brushed) return null;
      const from = relayout["xaxis.range[0]"];
      const until = relayout["xaxis.range[1]"];
      if (from === undefined || until === undefined || until - from < 0.5) return clientside.no_update;
      return [Math.max(0, from), until];
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
