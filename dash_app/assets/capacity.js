// The capacity page: the slider and the text say the same SLO, the address keeps it, another search stands beside.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  const LIMIT = /(p[\d.]+\s*<=?\s*)([\d.]+)\s*(us|µs|ms|s)(?=\s*(?:,|$))/;
  const MS = { us: 0.001, "µs": 0.001, ms: 1, s: 1000 };

  // Two digits, as a person would write a limit: 10^2.61 ms is 410ms.
  function written(place) {
    const ms = Number((10 ** place).toPrecision(2));
    return ms >= 1000 ? ms / 1000 + "s" : ms + "ms";
  }

  const functions = (window.dashMantineFunctions = window.dashMantineFunctions || {});
  functions.tailgateLimit = written;

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    // The latency limit of the first threshold that has one, by slider and by text.
    capacitySlo: function (place, text) {
      const none = clientside.no_update;
      const found = LIMIT.exec(text || "");
      if (clientside.callback_context.triggered_id === "capacity-limit") {
        if (!found || written(Math.log10(found[2] * MS[found[3]])) === written(place)) return [none, none, none];
        const said = text.replace(LIMIT, "$1" + written(place));
        keep(said);
        return [said, none, none];
      }
      keep(text);
      return [none, found ? Math.log10(found[2] * MS[found[3]]) : none, !found];
    },

    capacityBeside: function (other, ids) {
      if ((other || null) === (ids[1] || null)) return clientside.no_update;
      const query = new URLSearchParams(location.search);
      if (other) query.set("b", other);
      else query.delete("b");
      return "/capacity/" + encodeURIComponent(ids[0]) + (query.size ? "?" + query : "");
    },
  });

  function keep(text) {
    const query = new URLSearchParams(location.search);
    if (query.get("slo") === text) return;
    query.set("slo", text);
    history.replaceState(history.state, "", location.pathname + "?" + query);
  }
})();
