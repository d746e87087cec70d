"""A real Chromium over the real app, and what every page is held to. A pytest plugin: conftest.py names it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Frame, Page, Request, expect, sync_playwright

from tests.dash_process import serving

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Playwright has V8 keep the stack of every throw. plotly.js throws and catches a few while it starts: V8 then
    # parses all of it anew to tell the lines, 0.45 s a page that no reader pays. This keeps lines from the first parse.
    "--js-flags=--no-enable-lazy-source-positions",
]
HEIGHT = 1000
SETTLE_MS = 15_000

expect.set_options(timeout=SETTLE_MS)  # five seconds are short on a busy machine


def chromium_path() -> str | None:
    """The Chromium to test in: the system's, or the one Playwright has installed; None if there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        bundled = playwright.chromium.executable_path
    return bundled if Path(bundled).exists() else None


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser a file: while it lives Playwright's loop runs in this thread, where no asyncio test could run then."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on this machine: install one, or run `playwright install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(chromium: Browser) -> Iterator[Page]:
    """A tab a file: a page opens in it again in a third of the time that one in a fresh browser context takes."""
    context = chromium.new_context()
    context.set_default_timeout(SETTLE_MS)
    yield context.new_page()
    context.close()


@dataclass(frozen=True)
class SavedRuns:
    """The runs that page tests look at."""

    root: Path
    storm: str
    a: str
    b: str
    short: str
    aborted: str
    damaged: str


@pytest.fixture(scope="session")
def saved_runs(tmp_path_factory: pytest.TempPathFactory) -> SavedRuns:
    from tests.dash_fixtures import Traffic, save_pair, save_run  # here: every test file loads this plugin

    root = tmp_path_factory.mktemp("runs")
    traffic = Traffic(seconds=60, rate=400, users=1024, storm=(30, 40))
    storm = save_run(root, traffic)
    pair = (
        Traffic(seconds=20, rate=250, seed=7, users=1024),
        Traffic(seconds=20, rate=400, seed=7, users=1024, miss_p50_ms=760),
    )
    a, b = save_pair(root, *pair, minute=10)
    short = save_run(root, Traffic(seconds=5, rate=20), minute=20)
    aborted = save_run(root, Traffic(seconds=12, rate=100), minute=30, status="aborted")
    damaged = root / "20251124T190000Z-steady-async-deadbee"
    damaged.mkdir()
    (damaged / "run.json").write_text('{"schema_version": 1, "id"')
    return SavedRuns(root, storm, a, b, short, aborted, damaged.name)


@pytest.fixture(scope="session")
def app(saved_runs: SavedRuns) -> Iterator[str]:
    with serving(saved_runs.root) as (address, _):
        yield f"http://{address}"


@pytest.fixture(scope="session")
def empty_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as it is met first: no run, and not even a directory for them."""
    with serving(tmp_path_factory.mktemp("empty") / "none yet") as (address, _):
        yield f"http://{address}"


@dataclass
class Watched:
    """A page of the app with everything that it did wrong."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)
    under_way: set[Request] = field(default_factory=set)
    left_behind: set[Request] = field(default_factory=set)
    leaving: bool = False
    navigating: bool = False
    """Between a navigation's request and its document: what is asked for meanwhile is still the old page's."""

    def __post_init__(self) -> None:
        self._listeners: list[tuple[Any, Callable[[Any], None]]] = [
            ("request", self._begun),
            ("framenavigated", lambda frame: self._arrived(frame)),
            ("requestfinished", lambda r: self.under_way.discard(r)),
            ("requestfailed", self._failed),
            ("response", lambda r: self._note(r.status >= 400, f"{r.status}: {r.url}")),
            ("console", lambda m: self._note(m.type in ("error", "warning"), f"console {m.type}: {m.text}")),
            ("pageerror", lambda error: self._note(True, f"page error: {error}")),
        ]
        for event, listener in self._listeners:
            self.page.on(event, listener)

    def _begun(self, request: Request) -> None:
        if request.is_navigation_request():
            self.left_behind |= self.under_way  # of a page that is being left: these may be cut short, and only these
            self.navigating = True
        elif self.navigating:
            self.left_behind.add(request)
        self.under_way.add(request)
        self._note(not request.url.startswith((self.base, "data:", "blob:")), request.url)

    def _arrived(self, frame: Frame) -> None:
        if frame == self.page.main_frame:
            self.navigating = False

    def _failed(self, request: Request) -> None:
        self.under_way.discard(request)
        cut_short = (self.leaving or request in self.left_behind) and request.failure == "net::ERR_ABORTED"
        self._note(not cut_short, f"failed: {request.url} {request.failure}")

    def _note(self, bad: bool, what: str) -> None:
        if bad:
            self.wrong.append(what)

    def go(self, path: str) -> Page:
        """Open a path and wait until its content is there and every graph on it has been drawn."""
        self.page.goto(self.base + path)
        self.settle()
        return self.page

    def arrive(self, path: str) -> None:
        """Wait until the tab is at this path, with the parameters that it names: a page adds its own to them."""
        wanted = urlsplit(path)

        def is_there(url: str) -> bool:
            got = urlsplit(url)
            return got.path == wanted.path and parse_qs(wanted.query).items() <= parse_qs(got.query).items()

        self.page.wait_for_url(is_there)
        self.settle()

    def settle(self) -> None:
        """Wait for content and fonts, until nothing moves and every graph has been drawn to the size of its box."""
        self.page.wait_for_selector("#content > *", timeout=SETTLE_MS)
        until("every callback of the page has its answer", self._answered, SETTLE_MS / 1000)
        self.page.wait_for_function(SETTLED, timeout=SETTLE_MS)

    def _answered(self) -> bool:
        """A click on what an answer is about to replace would be lost."""
        self.page.wait_for_timeout(20)  # the browser's events come in while we wait for it
        return not any("/_dash-update-component" in request.url for request in self.under_way - self.left_behind)

    def leave(self) -> None:
        """Close what the page holds open and forget what it has stored."""
        self.leaving = True
        blank(self.page)
        self.look_away()

    def look_away(self) -> None:
        """Watch the page no longer, and leave it as it is."""
        for event, listener in self._listeners:
            self.page.remove_listener(event, listener)

    def clean(self) -> None:
        """Nothing went wrong so far."""
        assert not self.wrong, "\n".join(self.wrong)


