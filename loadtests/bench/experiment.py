"""The experiment itself: servers up, runs created, blocks one after another, a tick a second throughout."""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from loadtests import scenarios
from loadtests.bench.block import BlockLoad, LiveArm
from loadtests.bench.environment import environment
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import DRAIN_S, Arm, expected_s, in_alternation
from loadtests.bench.processes import Children, divide_cores
from loadtests.bench.progress import Progress, RecentRequests, Status
from loadtests.bench.record import RunRecord
from loadtests.bench.revisions import WORKING_TREE, Revision, working_tree
from loadtests.bench.servers import ServerUnderTest, foreign_server, own_server, start_server
from loadtests.bench.spoiled import DoneBlock, is_spoiled, leave_out, news, passes_of, to_repeat
from loadtests.workload.workload import Workload
from reports.records.schema import Manifest, Server, Target
from reports.records.schema import Workload as WorkloadRecord
from reports.store.store import RunStore

_PHASES = {"idle": "starting", "warmup": "warm-up"}


class Experiment:
    """Arms under load, block by block. `run` and `tick_forever` are to go on side by side; either may be cancelled.

    `records` are the runs that have been created, `id` is what they share, `kind` says in it what was done; `blocks` is
    the arm of each block to come.
    """

    def __init__(
        self,
        kind: str,
        options: BenchOptions,
        arms: Sequence[Arm],
        store: RunStore,
        children: Children,
        progress: Progress,
    ) -> None:
        self.arms = tuple(arms)
        self.blocks = in_alternation(self.arms, options.rounds)
        self.id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{options.scenario}-{kind}-{secrets.token_hex(2)}"
        self.records: list[RunRecord] = []
        self._options = options
        self._store = store
        self._children = children
        self._progress = progress
        self._live: dict[str, LiveArm] = {}
        self._load: BlockLoad | None = None
        self._recent = RecentRequests()
        self._common: dict[str, Any] = {}
        self._code = Revision(WORKING_TREE, "", dirty=False)
        self._workloads: dict[float | None, dict[str, Any]] = {}
        self._ticked_at = 0.0
        self._server_cores, others = divide_cores(_own_cores())
        self._generator_cores = others[: options.generators]
        self._runner_cores = others[options.generators :] or others  # the runner must not disturb what it measures

    @property
    def headline(self) -> str:
        """What is going to be done, in one line."""
        options, timing, blocks = self._options, self._options.timing, len(self.blocks)
        arms = " against ".join(arm.label for arm in self.arms)
        phases = f"{timing.ramp_s:g} s ramp + {timing.warmup_s:g} s warm-up + {timing.measure_s:g} s measured"
        return (
            f"{arms}: scenario {options.scenario}, {options.users} users, seed {options.seed}; "
            f"{blocks} block{'s' if blocks > 1 else ''} of {phases}; about {self.expected_s:.0f} s"
        )

    @property
    def expected_s(self) -> float:
        """Seconds that it will take, as far as one can know before."""
        return expected_s(len(self.blocks), self._options.timing)

    async def run(self) -> None:
        """From nothing to the last block's end. Raises ChildError, BenchError, StoreError or OSError when it cannot."""
        for arm, server in await self._servers_up():
            self._live[arm.name] = self._go_live(arm, server, self._options)
        done: list[DoneBlock] = []
        await self._run_blocks(self.blocks, done)
        if self._options.keep_spoiled:
            return
        spoiled = to_repeat(passes_of(done, len(self.arms)))
        leave_out(spoiled)
        for line in news(spoiled):
            self._progress.say(line)
        first_repeat, again = len(done), [each.live.arm for one in spoiled for each in one]
        self.blocks += tuple(again)
        await self._run_blocks(again, done)
        leave_out([one for one in passes_of(done[first_repeat:], len(self.arms)) if is_spoiled(one)])

    async def _run_blocks(self, arms: Sequence[Arm], done: list[DoneBlock]) -> None:
        """One block after another of some arms, each added to `done` when it is over."""
        for arm in arms:
            live, position = self._live[arm.name], len(done) + 1
            # Each block has users of its own, or every block would ask what the one before has put into the cache.
            first_user = len(live.record.writer.manifest.blocks) * self._options.users
            await self._run_block(self._options, live, position, first_user)
            assert self._load is not None
            done.append(DoneBlock(live, self._load.block, position))

    def _go_live(self, arm: Arm, server: ServerUnderTest, options: BenchOptions) -> LiveArm:
        """Create the run of an arm whose server is up."""
        record = RunRecord(self._store.create(self._manifest(arm, server, options)))
        self.records.append(record)
        return LiveArm(arm, server, record)

    async def _run_block(self, options: BenchOptions, live: LiveArm, position: int, first_user: int) -> None:
        """One block of the load that `options` say, by users numbered from `first_user` on."""
        self._recent = RecentRequests()
        self._load = BlockLoad(options, live, position, self._children, self._generator_cores, first_user)
        await self._load.run()

    async def _servers_up(self) -> list[tuple[Arm, ServerUnderTest]]:
        """The server of each arm, ready, and the common manifest meanwhile."""
        if self._runner_cores:
            os.sched_setaffinity(0, self._runner_cores)
        options = self._options
        if options.host is not None:
            server = await foreign_server(options.host)
            self._common = await asyncio.to_thread(self._common_manifest)
            return [(self.arms[0], server)]
        self._progress.waiting("starting the servers" if len(self.arms) > 1 else "starting the server")
        children = [
            await start_server(arm, 0 if position else options.port, options.seed, self._children, self._server_cores)
            for position, arm in enumerate(self.arms)
        ]
        self._common = await asyncio.to_thread(self._common_manifest)
        return [
            (arm, await own_server(child, arm, options.seed)) for arm, child in zip(self.arms, children, strict=True)
        ]

    def _manifest(self, arm: Arm, server: ServerUnderTest, options: BenchOptions) -> Manifest:
        known = server.config or server.argv
        code = arm.revision or self._code
        return Manifest(
            commit=code.commit,
            dirty=code.dirty,
            users=options.users,
            workload=WorkloadRecord.of({**self._workload_at(options.rate), "users": options.users}),
            arm=arm.letter,
            label=arm.label,
            mode=arm.mode,
            started_at=datetime.now(UTC),
            target=Target(url=server.url, owned=server.pid is not None),
            server=Server(config=server.config, argv=server.argv) if known else None,
            **self._common,
        )

    def _common_manifest(self) -> dict[str, Any]:
        """What the manifests of all arms share. Takes a moment (the workload is composed, git is asked)."""
        options = self._options
        self._code = working_tree()
        self._workload_at(options.rate)
        return {
            "experiment": self.id,
            "scenario": options.scenario,
            "seed": options.seed,
            "duration_s": options.timing.measure_s,
            "command": list(options.command),
            "environment": environment({"server": self._server_cores, "generator": self._generator_cores}),
        }

    def _workload_at(self, rate: float | None) -> dict[str, Any]:
        """What the manifest says of the workload; of the scenario's own rate, where `rate` is None."""
        if rate not in self._workloads:
            scenario = scenarios.load(self._options.scenario)
            scenario = scenario if rate is None else scenario.at_rate(rate)
            self._workloads[rate] = Workload(scenario, self._options.seed).manifest()
        return self._workloads[rate]

    async def tick_forever(self) -> None:
        """Write a tick to every run each second, and show how it goes. Raises OSError when the disk refuses."""
        self._ticked_at = due = time.monotonic()
        while True:
            due = max(due + 1.0, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            elapsed_s, self._ticked_at = time.monotonic() - self._ticked_at, time.monotonic()
            for live in self._live.values():
                if self._load is not None and live is self._load.live:
                    self._recent.add(self._load.tick(), elapsed_s)
                    self._progress.show(self._status(self._load))
                else:
                    live.record.idle_tick([live.server.pid] if live.server.pid else [])

    def _status(self, load: BlockLoad) -> Status:
        rest = expected_s(len(self.blocks) - load.position, self._options.timing)
        left_s = load.left_s + DRAIN_S + rest
        return Status(
            block=load.position,
            blocks=len(self.blocks),
            arm=load.live.arm.name,
            phase=_PHASES.get(load.phase, load.phase),
            users=load.users,
            recent=self._recent.figures(),
            left_s=left_s,
            done=1.0 - left_s / self.expected_s,
        )


def _own_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
