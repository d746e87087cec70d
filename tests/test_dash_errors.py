"""The errors page in a real Chromium, and the counts behind it against pandas on the samples."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from playwright.sync_api import expect

from reports import readable
from reports.records.error_bodies import ErrorBodyWriter
from reports.records.schema import AGGREGATE_SCHEMA
from reports.store.store import RunStore
from reports.summary.failures import failure_kinds, failures
from tests.dash_browser import SavedRuns, Watched
from tests.dash_looks import drawn, look_faults, rows


@pytest.mark.browser
def test_the_page_counts_what_the_summary_counts(wide: Watched, saved_runs: SavedRuns) -> None:
    summary = RunStore(saved_runs.root).open(saved_runs.storm).summary()
    assert len(summary.failures_by_reason) == 2
    page = wide.go(f"/errors/{saved_runs.storm}")
    expect(page.locator(".headline strong")).to_contain_text(
        f"{summary.failures:,} of {summary.requests:,} measured requests failed "
        f"({readable.share(summary.failed_share)})"
    )
    told = {row[0]: row for row in rows(page, "#errors-table")}
    assert {name: row[2] for name, row in told.items()} == {
        reason: f"{count:,}" for reason, count in summary.failures_by_reason.items()
    }
    assert {name: row[1] for name, row in told.items()} == {"rate-limited": "429", "upstream-error": "503"}
    figures = drawn(page)
    assert set(figures) == {"errors-time", "errors-attempts", "errors-waits"}
    spent = figures["errors-attempts"]["traces"]
    assert {name: sum(trace["y"]) for name, trace in spent.items()} == summary.failures_by_reason
    storm = figures["errors-time"]["traces"]["rate-limited"]
    when = [x for x, y in zip(storm["x"], storm["y"], strict=True) if y]
    assert when
    assert all(30 <= x <= 40 for x in when)
    assert len({trace["colour"] for trace in spent.values()}) == len(spent)
    for name, figure in figures.items():
        unit = re.compile(r"(ms| s|%|:\d\d|^none$|^\d+$|failures|attempts)")
        assert all(unit.search(text) for text in figure["texts"]), (name, figure["texts"])
    faults = look_faults(wide, [("dark", 390), ("light", 820), ("light", 1600)])
    assert not faults, "\n".join(faults)
    page.locator("#errors-reason label", has_text="upstream-error").click()
    page.wait_for_function("location.search.includes('reason=upstream-error')")
    expect(page.locator("#errors-table tbody tr")).to_have_count(1)
    assert set(drawn(page)["errors-waits"]["traces"]) == {"upstream-error"}
    page.reload()
    wide.settle()
    expect(page.locator("#errors-reason input:checked")).to_have_value("upstream-error")


@pytest.mark.browser
def test_a_run_without_failures_and_a_run_that_is_not_there(wide: Watched, saved_runs: SavedRuns) -> None:
    summary = RunStore(saved_runs.root).open(saved_runs.short).summary()
    assert summary.failures == 0
    page = wide.go(f"/errors/{saved_runs.short}")
    expect(page.locator(".empty h2")).to_have_text(f"No failures in {summary.requests:,} requests")
    faults = look_faults(wide, [("light", 390)])
    assert not faults, "\n".join(faults)
    page = wide.go(f"/errors/{saved_runs.storm[:-1]}x")
    page.locator(f'a[href="/errors/{saved_runs.storm}"]').click()
    expect(page.locator("#errors-table tbody tr")).to_have_count(2)
    wide.settle()


@pytest.mark.browser
def test_what_the_server_said_is_shown_as_text(wide: Watched, saved_runs: SavedRuns) -> None:
    run = RunStore(saved_runs.root).open(saved_runs.storm)
    writer = ErrorBodyWriter(run.path, 4711)
    markup = "<img src=x onerror=alert(1)><b>down</b>"
    writer.keep("rate-limited", 429, b'{"type":"urn:tailgate:error:rate-limited","retry_after":3}')
    writer.keep("upstream-error", 503, markup.encode())
    writer.flush()
    page = wide.go(f"/errors/{saved_runs.storm}")
    said = page.locator("#errors-bodies pre")
    expect(said).to_have_count(2)
    assert '"retry_after": 3' in said.first.inner_text()
    expect(said.last).to_have_text(markup)
    assert page.locator("#errors-bodies img, #errors-bodies b").count() == 0
    page.locator("#errors-reason label", has_text="rate-limited").click()
    expect(said).to_have_count(1)
    faults = look_faults(wide, [("dark", 390), ("light", 1600)])
    assert not faults, "\n".join(faults)


def test_failure_kinds_are_what_pandas_counts(saved_runs: SavedRuns) -> None:
    run = RunStore(saved_runs.root).open(saved_runs.storm)
    window = run.manifest.blocks[0]
    samples = run.samples().to_pandas()
    inside = samples[samples.scheduled_at.between(window.measure_from_ns, window.measure_until_ns, inclusive="left")]
    bad = inside[(inside.status < 200) | (inside.status >= 300)]
    kinds = failure_kinds(run.aggregate())
    assert {(k.reason, k.status): k.count for k in kinds} == bad.groupby(
        ["error", "status"], observed=True
    ).size().to_dict()
    assert sum(k.of_failures for k in kinds) == pytest.approx(1.0)
    assert [k.of_requests for k in kinds] == [pytest.approx(k.count / len(inside)) for k in kinds]
    for kind in kinds:
        second = (bad[bad.error == kind.reason].scheduled_at - run.manifest.started_ns) // 10**9
        assert (kind.first_s, kind.last_s) == (second.min(), second.max())


def test_an_error_without_a_name_is_called_by_its_status_and_an_error_voids_a_200() -> None:
    names = AGGREGATE_SCHEMA.names
    table = [
        # second, block, scenario, cache, attempts, status, error, measured, bin, count
        [0, 0, "s", "miss", 1, 200, "", True, 100, 7],
        [1, 0, "s", "none", -1, 500, "", True, 100, 3],
        [2, 0, "s", "hit", 0, 200, "mismatch", True, 100, 2],
        [3, 0, "s", "none", -1, 0, "timeout", False, 100, 5],
    ]
    rows_of = dict(zip(names, zip(*table, strict=True), strict=True))
    aggregate = pa.table({n: pa.array(rows_of[n], AGGREGATE_SCHEMA.field(n).type) for n in names})
    kinds = {kind.reason: kind for kind in failure_kinds(aggregate)}
    assert {reason: kind.count for reason, kind in kinds.items()} == {"http-500": 3, "mismatch": 2}
    assert kinds["http-500"].attempts is None
    assert kinds["mismatch"].attempts == 0
    assert set(failures(aggregate)["reason"].to_pylist()) == {"http-500", "mismatch", "timeout"}
