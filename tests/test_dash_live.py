"""The live page in a real Chromium: what the ticks say is what is shown, over reconnects too."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from reports.records.bins import BINS, quantile_ns
from tests.dash_browser import Watched, until, watching
from tests.dash_fixtures import LiveRun, Traffic, live_run
from tests.dash_looks import drawn, look_faults
from tests.dash_process import serving

pytestmark = pytest.mark.browser

TRAFFIC = Traffic(seconds=60, rate=300, users=500, storm=(20, 26))


@pytest.fixture(scope="module")
def live_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def live_app(live_root: Path) -> Iterator[str]:
    with serving(live_root) as (address, _):
        yield f"http://{address}"


@pytest.fixture
def root(live_root: Path) -> Iterator[Path]:
    """Where the followed app looks: empty when a test begins."""
    yield live_root
    for run in live_root.iterdir():
        shutil.rmtree(run)


@pytest.fixture
def live(root: Path, tab: Page, live_app: str) -> Iterator[Watched]:
    """The app that follows ``root``, dark and 1600 px wide."""
    with watching(tab, live_app) as watched:
        yield watched


@pytest.fixture
def running(root: Path) -> Iterator[LiveRun]:
    run = live_run(root, TRAFFIC)
    yield run
    run.end()


def taken(page: Page) -> dict[str, int]:
    """What the page has taken in: requests by kind, and the last seq of each source."""
    return page.evaluate("""() => {
      const store = tailgateLive.page.store;
      const kinds = [0, 0, 0, 0];
      for (const counts of store.load.begun.values()) counts.kinds.forEach((n, i) => (kinds[i] += n));
      const [hit, miss, other, failed] = kinds;
      return { hit, miss, other, failed, seq: Math.max(-1, ...store.seqs.values()) };
    }""")


def wait_for_seq(page: Page, seq: int) -> None:
    page.wait_for_function("(seq) => Math.max(-1, ...tailgateLive.page.store.seqs.values()) >= seq", arg=seq)


def wait_until_drawn(page: Page) -> None:
    page.wait_for_function("""Object.keys(tailgateLive.figures).every(
        (id) => document.getElementById(id).layout?.datarevision >= tailgateLive.page.store.version)""")


def expected(run: LiveRun) -> dict[str, int]:
    misses = sum(run.count(cache=cache, error="") for cache in ("miss", "collapsed"))
    hits = run.count(cache="hit", error="")
    return {
        "hit": hits,
        "miss": misses,
        "other": 0,
        "failed": run.count() - hits - misses,
        "seq": run.written[-1]["seq"],
    }


def test_what_is_shown_is_what_the_ticks_say_and_zoom_survives(live: Watched, running: LiveRun) -> None:
    running.write(30)
    page = live.go("/")
    wait_for_seq(page, 29)
    assert taken(page) == expected(running)
    expect(page.locator("#live-title")).to_have_text("async · 7f3a91d")
    live.settle()

    page.evaluate("Plotly.relayout('live-latency', {'xaxis.range[0]': 5, 'xaxis.range[1]': 12})")
    running.write(10)
    wait_for_seq(page, 39)
    assert taken(page) == expected(running)
    wait_until_drawn(page)
    shown = page.evaluate(
        "['live-latency', 'live-load'].map((id) => document.getElementById(id)._fullLayout.xaxis.range)"
    )
    assert shown == [[5, 12], [5, 12]]
    page.evaluate("document.getElementById('live-latency').emit('plotly_doubleclick')")
    page.wait_for_function("document.getElementById('live-load')._fullLayout.xaxis.range[1] > 35")


def test_a_live_run_is_accessible_and_legible(live: Watched, running: LiveRun) -> None:
    running.write(45)
    page = live.go("/")
    wait_for_seq(page, 44)
    faults = look_faults(live, [("dark", 1600), ("dark", 390), ("light", 820), ("light", 390)])
    assert not faults, "\n".join(faults)


def test_live_figures_hold_hits_and_misses_apart_with_units(live: Watched, running: LiveRun) -> None:
    """Hits take about 22 ms, misses about 1 s; nothing is drawn of seconds that have not come."""
    running.write(12)
    page = live.go("/")
    wait_for_seq(page, 11)
    wait_until_drawn(page)
    figures = drawn(page)
    assert len(figures) == 6
    for name, figure in figures.items():
        assert any(len(trace["y"]) > 5 for trace in figure["traces"].values()), name
        unit = re.compile(r"(ms| s|%|:\d\d|^[\d,.]+$|requests|cores|users, req/s)")
        assert all(unit.search(text) for text in figure["texts"]), (name, figure["texts"])
        titled = any(not text[0].isdigit() for text in figure["texts"])
        assert titled or any("%" in text or "ms" in text for text in figure["texts"]), name
    latency = figures["live-latency"]["traces"]
    assert all(1.2 < y < 1.5 for y in latency["hit p50"]["y"])  # log10 ms
    assert all(2.9 < y < 3.2 for y in latency["miss p50"]["y"])
    assert (latency["hit p50"]["colour"], latency["miss p50"]["colour"]) == ("#4cc9f0", "#ffb454")
    hits = running.count(cache="hit", error="") / running.count(error="")
    shares = figures["live-shares"]["traces"]["hit"]["y"]
    assert np.nanmean([share for share in shares if share is not None]) == pytest.approx(hits, abs=0.12)
    rates = figures["live-load"]["traces"]["req/s"]
    assert max(rates["x"]) < 12
    assert min(rates["y"]) > 0
    states = {name: trace["y"][-1] for name, trace in figures["live-in-flight"]["traces"].items() if trace["y"]}
    assert states == {name: running.written[-1]["server"]["in_flight"][name] for name in states}


def test_the_address_restores_window_and_population(live: Watched, running: LiveRun) -> None:
    running.write(30)
    page = live.go("/")
    page.locator("#live-window label", has_text="1 min").click()
    page.locator("#live-show label", has_text="Misses").click()
    page.wait_for_function("location.search === '?window=60&show=miss'")
    page.reload()
    live.settle()
    wait_for_seq(page, 29)
    wait_until_drawn(page)
    expect(page.locator("#live-window input:checked")).to_have_value("60")
    expect(page.locator("#live-show input:checked")).to_have_value("miss")
    traces = drawn(page)["live-latency"]["traces"]
    assert traces["miss p50"]["y"]
    assert not traces["hit p50"]["y"]


def test_key_figures_are_of_the_last_ten_seconds(live: Watched, running: LiveRun) -> None:
    running.write(40)
    ended = [row for tick in running.written[-10:] for row in tick["cells"]]
    page = live.go("/")
    wait_for_seq(page, 39)
    expect(page.locator("#live-kpi-throughput .kpi-note")).to_have_text(f"{sum(row[-1] for row in ended):,} requests")
    hits = sum(row[-1] for row in ended if row[3] == "hit")
    expect(page.locator("#live-kpi-hit-share .kpi-note")).to_have_text(f"{hits:,} hits")
    bins = np.zeros(BINS)
    for row in ended:
        if row[3] in ("miss", "collapsed"):
            bins[row[8]] += row[9]
    p50 = quantile_ns(bins, 0.5) / 1e9
    expect(page.locator("#live-kpi-miss-p50 .kpi-value")).to_have_text(f"{p50:.2f}")


def test_quantiles_of_the_browser_are_those_of_the_reports(tab: Page, app: str) -> None:
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 40, BINS) * (rng.random(BINS) < 0.2) for _ in range(20)]
    with watching(tab, app) as watched:
        page = watched.go("/")
        for counts in rows:
            for q in (0.0, 0.5, 0.99, 1.0):
                shown = page.evaluate(f"tailgateLive.quantileMs({json.dumps(counts.tolist())}, {q})")
                assert shown == pytest.approx(quantile_ns(counts, q) / 1e6, rel=1e-9)


def test_no_frame_is_lost_over_a_restart_of_the_app(chromium: Browser, running: LiveRun, root: Path) -> None:
    running.write(20)
    context = chromium.new_context()  # not watched: a browser reports each refused connection on its console
    page = context.new_page()
    with serving(root) as (address, process):
        page.goto(f"http://{address}/")
        page.wait_for_function("window.tailgateLive && tailgateLive.page")
        wait_for_seq(page, 19)
        process.kill()
        process.join()
        running.write(7)
        expect(page.locator("#live-banner")).to_contain_text("Reconnecting, data")
        expect(page.locator("#live-root")).to_have_attribute("data-state", "stale")
    with serving(root, port=int(address.rpartition(":")[2])) as (_, process):
        wait_for_seq(page, 26)
        running.write(5)
        wait_for_seq(page, 31)
        assert taken(page) == expected(running)
        expect(page.locator("#live-root")).to_have_attribute("data-state", "running")
        running.end()
        expect(page.locator("#live-banner a")).to_contain_text(running.writer.id)
        process.kill()
        process.join()
        expect(page.locator("#live-banner")).to_contain_text("Reconnecting, data")
        context.close()


@pytest.mark.slow
def test_a_run_that_begins_appears_and_one_that_ends_leads_to_its_report(live: Watched, root: Path) -> None:
    page = live.go("/")
    expect(page.locator(".live-idle")).to_be_visible()
    expect(page.locator(".command code")).to_have_text("make bench")
    run = live_run(root, Traffic(seconds=20, rate=50))
    run.write(12)
    expect(page.locator(".live-active")).to_be_visible()
    wait_for_seq(page, 11)
    run.end()
    page.locator("#live-banner a").click()
    live.arrive(f"/run/{run.writer.id}")
    assert "async" in page.locator("h1").inner_text()


@pytest.mark.slow
def test_both_arms_of_an_experiment_are_followed_as_one(live: Watched, root: Path) -> None:
    arms = [
        live_run(root, Traffic(seconds=20, rate=80), arm=arm, mode=mode, experiment="e")
        for arm, mode in (("A", "sync"), ("B", "async"))
    ]
    for number, arm in enumerate(arms):
        arm.write(5 + number)
    page = live.go("/")
    page.wait_for_function("tailgateLive.page.store.seqs.size === 2")
    times = page.evaluate("tailgateLive.page.store.ticks.map((tick) => tick.time)")
    assert times == sorted(times), "arms take turns: their ticks are one course"
    until("all frames", lambda: taken(page)["hit"] == sum(arm.count(cache="hit") for arm in arms))
    expect(page.locator("#live-title")).to_have_text("A sync · 7f3a91d  vs  B async · 7f3a91d")
    for arm in arms:
        arm.end()


@pytest.mark.slow
def test_pause_holds_the_figures_but_loses_nothing(live: Watched, running: LiveRun) -> None:
    running.write(20)
    page = live.go("/")
    wait_for_seq(page, 19)
    wait_until_drawn(page)
    page.keyboard.press("p")
    expect(page.locator("#live-pause")).to_have_text("Go on")
    page.wait_for_timeout(600)
    drawn = page.evaluate("document.getElementById('live-load').layout.datarevision")
    running.write(5)
    wait_for_seq(page, 24)
    page.wait_for_timeout(700)
    assert page.evaluate("document.getElementById('live-load').layout.datarevision") == drawn
    page.keyboard.press("t")  # what is held takes another theme, and goes no further
    page.wait_for_function("document.getElementById('live-load').layout.datarevision > " + str(drawn))
    shown = page.evaluate("tailgateLive.page.shownView.now")
    assert shown == pytest.approx(20), "held at the twentieth second"
    page.keyboard.press("p")
    page.wait_for_function("tailgateLive.page.shownView.now > 24")
    assert taken(page) == expected(running)


def test_the_page_starts_with_what_it_needs_and_fetches_the_table_when_asked(live: Watched, running: LiveRun) -> None:
    """plotly.js by an address that browsers keep, frames over one connection, a library of tables for a table only."""
    running.write(12)
    sockets: list[str] = []
    live.page.on("websocket", lambda socket: sockets.append(socket.url))
    page = live.go("/")
    expect(page.locator("#live-root")).to_have_attribute("data-state", "running")
    fetched = "performance.getEntriesByType('resource').map((each) => each.name)"
    plotly = [name for name in page.evaluate(fetched) if "plotly.v" in name]
    assert len(plotly) == 1
    assert not any("ag_grid" in name for name in page.evaluate(fetched))
    assert len(sockets) == 1
    page.keyboard.press("r")
    live.arrive("/runs")
    expect(page.locator(".ag-row a[href^='/run/']").first).to_be_visible()
    assert sum("dash_ag_grid.v" in name for name in page.evaluate(fetched)) == 1


def test_what_happened_is_marked_with_a_word_and_many_marks_stay_legible(live: Watched, running: LiveRun) -> None:
    for second, tick in enumerate(running.coming):
        if second < 3:
            tick["phase"] = "warmup"
        if 20 <= second < 24 or second == 25 or second in (33, 39, 45, 51):
            tick["generator"]["cpu"] = 0.97
    running.write(55)
    page = live.go("/")
    wait_for_seq(page, 54)
    wait_until_drawn(page)
    layout = "document.getElementById('live-latency').layout"
    bands = page.evaluate(layout + ".shapes.filter((shape) => !shape.ysizemode).map((shape) => [shape.x0, shape.x1])")
    assert bands == [[0, 3], [20, 26], [33, 34], [39, 40], [45, 46], [51, 52]]  # what lies close is one
    words = page.evaluate(layout + ".annotations.map((each) => each.text)")
    assert {"warm-up", "generator-bound"} <= set(words)
    page.evaluate("""() => {
      const store = tailgateLive.page.store;
      const counts = { hit: [], miss: [], failed: 0, attempts: [], in_flight: {} };
      const said = { type: "server", limiter: { waiting: 0 }, ...counts };
      store.takeServer({ ...said, time: store.latest - 3, breaker: "closed" });
      store.takeServer({ ...said, time: store.latest - 2, breaker: "open" });
    }""")
    block = running.writer.manifest.blocks[0]
    faults = [(block.started_ns + start * 10**9, block.started_ns + end * 10**9) for start, end in ((8, 18), (50, 90))]
    disturbed = block.model_copy(update={"faults": faults})
    running.writer.save(running.writer.manifest.model_copy(update={"blocks": [disturbed]}))
    page.wait_for_function("[...tailgateLive.page.store.runs.values()].some((run) => run.blocks[0].faults.length)")
    running.write(1)
    wait_for_seq(page, 55)
    wait_until_drawn(page)
    strips = page.evaluate(layout + ".shapes.filter((shape) => shape.ysizemode).map((shape) => [shape.x0, shape.x1])")
    assert strips == [[8, 18], [50, 56]]  # up to now: what is to come is not told yet
    lines = page.evaluate(layout + ".shapes.filter((shape) => shape.type === 'line').map((shape) => shape.x0)")
    assert lines == [53.0]
    assert {"breaker open", "faults"} <= set(page.evaluate(layout + ".annotations.map((each) => each.text)"))
    states = page.evaluate("document.getElementById('live-in-flight').data.map((trace) => trace.y.length)")
    assert min(states) == 56  # of the ticks, though a server is followed
    assert not look_faults(live, [("light", 390), ("dark", 1600)])
