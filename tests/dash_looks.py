"""Looking at one page in several themes and widths, and at what its figures hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from playwright.sync_api import Page

from tests.dash_browser import HEIGHT, Watched, axe_violations, label_faults


def look_faults(watched: Watched, looks: Iterable[tuple[str, int]]) -> list[str]:
    """What is wrong with the open page in each theme and width: axe, labels over each other, sideways scrolling."""
    page, faults = watched.page, []
    for theme, width in looks:
        if page.locator("html").get_attribute("data-mantine-color-scheme") != theme:
            page.keyboard.press("t")
        page.set_viewport_size({"width": width, "height": HEIGHT})
        watched.settle()
        found = axe_violations(page) + label_faults(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("scrolls sideways")
        faults += [f"{theme} {width}: {fault}" for fault in found]
    return faults


def drawn(page: Page) -> dict[str, dict[str, Any]]:
    """By figure: its ``traces`` by name (x, y, colour), and the ``texts`` of its axes and their titles."""
    found: dict[str, dict[str, Any]] = page.evaluate("""() =>
      Object.fromEntries([...document.querySelectorAll(".figure")].map((figure) => {
        const plot = figure.matches(".js-plotly-plot") ? figure : figure.querySelector(".js-plotly-plot");
        const traces = plot._fullData.map((trace) => [trace.name, {
          x: [...(trace.x || [])], y: [...(trace.y || [])],
          colour: trace.type === "bar" ? trace.marker.color : trace.line && trace.line.color,
          dash: trace.line && trace.line.dash,
        }]);
        const texts = [...plot.querySelectorAll(".xtick text, .ytick text, .g-xtitle text, .g-ytitle text")];
        return [figure.id, { traces: Object.fromEntries(traces), texts: texts.map((text) => text.textContent) }];
      }))""")
    return found


def rows(page: Page, table: str) -> list[list[str]]:
    """The texts of a table's body, row by row."""
    return [row.locator("th, td").all_inner_texts() for row in page.locator(f"{table} tbody tr").all()]
