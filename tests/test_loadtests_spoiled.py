"""Spoiled blocks: measured again in balanced passes, left out with the reason, unless spoiling is the rule."""

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from loadtests.bench.block import LiveArm
from loadtests.bench.experiment import Experiment
from loadtests.bench.options import BenchOptions, read_options
from loadtests.bench.plan import Arm, arms_of
from loadtests.bench.progress import Progress
from loadtests.bench.servers import ServerUnderTest
from reports.records.schema import Block
from reports.store.store import RunStore


class Scripted(Experiment):
    """An experiment without processes: `lags_ms` is what the generator's lag shall be in one block after another.

    `order` collects the arms of the blocks that were run, and the first user of each.
    """

    def __init__(self, lags_ms: Sequence[float], arms: Sequence[Arm], rounds: int, root: Path) -> None:
        self.output = io.StringIO()
        self.order: list[tuple[str, int]] = []
        self._lags_ms = list(lags_ms)
        options = read_options(["--rounds", str(rounds), "--users", "10"])
        progress = Progress(Console(file=self.output, width=300))
        super().__init__("bench", options, arms, RunStore(root), cast(Any, None), progress)

    async def _servers_up(self) -> list[tuple[Arm, ServerUnderTest]]:
        self._common = self._common_manifest()
        return [(arm, ServerUnderTest("http://x", "http://x", 1, True, True, {}, [])) for arm in self.arms]

    async def _run_block(self, options: BenchOptions, live: LiveArm, position: int, first_user: int) -> None:
        self.order.append((live.arm.name, first_user))
        index, now = len(live.record.writer.manifest.blocks), time.time_ns()
        fields: Any = {"generator_lag_ms": self._lags_ms[position - 1], "steal": 0.0, "generator_cpu": 0.1}
        block = Block(
            index=index, arm=live.arm.letter, started_ns=now, measure_from_ns=now, measure_until_ns=now + 10, **fields
        )
        live.record.put_block(block)
        self._load = cast(Any, type("Load", (), {"block": block}))

    def left_out(self) -> dict[str, list[int]]:
        """The indices of the blocks that are left out on disk, by arm."""
        manifests = [self._store.open(record.writer.id).manifest for record in self.records]
        return {m.label: [b.index for b in m.blocks if b.left_out] for m in manifests}


def ran(lags_ms: Sequence[float], root: Path, arms: Sequence[Arm] | None = None, rounds: int = 1) -> Scripted:
    experiment = Scripted(lags_ms, arms or arms_of("ab", {}), rounds, root)
    asyncio.run(experiment.run())
    return experiment


GOOD, BAD = 1.0, 40.0


def test_without_spoiled_blocks_nothing_is_repeated(tmp_path: Path) -> None:
    experiment = ran([GOOD] * 4, tmp_path)
    assert [arm for arm, _ in experiment.order] == ["A async", "B sync", "B sync", "A async"]
    assert experiment.left_out() == {"async": [], "sync": []}
    assert experiment.output.getvalue() == ""


@pytest.mark.parametrize(
    ("lags_ms", "again", "left_out"),
    [
        ([GOOD, BAD, GOOD, GOOD, GOOD, GOOD], ["A async", "B sync"], {"async": [0], "sync": [0]}),
        ([GOOD, GOOD, GOOD, BAD, GOOD, GOOD], ["B sync", "A async"], {"async": [1], "sync": [1]}),
        ([GOOD, GOOD, BAD, BAD, GOOD, GOOD], ["B sync", "A async"], {"async": [1], "sync": [1]}),
        # the repeat is spoiled too: it is not repeated once more
        ([BAD, GOOD, GOOD, GOOD, BAD, GOOD], ["A async", "B sync"], {"async": [0, 2], "sync": [0, 2]}),
    ],
)
def test_a_spoiled_pass_is_run_once_more_in_its_order_and_left_out(
    lags_ms: list[float], again: list[str], left_out: dict[str, list[int]], tmp_path: Path
) -> None:
    experiment = ran(lags_ms, tmp_path)
    assert [arm for arm, _ in experiment.order[4:]] == again
    assert experiment.left_out() == left_out
    first_users: dict[str, list[int]] = {}
    for arm, user in experiment.order:
        first_users.setdefault(arm, []).append(user)
    assert first_users["A async"] == first_users["B sync"] == [0, 10, 20]  # asks nothing that was asked before
    first = lags_ms.index(BAD)
    assert f"Block {first + 1} ({experiment.order[first][0]})" in experiment.output.getvalue()
    why = [b.left_out or "" for r in experiment.records for b in r.writer.manifest.blocks if b.left_out]
    assert all("40.0 ms" in reason for reason in why)
    spoiled_arm = experiment.order[first][0]
    assert sum(spoiled_arm in reason for reason in why) >= (1 if lags_ms.count(BAD) == 1 else 0)  # its neighbour's


@pytest.mark.parametrize("lags_ms", [[BAD, GOOD, BAD, GOOD], [BAD] * 4])
def test_where_most_passes_are_spoiled_the_verdict_is_the_runs(lags_ms: list[float], tmp_path: Path) -> None:
    experiment = ran(lags_ms, tmp_path)
    assert len(experiment.order) == 4
    assert experiment.left_out() == {"async": [], "sync": []}


def test_a_run_without_a_counterpart_repeats_the_block_alone(tmp_path: Path) -> None:
    arms = arms_of("async", {})
    experiment = ran([GOOD, BAD, GOOD, GOOD], tmp_path, arms, rounds=3)
    assert len(experiment.order) == 4
    assert experiment.left_out() == {"async": [1]}
    assert len(ran([BAD], tmp_path, arms).order) == 1


def test_one_may_ask_to_keep_them(tmp_path: Path) -> None:
    experiment = Scripted([GOOD, BAD, GOOD, GOOD], arms_of("ab", {}), 1, tmp_path)
    experiment._options = replace(experiment._options, keep_spoiled=True)
    asyncio.run(experiment.run())
    assert len(experiment.order) == 4
    assert experiment.left_out() == {"async": [], "sync": []}


def test_of_many_arms_all_that_stood_beside_it_are_repeated(tmp_path: Path) -> None:
    arms = [Arm(None, "async", {}, label) for label in ("all", "no cache", "no retry")]
    experiment = ran([GOOD] * 4 + [BAD] + [GOOD] * 4, tmp_path, arms)
    assert [arm for arm, _ in experiment.order[6:]] == ["no retry", "no cache", "all"]
    assert experiment.left_out() == {"all": [1], "no cache": [1], "no retry": [1]}
