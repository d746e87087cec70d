"""Policies switched off in turn: what is measured, what is told, and what is refused."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from loadtests.ablate.options import POLICIES, read_options
from loadtests.bench.plan import in_alternation
from reports.compare.ablation import CONFIDENCE, ablate, difference_of_shares, wilson
from reports.compare.ablation_view import sentence
from reports.cost.pricing import Price
from reports.store.blocks import block_figures, nearest_pairs
from reports.store.run import Run
from reports.store.store import RunStore
from server.settings import Settings
from tests.measured_runs import Stretch, minutes_later, save_measured

ROOT = Path(__file__).resolve().parent.parent
PRICE = Price(prompt=1.0, output=10.0)


def stretches(
    rng: np.random.Generator, *, hits: int = 1500, misses: int = 1500, failed: int = 3, slower: float = 1.0,
    cpu_s: float = 1.0, attempts: int = 1,
) -> list[Stretch]:  # fmt: skip
    """Four blocks of an arm, 60 s apart, with the noise that blocks have."""
    return [
        Stretch(
            hit_ms=rng.lognormal(0.0, 0.3, hits),
            miss_ms=rng.lognormal(5.5, 0.3, misses) * slower,
            failed=failed,
            attempts=attempts,
            server_cpu_s=cpu_s * float(rng.normal(1.0, 0.02)),
            at_s=60.0 * n,
        )
        for n in range(4)
    ]


def outcomes(tmp_path: Path, base: dict[str, float], without: dict[str, float]) -> dict[str, str]:
    rng = np.random.default_rng(5)
    runs = [
        save_measured(tmp_path / "runs", stretches(rng, **arm), started_at=minutes_later(n / 2))
        for n, arm in enumerate((base, without))
    ]
    ablation = ablate("it", *runs, PRICE)
    assert ablation.refusal == ""
    return {effect.name: effect.outcome for effect in ablation.effects}


def test_a_policy_that_does_nothing_is_told_from_nothing_by_no_figure(tmp_path: Path) -> None:
    assert set(outcomes(tmp_path, {}, {}).values()) == {"cannot tell"}


def test_what_a_policy_earns_and_costs_is_told_figure_by_figure(tmp_path: Path) -> None:
    told = outcomes(
        tmp_path,
        {"failed": 10, "cpu_s": 1.3, "attempts": 2, "slower": 1.4},
        {"failed": 400, "cpu_s": 1.0, "attempts": 1},
    )
    assert told["failed"] == "earns"
    assert told["server CPU"] == "costs"
    assert told["attempts per success"] == "costs"
    assert told["miss p50"] == told["miss p90"] == "costs"
    assert told["hit p50"] == "cannot tell"


def test_a_cache_earns_hits_and_tokens(tmp_path: Path) -> None:
    told = outcomes(tmp_path, {}, {"hits": 0, "misses": 3000})
    assert told["hit share"] == "earns"
    assert told["tokens per 1000"] == "earns"
    assert told["attempts per success"] == "earns"
    assert told["failed"] == "cannot tell"


def test_an_effect_has_the_values_of_both_arms_and_the_change_between(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    base = save_measured(tmp_path, stretches(rng, failed=30, cpu_s=2.0))
    without = save_measured(tmp_path, stretches(rng, failed=300), started_at=minutes_later(0.5))
    effects = {effect.name: effect for effect in ablate("it", base, without, PRICE).effects}
    failed = effects["failed"]
    assert (failed.with_policy, failed.without) == (30 / 3030, 300 / 3300)
    assert failed.change == pytest.approx(30 / 3030 - 300 / 3300)
    assert failed.low < failed.change < failed.high < 0
    cpu = effects["server CPU"]
    assert cpu.with_policy == pytest.approx(2e6 / 3030, rel=0.05)
    assert cpu.change == pytest.approx(2.0 * 3300 / 3030 - 1, rel=0.06)
    assert cpu.low < cpu.change < cpu.high
    tokens = effects["tokens per 1000"]
    assert tokens.with_policy == pytest.approx(1000 * 1500 / 3000 * (40 * 1.0 + 100 * 10.0) / 1e6)


def test_failures_that_come_in_bursts_are_not_taken_for_so_many_witnesses(tmp_path: Path) -> None:
    def failed(root: Path, per_block: Sequence[int]) -> Run:
        stretches = [Stretch(miss_ms=[300.0] * 1000, failed=n, at_s=60.0 * i) for i, n in enumerate(per_block)]
        return save_measured(root, stretches)

    evenly = ablate("it", failed(tmp_path / "a", [20] * 4), failed(tmp_path / "b", [40] * 4), PRICE)
    bursts = ablate("it", failed(tmp_path / "c", [80, 0, 0, 0]), failed(tmp_path / "d", [0, 160, 0, 0]), PRICE)
    assert [effect.outcome for effect in evenly.effects if effect.name == "failed"] == ["earns"]
    assert [effect.outcome for effect in bursts.effects if effect.name == "failed"] == ["cannot tell"]


def test_blocks_are_paired_with_their_neighbours_in_time(tmp_path: Path) -> None:
    def at(root: Path, starts: Sequence[float]) -> Run:
        return save_measured(root, [Stretch(miss_ms=[300.0] * 100, at_s=start) for start in starts])

    mine, theirs = at(tmp_path / "a", [0, 90]), at(tmp_path / "b", [60, 30])
    pairs = nearest_pairs(block_figures(mine), block_figures(theirs))
    started = [[block.block.started_ns - mine.manifest.started_ns for block in pair] for pair in pairs]
    assert started == [[0, 30 * 10**9], [90 * 10**9, 60 * 10**9]]
    assert len(nearest_pairs(block_figures(mine), block_figures(theirs)[:1])) == 1


def test_runs_that_are_not_valid_get_no_verdict_but_their_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    base = save_measured(tmp_path, stretches(rng))
    starved = [Stretch(miss_ms=[300.0] * 2000, generator_cpu=0.97, at_s=60.0 * n) for n in range(4)]
    ablation = ablate("it", base, save_measured(tmp_path, starved, started_at=minutes_later(1)), PRICE)
    assert "GENERATOR-BOUND" in ablation.refusal
    assert ablation.effects
    assert ablation.told("earns") == ablation.told("costs") == []
    assert "GENERATOR-BOUND" in sentence(ablation, "USD")


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_scipys(seen: tuple[int, int]) -> None:
    found = binomtest(*seen).proportion_ci(CONFIDENCE, "wilson")
    assert wilson(seen[0] / seen[1], seen[1]) == pytest.approx((found.low, found.high), abs=1e-12)


@given(st.floats(0, 1), st.integers(1, 5000), st.floats(0, 1), st.integers(1, 5000))
def test_an_interval_of_two_shares_holds_their_difference_and_turns_round_with_them(
    p1: float, n1: int, p2: float, n2: int
) -> None:
    p1, p2 = round(p1 * n1) / n1, round(p2 * n2) / n2
    low, high = difference_of_shares(p1, n1, p2, n2)
    assert -1.0000001 <= low <= p1 - p2 <= high <= 1.0000001
    assert difference_of_shares(p2, n2, p1, n1) == pytest.approx((-high, -low))


def test_an_interval_of_two_shares_is_the_published_one() -> None:
    # Newcombe 1998, table II: 56/70 against 48/80, method 10
    assert difference_of_shares(56 / 70, 70, 48 / 80, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference_of_shares(9 / 10, 10, 3 / 10, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert difference_of_shares(0.0, 0, 0.5, 10) == (-1.0, 1.0)


def test_each_arm_lacks_one_policy_and_blocks_go_there_and_back() -> None:
    options = read_options(["--policies", "cache,retry", "--set", "cache.ttl_s=5", "--rounds", "2"])
    base, *others = options.arms
    assert base.settings["cache.ttl_s"] == "5"
    for policy, arm in zip(("cache", "retry"), others, strict=True):
        assert dict(arm.settings) == {**base.settings, f"{policy}.enabled": "false"}
    assert len({arm.name for arm in options.arms}) == 3
    order = [options.arms.index(arm) for arm in in_alternation(options.arms, options.bench.rounds)]
    assert order == [0, 1, 2, 2, 1, 0] * 2
    assert read_options([]).policies == POLICIES


def test_every_policy_that_the_server_has_on_is_switched_off_in_turn() -> None:
    groups = Settings().model_dump()
    on = {name for name, group in groups.items() if isinstance(group, dict) and group.get("enabled")}
    assert set(POLICIES) == on


@pytest.mark.parametrize(
    "arguments",
    [
        ["--policies", ""],
        ["--policies", "cache,,retry"],
        ["--policies", "cache,cache"],
        ["--policies", "--mode"],
        ["--scenario", "nonesuch"],
        ["--generators", "9", "--users", "4"],
        ["--rounds", "0"],
        ["stray"],
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read_options(arguments)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def run(runs: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    quick = ["--users", "40", "--duration", "1", "--ramp", "0", "--warmup", "0.2", "--rounds", "1", "--keep-spoiled"]
    return subprocess.run(
        [sys.executable, "-m", "loadtests", "ablate", "--runs", str(runs), *quick, *flags],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(runs.parent), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_a_cache_is_switched_off_under_load(tmp_path: Path) -> None:
    done = run(tmp_path / "runs", "--policies", "cache", "--scenario", "steady")
    assert done.returncode in (0, 5), done.stderr
    assert done.stderr == ""
    store = RunStore(tmp_path / "runs")
    base, without = (store.open(run_id) for run_id in store.ids())
    assert (base.manifest.label, without.manifest.label) == ("all policies", "without cache")
    assert base.manifest.experiment == without.manifest.experiment
    assert [len(one.manifest.blocks) for one in (base, without)] == [2, 2]
    assert (base.summary().cache.hit_share or 0) > 0
    assert without.summary().cache.hit_share == 0
    assert "hit share" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "word"), [("hedge", "hedge.enabled"), ("nonesuch", "nonesuch")])
def test_a_policy_that_is_off_or_unknown_is_refused_in_one_line(tmp_path: Path, policy: str, word: str) -> None:
    done = run(tmp_path / "runs", "--policies", policy)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert word in line
    assert RunStore(tmp_path / "runs").ids() == []


def test_a_price_table_that_cannot_be_used_is_refused_before_any_load(tmp_path: Path) -> None:
    done = run(tmp_path / "runs", "--prices", str(tmp_path / "nowhere.toml"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "runs").exists()