SETTLED = """() => {
  if (document.fonts.status !== "loaded") return false;
  if (document.querySelector(".dash-graph") && !window.Plotly) return false;
  if (document.getAnimations().some((animation) => animation.playState === "running")) return false;
  // a table is there before its heads and rows are
  const has = (table, parts) => table.querySelector(parts) !== null;
  const whole = (table) => has(table, ".ag-header-cell") && has(table, ".ag-row, .ag-overlay-wrapper");
  if (![...document.querySelectorAll(".runs-grid")].every(whole)) return false;
  // a flow's boxes travel to their places after a resize, by timers of d3 that getAnimations does not know
  if ([...document.querySelectorAll(".sankey *")].some((node) => node.__transition__)) return false;
  const graphs = [...document.querySelectorAll(".figure")].filter((g) => g.offsetParent);
  return graphs.every((graph) => {
    const plot = graph.matches(".js-plotly-plot") ? graph : graph.querySelector(".js-plotly-plot");
    if (!plot || !plot._fullLayout || !(plot.data.length || plot.layout.annotations)) return false;
    const box = plot.getBoundingClientRect(), drawn = plot._fullLayout;
    return Math.abs(drawn.width - box.width) < 2 && Math.abs(drawn.height - box.height) < 2;
  });
}"""


def blank(tab: Page) -> None:
    """Leave what is open in the tab, as if it had never been."""
    if tab.url != "about:blank":
        tab.evaluate("localStorage.clear(); sessionStorage.clear()")
        tab.goto("about:blank")
        tab.context.clear_cookies()


@contextmanager
def watching(tab: Page, base: str, *, width: int = 1600, theme: str = "dark") -> Iterator[Watched]:
    """The tab at the app under ``base``, as if nobody had used it; what it does wrong meanwhile fails at the end."""
    blank(tab)
    tab.set_viewport_size({"width": width, "height": HEIGHT})
    tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    watched = Watched(tab, base)
    try:
        yield watched
    finally:
        watched.leave()
    watched.clean()


@contextmanager
def reading(tab: Page, base: str, path: str) -> Iterator[Page]:
    """A page, dark and 1600 px wide, for a test that only reads it: still open where the test before has read it."""
    if tab.url.partition("?")[0] == base + path:  # a page completes its query
        yield tab
        return
    blank(tab)
    tab.set_viewport_size({"width": 1600, "height": HEIGHT})
    tab.emulate_media(color_scheme="dark")
    watched = Watched(tab, base)
    try:
        yield watched.go(path)
    finally:
        watched.look_away()
    watched.clean()


@pytest.fixture
def wide(tab: Page, app: str) -> Iterator[Watched]:
    """The app over the saved runs, dark and 1600 px wide."""
    with watching(tab, app) as watched:
        yield watched


def axe_violations(page: Page) -> list[str]:
    """What axe finds of serious or critical impact, outside the graphs (whose colours a test of the themes checks)."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        "axe.run({exclude: [['.main-svg']]}, {resultTypes: ['violations']}).then((told) => told.violations)"
    )
    return [
        f"{v['id']} ({v['impact']}): {node['target']} {node.get('failureSummary', '')}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"][:5]
    ]


def label_faults(page: Page) -> list[str]:
    """Texts of graphs that lie over each other or stick out of their graph, with where."""
    faults: list[str] = page.evaluate(LABELS)
    return faults


LABELS = """() => {
  const faults = [];
  const visible = (box) => box.width > 0.5 && box.height > 0.5;
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    if (!plot.offsetParent) continue;
    const outer = plot.getBoundingClientRect();
    const name = plot.id || plot.parentElement.id;
    const texts = [...plot.querySelectorAll(
      ".annotation-text, .xtick text, .ytick text, .bartext, .node-label, .textpoint text, .g-ytitle text")]
      .filter((text) => text.textContent.trim())
      .filter((text) => text.style.visibility !== "hidden")
      .map((text) => ({ text: text.textContent.trim(), box: text.getBoundingClientRect() }))
      .filter(({ box }) => visible(box));
    for (const { text, box } of texts) {
      const wide = box.left < outer.left - 1 || box.right > outer.right + 1;
      if (wide || box.top < outer.top - 1 || box.bottom > outer.bottom + 1)
        faults.push(`${name}: "${text}" sticks out`);
    }
    for (let i = 0; i < texts.length; i++) for (let k = i + 1; k < texts.length; k++) {
      const a = texts[i].box, b = texts[k].box;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1.5 && high > 3) faults.push(`${name}: "${texts[i].text}" over "${texts[k].text}"`);
    }
  }
  return faults;
}"""


def until(what: str, holds: Any, seconds: float = 10.0) -> None:
    """Wait until ``holds()`` is true; fails with ``what`` otherwise."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")
