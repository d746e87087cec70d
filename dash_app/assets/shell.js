// Theme, navigation and keys: what needs no server.
(function () {
  "use strict";
  const clientside = (window.dash_clientside = window.dash_clientside || {});

  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    theme: function (clicks) {
      if (clicks) {
        window.tailgateTheme = window.tailgateTheme === "dark" ? "light" : "dark";
        try {
          localStorage.setItem("tailgate-theme", window.tailgateTheme);
        } catch (error) {
          /* a browser may refuse storage; the theme then lasts as long as the page */
        }
      }
      return [window.tailgateTheme, window.tailgateTheme];
    },

    title: function (title) {
      if (title) document.title = title;
      return clientside.no_update;
    },

    // Narrow screens: the burger opens the navigation, going somewhere closes it.
    navbar: function (opened, pathname, navbar) {
      const byBurger = window.dash_clientside.callback_context.triggered_id === "nav-burger";
      const open = byBurger && opened;
      return [{ ...navbar, collapsed: { mobile: !open } }, open];
    },
  });

  function typing(target) {
    return target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName);
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "/") {
      const filter = document.querySelector("[data-filter] input, input[data-filter]");
      if (filter) {
        event.preventDefault();
        filter.focus();
      }
      return;
    }
    const key = event.key.toUpperCase();
    if (key === "T") document.getElementById("theme-toggle").click();
    const link = document.querySelector('[data-key="' + (/^[A-Z]$/.test(key) ? key : "") + '"]');
    if (link) link.click();
  });
})();
