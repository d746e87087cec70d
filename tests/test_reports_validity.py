"""Validity: each threshold trips on its far side only, and says what to do."""

from typing import Any

import pytest

from reports.summary.summary import Reconciliation, Validity
from reports.summary.validity import judge, spoiled_by
from tests.made_runs import block


def judged(blocks: Any = None, **fields: Any) -> Validity:
    usual: dict[str, Any] = {
        "requests_by_block": {0: 500, 1: 500},
        "mismatches": 0,
        "reconciliation": Reconciliation(recorded=1000, counted=1000, matches=True),
        "block_medians_ms": {"hit": [10.0, 12.0], "miss": [400.0, 500.0]},
    }
    return judge(
        [block(generator_cpu=0.5, generator_lag_ms=2.0, steal=0.0)] if blocks is None else blocks, **usual | fields
    )


def test_an_ordinary_run_is_valid_without_reasons() -> None:
    assert judged() == Validity(verdict="VALID")
    assert judged([block()]) == Validity(verdict="VALID")  # nothing known of the generator is no accusation


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [
        ({"generator_cpu": 0.85}, {"generator_cpu": 0.86}, "GENERATOR-BOUND"),
        ({"generator_lag_ms": 10.0}, {"generator_lag_ms": 10.1}, "GENERATOR-BOUND"),
        ({"steal": 0.05}, {"steal": 0.051}, "NOISY"),
    ],
)
def test_one_block_over_a_threshold_is_enough(near: Any, far: Any, verdict: str) -> None:
    assert judged([block(0, **near), block(1, at_s=20, **near)]).verdict == "VALID"
    found = judged([block(0, **near), block(1, at_s=20, **far)])
    assert found.verdict == verdict
    assert len(found.reasons) == 1
    assert found.reasons[0].advice


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ({"requests_by_block": {0: 100}}, {"requests_by_block": {0: 99}}),
        ({"requests_by_block": {0: 500}}, {"requests_by_block": {1: 500}}),
        ({"block_medians_ms": {"miss": [100.0, 130.0]}}, {"block_medians_ms": {"miss": [100.0, 131.0]}}),
        ({"block_medians_ms": {"hit": [1.0, 6.0]}}, {"block_medians_ms": {"hit": [1.0, 6.1]}}),
        ({"mismatches": 0}, {"mismatches": 1}),
        ({"offered": 1150.0}, {"offered": 1180.0}),
        ({"offered": 860.0}, {"offered": 800.0}),
        (
            {"reconciliation": Reconciliation(recorded=5)},
            {"reconciliation": Reconciliation(recorded=5, counted=6, matches=False)},
        ),
    ],
)
def test_noise_and_wrong_answers_void_a_run(near: Any, far: Any) -> None:
    assert judged(**near).verdict == "VALID"
    assert [judged(**far).verdict, len(judged(**far).reasons)] == ["NOISY", 1]


def test_a_block_that_was_left_out_spoils_nothing_and_is_told() -> None:
    spoiled = block(1, at_s=20, generator_lag_ms=30.0, left_out="it woke late")
    found = judged([block(0), spoiled], requests_by_block={0: 500})
    assert (found.verdict, found.reasons) == ("VALID", [])
    (told,) = found.left_out
    assert "2" in told.what
    assert told.advice == "it woke late"


@pytest.mark.parametrize(
    ("figures", "word"),
    [({"generator_cpu": 0.9}, "core"), ({"generator_lag_ms": 11.0}, "late"), ({"steal": 0.06}, "stolen"), ({}, None)],
)
def test_what_spoils_a_block_is_what_was_done_to_it(figures: Any, word: str | None) -> None:
    told = spoiled_by(block(**figures))
    assert told is None if word is None else word in (told or "")


def test_the_generator_s_limit_outranks_the_noise_it_may_cause() -> None:
    found = judged([block(generator_cpu=1.0, steal=0.5)])
    assert found.verdict == "GENERATOR-BOUND"
    assert len(found.reasons) == 2
