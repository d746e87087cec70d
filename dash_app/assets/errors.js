// The errors page: the address that restores the reason shown.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    errorsAddress: function (reason) {
      const query = new URLSearchParams(location.search);
      if (reason === "all") query.delete("reason");
      else query.set("reason", reason);
      history.replaceState(history.state, "", location.pathname + (query.size ? "?" + query : ""));
      return clientside.no_update;
    },
  });
})();
