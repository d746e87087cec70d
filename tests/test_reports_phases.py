"""A run whose users change by design: what each number of them met is told apart, and adds up to the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reports.records.schema import Workload
from reports.summary.rows import phase_rows
from reports.summary.summarise import summarise
from reports.summary.summary import Summary
from tests.made_runs import T0_NS, block, manifest, mixed

STAIRS = [{"at": step / 5, "users": (step + 1) / 5, "over": 0.0} for step in range(5)]
SPIKE = [{"at": 0.0, "users": 0.2, "over": 0.0}, {"at": 0.4, "users": 1.0, "over": 0.0}]
SPIKE += [{"at": 0.6, "users": 0.2, "over": 0.0}]
RAMP = [{"at": 0.0, "users": 0.1, "over": 0.0}, {"at": 0.0, "users": 1.0, "over": 1.0}]
SLOPE = [{"at": 0.0, "users": 1.0, "over": 0.0}, {"at": 0.5, "users": 0.5, "over": 0.1}]


def summary(profile: Any, **fields: Any) -> Summary:
    batches = [mixed(seed=1), mixed(seed=2, at_s=20.0, index=1)]
    fields.setdefault("blocks", [block(), block(1, at_s=20.0)])
    parameters = {} if profile is None else {"profile": profile}
    run = manifest(workload=Workload.of(parameters), **fields)
    return summarise(run, lambda columns: (batch.select(columns) for batch in batches))


@pytest.mark.parametrize(
    ("profile", "parts"),
    [
        (STAIRS, [(0, 2, 20, 20), (2, 4, 40, 40), (4, 6, 60, 60), (6, 8, 80, 80), (8, 10, 100, 100)]),
        (SPIKE, [(0, 4, 20, 20), (4, 6, 100, 100), (6, 10, 20, 20)]),
        (RAMP, [(0, 2, 10, 28), (2, 4, 28, 46), (4, 6, 46, 64), (6, 8, 64, 82), (8, 10, 82, 100)]),
        (SLOPE, [(0, 5, 100, 100), (5, 6, 100, 50), (6, 10, 50, 50)]),
    ],
    ids=["stairs", "spike", "ramp", "slope"],
)
def test_a_part_lasts_from_one_change_to_the_next(profile: Any, parts: list[tuple[int, ...]]) -> None:
    found = summary(profile).phases
    assert [(p.begin_s, p.end_s, *p.users) for p in found] == [pytest.approx(part) for part in parts]


def test_each_part_is_what_numpy_finds_in_its_samples_and_all_add_up() -> None:
    told = summary(STAIRS)
    assert sum(p.requests for p in told.phases) == told.requests
    assert sum(p.failures for p in told.phases) == told.failures > 0
    third = told.phases[2]
    assert third.measured_s == pytest.approx(4.0)  # two blocks
    assert third.throughput_rps == pytest.approx(third.requests / 4.0)
    values = []
    for seed, at_s, index in ((1, 0.0, 0), (2, 20.0, 1)):
        samples = mixed(seed=seed, at_s=at_s, index=index).to_pandas()
        since_s = (samples.scheduled_at - T0_NS) / 1e9 - at_s - 1.0  # a second of warm-up
        mine = samples[(since_s >= 4.0) & (since_s < 6.0) & (samples.error == "") & (samples.cache == "hit")]
        values.append(mine.sent_at - mine.scheduled_at + mine.latency_ns)
    ms = np.concatenate(values) / 1e6
    assert third.latency["hit"].count == ms.size
    assert third.latency["hit"].percentiles["p50"] == pytest.approx(np.quantile(ms, 0.5))
    assert third.latency["hit"].percentiles["p99.9"] is None  # too few beyond


def test_parts_that_an_aborted_run_did_not_reach_are_not_told() -> None:
    found = summary(
        STAIRS, blocks=[block(measured_s=5.0), block(1, at_s=20.0, measured_s=3.0)], status="aborted"
    ).phases
    assert [p.begin_s for p in found] == [0.0, 2.0, 4.0]
    assert [p.measured_s for p in found] == pytest.approx([4.0, 3.0, 1.0])


def test_what_came_while_faults_ran_is_told_from_what_did_not() -> None:
    second = 1_000_000_000
    opens = (T0_NS + second, T0_NS + 21 * second)
    before_and_in, in_and_after = [(-3, 2), (5, 6)], [(9.5, 14)]
    blocks = [
        block(
            index, at_s=at_s, faults=[(opens[index] + int(a * second), opens[index] + int(b * second)) for a, b in at]
        )
        for index, at_s, at in ((0, 0.0, before_and_in), (1, 20.0, in_and_after))
    ]
    told = summary(None, blocks=blocks)
    calm, faulty = told.phases
    assert (calm.faults, faulty.faults) == (False, True)
    assert faulty.measured_s == pytest.approx(2 + 1 + 0.5)
    assert calm.measured_s == pytest.approx(20 - 3.5)
    assert calm.requests + faulty.requests == told.requests
    assert calm.failures + faulty.failures == told.failures
    expected = 0
    for seed, at_s, index in ((1, 0.0, 0), (2, 20.0, 1)):
        samples = mixed(seed=seed, at_s=at_s, index=index).to_pandas()
        since_s = (samples.scheduled_at - opens[index]) / second
        expected += sum(any(a <= s < b for a, b in ((0, 2), (5, 6)) if index == 0) for s in since_s)
        expected += sum(index == 1 and 9.5 <= s < 10 for s in since_s)
    assert faulty.requests == pytest.approx(expected, abs=2)  # samples are placed by the millisecond


@pytest.mark.parametrize(
    "profile", [None, [], STAIRS[:1], "nonsense", [{"at": "x"}], [{"at": 0, "users": None, "over": 0}] * 2]
)
def test_users_that_do_not_change_or_cannot_be_read_make_no_parts(profile: Any) -> None:
    told = summary(profile)
    assert told.phases == []
    assert phase_rows(told) == {}
    assert told.requests > 0
