"""What a bench is asked to do, in which order it does it, and what it refuses before any load starts."""

import io
import resource
import socket
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtests.bench import checks as bench_checks
from loadtests.bench.checks import BenchError, allow_open_files, check_port, check_runs_directory
from loadtests.bench.options import read_options
from loadtests.bench.plan import Timing, arms_of, expected_s, in_alternation
from loadtests.bench.progress import Progress, Recent, RecentRequests, Status
from reports.records.bins import bin_edges_us, latency_bin
from reports.records.schema import AGGREGATE_SCHEMA


def test_two_arms_alternate_so_that_linear_drift_cancels() -> None:
    order = in_alternation(arms_of("ab", {}), 1)
    when = {letter: [i for i, arm in enumerate(order) if arm.letter == letter] for letter in "AB"}
    assert sum(when["A"]) == sum(when["B"])
    assert len(when["A"]) == len(when["B"])
    assert {arm.letter: arm.mode for arm in order} == {"A": "async", "B": "sync"}


def test_two_settings_are_compared_in_one_mode_with_all_else_equal() -> None:
    options = read_options(["--ab", "retry.attempts=1", "--ab", "cache.max_entries=9", "--set", "hedge.enabled=true"])
    a, b = arms_of(options.mode, options.settings, options.changes)
    assert (a.letter, a.mode, b.letter, b.mode) == ("A", "async", "B", "async")
    assert dict(b.settings.items() - a.settings.items()) == {"retry.attempts": "1", "cache.max_entries": "9"}
    assert a.settings["cache.max_entries"] == "256"
    assert a.settings["hedge.enabled"] == b.settings["hedge.enabled"] == "true"
    assert len({a.name, b.name}) == 2


def test_a_host_may_be_loaded_if_it_is_this_machine_or_one_says_so() -> None:
    assert read_options(["--host", "http://127.0.0.1:8080"]).host == "http://127.0.0.1:8080"
    options = read_options(["--host", "http://192.0.2.1:80/chat", "--i-may-load-this-host"])
    (arm,) = arms_of(options.mode, options.settings, options.changes, options.host)
    assert (arm.mode, arm.letter) == ("external", None)


@pytest.mark.parametrize("mode", ["ab", "async"])
def test_rounds_repeat_the_order(mode: Literal["ab", "async"]) -> None:
    arms = arms_of(mode, {})
    assert in_alternation(arms, 3) == in_alternation(arms, 1) * 3


def test_one_mode_is_one_block_that_is_no_arm() -> None:
    (arm,) = in_alternation(arms_of("blocking", {"retry.attempts": "1"}), 1)
    assert (arm.letter, arm.mode, arm.settings) == (None, "blocking", {"retry.attempts": "1"})


def test_the_default_bench_fits_in_two_and_a_half_minutes() -> None:
    options = read_options([])
    assert expected_s(len(in_alternation(arms_of(options.mode, {}), options.rounds)), options.timing) <= 135


def test_settings_of_the_user_go_before_those_of_the_scenario() -> None:
    assert "cache.max_entries" in read_options([]).settings
    given = read_options(["--set", "cache.max_entries=7", "--set", "a.b=c=d", "--sync-threads", "8"])
    assert given.settings["cache.max_entries"] == "7"
    assert given.settings["a.b"] == "c=d"
    assert given.settings["sync_threads"] == "8"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--users", "0"],
        ["--users", "many"],
        ["--duration", "nan"],
        ["--duration", "0"],
        ["--ramp", "-1"],
        ["--mode", "fast"],
        ["--scenario", "nonesuch"],
        ["--seed", "-1"],
        ["--port", "70000"],
        ["--set", "novalue"],
        ["--set", "=1"],
        ["--set", "--mode=sync"],
        ["--set", "mode=sync"],
        ["--ab", "cache.enabled"],
        ["--rounds", "0"],
        ["--host", "127.0.0.1:8080"],
        ["--host", "http://192.0.2.1/"],
        ["--host", "http://127.0.0.1:8080", "--set", "cache.enabled=false"],
        ["--generators", "51", "--users", "50"],
        ["--dur", "3"],
        ["stray"],
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read_options(arguments)
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert len(complaint.splitlines()) == 1
    assert arguments[0].lstrip("-")[:4] in complaint or arguments[-1] in complaint


def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BenchError, match=str(port)):
            check_port(port)
    check_port(0)


def test_a_runs_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchError, match="file"):
        check_runs_directory(tmp_path / "file" / "runs", 10, 10)
    check_runs_directory(tmp_path / "new" / "runs", 10, 10)
    assert list((tmp_path / "new" / "runs").iterdir()) == []


def test_too_little_disk_is_said_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"\d+ MB free .* \d+ MB"):
        check_runs_directory(tmp_path, 10**9, 10**6)


