"""What the page costs: ``python -m tests.perf_page [--only live opens lists] [--seconds N] [--samples N]``.

In a real Chromium, each figure beside its bar. ``live``: the first frame after the page has loaded, and the CPU of the
app and of each of five tabs while ticks come twice a second. ``opens``: a run of five million samples, warm, and what
its figures weigh. ``lists``: two thousand runs. Exit code 1 if a bar is missed; run it on a machine that is idle.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, Response, sync_playwright

from reports.store.store import RunStore
from reports.store.writer import RunWriter
from tests.dash_browser import FLAGS, SETTLE_MS, SETTLED, chromium_path
from tests.dash_fixtures import Traffic, live_run, save_run
from tests.dash_process import serving
from tests.perf_summary import write

TABS = 5
TICKS_PER_S = 2
RUNS = 2000
MOST_FIRST_FRAME_S, MOST_APP, MOST_TAB = 1.0, 0.05, 0.35
MOST_OPEN_S, MOST_FIGURE_BYTES, MOST_LIST_S = 2.0, 150_000, 1.5

_FIRST_FRAME = """setInterval(() => {
  if (!window.firstFrame && window.tailgateLive && tailgateLive.page && tailgateLive.page.store.latest
      && document.querySelector("#live-latency .main-svg")) window.firstFrame = performance.now();
}, 10)"""


class Bars:
    """What was measured beside what it may be at most."""

    def __init__(self) -> None:
        self.missed = 0

    def tell(self, name: str, value: float, most: float, read: Callable[[float], str]) -> None:
        """Print a figure and count it if it misses its bar."""
        missed = value > most
        self.missed += missed
        print(f"{'MISSED' if missed else 'ok':7} {name}: {read(value)} (bar {read(most)})", flush=True)


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def cores(value: float) -> str:
    return f"{value:.1%} of a core"


def settle(page: Page) -> None:
    """Wait until the page has its content and its graphs."""
    page.wait_for_selector("#content > *", timeout=4 * SETTLE_MS)
    page.wait_for_function(SETTLED, timeout=4 * SETTLE_MS)


def live(browser: Browser, root: Path, watched_s: int, bars: Bars) -> None:
    """Five tabs on a run of a thousand requests a second that goes on."""
    ticks = TICKS_PER_S * watched_s
    run = live_run(root, Traffic(seconds=ticks + 120, rate=1000, users=1000))
    run.write(90)
    with serving(root) as (address, app), ExitStack() as tabs:
        pages = []
        for _ in range(TABS):
            context = browser.new_context(viewport={"width": 1600, "height": 1000})
            tabs.callback(context.close)
            page = context.new_page()
            page.add_init_script(_FIRST_FRAME)
            page.goto(f"http://{address}/", wait_until="load")
            page.wait_for_function("window.firstFrame", timeout=SETTLE_MS)
            loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
            firsts = page.evaluate(f"[window.firstFrame - {loaded}, window.firstFrame]")
            pages.append([value / 1000 for value in firsts])
        bars.tell("first frame after load, worst tab", max(after for after, _ in pages), MOST_FIRST_FRAME_S, seconds)
        print(f"        first frame after the address was entered: {', '.join(seconds(all_) for _, all_ in pages)}")
        time.sleep(2)
        assert app.pid is not None
        before, chromium_before, began = cpu_s(psutil.Process(app.pid)), renderers_s(), time.monotonic()
        while time.monotonic() - began < watched_s:
            run.write(1)
            time.sleep(1 / TICKS_PER_S)
        took = time.monotonic() - began
        used, chromium_used = cpu_s(psutil.Process(app.pid)) - before, renderers_s() - chromium_before
        bars.tell(f"app, {TABS} tabs, {TICKS_PER_S} ticks/s, {took:.0f} s", used / took, MOST_APP, cores)
        bars.tell("each tab", chromium_used / took / TABS, MOST_TAB, cores)
        run.end()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def renderers_s() -> float:
    """CPU seconds of the tabs: of Chromium's processes below this one those that render."""
    found = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in child.cmdline():
                found += cpu_s(child)
        except psutil.Error:
            continue
    return found


