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
        const query = new URLSearchParams(location.search);
        if (query.has("theme")) {
          query.set("theme", window.tailgateTheme); // or a reload would bring the old one back
          history.replaceState(history.state, "", location.pathname + "?" + query);
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
      const at = ["run", "compare", "capacity", "errors"].map((name) => new RegExp("^/" + name + "(/|$)").test(pathname));
      return [{ ...navbar, collapsed: { mobile: !open } }, open, ...at];
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

// The badge in the header: whether a run goes on, asked for while the page is looked at.
(function () {
  "use strict";
  const EVERY_MS = 5000;

  async function ask() {
    const badge = document.getElementById("live-badge");
    if (!badge || document.hidden) return;
    try {
      badge.hidden = !(await (await fetch("/live/status")).json()).running;
    } catch (error) {
      badge.hidden = true; // the app is gone: nothing is known to be live
    }
  }

  setInterval(ask, EVERY_MS);
  document.addEventListener("visibilitychange", ask);
  setTimeout(ask, 1000);
})();

// Buttons that copy, share and save, wherever they stand.
(function () {
  "use strict";

  function say(button, words) {
    const before = button.textContent;
    button.textContent = words;
    setTimeout(() => (button.textContent = before), 1500);
  }

  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
      say(button, "Copied");
    } catch (error) {
      window.prompt("Copy this", text); // the clipboard may be refused
    }
  }

  // An explanation closes when one looks elsewhere, or at Escape.
  function closeReadings(but) {
    for (const open of document.querySelectorAll("details.how[open]")) if (open !== but) open.open = false;
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeReadings(null));

  document.addEventListener("click", function (event) {
    if (event.isTrusted) closeReadings(event.target.closest("details.how")); // a download clicks a link of its own
    const exported = event.target.closest("a[data-export]");
    if (exported) exported.href = exported.dataset.export + "&theme=" + window.tailgateTheme;
    const button = event.target.closest("button[data-copy], button[data-share], button[data-save]");
    if (!button) return;
    if (button.dataset.copy) copy(button, button.dataset.copy);
    else if (button.dataset.share !== undefined) {
      const here = new URL(location.href);
      here.searchParams.set("theme", window.tailgateTheme);
      copy(button, here.href);
    } else if (button.dataset.save) {
      const place = document.getElementById(button.dataset.figure);
      const graph = place.matches(".js-plotly-plot") ? place : place.querySelector(".js-plotly-plot");
      const box = graph.getBoundingClientRect();
      // On the page the card lends its colour; a file has to bring its own, or light words would stand on white.
      const card = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
      const figure = { data: graph.data, layout: { ...graph.layout, paper_bgcolor: card, autosize: false } };
      window.Plotly.downloadImage(figure, {
        format: button.dataset.save,
        filename: "tailgate-" + button.dataset.figure,
        width: Math.round(box.width),
        height: Math.round(box.height),
        scale: button.dataset.save === "png" ? 2 : 1,
      });
    }
  });
})();
