"""Every page in a real Chromium, in both themes and three widths: nothing wrong, nothing empty, nothing untrue."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from reports import readable
from reports.figures import THEMES
from reports.store.store import RunStore
from tests.dash_browser import SavedRuns, Watched, reading, watching
from tests.dash_looks import look_faults
from tests.dash_process import serving

pytestmark = pytest.mark.browser

EVERY = [
    (theme, width) for theme, widths in (("dark", (1600, 820, 390)), ("light", (390, 820, 1600))) for width in widths
]
ENDS = [("dark", 390), ("light", 1600)]

PAGES = {
    "live": ("/", EVERY),
    "runs": ("/runs", EVERY),
    "run": ("/run/{0.storm}", EVERY),
    "arm B": ("/run/{0.b}", EVERY),
    "short": ("/run/{0.short}", ENDS),
    "aborted": ("/run/{0.aborted}", ENDS),
    "unknown": ("/run/20251124T160000Z-steady-async-7f3a91e", ENDS),
    "nowhere": ("/nowhere/at/all", ENDS),
}
"""One address of each kind of page, and how it is looked at; pages built alike are not looked at in every way."""

VARIANTS = ("arm B", "short", "aborted")  # of the run's page


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in VARIANTS)) for name in PAGES])
def test_every_page_is_clean_accessible_and_legible(wide: Watched, saved_runs: SavedRuns, name: str) -> None:
    """In both themes at three widths: no console message, nothing serious in axe, no label over another or cut off."""
    path, looks = PAGES[name]
    wide.go(path.format(saved_runs))
    faults = look_faults(wide, looks)
    assert not faults, "\n".join(faults)


@pytest.fixture
def storm_page(tab: Page, app: str, saved_runs: SavedRuns) -> Iterator[Page]:
    with reading(tab, app, f"/run/{saved_runs.storm}") as page:
        yield page


@pytest.fixture
def runs_page(tab: Page, app: str) -> Iterator[Page]:
    with reading(tab, app, "/runs") as page:
        yield page


def test_numbers_in_the_table_of_runs_are_those_of_the_summaries(runs_page: Page, saved_runs: SavedRuns) -> None:
    for entry in RunStore(saved_runs.root).entries():
        if entry.summary is None:
            continue
        for population in ("hit", "miss"):
            for name in ("p50", "p99"):
                cell = runs_page.locator(f'[row-id="{entry.id}"] [col-id="{population}_{name}"]')
                expect(cell).to_have_text(
                    readable.latency(entry.summary.latency[population]["intended"].percentiles[name])
                )


def test_a_damaged_run_is_listed_with_its_reason(runs_page: Page, saved_runs: SavedRuns) -> None:
    row = runs_page.locator(f'[row-id="{saved_runs.damaged}"]')
    expect(row.first).to_contain_text("2025-11-24 19:00")
    expect(runs_page.locator(f'.ag-center-cols-container [row-id="{saved_runs.damaged}"]')).to_contain_text(
        f"{saved_runs.damaged}: run.json is not whole JSON"
    )


def test_numbers_on_the_run_page_are_those_of_the_summary(storm_page: Page, saved_runs: SavedRuns) -> None:
    summary = RunStore(saved_runs.root).open(saved_runs.storm).summary()
    miss = summary.latency["miss"]["intended"]
    expected = {
        "Throughput": readable.number(summary.throughput_rps, "req/s"),
        "Miss latency p50": readable.latency(miss.percentiles["p50"]),
        "Miss latency p99": readable.latency(miss.percentiles["p99"]),
        "Cache hit share": readable.share(summary.cache.hit_share),
        "Attempts / request": f"{summary.attempts.amplification:.3f} ×",
        "Failed": readable.share(summary.failed_share),
    }
    shown = {
        card.locator("h2").inner_text(): card.locator(".kpi-value").inner_text()
        + card.locator(".kpi-unit").inner_text()
        for card in storm_page.locator(".kpi").all()
    }
    assert shown == {name: value.replace(" ", "") for name, value in expected.items()}
    assert f"{summary.requests:,} requests" in storm_page.locator(".page-head .subline").inner_text()


def figures(page: Page) -> dict[str, dict]:
    """What each graph holds: number of points, traces by name, texts of its axes."""
    return page.evaluate("""() => Object.fromEntries([...document.querySelectorAll(".figure")].map((figure) => {
      const plot = figure.matches(".js-plotly-plot") ? figure : figure.querySelector(".js-plotly-plot");
      const length = (trace) => trace.type === "sankey" ? trace.link.value.length : trace.type === "indicator" ? 0
        : Math.max(...["x", "y", "z"].map((key) => (trace[key] && trace[key].length) || 0));
      const full = plot._fullData.map((trace) => ({
        name: trace.name, type: trace.type, points: length(trace), colour: trace.line && trace.line.color,
        x: trace.x && [...trace.x], y: trace.y && [...trace.y],
      }));
      const texts = (selector) => [...plot.querySelectorAll(selector)].map((text) => text.textContent);
      return [figure.id, { traces: full, y: texts(".ytick text"), x: texts(".xtick text"),
        titles: texts(".g-ytitle text, .g-xtitle text"), said: texts(".annotation-text") }];
    }))""")


def test_no_figure_of_a_run_is_empty_or_without_units(storm_page: Page) -> None:
    drawn = figures(storm_page)
    assert len(drawn) == 8
    unit = re.compile(r"(µs|ms| s|%|:\d\d|^p\d|^0$)")
    for name, figure in drawn.items():
        assert sum(trace["points"] for trace in figure["traces"]) > 5, name
        if name == "run-flow":
            continue
        if name == "run-stages":
            assert any(" ms" in said or " s" in said for said in figure["said"])
            continue
        for axis in ("x", "y"):
            assert figure[axis], (name, axis)
            told = all(unit.search(text) for text in figure[axis]) or bool(figure["titles"])
            assert told, (name, axis, figure[axis])


def test_hits_and_misses_are_not_swapped(storm_page: Page) -> None:
    """Hits take about 22 ms and misses about 1 s: by name, by colour and by label."""
    drawn = figures(storm_page)
    lines = {trace["name"]: trace for trace in drawn["run-latency"]["traces"] if trace["type"] == "scatter"}
    assert 1.2 < lines["hit p50"]["y"][5] < 1.5  # log10 ms
    assert 2.9 < lines["miss p50"]["y"][5] < 3.2
    assert (lines["hit p50"]["colour"], lines["miss p50"]["colour"]) == ("#4cc9f0", "#ffb454")
    ecdf = {trace["name"]: trace for trace in drawn["run-ecdf"]["traces"] if trace["points"] > 10}
    assert half(ecdf["hit"]) < 2.0 < half(ecdf["miss"])
    labels = " ".join(drawn["run-ecdf"]["said"])
    assert re.search(r"hit p50 ?2\d\.\d ms", labels)
    assert re.search(r"miss p50 ?1\.\d\d s", labels)


def half(trace: dict) -> float:
    """Where a distribution function passes one half."""
    return next(x for x, y in zip(trace["x"], trace["y"], strict=True) if y >= 0.5)


def test_population_filter_leaves_only_misses(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm}?show=miss")
    drawn = figures(page)
    names = {trace["name"] for trace in drawn["run-latency"]["traces"]}
    assert "miss p50" in names
    assert "hit p50" not in names


def test_the_address_restores_the_view_theme_included(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm}?show=hit&slo=p99%3C50ms&theme=light")
    assert page.locator("html").get_attribute("data-mantine-color-scheme") == "light"
    expect(page.locator("#run-slo")).to_have_value("p99<50ms")
    expect(page.locator("#run-show input:checked")).to_have_value("hit")
    page.locator("#run-show label", has_text="Misses").click()
    page.wait_for_function("location.search.includes('show=miss')")


def test_the_address_restores_filter_and_sort_of_the_runs(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go("/runs")
    first = page.locator('.ag-center-cols-container [row-index="0"]')
    page.locator("#runs-filter").fill("async")
    header = page.locator('.ag-header-cell[col-id="miss_p50"]')
    header.click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(first).to_have_attribute("row-id", saved_runs.damaged)  # it has none: less than any
    header.click()
    page.wait_for_function(
        "location.search.includes('sort=miss_p50%3Adesc') && location.search.includes('filter=async')"
    )
    page.reload()
    wide.settle()
    expect(page.locator("#runs-filter")).to_have_value("async")
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(first).to_have_attribute("row-id", saved_runs.storm)
    expect(page.locator(f'[row-id="{saved_runs.a}"]')).to_have_count(0)  # sync


def test_a_wrong_slo_is_told_beside_its_field(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm}")
    expect(page.locator("#run-pills .pill")).to_have_count(3)
    page.locator("#run-slo").fill("p99<banana")
    expect(page.locator(".slo-input .mantine-InputWrapper-error")).to_be_visible()
    expect(page.locator("#run-pills .pill")).to_have_count(0)


def flow_of(page: Page) -> str:
    """How many requests the flow of outcomes begins with."""
    return page.locator("#run-flow .node-label").first.text_content().removeprefix("requests")


def test_a_stretch_of_time_restricts_the_other_figures(wide: Watched, saved_runs: SavedRuns) -> None:
    run = RunStore(saved_runs.root).open(saved_runs.storm)
    page = wide.go(f"/run/{saved_runs.storm}")
    assert flow_of(page) == f"{run.summary().requests:,}"
    box = page.locator("#run-latency .nsewdrag").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    page.mouse.up()
    expect(page.locator("#run-time")).to_have_value(re.compile(r"0:1\d-0:3\d"))
    page.wait_for_function("location.search.includes('time=')")

    page.locator("#run-time").fill("0:20-0:30")
    part = run.aggregate()
    part = part.filter((part["second"].to_numpy() >= 20) & (part["second"].to_numpy() < 30))
    expect(page.locator("#run-flow .node-label").first).to_have_text(f"requests{sum(part['count'].to_pylist()):,}")
    page.locator("#run-time").fill("soon")
    expect(page.locator(".time-input .mantine-InputWrapper-error")).to_be_visible()
    page.locator("#run-time").fill("")
    expect(page.locator("#run-flow .node-label").first).to_have_text(f"requests{run.summary().requests:,}")


@pytest.mark.parametrize("address", ["/run/{0}", "/compare?a={0}&b={1}"])
def test_a_run_that_is_deleted_while_it_is_looked_at_gives_way_to_what_happened(
    wide: Watched, saved_runs: SavedRuns, address: str
) -> None:
    gone = saved_runs.root / saved_runs.short.replace("T1620", "T1720")
    shutil.copytree(saved_runs.root / saved_runs.short, gone)
    page = wide.go(address.format(gone.name, saved_runs.storm))
    shutil.rmtree(gone)
    page.keyboard.press("t")
    expect(page.locator("h1")).to_have_text("No such run")
    expect(page.locator("code")).to_have_text(gone.name)


def test_keys_lead_where_they_say(wide: Watched) -> None:
    page = wide.go("/")
    page.keyboard.press("r")
    wide.arrive("/runs")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.closest('#runs-filter, .filter') !== null")
    page.keyboard.type("blocking")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "light")
    page.keyboard.press("l")
    wide.arrive("/")


def test_markup_in_a_run_id_stays_text(wide: Watched) -> None:
    page = wide.go("/run/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    expect(page.locator("h1")).to_have_text("No such run")
    assert page.locator("#content img").count() == 0


def test_an_unknown_run_offers_the_nearest(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm[:-1]}x")
    expect(page.locator(f'a[href="/run/{saved_runs.storm}"]')).to_be_visible()


def test_unproven_runs_carry_their_verdict_across_the_figures(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.aborted}")
    shown = page.evaluate("getComputedStyle(document.querySelector('.card-body:has(.figure)'), '::after').content")
    assert "ABORTED" in shown
    expect(page.locator(".banner.bad")).to_contain_text("Ctrl-C")
    marked = """() => [...document.querySelectorAll(".card-body:has(.js-plotly-plot)")].map((body) => {
        const plot = body.querySelector(".js-plotly-plot");
        return [plot._fullData.length > 0, getComputedStyle(body, "::after").content !== "none"];
    })"""
    assert all(drawn == says for drawn, says in page.evaluate(marked)), "over what is drawn, not over words"
    retries = "document.querySelector('#run-retries .js-plotly-plot')"
    page.evaluate(f"Plotly.react({retries}, [], {{annotations: [{{text: 'No'}}]}})")
    assert [False, False] in page.evaluate(marked)


def choose(page: Page, *run_ids: str) -> None:
    """Tick runs in the table."""
    for run_id in run_ids:
        page.locator(f'.ag-center-cols-container [row-id="{run_id}"] .ag-checkbox-input').check()


def test_a_refresh_of_the_table_leaves_the_question_open(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go("/runs")
    choose(page, saved_runs.short)
    page.locator("#runs-delete").click()
    expect(page.locator("#runs-confirm-what")).to_contain_text(saved_runs.short)
    with page.expect_response("**/_dash-update-component*"):  # once in five seconds
        pass
    wide.settle()
    expect(page.locator("#runs-delete-yes")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#runs-delete-yes")).to_have_count(0)


@pytest.mark.slow
def test_runs_are_compared_tagged_marked_and_deleted(tab: Page, tmp_path: Path) -> None:
    from tests.dash_fixtures import Traffic, save_run

    ids = [save_run(tmp_path, Traffic(seconds=5, rate=40), minute=minute) for minute in range(3)]
    store = RunStore(tmp_path)
    with serving(tmp_path) as (address, _), watching(tab, f"http://{address}") as watched:
        page = watched.go("/runs")
        expect(page.locator("#runs-compare")).to_be_disabled()
        choose(page, ids[0])
        page.locator("#runs-tags").fill("nightly")
        page.keyboard.press("Enter")
        page.locator("#runs-tag-apply").click()
        expect(page.locator("#runs-said")).to_have_text("1 run tagged nightly")
        assert store.open(ids[0]).manifest.tags == ["nightly"]
        page.locator("#runs-baseline").click()
        expect(page.locator(f'[row-id="{ids[0]}"] .icon-star')).to_be_visible()
        assert store.open(ids[0]).manifest.baseline

        page.locator("#runs-delete").click()
        page.locator("#runs-delete-no").click()
        assert store.ids() == ids
        page.locator("#runs-delete").click()
        expect(page.locator("#runs-confirm-what")).to_contain_text(ids[0])
        page.locator("#runs-delete-yes").click()
        expect(page.locator(f'[row-id="{ids[0]}"]')).to_have_count(0)
        assert store.ids() == ids[1:]

        choose(page, *ids[1:])
        page.locator("#runs-compare").click()
        watched.arrive(f"/compare?a={ids[1]}&b={ids[2]}")
        expect(page.locator("h1")).to_have_text("B against A")


def test_a_first_visit_says_what_to_do(tab: Page, empty_app: str) -> None:
    with watching(tab, empty_app) as watched:
        for path in ("/runs", "/", "/compare", "/run/latest"):
            page = watched.go(path)
            expect(page.locator(".command code")).to_have_text("make bench")


def test_a_report_can_be_saved(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.b}")
    with page.expect_download() as download:
        page.locator("a[data-export]").click()
    report = download.value.path().read_text()
    assert download.value.suggested_filename == f"tailgate-{saved_runs.a}-vs-{saved_runs.b}.html"
    assert "B relative to A" in report
    refused = page.request.get(f"{wide.base}/export?run=../../etc/passwd")
    assert (refused.status, refused.text().count("\n")) == (404, 1)
    assert page.request.get(f"{wide.base}/export").status == 400


def test_a_figure_can_be_saved_as_a_picture_by_keys_alone_in_both_themes(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm}")
    _save_pictures(page, "dark")
    page.keyboard.press("t")
    wide.settle()
    _save_pictures(page, "light")


def _save_pictures(page: Page, theme: str) -> None:
    page.locator(".card", has=page.locator("#run-ecdf")).locator("summary").focus()
    page.keyboard.press("Enter")
    for kind in ("svg", "png"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.save") == kind
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        saved = download.value.path().read_bytes()
        if kind == "png":
            assert saved.startswith(b"\x89PNG")
            assert len(saved) > 10_000
        else:
            assert b"miss p50" in saved
            red, green, blue = (int(THEMES[theme].card[i : i + 2], 16) for i in (1, 3, 5))
            assert f"fill: rgb({red}, {green}, {blue}); fill-opacity: 1".encode() in saved
    page.keyboard.press("Escape")
    expect(page.locator("details.how[open]")).to_have_count(0)


def test_the_first_tab_leads_past_the_navigation(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    page.keyboard.press("Enter")
    controls = ["run-show", "run-slo", "run-time"]
    reached: set[str] = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        inside = "ids => ids.filter((id) => document.getElementById(id).contains(document.activeElement))"
        reached |= set(page.evaluate(inside, controls))
    assert reached == set(controls)


@pytest.mark.parametrize("field", ["runs-filter", "runs-tags"])
def test_a_field_in_focus_can_be_seen(wide: Watched, field: str) -> None:
    page = wide.go("/runs")
    box = page.locator(f".mantine-Input-input:is(#{field}, :has(#{field}))")
    expect(box).to_have_css("outline-style", "none")
    page.locator(f"#{field}").focus()
    expect(box).to_have_css("outline-style", "solid")
    expect(box).to_have_css("outline-width", "2px")


def test_what_the_latest_run_is_called_leads_to_it(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/run/{saved_runs.storm[:17]}")
    assert saved_runs.storm in page.locator("a[data-export]").get_attribute("href")
    page.keyboard.press("n")
    wide.arrive("/run/latest")
