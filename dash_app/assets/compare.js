// The compare page: another run in place of A, B or the third, and a run pinned for comparisons to come.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});
  let pinned = null; // where a browser refuses storage a pin lasts as long as the page

  window.tailgatePin = {
    get: function () {
      try {
        return localStorage.getItem("tailgate-pin");
      } catch (error) {
        return pinned;
      }
    },
    set: function (id) {
      pinned = id;
      try {
        if (id) localStorage.setItem("tailgate-pin", id);
        else localStorage.removeItem("tailgate-pin");
      } catch (error) {
        /* it is kept above */
      }
    },
  };

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    comparePair: function (a, b, c, ids) {
      if (!a || !b || (a === ids[0] && b === ids[1] && (c || undefined) === ids[2])) return clientside.no_update;
      const query = new URLSearchParams(location.search);
      query.set("a", a);
      query.set("b", b);
      if (c) query.set("c", c);
      else query.delete("c");
      return "/compare?" + query;
    },

    pin: function (_clicks, ids) {
      const { get, set } = window.tailgatePin;
      if (clientside.callback_context.triggered_id === "compare-pin") set(get() === ids[0] ? null : ids[0]);
      const on = get() === ids[0];
      document.getElementById("compare-pin").setAttribute("aria-pressed", String(on));
      return on ? "Unpin A" : "Pin A";
    },
  });
})();
