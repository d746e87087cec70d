// The compare page: another run in place of A or B, the one beside it kept.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    comparePair: function (a, b, ids) {
      if (!a || !b || (a === ids[0] && b === ids[1])) return clientside.no_update;
      const query = new URLSearchParams(location.search);
      query.set("a", a);
      query.set("b", b);
      return "/compare?" + query;
    },
  });
})();
