"""The page's parts without a browser: addresses, what is kept of runs, courses over time, the figures' arithmetic."""

from __future__ import annotations

import math
import re
import shutil
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app import router
from dash_app.app import _was_deleted
from dash_app.library import Library
from dash_app.live.server_metrics import metrics_url
from dash_app.run.courses import courses
from dash_app.run.phases import phase_cards
from dash_app.runs.rows import row
from dash_app.runs.slo_of_summary import keeps
from dash_app.view import DEFAULT_SLO, RunView
from reports.errors import RunDamaged, RunNotFound
from reports.figures import THEMES, Theme
from reports.figures.activity import STATES, cpu_over_time, in_flight_over_time
from reports.figures.live import live_figures
from reports.figures.outcome_flow import outcome_flow
from reports.figures.sparkline import sparkline
from reports.figures.stage_times import stage_times
from reports.figures.time_axis import TimeAxis
from reports.judge.slo import parse_slo
from reports.records.aggregate import bin_counts, of_population
from reports.records.bins import quantile_ns
from reports.records.schema import Workload
from reports.store.store import RunStore
from reports.summary.rows import phase_rows
from reports.views.export import export_html
from tests.dash_fixtures import Traffic, save_pair, save_run
from tests.made_runs import mixed, save

DARK = THEMES["dark"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run_id(root: Path) -> str:
    return save_run(root, Traffic(seconds=40, rate=200, storm=(20, 30)))


# ---- addresses


async def nowhere(**_: object) -> None: ...


PAGES = [router.Page(re.compile(path), path, nowhere) for path in ("/", "/runs", "/run/(?P<run_id>.+)")]
NOT_FOUND = router.Page(re.compile(".*"), "404", nowhere)


@pytest.mark.parametrize(
    ("path", "title", "arguments"),
    [
        ("/", "/", {}),
        ("/runs", "/runs", {}),
        ("/runs/", "/runs", {}),
        ("/run/a-b.c", "/run/(?P<run_id>.+)", {"run_id": "a-b.c"}),
        ("/run/..%2F..%2Fetc", "/run/(?P<run_id>.+)", {"run_id": "../../etc"}),
        ("/run/", "404", {}),
        ("/runs2", "404", {}),
        ("/other", "404", {}),
    ],
)
def test_an_address_leads_to_its_page(path: str, title: str, arguments: dict[str, str]) -> None:
    page, found = router.match(path, PAGES, NOT_FOUND)
    assert (page.title, found) == (title, arguments)


@given(st.dictionaries(st.sampled_from(["slo", "show", "time", "other"]), st.text(max_size=300)))
def test_no_query_breaks_a_view(query: dict[str, str]) -> None:
    view = RunView.of(query)
    assert view.population in (None, "hit", "miss")
    assert view.brush is None or 0 <= view.brush[0] < view.brush[1] < math.inf
    assert len(view.slo) <= 200


def test_a_view_is_what_its_query_says() -> None:
    assert RunView.of({}) == RunView(DEFAULT_SLO, None, None)
    assert RunView.of({"slo": "p99<1s", "show": "miss", "time": "3.5-7"}) == RunView("p99<1s", "miss", (3.5, 7.0))
    for time in ("7-3", "1", "-1-2", "nan-2", "1-inf", ""):
        assert RunView.of({"time": time}).brush is None


def test_metrics_are_found_beside_the_server() -> None:
    assert metrics_url("http://127.0.0.1:8080") == "ws://127.0.0.1:8080/ws/metrics"
    assert metrics_url("https://x/base/") == "wss://x/base/ws/metrics"


# ---- what is kept of runs


def test_a_run_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    run_id = save_run(tmp_path, Traffic(seconds=5, rate=50))
    library = Library(tmp_path)
    opened, listed = library.open(run_id), library.entries()[0]
    assert library.open(run_id) is opened
    assert library.entries()[0] is listed
    library.store.tag(run_id, ["nightly"])
    assert library.open(run_id).manifest.tags == ["nightly"]
    assert library.entries()[0].manifest.tags == ["nightly"]  # type: ignore[union-attr]


def test_runs_that_go_away_or_are_broken_stop_nothing(tmp_path: Path) -> None:
    kept, gone = (save_run(tmp_path, Traffic(seconds=5, rate=50), minute=minute) for minute in (0, 1))
    library = Library(tmp_path)
    assert [entry.id for entry in library.entries()] == [gone, kept]
    shutil.rmtree(tmp_path / gone)
    (tmp_path / kept / "summary.json").write_bytes(b"{")
    entries = library.entries()
    assert [entry.id for entry in entries] == [kept]
    with pytest.raises(RunNotFound):
        library.open(gone)
    with pytest.raises(RunDamaged):
        library.open(kept)
    for climbing in ("../" + kept, "/etc", "", ".", "..", "a/../" + kept, kept + "\0"):
        with pytest.raises(RunNotFound):
            library.open(climbing)


def test_arm_b_finds_its_arm_a(tmp_path: Path) -> None:
    a, b = save_pair(tmp_path, Traffic(seconds=5, rate=50), Traffic(seconds=5, rate=50))
    library = Library(tmp_path)
    opened, other = library.open_with_arm_a(b)
    assert (opened.id, other and other.id) == (b, a)
    assert library.open_with_arm_a(a)[1] is None


@pytest.mark.parametrize(
    ("slo", "kept"),
    [("miss.p99<10s", True), ("p99<1ms", False), ("p99.9<3600s,p50<1ms", False), ("p99.99<10s", None),
     ("failed<50%", True), ("failed<0.0001%", False), ("goodput>1000000/s", False), ("hit_share>1%,attempts<9", True)],
)  # fmt: skip
def test_the_table_judges_a_run_by_its_summary(root: Path, run_id: str, slo: str, kept: bool | None) -> None:
    assert keeps(parse_slo(slo), RunStore(root).open(run_id).summary()) is kept


# ---- courses over time


def test_courses_are_those_of_the_samples(root: Path, run_id: str) -> None:
    run = RunStore(root).open(run_id)
    aggregate, manifest = run.aggregate(), run.manifest
    course = courses(aggregate)
    frame = run.samples().to_pandas()
    block = manifest.blocks[0]
    frame = frame[(frame.scheduled_at >= block.measure_from_ns) & (frame.scheduled_at < block.measure_until_ns)]
    second = (frame.scheduled_at - manifest.started_ns) // 10**9
    assert course.step_s == 1
    assert course.throughput_rps.tolist() == frame.groupby(second).size().astype(float).tolist()
    hits = (frame.cache == "hit") & (frame.error == "")
    successes = frame.error == ""
    np.testing.assert_allclose(
        course.hit_share, (hits.groupby(second).sum() / successes.groupby(second).sum()).to_numpy()
    )
    np.testing.assert_allclose(course.failed_share, (~successes).groupby(second).mean().to_numpy(), atol=1e-12)
    reached = frame[frame.attempts > 0]
    np.testing.assert_allclose(course.attempts, reached.attempts.groupby(second).mean().to_numpy())


def test_quantiles_of_courses_are_those_of_the_bins(root: Path, run_id: str) -> None:
    aggregate = RunStore(root).open(run_id).aggregate()
    course = courses(aggregate)
    misses = of_population(aggregate.filter(aggregate["measured"]), "miss")
    first = int(aggregate.filter(aggregate["measured"])["second"].to_numpy().min())
    for step in (0, 5, len(course.miss_p50_ms) - 1):
        part = misses.filter(np.equal(misses["second"].to_numpy(), first + step))
        assert course.miss_p50_ms[step] == pytest.approx(quantile_ns(bin_counts(part), 0.5) / 1e6)
        assert course.miss_p99_ms[step] == pytest.approx(quantile_ns(bin_counts(part), 0.99) / 1e6)


def test_a_run_without_measured_requests_has_no_course(root: Path, run_id: str) -> None:
    aggregate = RunStore(root).open(run_id).aggregate()
    assert courses(aggregate.slice(0, 0)).throughput_rps.size == 0


@pytest.mark.parametrize("torn", ["run.json", "summary.json"])
def test_a_run_with_a_torn_file_is_listed_as_damaged(tmp_path: Path, torn: str) -> None:
    run_id = save_run(tmp_path, Traffic(seconds=5, rate=50))
    file = tmp_path / run_id / torn
    file.write_bytes(file.read_bytes()[:100])
    told = row(Library(tmp_path).entries()[0], parse_slo(DEFAULT_SLO))
    assert told["state"] == "damaged"
    assert torn in told["remark"]
    assert told["started"] == "2025-11-24 16:00"


# ---- figures


@given(st.lists(st.floats(allow_infinity=False), max_size=40))
def test_a_sparkline_stays_in_its_box(values: list[float]) -> None:
    drawn = sparkline(values)
    if sum(math.isfinite(value) for value in values) < 2:
        assert drawn == ""
        return
    line = ET.fromstring(drawn)[1].attrib["d"]
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", line) if point]
    assert all(-0.1 <= x <= 120.1 and -0.1 <= y <= 40.1 for x, y in points)
    assert all(a < b for (a, _), (b, _) in pairwise(points)) or len(values) > 1


def test_the_flow_of_outcomes_reconciles_with_the_summary(root: Path, run_id: str) -> None:
    run = RunStore(root).open(run_id)
    summary, sankey = run.summary(), outcome_flow(run.aggregate(), theme=DARK).data[0]
    names = [label.split("<br>")[0] for label in sankey.node.label]
    into: dict[str, int] = dict.fromkeys(names, 0)
    out: dict[str, int] = dict.fromkeys(names, 0)
    for source, target, value in zip(sankey.link.source, sankey.link.target, sankey.link.value, strict=True):
        out[names[source]] += value
        into[names[target]] += value
    assert out["requests"] == summary.requests
    assert (into["ok"], into["failed"]) == (summary.successes, summary.failures)
    assert into["cache hit"] == summary.cache.hit + summary.cache.stale
    assert into["retried"] > 0
    for node in names:
        if node not in ("requests", "ok", "failed"):
            assert into[node] == out[node], node


def test_bars_of_stages_are_the_means_of_the_summary(root: Path, run_id: str) -> None:
    stages = RunStore(root).open(run_id).summary().stages
    figure = stage_times(stages, theme=DARK)
    for trace in figure.data:
        means = {stage: told.mean_ms for stage, told in stages[trace.name].items() if stage != "total"}
        whole = sum(means.values())
        assert dict(zip(trace.y, trace.x, strict=True)) == pytest.approx({s: m / whole for s, m in means.items()})
    assert [trace.name for trace in figure.data] == ["hit", "miss"]
    assert not stage_times({}, theme=DARK).data


def test_what_was_in_flight_is_what_the_ticks_say(root: Path, run_id: str) -> None:
    run = RunStore(root).open(run_id)
    ticks, time = run.ticks(), TimeAxis.of([run.aggregate()], columns=150)
    figure = in_flight_over_time(ticks, time, theme=DARK)
    processing = next(trace for trace in figure.data if trace.name == "PROCESSING")
    inside = [tick for tick in ticks if tick["t"] <= 40]
    assert list(processing.y) == [tick["server"]["in_flight"]["PROCESSING"] for tick in inside]
    cpu = cpu_over_time(ticks, time, theme=DARK)
    assert [list(trace.y) for trace in cpu.data] == [
        [tick[role]["cpu"] for tick in inside] for role in ("server", "generator")
    ]
    assert not in_flight_over_time([], time, theme=DARK).data
    assert not cpu_over_time([{"t": 1.0, "server": None}], time, theme=DARK).data


def test_live_figures_have_the_traces_that_the_browser_fills() -> None:
    script = (Path(__file__).parent.parent / "dash_app/assets/live_figures.js").read_text()
    for theme in THEMES.values():
        figures = live_figures(theme)
        assert set(figures) == set(re.findall(r'"(live-[a-z-]+)":', script))
        names = {trace.name for figure in figures.values() for trace in figure.data}
        for name in re.findall(r'fill\(figure, "([^"]+)"', script):
            assert name in names
        assert set(STATES) <= names


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
@pytest.mark.parametrize("name", ["text", "muted", "hit", "miss", "tail", "slo", "good", "bad", "arm_a", "arm_b"])
def test_text_in_figures_can_be_read_on_its_card(theme: Theme, name: str) -> None:
    light, dark = sorted((luminance(getattr(theme, name)), luminance(theme.card)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_style_sheet_and_figures_agree_on_colours() -> None:
    sheet = (Path(__file__).parent.parent / "dash_app/assets/style/1-tokens.css").read_text()
    for theme in THEMES.values():
        block = sheet.split(f'[data-mantine-color-scheme="{theme.name}"] {{')[1].split("}")[0]
        tokens = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for name in ("page", "card", "line", "text", "muted", "hit", "miss", "good", "bad", "arm-a", "arm-b"):
            assert tokens[name] == getattr(theme, name.replace("-", "_")), (theme.name, name)


def test_a_run_was_deleted_only_if_its_whole_directory_is_gone(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "here").mkdir(parents=True)

    def missing(path: Path | int) -> FileNotFoundError:
        return FileNotFoundError(2, "No such file or directory", *(() if isinstance(path, int) else (str(path),)))

    assert _was_deleted(missing(runs / "gone" / "run.json"), runs)
    assert _was_deleted(missing(runs / "gone"), runs)
    assert not _was_deleted(missing(runs / "here" / "aggregate.parquet"), runs), "a file that should be there is not"
    assert not _was_deleted(missing(tmp_path / "template.html"), runs)
    assert not _was_deleted(missing(0), runs)


def test_the_parts_of_a_run_that_changes_by_design_are_on_its_page_and_in_its_report(tmp_path: Path) -> None:
    profile = [{"at": step / 2, "users": (step + 1) / 2, "over": 0.0} for step in range(2)]
    saved = save(tmp_path, [mixed()], workload=Workload.of({"profile": profile}))
    run = RunStore(tmp_path).open(saved.id)
    rows = phase_rows(run.summary())["users"]
    assert [part[0] for part in rows] == ["50", "100"]
    (card,) = phase_cards(run.summary())
    report = export_html([run], DARK)
    for part in rows:
        for text in part:
            assert text in str(card)
            assert f">{text}</t" in report
    assert not list(phase_cards(RunStore(tmp_path).open(save(tmp_path, [mixed()]).id).summary()))