def opens(browser: Browser, root: Path, samples: int, bars: Bars) -> None:
    """A long run: from the address to its last graph, cold and warm, and the bytes of each figure."""
    run_id = write(root, samples)
    store = RunStore(root)
    path = store.open(run_id).path
    (path / "ticks.jsonl").unlink(missing_ok=True)
    RunWriter(path, store.open(run_id).manifest).finish("complete")
    with serving(root) as (address, _):
        context = browser.new_context(viewport={"width": 1600, "height": 1000})
        page = context.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer) if "_dash-update" in answer.url else None)
        took = []
        for _ in range(4):
            answers.clear()  # a browser keeps bodies of the page that it shows only
            began = time.perf_counter()
            page.goto(f"http://{address}/run/{run_id}")
            settle(page)
            took.append(time.perf_counter() - began)
        print(f"        {samples:,} samples opened cold: {seconds(took[0])}")
        bars.tell(f"{samples:,} samples opened warm, worst of 3", max(took[1:]), MOST_OPEN_S, seconds)
        weights = [weight for answer in answers for weight in figure_bytes(answer)]
        bars.tell("heaviest figure over the wire", max(weights), MOST_FIGURE_BYTES, lambda n: f"{n / 1000:.0f} kB")
        context.close()


def figure_bytes(answer: Response) -> list[int]:
    """The packed size of each figure in a callback's answer."""
    if answer.status != 200 or answer.request.post_data is None:
        return []
    told: dict[str, dict[str, Any]] = answer.json().get("response", {})
    return [
        len(gzip.compress(json.dumps(output["figure"], separators=(",", ":")).encode(), 4))
        for output in told.values()
        if "figure" in output
    ]


def lists(browser: Browser, root: Path, bars: Bars) -> None:
    """Two thousand runs: from the address to the first rows, cold and warm."""
    first = root / save_run(root, Traffic(seconds=20, rate=60))
    manifest, summary = json.loads((first / "run.json").read_text()), (first / "summary.json").read_bytes()
    for number in range(1, RUNS):
        name = first.name.replace("20251124T16", f"{20230101 + number // 100}T{number % 24:02}") + f"-{number + 1}"
        copy = root / name
        copy.mkdir()
        (copy / "run.json").write_text(json.dumps({**manifest, "id": name}))
        (copy / "summary.json").write_bytes(summary)
    with serving(root) as (address, _):
        context = browser.new_context(viewport={"width": 1600, "height": 1000})
        page = context.new_page()
        took = []
        for _ in range(4):
            began = time.perf_counter()
            page.goto(f"http://{address}/runs")
            page.wait_for_selector(".ag-row a[href^='/run/']", timeout=4 * SETTLE_MS)
            took.append(time.perf_counter() - began)
        listed = page.evaluate("dash_ag_grid.getApi('runs-grid').getDisplayedRowCount()")
        assert listed == RUNS, listed
        print(f"        {RUNS:,} runs listed by an app that has just started: {seconds(took[0])}")
        bars.tell(f"{RUNS:,} runs listed, worst of 3", max(took[1:]), MOST_LIST_S, seconds)
        context.close()


def main() -> int:
    """Measure what was asked for; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parts = ("live", "opens", "lists")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--seconds", type=int, default=60, help="how long the live page is watched")
    parser.add_argument("--samples", type=int, default=5_000_000)
    options = parser.parse_args()
    bars = Bars()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as directory:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for part in options.only:
            root = Path(directory) / part
            root.mkdir()
            if part == "live":
                live(browser, root, options.seconds, bars)
            elif part == "opens":
                opens(browser, root, options.samples, bars)
            else:
                lists(browser, root, bars)
        browser.close()
    return 1 if bars.missed else 0


if __name__ == "__main__":
    sys.exit(main())
