"""The compare page in a real Chromium: its verdict and figures are the reports' own, and none where it refuses."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from dash_app.compare.settings_diff import settings_diff
from reports import readable
from reports.compare.verdict import compare
from reports.records.schema import Server
from reports.store.store import RunStore
from tests.dash_browser import SavedRuns, Watched
from tests.dash_fixtures import T0_NS, Traffic, make_manifest
from tests.dash_looks import drawn, look_faults, rows

pytestmark = pytest.mark.browser


def test_the_page_says_what_reports_compare_says(wide: Watched, saved_runs: SavedRuns) -> None:
    store = RunStore(saved_runs.root)
    comparison = compare(store.open(saved_runs.a), store.open(saved_runs.b))
    assert {d.direction for d in comparison.differences} == {"faster", "cannot tell"}
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.b}")
    expect(page.locator("#compare-verdict strong")).to_have_text(comparison.sentence)
    shown = rows(page, "#compare-differences")
    assert [row[:5] for row in shown] == [
        [
            f"{d.population} {d.percentile}",
            readable.latency(d.a_ms),
            readable.latency(d.b_ms),
            readable.change(d.ratio),
            f"{readable.change(d.low)} … {readable.change(d.high)}",
        ]
        for d in comparison.differences
    ]
    assert [row[5].lstrip("▼▲? ") for row in shown] == [d.direction for d in comparison.differences]
    a, b = (store.open(run_id).summary() for run_id in (saved_runs.a, saved_runs.b))
    throughput = next(row for row in rows(page, ".table-columns") if row[0] == "throughput")
    told = [readable.number(summary.throughput_rps, "req/s") for summary in (a, b)]
    assert [text.replace("\u00a0", " ") for text in throughput[1:3]] == told
    _figures_are_true(page, a.latency["hit"]["intended"].percentiles["p50"], a.latency["miss"]["intended"].percentiles)
    with page.expect_download() as download:
        page.locator("a[data-export]").click()
    assert download.value.suggested_filename == f"tailgate-{saved_runs.a}-vs-{saved_runs.b}.html"
    faults = look_faults(wide, [("dark", 390), ("light", 820), ("light", 1600)])
    assert not faults, "\n".join(faults)


def _figures_are_true(page: Page, hit_p50: float | None, miss: dict[str, float | None]) -> None:
    """Hits stay apart from misses and A from B, by name, colour and dash; no figure is empty or without a unit."""
    figures = drawn(page)
    assert set(figures) == {"compare-change", "compare-percentiles", "compare-ecdf"}
    ecdf = figures["compare-ecdf"]["traces"]
    assert set(ecdf) == {"A hit", "A miss", "B hit", "B miss"}
    assert 10 ** _half(ecdf["A hit"]) == pytest.approx(hit_p50, rel=0.07)  # a bin is 6% wide
    assert 10 ** _half(ecdf["A miss"]) == pytest.approx(miss["p50"], rel=0.07)
    assert _half(ecdf["B miss"]) < _half(ecdf["A miss"])  # B's misses take three quarters of A's
    for name, trace in ecdf.items():
        assert trace["colour"] == {"A": "#aab4bf", "B": "#79a8ff"}[name[0]]
        assert trace["dash"] == ("solid" if name.endswith("hit") else "dash")
    change = figures["compare-change"]["traces"]
    assert max(change["miss"]["y"]) < 0.85 < min(change["hit"]["y"])
    assert {re.sub("<.*?>", "", name) for name in figures["compare-percentiles"]["traces"]} == set(ecdf)
    for name, figure in figures.items():
        assert all(re.search(r"(ms| s|%|^p\d)", text) for text in figure["texts"]), (name, figure["texts"])


def _half(trace: dict[str, list[float]]) -> float:
    """Where a distribution function passes one half; log10 ms."""
    return next(x for x, y in zip(trace["x"], trace["y"], strict=True) if y >= 0.5)


def test_a_comparison_that_is_refused_shows_the_reason_and_no_verdict(wide: Watched, saved_runs: SavedRuns) -> None:
    store = RunStore(saved_runs.root)
    refusal = compare(store.open(saved_runs.a), store.open(saved_runs.storm)).refusal
    assert refusal is not None
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.storm}")
    expect(page.locator(".banner.warn")).to_contain_text(refusal)
    for place in ("#compare-verdict", "#compare-differences", "#compare-change", "[class*=delta-]"):
        expect(page.locator(place)).to_have_count(0)
    assert set(drawn(page)) == {"compare-percentiles", "compare-ecdf"}
    mark = page.evaluate("getComputedStyle(document.querySelector('.card-body:has(.figure)'), '::after').content")
    assert "NO VERDICT" in mark
    faults = look_faults(wide, [("light", 390)])
    assert not faults, "\n".join(faults)
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.a}")
    expect(page.locator(".banner.warn")).to_contain_text("same run")


@pytest.mark.slow
def test_from_the_table_of_runs_to_swapped_arms_and_another_run(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go("/runs")
    for run_id in (saved_runs.a, saved_runs.b):
        page.locator(f'[row-id="{run_id}"] input[type=checkbox]').first.check()
    page.locator("#runs-compare").click()
    page.wait_for_url("**/compare?*")
    wide.settle()
    before = _arms(page)
    assert set(before) == {saved_runs.a, saved_runs.b}
    page.locator('[data-key="S"]').click()
    wide.arrive(f"/compare?a={before[1]}&b={before[0]}")
    assert _arms(page) == before[::-1]
    page.locator("#compare-b").click()
    page.get_by_role("option", name="16:20:00").click()
    page.wait_for_function("(id) => location.search.includes(id)", arg=saved_runs.short)
    expect(page.locator(".banner.warn")).to_be_visible()
    wide.settle()
    assert _arms(page) == [before[1], saved_runs.short]


def test_a_pinned_run_and_a_third_are_at_hand(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.b}")
    page.keyboard.press("p")
    expect(page.locator("#compare-pin")).to_have_text("Unpin A")
    page.locator("#compare-c").click()
    page.get_by_role("option", name="16:20:00").last.click()
    wide.arrive(f"/compare?a={saved_runs.a}&b={saved_runs.b}&c={saved_runs.short}")
    page.locator(f'a[href="/compare?a={saved_runs.a}&b={saved_runs.short}&c={saved_runs.b}"]').click()
    expect(page.locator(".banner.warn")).to_be_visible()
    page.keyboard.press("r")
    wide.arrive("/runs")
    page.locator(f'[row-id="{saved_runs.b}"] input[type=checkbox]').first.check()
    expect(page.locator("#runs-compare")).to_have_text("Compare with pinned")
    page.locator("#runs-compare").click()
    wide.arrive(f"/compare?a={saved_runs.a}&b={saved_runs.b}")
    page.locator("#compare-pin").click()
    expect(page.locator("#compare-pin")).to_have_text("Pin A")


def _arms(page: Page) -> list[str]:
    query = parse_qs(urlsplit(page.url).query)
    return [query["a"][0], query["b"][0]]


def test_runs_that_are_not_there_and_runs_not_named(wide: Watched, saved_runs: SavedRuns) -> None:
    unknown = f"{saved_runs.a[:-1]}x"
    page = wide.go(f"/compare?a={unknown}&b={saved_runs.b}")
    expect(page.locator("h1")).to_have_text("No such run")
    expect(page.locator(f'a[href="/compare?a={saved_runs.a}&b={saved_runs.b}"]')).to_be_visible()
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.damaged}")
    expect(page.locator("h1")).to_have_text("Damaged run")
    page = wide.go("/compare?a=%3Cimg%20src%3Dx%3E&b=../../etc")
    expect(page.locator("h1")).to_have_text("No such run")
    assert page.locator("#content img").count() == 0
    page = wide.go("/compare")
    page.locator(f'a[href="/compare?a={saved_runs.a}&b={saved_runs.b}"]').click()
    expect(page.locator("#compare-verdict strong")).to_be_visible()
    wide.settle()


def test_settings_diff_names_exactly_what_differs() -> None:
    traffic = Traffic(seconds=20)
    server = Server(config={"mode": "async", "cache": {"enabled": False, "ttl_s": 300}, "retry": {"attempts": 3}})
    a = make_manifest(traffic, T0_NS)
    b = make_manifest(traffic, T0_NS + 10**12, mode="sync", server=server)
    found = settings_diff(a, b)
    assert found.changed == [("mode", "async", "sync"), ("server.cache.enabled", "yes", "no")]
    assert settings_diff(a, a).changed == []
    assert settings_diff(a, a).equal == found.equal + 2


def test_a_third_run_is_drawn_beside_the_two_that_are_judged(wide: Watched, saved_runs: SavedRuns) -> None:
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.b}")
    verdict = page.locator("#compare-verdict strong").inner_text()
    assert not any("C" in name for name in drawn(page)["compare-ecdf"]["traces"])
    page = wide.go(f"/compare?a={saved_runs.a}&b={saved_runs.b}&c={saved_runs.storm}")
    figures = drawn(page)
    for figure in ("compare-ecdf", "compare-percentiles"):
        traces = figures[figure]["traces"]
        colours = {re.sub("<.*?>", "", name).split()[0]: trace["colour"] for name, trace in traces.items()}
        assert len(set(colours.values())) == 3 == len(colours), "each run its own colour"
        words = page.locator(f"#{figure} .annotation-text, #{figure} .annotation-text tspan").all_text_contents()
        assert any(word.strip().startswith("C") for word in words), "and its name beside its curve"
    assert page.locator("#compare-verdict strong").inner_text() == verdict
    assert not look_faults(wide, [("dark", 1600), ("light", 390)])
