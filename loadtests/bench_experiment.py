"""The experiment itself: servers up, runs created, blocks one after another, a tick a second throughout."""

import asyncio
import os
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from loadtests import scenarios
from loadtests.bench_block import BlockLoad, LiveArm
from loadtests.bench_checks import BenchError
from loadtests.bench_environment import environment, revision
from loadtests.bench_generators import READY_S
from loadtests.bench_options import BenchOptions
from loadtests.bench_plan import DRAIN_S, Arm, arms_of, expected_s, in_alternation
from loadtests.bench_progress import Progress, RecentRequests, Status
from loadtests.bench_record import RunRecord
from loadtests.monitor import fetch
from loadtests.processes import Child, Children, divide_cores
from loadtests.workload import Workload
from reports.schema import Manifest, Server, Target
from reports.schema import Workload as WorkloadRecord
from reports.store import RunStore

_PHASES = {"idle": "starting", "warmup": "warm-up"}


class Experiment:
    """One bench. `run` and `tick_forever` are to go on side by side; either may be cancelled at any moment.

    `records` are the runs that have been created, `id` is what they share, `blocks` the arm of each block to come.
    """

    def __init__(self, options: BenchOptions, store: RunStore, children: Children, progress: Progress) -> None:
        self.arms = arms_of(options.mode, options.settings, options.changes)
        self.blocks = in_alternation(self.arms, options.rounds)
        self.id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{options.scenario}-{options.mode}-{secrets.token_hex(2)}"
        self.records: list[RunRecord] = []
        self._options = options
        self._store = store
        self._children = children
        self._progress = progress
        self._live: dict[str, LiveArm] = {}
        self._load: BlockLoad | None = None
        self._recent = RecentRequests()
        self._ticked_at = 0.0
        self._server_cores, others = divide_cores(_own_cores())
        self._generator_cores = others[: options.generators]
        self._runner_cores = others[options.generators :] or others  # the runner must not disturb what it measures

    @property
    def expected_s(self) -> float:
        """Seconds that it will take, as far as one can know before."""
        return expected_s(len(self.blocks), self._options.timing)

    async def run(self) -> None:
        """From nothing to the last block's end. Raises ChildError, BenchError, StoreError or OSError when it cannot."""
        if self._runner_cores:
            os.sched_setaffinity(0, self._runner_cores)
        self._progress.waiting("starting the servers" if len(self.arms) > 1 else "starting the server")
        ports = [self._options.port, 0]
        servers = [await self._start_server(arm, port) for arm, port in zip(self.arms, ports, strict=False)]
        common = await asyncio.to_thread(self._common_manifest)
        for arm, server in zip(self.arms, servers, strict=True):
            self._live[arm.name] = live = await self._go_live(arm, server, common)
            self.records.append(live.record)
        for position, arm in enumerate(self.blocks, 1):
            self._recent = RecentRequests()
            self._load = BlockLoad(self._options, self._live[arm.name], position, self._children, self._generator_cores)
            await self._load.run()

    async def _start_server(self, arm: Arm, port: int) -> Child:
        command = [sys.executable, "-m", "server", *server_flags(arm, port, self._options.seed)]
        return await self._children.spawn(f"server ({arm.name})", command, self._server_cores)

    async def _go_live(self, arm: Arm, server: Child, common: dict[str, Any]) -> LiveArm:
        url = await _ready_url(server)
        manifest = Manifest(
            arm=arm.letter,
            label=arm.label,
            mode=arm.mode,
            started_at=datetime.now(UTC),
            target=Target(url=url, owned=True),
            server=Server(
                config=orjson.loads(await fetch(f"{url}/config", timeout_s=10)),
                argv=["python", "-m", "server", *server_flags(arm, 0, self._options.seed)],
            ),
            **common,
        )
        return LiveArm(arm, server, url, RunRecord(self._store.create(manifest)))

    def _common_manifest(self) -> dict[str, Any]:
        """What the manifests of all arms share. Takes a moment (the workload is composed, git is asked)."""
        options = self._options
        commit, dirty = revision()
        workload = Workload(scenarios.load(options.scenario), options.seed).manifest()
        return {
            "experiment": self.id,
            "scenario": options.scenario,
            "seed": options.seed,
            "users": options.users,
            "duration_s": options.timing.measure_s,
            "commit": commit,
            "dirty": dirty,
            "command": list(options.command),
            "workload": WorkloadRecord.of({**workload, "users": options.users}),
            "environment": environment({"server": self._server_cores, "generator": self._generator_cores}),
        }

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
                    live.record.idle_tick(live.server.pid)

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


def server_flags(arm: Arm, port: int, seed: int) -> list[str]:
    """The flags of an arm's server. The mock's seed is the bench's, unless a setting says otherwise."""
    settings = {"mode": arm.mode, "port": str(port), "mock.seed": str(seed), **arm.settings}
    return [part for key, value in settings.items() for part in (f"--{key}", value)]


async def _ready_url(server: Child) -> str:
    line = await server.first_line(READY_S)
    found = re.search(r"https?://[^\s\"',]+", line)
    if found is None:
        raise BenchError(f"{server.name} did not say where it listens, but {line!r}")
    return found[0].rstrip("/")


def _own_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
