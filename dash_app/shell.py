"""What every page stands in: the HTML document, header, navigation and theme."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from dash_app import scripts
from dash_app.cards import attributes

HEADER_PX = 52
NAVBAR_PX = 168

_INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <meta name="color-scheme" content="dark light">
    <meta name="description" content="Load-test reports, live and saved">
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="/assets/logo.svg">
    <link rel="preload" href="/assets/fonts/inter-regular.woff2" as="font" type="font/woff2" crossorigin>
    <script>
      // Before anything is drawn, so that no page flashes in the other theme.
      (function () {
        var asked = new URLSearchParams(location.search).get("theme");
        var kept = null;
        try { kept = localStorage.getItem("tailgate-theme"); } catch (error) { /* storage may be refused */ }
        var system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
        var known = function (name) { return name === "dark" || name === "light" ? name : null; };
        window.tailgateTheme = known(asked) || known(kept) || system;
        document.documentElement.setAttribute("data-mantine-color-scheme", window.tailgateTheme);
      })();

      // A script once, however many want it: a promise of when it has run. One that did not come is asked for again.
      window.tailgateScript = (function () {
        var asked = {};
        return function (address) {
          return (asked[address] = asked[address] || new Promise(function (there, failed) {
            var script = document.createElement("script");
            script.src = address;
            script.onload = there;
            script.onerror = function () {
              delete asked[address];
              script.remove();
              failed(new Error("no answer from " + address));
            };
            document.head.appendChild(script);
          }));
        };
      })();

      // The largest script, asked for with the others; Dash would ask at its first graph, and waits for a promise too.
      window.tailgatePlotly = function () {
        if (!window.Plotly) {
          window.Plotly = tailgateScript("%plotly%");
          window.Plotly.catch(function () { delete window.Plotly; });
        }
        return window.Plotly;
      };
      Object.defineProperty(window, "_dashPlotlyJSURL", {
        get: function () { return "%plotly%"; },
        set: function () { /* Dash's own address, which no browser keeps */ },
      });
      window.tailgateTable = "%table%";
      if (location.pathname !== "/runs") tailgatePlotly(); // every other page has graphs, and none has a table
      else {
        var ahead = document.createElement("link");
        Object.assign(ahead, { rel: "preload", as: "script", href: tailgateTable });
        document.head.appendChild(ahead);
      }
    </script>
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>
"""

_THEME: dict[str, Any] = {
    "fontFamily": "Inter, system-ui, sans-serif",
    "fontFamilyMonospace": "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    "primaryColor": "blue",
    "defaultRadius": "md",
    "cursorType": "pointer",
}

_NAV = (
    ("Live", "/", "live", "L"),
    ("Runs", "/runs", "runs", "R"),
    ("Run", "/run/latest", "run", "N"),
    ("Compare", "/compare", "compare", "C"),
    ("Capacity", "/capacity", "capacity", "K"),
    ("Errors", "/errors/latest", "errors", "E"),
)


def index() -> str:
    """The document that Dash fills in; it names the scripts that Dash itself would not load, or not in time."""
    return _INDEX.replace("%plotly%", scripts.plotly_address()).replace("%table%", scripts.table_address())


def layout() -> dmc.MantineProvider:
    """The shell around the page's own content."""
    header = dmc.AppShellHeader(
        html.Div(
            [
                dmc.Burger(
                    id="nav-burger", size="sm", hiddenFrom="sm", opened=False, **attributes(aria_label="Navigation")
                ),
                html.A([html.Span(className="logo"), "tailgate"], href="/", className="brand"),
                html.A("● LIVE", href="/", id="live-badge", className="pill good", hidden=True),
                html.Span(className="header-space"),
                dmc.ActionIcon(
                    html.Span(className="icon icon-theme"),
                    id="theme-toggle",
                    variant="default",
                    size="lg",
                    **attributes(aria_label="Switch between dark and light"),
                ),
            ],
            className="header-row",
        )
    )
    navbar = dmc.AppShellNavbar(
        [
            html.Div(
                [
                    dmc.NavLink(
                        id=f"nav-{icon}",
                        label=label,
                        href=href,
                        active="exact",
                        leftSection=html.Span(className=f"icon icon-{icon}"),
                        rightSection=html.Kbd(key),
                        attributes={"root": {"data-key": key}},
                    )
                    for label, href, icon, key in _NAV
                ],
                className="nav-links",
            ),
            html.Div(
                [
                    html.Div([html.Kbd("T"), " theme ", html.Kbd("/"), " filter"]),
                ],
                className="nav-keys",
            ),
        ]
    )
    return dmc.MantineProvider(
        [
            html.A("Skip to content", href="#content", className="skip-link"),
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="theme"),
            dcc.Store(id="title"),
            dmc.AppShell(
                [header, navbar, dmc.AppShellMain(html.Div(id="content", tabIndex="-1"))],
                id="shell",
                header={"height": HEADER_PX},
                navbar={"width": NAVBAR_PX, "breakpoint": "sm", "collapsed": {"mobile": True}},
                padding=0,
                transitionDuration=0,
            ),
        ],
        id="mantine",
        theme=_THEME,
        forceColorScheme="dark",
    )


def register(app: Dash) -> None:
    """Theme switch and the navigation of narrow screens; both run in the browser."""
    app.clientside_callback(
        ClientsideFunction("tailgate", "theme"),
        Output("theme", "data"),
        Output("mantine", "forceColorScheme"),
        Input("theme-toggle", "n_clicks"),
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "navbar"),
        Output("shell", "navbar"),
        Output("nav-burger", "opened"),
        *[Output(f"nav-{name}", "active") for name in ("run", "compare", "capacity", "errors")],
        Input("nav-burger", "opened"),
        Input("url", "pathname"),
        State("shell", "navbar"),
    )