def test_the_file_limit_is_raised_as_far_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (64, 5000)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.update(now=pair))
    allow_open_files(1000)
    assert 1000 < limits["now"][0] <= 5000
    raised = limits["now"]
    allow_open_files(10)
    assert limits["now"] == raised
    with pytest.raises(BenchError) as error:
        allow_open_files(5000)
    assert error.value.exit_code == 2
    allow_open_files(5000 - bench_checks._FILES_BESIDE_USERS)


def cells(rows: Sequence[tuple[str, int, str, float, int]]) -> pa.Table:
    """Aggregate rows of (cache, status, error, latency in ms, count)."""
    columns = {name: [] for name in AGGREGATE_SCHEMA.names}
    for cache, status, error, latency_ms, count in rows:
        values = [0, 0, "steady", cache, 1, status, error, True, latency_bin(latency_ms * 1e6), count]
        for name, value in zip(AGGREGATE_SCHEMA.names, values, strict=True):
            columns[name].append(value)
    return pa.table(columns, schema=AGGREGATE_SCHEMA)


def test_live_figures_keep_hits_misses_and_failures_apart() -> None:
    recent = RecentRequests()
    recent.add(
        cells([("hit", 200, "", 1.0, 1500), ("miss", 200, "", 250.0, 400), ("collapsed", 200, "", 250.0, 100)]), 1
    )
    recent.add(
        cells([("none", 503, "draining", 3.0, 7), ("miss", 200, "mismatch", 9.0, 3), ("none", 0, "reset", 1, 2)]), 1
    )
    figures = recent.figures()
    assert figures.requests_per_s == 2012 / 2
    assert figures.failed == 12
    assert figures.hit_share == 0.75
    assert figures.hit.p50_ms == pytest.approx(1.0, rel=0.06)
    assert figures.miss.p50_ms == pytest.approx(250.0, rel=0.06)
    assert figures.hit.p99_ms is not None
    assert figures.miss.p99_ms is None  # 500 samples: 5 beyond the 99th


def test_live_figures_forget_what_is_old() -> None:
    recent = RecentRequests()
    recent.add(cells([("hit", 200, "", 900.0, 5000)]), 1)
    for _ in range(5):
        recent.add(cells([("hit", 200, "", 1.0, 100)]), 1)
    figures = recent.figures()
    assert figures.requests_per_s == 100
    assert figures.hit.p50_ms == pytest.approx(1.0, rel=0.06)


def test_live_figures_of_nothing_are_nothing() -> None:
    empty = RecentRequests()
    assert empty.figures().requests_per_s == 0
    empty.add(AGGREGATE_SCHEMA.empty_table(), 1.0)
    assert empty.figures().hit_share is None


@given(st.lists(st.tuples(st.integers(40, 300), st.integers(1, 500)), min_size=1, max_size=20))
def test_live_percentiles_are_those_of_the_counted_samples(binned: list[tuple[int, int]]) -> None:
    edges = bin_edges_us()
    recent = RecentRequests()
    recent.add(cells([("miss", 200, "", float(edges[b]) * 1.02 / 1000, count) for b, count in binned]), 1)
    p50 = recent.figures().miss.p50_ms
    samples = np.sort(np.concatenate([np.full(count, edges[b] / 1000) for b, count in binned]))
    if samples.size < 20:
        assert p50 is None
    else:
        low, high = samples[(samples.size - 1) // 2], samples[samples.size // 2]
        assert p50 is not None
        assert low * 0.999 <= p50 <= high * 1.06


def test_a_plain_output_gets_a_line_every_few_seconds_and_at_each_new_phase() -> None:
    output = io.StringIO()
    seconds = iter(accumulate([0.0] + [1.0] * 30))
    nothing = RecentRequests().figures()

    def status(phase: str, recent: Recent = nothing) -> Status:
        return Status(1, 4, "A async", phase, 1000, recent, 75.0, 0.1)

    with Progress(Console(file=output, width=60), clock=lambda: next(seconds)) as progress:
        for phase in ["ramp"] * 10 + ["measure"] * 10:
            progress.show(status(phase))
    lines = output.getvalue().splitlines()
    assert len(lines) == 4
    assert all("block 1/4" in line and "1:15 left" in line and "1000 users" in line for line in lines)
    assert [("measure" in line) for line in lines] == [False, False, True, True]
    assert "\x1b" not in output.getvalue()


def test_a_terminal_shows_every_status_and_keeps_none() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with Progress(console) as progress:
        for users in (10, 20):
            progress.show(Status(2, 4, "B sync", "ramp", users, RecentRequests().figures(), 9.0, 0.4))
        progress.say("kept")
    assert "10 users" in output.getvalue()
    assert "20 users" in output.getvalue()
    assert output.getvalue().rstrip("\n").count("kept") == 1


def test_timing_adds_up() -> None:
    timing = Timing(ramp_s=1, warmup_s=2, measure_s=4, stop_s=60)
    assert timing.block_s == 7
