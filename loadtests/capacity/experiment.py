"""The search under load: one server, a run a level, a block a repeat, until the search knows enough."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from loadtests.bench.block import BlockLoad, LiveArm
from loadtests.bench.experiment import Experiment
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import arms_of, expected_s
from loadtests.bench.processes import Children
from loadtests.bench.progress import Progress, Status
from loadtests.bench.servers import ServerUnderTest
from loadtests.capacity.options import CapacityOptions
from reports.capacity.assess import Capacity, assess, level_of
from reports.capacity.levels import Level, judge_level, tried
from reports.capacity.search import Tried, next_load
from reports.judge.slo import show_slo
from reports.readable import count, number
from reports.store.run import Run
from reports.store.store import RunStore

EXPECTED_BLOCKS = 22
"""What a search usually takes: about nine levels, measured two to four times."""


class CapacityExperiment(Experiment):
    """An experiment whose next block depends on the blocks before. `levels` is what has been measured, by load."""

    def __init__(self, options: CapacityOptions, store: RunStore, children: Children, progress: Progress) -> None:
        arms = arms_of(options.bench.mode, options.bench.settings)
        super().__init__("capacity", options.bench, arms, store, children, progress)
        self.levels: dict[int, Level] = {}
        self._slo = options.slo
        self._plan = options.plan
        self._by_rate = options.by_rate
        self._unit = "arrivals/s" if options.by_rate else "users"
        self._lives: dict[int, LiveArm] = {}

    @property
    def headline(self) -> str:
        """What is going to be done, in one line."""
        options, timing, plan = self._options, self._options.timing, self._plan
        return (
            f"capacity of {self.arms[0].label} within {show_slo(self._slo)}: scenario {options.scenario}, seed "
            f"{options.seed}; levels from {plan.start} up to {plan.most} {self._unit}, each measured {plan.repeats} to "
            f"{plan.most_repeats} times for {timing.measure_s:g} s; usually about {self.expected_s / 60:.0f} min"
        )

    @property
    def expected_s(self) -> float:
        """Seconds that a search usually takes."""
        return expected_s(EXPECTED_BLOCKS, self._options.timing)

    @property
    def capacity(self) -> Capacity:
        """What has been found so far."""
        return assess(self._slo, list(self.levels.values()), self._unit)

    async def run(self) -> None:
        """From nothing to the last level. Raises ChildError, BenchError, StoreError or OSError when it cannot."""
        ((_, server),) = await self._servers_up()
        position = first_user = 0
        while (load := next_load(self._plan, self._tried())) is not None:
            position += 1
            options = replace(self._options, **({"rate": float(load)} if self._by_rate else {"users": load}))
            live = self._level_run(load, server, options)
            self._live = {live.arm.name: live}  # ticks go to the run that is being measured
            await self._run_block(options, live, position, first_user)
            first_user += options.users
            run = Run(live.record.writer.directory, live.record.writer.manifest)
            self.levels[load] = await asyncio.to_thread(level_of, run)
            self._progress.say(self._news(self.levels[load]))

    def _level_run(self, load: int, server: ServerUnderTest, options: BenchOptions) -> LiveArm:
        """The run of a level, created when it is first measured."""
        if load not in self._lives:
            arm = replace(self.arms[0], label=f"{self.arms[0].label}, {load} {self._unit}")
            self._lives[load] = self._go_live(arm, server, options)
        return self._lives[load]

    def _tried(self) -> Mapping[int, Tried]:
        return {load: tried(self._slo, level) for load, level in self.levels.items()}

    def _news(self, level: Level) -> str:
        last = level.repeats[-1]
        observed = last.observed
        goodput = observed.successes / observed.seconds if observed.seconds else None
        verdict = judge_level(self._slo, level).replace("-", " ")
        reason = f" ({last.reason})" if last.reason else ""
        return (
            f"{count(level.load)} {self._unit}, measurement {len(level.repeats)}: {number(goodput, 'req/s')}, "
            f"{count(observed.failed)} of {count(observed.requests)} failed, {last.validity}{reason}: {verdict}"
        )

    def _status(self, load: BlockLoad) -> Status:
        """Where the search is; how many blocks are left is a guess."""
        blocks = max(EXPECTED_BLOCKS, load.position)
        left_s = load.left_s + expected_s(blocks - load.position, self._options.timing)
        return Status(
            block=load.position,
            blocks=blocks,
            arm=load.live.arm.name,
            phase=load.phase,
            users=load.users,
            recent=self._recent.figures(),
            left_s=left_s,
            done=1.0 - left_s / expected_s(blocks, self._options.timing),
        )
