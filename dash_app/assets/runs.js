// The table of runs: its look, its cells, and what its buttons do before the server is asked.
(function () {
  "use strict";
  const h = window.React.createElement;

  // Grid colours come from the page's own tokens, so that a switch of theme needs no new grid.
  const grid = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  grid.tailgateGridTheme = function (theme) {
    return theme.withParams({
      fontFamily: "Inter, system-ui, sans-serif",
      fontSize: 13,
      headerFontWeight: 600,
      backgroundColor: "var(--card)",
      foregroundColor: "var(--text)",
      headerBackgroundColor: "var(--card)",
      headerTextColor: "var(--muted)",
      borderColor: "var(--line)",
      rowHoverColor: "var(--raised)",
      selectedRowBackgroundColor: "var(--accent-soft)",
      accentColor: "var(--accent)",
      checkboxUncheckedBorderColor: "var(--muted)",
      checkboxUncheckedBackgroundColor: "var(--card)",
      wrapperBorderRadius: 10,
      rowHeight: 38,
      headerHeight: 34,
      cellHorizontalPadding: 10,
    });
  };

  grid.tailgateRead = function (what, value) {
    const numbers = window.tailgateNumbers;
    if (value === null || value === undefined) return numbers.DASH;
    if (what === "latency") return numbers.latency(value).join(" ");
    if (what === "share") return numbers.share(value).join("");
    if (what === "ratio") return value.toFixed(3);
    return what === "count" ? value.toLocaleString("en-US") : numbers.threeDigits(value);
  };

  // Keeps the address in step with filter and sort, without a new page.
  function keep(name, value) {
    const query = new URLSearchParams(location.search);
    if (value) query.set(name, value);
    else query.delete(name);
    history.replaceState(history.state, "", location.pathname + (query.size ? "?" + query : ""));
  }

  grid.tailgateSorted = function (params) {
    const by = params.api.getColumnState().find((column) => column.sort);
    const sort = by ? by.colId + ":" + by.sort : "";
    keep("sort", sort === "id:desc" ? "" : sort);
  };

  // A plain link that does not reload the page, as dcc.Link does it.
  function go(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    window.history.pushState({}, "", event.currentTarget.href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  cells.RunLink = function (props) {
    const run = props.data;
    if (run.state === "damaged") return h("span", { className: "muted", title: run.id }, run.started);
    const star = run.baseline ? h("span", { className: "icon icon-star", title: "baseline", role: "img", "aria-label": "baseline" }) : null;
    return h("a", { href: "/run/" + encodeURIComponent(run.id), onClick: go }, run.started, " ", star);
  };
  cells.RunMode = function (props) {
    const run = props.data;
    if (run.state === "damaged") return cells.RunState(props);
    const arm = run.arm ? h("span", { className: "arm arm-" + run.arm }, run.arm) : null;
    return h("span", null, run.mode, arm, run.search ? toSearch(run.search) : null);
  };

  function toSearch(experiment) {
    const icon = h("span", { className: "icon icon-capacity" });
    const named = { href: "/capacity/" + encodeURIComponent(experiment), title: "its capacity search", "aria-label": "Capacity search" };
    return h("a", { ...named, className: "to-search", onClick: go }, icon);
  }

  cells.RunSlo = function (props) {
    const kept = props.value;
    if (kept === undefined) return null;
    const told = { true: ["✓", "kept", "delta-good"], false: ["✕", "missed", "delta-bad"], null: ["–", "cannot be told", "muted"] }[kept];
    return h("span", { className: told[2], role: "img", "aria-label": told[1], title: told[1] }, told[0]);
  };

  const tones = { VALID: "good", running: "plain", complete: "plain" };
  const words = { VALID: "valid", "GENERATOR-BOUND": "generator-bound", NOISY: "noisy" };
  cells.RunState = function (props) {
    const run = props.data;
    const bad = run.state === "damaged" || run.state === "failed" || run.state === "crashed";
    const tone = tones[run.state] || (bad ? "bad" : "warn");
    return h(
      "span",
      { className: "state state-cell" },
      h("span", { className: "pill " + tone }, words[run.state] || run.state),
      run.remark ? h("span", { className: "muted remark" }, run.state === "damaged" ? run.id + ": " + run.remark : run.remark) : null,
    );
  };

  // What a single selected run is compared with: the run that was pinned, if it is another.
  function beside(selected) {
    const pin = window.tailgatePin.get();
    return (selected || []).length === 1 && pin && pin !== selected[0].id ? pin : null;
  }

  const clientside = (window.dash_clientside = window.dash_clientside || {});
  clientside.tailgate = Object.assign(clientside.tailgate || {}, {
    selection: function (selected) {
      const n = (selected || []).length;
      const pin = beside(selected);
      return [n < 2 && !pin, n !== 1, n < 1, n < 1, pin ? "Compare with pinned" : n > 1 ? "Compare " + n : "Compare"];
    },
    confirmDelete: function (_ask, _keep, selected) {
      const n = (selected || []).length;
      const asked = clientside.callback_context.triggered_id === "runs-delete";
      const what = n === 1 ? selected[0].id : n + " runs";
      return [asked && n > 0, what + " and all samples will be gone. There is no way back."];
    },
    compare: function (clicks, selected) {
      const pin = beside(selected);
      if (!clicks || ((selected || []).length < 2 && !pin)) return clientside.no_update;
      const ids = pin ? [pin, selected[0].id] : selected.map((run) => run.id).sort();
      const names = ["a", "b", "c"];
      return "/compare?" + ids.slice(0, 3).map((id, i) => names[i] + "=" + encodeURIComponent(id)).join("&");
    },
    runsAddress: function (text) {
      keep("filter", text);
      return clientside.no_update;
    },
    quickFilter: function (text, options) {
      return { ...options, quickFilterText: text || "" };
    },
  });
})();
