"""Known truth: a starved generator is called so; alike stays "cannot tell"; a tenth more on misses is found."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.bench.processes import divide_cores
from reports.compare.verdict import Latencies, compare, differences
from reports.records.schema import POPULATIONS, Block, Population
from tests.made_runs import block
from tests.truth_runs import bench, truth_server

BENCHES, ENOUGH = 20, 18


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep the core that load processes are put on busy, each loop in a session of its own: all are served alike."""
    server, others = divide_cores(sorted(os.sched_getaffinity(0)))
    code = f"import os; os.sched_setaffinity(0, {others[:1] or server or os.sched_getaffinity(0)})\nwhile True: pass"
    loops = [subprocess.Popen([sys.executable, "-c", code], start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.slow
def test_a_generator_that_shares_its_core_with_busy_loops_is_called_generator_bound(tmp_path: Path) -> None:
    with truth_server(tmp_path / "log", "constant") as server:
        flags = ("--host", server.url, "--users", 1500, "--ramp", 0.5, "--warmup", 1, "--duration", 2)
        with bench(tmp_path / "runs", *flags) as running:
            running.await_phase("ramp", "warmup", "measure")
            with busy_loops(8):
                running.await_phase("drain")
            code, out, err = running.end()
            (run,) = running.runs()
    assert (code, err) == (0, "")
    verdict = run.summary().validity
    assert verdict.verdict == "GENERATOR-BOUND", run.manifest.blocks
    assert "GENERATOR-BOUND" in out
    assert all(reason.advice for reason in verdict.reasons)


@pytest.mark.slow
def test_ten_percent_more_on_misses_is_found_live_by_a_generator_that_is_not_the_limit(tmp_path: Path) -> None:
    settings = ("--set", "cache.enabled=false", "--set", "mock.profile=200ms", "--ab", "mock.profile=220ms")
    timing = ("--users", 100, "--ramp", 0.1, "--warmup", 0.3, "--duration", 3.5)
    with bench(tmp_path / "runs", *settings, *timing) as running:
        code, out, err = running.end(undisturbed=True)
        a, b = running.runs()
    assert (code, err) == (0, "")
    found = compare(a, b)
    verdicts = {run.summary().validity.verdict for run in (a, b)}
    # A machine that steals time voids the runs, however plain the difference is; the samples show it all the same.
    assert (found.refusal is None) == (verdicts == {"VALID"})
    assert ("B is slower" in " ".join(out.split())) == (verdicts == {"VALID"})
    printed, _ = differences(Latencies.of(a), Latencies.of(b))
    assert {d.population for d in printed} == {"miss"}
    (median,) = [d for d in printed if d.percentile == "p50"]
    assert median.direction == "slower"
    assert median.low < 1.1 < median.high
    assert found.refusal or found.differences == printed


@pytest.mark.slow
def test_a_thing_against_itself_live_cannot_tell(tmp_path: Path) -> None:
    """A tells from A in one bench of twenty, as intervals of 95% may: a second bench that does so too is no luck."""
    same = ("--set", "cache.max_entries=256", "--ab", "cache.max_entries=256")
    timing = ("--users", 150, "--ramp", 0.1, "--warmup", 1, "--duration", 4)
    told = {}
    for attempt in ("first", "second"):
        with bench(tmp_path / attempt, *same, *timing) as running:
            code, out, err = running.end(undisturbed=True)
            a, b = running.runs()
        assert (code, err) == (0, "")
        words = " ".join(out.split())
        valid = compare(a, b).refusal is None
        assert ("This run cannot tell" in words or "B is" in words) is valid
        assert ("No verdict" in words) is not valid
        # A machine that steals time voids the runs; what their samples would have said is judged all the same.
        printed, _ = differences(Latencies.of(a), Latencies.of(b))
        assert {(d.population, d.percentile) for d in printed} >= {("hit", "p50"), ("miss", "p50")}
        told[attempt] = [d for d in printed if d.direction != "cannot tell"]
        if not told[attempt]:
            return
    pytest.fail(f"both benches tell A from A: {told}")


def alternating(seed: int, *, miss_scale: float = 1.0) -> tuple[Latencies, Latencies]:
    """A and B as a bench of 500 steady users measures them: blocks A B B A of 15 s with 12 s between, on one machine.

    Its mood is shared by neighbouring seconds (AR(1), 2.6%) and by minutes (AR(1) over 30 s, 2%), whichever arm runs.
    Hits feel all of it, and the machine's two speeds; misses, which mostly wait, a quarter, and have stragglers. B's
    misses take ``miss_scale`` times as long as A's.
    """
    rng = np.random.default_rng(seed)
    arms: dict[str, list[tuple[Population, int, Any, Any]]] = {"A": [], "B": []}
    blocks: dict[str, list[Block]] = {"A": [], "B": []}
    second_mood = minute_mood = 0.0
    slow = False
    for place, arm in enumerate("ABBA"):
        index, at_s = len(blocks[arm]), 27.0 * place
        blocks[arm].append(block(index, at_s=at_s, measured_s=15.0))
        for second in range(27):
            second_mood = 0.5 * second_mood + rng.normal(0.0, 0.0225)
            minute_mood = np.exp(-1 / 30) * minute_mood + rng.normal(0.0, 0.0051)
            slow ^= rng.random() < 0.03
            if second >= 15:
                continue
            mood = second_mood + minute_mood
            n = {"hit": rng.poisson(260), "miss": rng.poisson(190)}
            straggler = np.where(rng.random(n["miss"]) < 0.01, 3.0, 1.0)
            drawn = {
                "hit": 1.2e6 * np.exp(mood) * (1.33 if slow else 1.0) * rng.lognormal(0.0, 0.5, n["hit"]),
                "miss": 2.2e8
                * (miss_scale if arm == "B" else 1.0)
                * np.exp(mood / 4)
                * straggler
                * rng.lognormal(0.0, 0.25, n["miss"]),
            }
            for population in POPULATIONS:
                since_ms = second * 1000 + rng.integers(0, 1000, n[population])
                arms[arm].append((population, index, drawn[population].astype(np.int64), since_ms))
    return (_latencies(arms["A"], blocks["A"]), _latencies(arms["B"], blocks["B"]))


def _latencies(parts: list[tuple[Population, int, Any, Any]], blocks: list[Block]) -> Latencies:
    values, where = {}, {}
    for population in POPULATIONS:
        mine = [(np.full(ns.size, index, np.int16), ns, ms) for p, index, ns, ms in parts if p == population]
        index, values[population], ms = (np.concatenate(column) for column in zip(*mine, strict=True))
        where[population] = (index, ms)
    return Latencies.from_arrays(blocks, values, where)


def test_of_twenty_benches_of_a_thing_with_itself_eighteen_cannot_tell() -> None:
    told = [[d for d in differences(*alternating(1000 + n))[0] if d.direction != "cannot tell"] for n in range(BENCHES)]
    assert sum(bool(wolves) for wolves in told) <= BENCHES - ENOUGH, told


def test_of_twenty_benches_with_ten_percent_more_on_misses_eighteen_say_so() -> None:
    found = 0
    for n in range(BENCHES):
        printed, _ = differences(*alternating(2000 + n, miss_scale=1.1))
        (median,) = [d for d in printed if (d.population, d.percentile) == ("miss", "p50")]
        found += median.direction == "slower" and median.low < 1.1 < median.high
    assert found >= ENOUGH
