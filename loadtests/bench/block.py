"""One block: fresh load against one arm's server, through ramp, warm-up, measured window and drain."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from loadtests import scenarios
from loadtests.bench.checks import BenchError
from loadtests.bench.generators import Generators
from loadtests.bench.monitor import Edge, cores_used, counted_between, edge, read_counters, window_figures
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import Arm
from loadtests.bench.processes import Children
from loadtests.bench.record import RunRecord
from loadtests.bench.servers import ServerUnderTest
from loadtests.workload.gate import schedule_start_s
from reports.records.schema import Block

Phase = Literal["idle", "ramp", "warmup", "measure", "drain"]

ABORT_GRACE_S = 5.0
"""Seconds that requests in flight get when a bench is broken off."""

_SETTLE_S = 0.25  # the window is decided on so long before it opens, because run.json is saved in between
_FULL_S = 30.0  # how much longer than the ramp all users may take to be up
_IDLE_S = 10.0  # how long a drained server may still show requests in flight


@dataclass(frozen=True)
class LiveArm:
    """An arm whose server is up, with its run on disk."""

    arm: Arm
    server: ServerUnderTest
    record: RunRecord


class BlockLoad:
    """One block: `run` runs it, once; `tick` is to be called every second meanwhile.

    `position` counts the experiment's blocks from 1, `first_user` is the number of the block's first user. `phase`,
    `users` and `block` say where it is.
    """

    def __init__(
        self,
        options: BenchOptions,
        live: LiveArm,
        position: int,
        children: Children,
        cores: Sequence[int],
        first_user: int,
    ) -> None:
        self.live = live
        self.position = position
        self.phase: Phase = "idle"
        self.block = Block(
            index=len(live.record.writer.manifest.blocks), arm=live.arm.letter, started_ns=time.time_ns()
        )
        self._options = options
        self._first_user = first_user
        self._generators = Generators(options, children, cores)
        self._edges: list[Edge] = []
        self._last = edge(live.server.pid, [])
        self._in_flight: dict[str, int] = {}
        self._poll: asyncio.Task[None] | None = None

    @property
    def users(self) -> int:
        """Users that are up."""
        return self._generators.users

    @property
    def left_s(self) -> float:
        """Seconds until the measured window closes, as planned."""
        timing = self._options.timing
        if self.block.measure_until_ns is not None:
            return max(0.0, (self.block.measure_until_ns - time.time_ns()) / 1e9)
        return timing.block_s if self.phase == "idle" else timing.block_s - self._since_start_s()

    def _since_start_s(self) -> float:
        return (time.time_ns() - self.block.started_ns) / 1e9

    async def run(self) -> None:
        """Run the block to its end. Raises ChildError, BenchError or OSError when that cannot be.

        However it ends, by cancellation too, the load is stopped and the block is saved with all that is known of it.
        """
        server = self.live.server
        before = (await read_counters(server.base_url)).requests if server.counts else {}
        drained = False
        try:
            await self._ramp()
            await self._measure()
            self.phase = "drain"
            await self._generators.drain()
            drained = True
        finally:
            await self._close(before, drained)

    async def _ramp(self) -> None:
        record = self.live.record
        await self._generators.start(
            f"generator of block {self.position}",
            self.live.server,
            record.writer.directory,
            self.block.index,
            self._first_user,
        )
        record.add_load_pids(self._generators.pids)
        await self.live.server.restart_faults()
        self._put(started_ns=time.time_ns())
        self.phase = "ramp"
        wanted, ramp_s = self._generators.wanted, self._options.timing.ramp_s
        await asyncio.sleep(ramp_s)
        while self.users < wanted:
            if self._since_start_s() > ramp_s + _FULL_S:
                raise BenchError(
                    f"only {self.users} of {wanted} users were up {ramp_s + _FULL_S:g} s after the start: "
                    "the generator cannot hold them; use fewer --users"
                )
            await asyncio.sleep(0.1)

    async def _measure(self) -> None:
        timing = self._options.timing
        self.phase = "warmup"
        if scenarios.load(self._options.scenario).is_open:
            # Before, nothing arrives: a window that opened meanwhile would have a second without load in it.
            await _sleep_until(int(schedule_start_s(time.time()) * 1e9))
        disturbed_s = await self.live.server.restart_faults()  # again: how long a ramp takes differs
        now_ns = time.time_ns()
        opens_ns = now_ns + int(max(timing.warmup_s, _SETTLE_S) * 1e9)
        closes_ns = opens_ns + int(timing.measure_s * 1e9)
        faults = [
            (now_ns + int(start_s * 1e9), closes_ns if end_s is None else min(closes_ns, now_ns + int(end_s * 1e9)))
            for start_s, end_s in disturbed_s
            if now_ns + start_s * 1e9 < closes_ns
        ]
        self._put(measure_from_ns=opens_ns, measure_until_ns=closes_ns, faults=faults)
        self._generators.tell_opening(opens_ns)
        await _sleep_until(opens_ns)
        self.phase = "measure"
        self._edges.append(self._read_edge())
        await _sleep_until(closes_ns)
        self._edges.append(self._read_edge())

    async def _close(self, before: dict[str, int], drained: bool) -> None:
        self._cut_window()
        counted = None
        try:
            await self._generators.stop(ABORT_GRACE_S)
            counted = await self._counted_since(before, drained)
        finally:
            self.tick()
            if self._poll is not None:
                self._poll.cancel()
            self._put(
                ended_ns=time.time_ns(),
                server_counted=counted,
                recorded=self.live.record.recorded[self.block.index],
                generator_lag_ms=self._lag_in_window_ms(),
                **self._window_figures(),
            )
            self.phase = "idle"

    def _cut_window(self) -> None:
        """End a measured window that is still open now, or cancel one that has not opened."""
        now_ns = time.time_ns()
        opens_ns, closes_ns = self.block.measure_from_ns, self.block.measure_until_ns
        if opens_ns is None or closes_ns is None or closes_ns <= now_ns:
            return
        if len(self._edges) == 1:
            self._edges.append(self._read_edge())
            cut: dict[str, int | None] = {"measure_until_ns": now_ns}
        else:
            cut = {"measure_from_ns": None, "measure_until_ns": None}
        self.block = self.block.model_copy(update=cut)

    async def _counted_since(self, before: dict[str, int], drained: bool) -> dict[str, int] | None:
        """What the server has counted over the block, once it is idle; None where no one can say.

        That is a server that does not count or answer, and load that was broken off, whose last requests no one waited
        for.
        """
        if not self.live.server.counts:
            return None
        deadline = time.monotonic() + (_IDLE_S if drained else 0.0)
        while True:
            try:
                counters = await read_counters(self.live.server.base_url)
            except OSError:
                return None
            if not any(counters.in_flight.values()):
                return counted_between(before, counters.requests)
            if time.monotonic() >= deadline:
                return counted_between(before, counters.requests) if drained else None
            await asyncio.sleep(0.1)

    def _window_figures(self) -> dict[str, Any]:
        if len(self._edges) < 2:
            return {}
        first, last = self._edges
        return window_figures(first, last, self._generators.cores)

    def _lag_in_window_ms(self) -> float | None:
        opens_ns, closes_ns = self.block.measure_from_ns, self.block.measure_until_ns
        if opens_ns is None or closes_ns is None:
            return None
        lag_ms = self._generators.lag_ms(opens_ns, closes_ns)
        return None if lag_ms is None else round(lag_ms, 3)

    def _read_edge(self) -> Edge:
        return edge(self.live.server.pid, self._generators.pids)

    def _put(self, **fields: object) -> None:
        self.block = self.block.model_copy(update=fields)
        self.live.record.put_block(self.block)

    def tick(self) -> pa.Table:
        """Write a tick of the run; the counts of the samples that are new on disk."""
        before, self._last = self._last, self._read_edge()
        new = self.live.record.tick(
            phase=self.phase,
            block=self.block.index,
            users=self.users,
            generator={
                "cpu": round(cores_used(before.generator, self._last.generator), 3),
                "rss_bytes": 0 if self._last.generator is None else self._last.generator.rss_bytes,
                "lag_ms": self._generators.last_lag_ms,
            },
            server={
                "cpu": round(cores_used(before.server, self._last.server), 3),
                "rss_bytes": 0 if self._last.server is None else self._last.server.rss_bytes,
                "in_flight": self._in_flight,
            },
        )
        if self.live.server.counts and (self._poll is None or self._poll.done()):
            self._poll = asyncio.create_task(self._ask_in_flight())
        return new

    async def _ask_in_flight(self) -> None:
        try:
            self._in_flight = (await read_counters(self.live.server.base_url, timeout_s=2.0)).in_flight
        except OSError:
            self._in_flight = {}  # too busy to say, or gone, which others notice


async def _sleep_until(time_ns: int) -> None:
    await asyncio.sleep(max(0.0, (time_ns - time.time_ns()) / 1e9))
