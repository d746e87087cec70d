"""The load processes of one block: started together, followed by the lines they print, stopped together."""

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from loadtests import scenarios
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import READY_S
from loadtests.bench.processes import Child, ChildError, Children
from loadtests.bench.servers import ServerUnderTest

_GIVE_UP_S = 10.0  # what a generator may take beyond its own bound on waiting for requests in flight


class Generators:
    """The users of one block, spread over `options.generators` processes, each on the next of `cores` if there are."""

    def __init__(self, options: BenchOptions, children: Children, cores: Sequence[int]) -> None:
        self._options = options
        self._children = children
        self._cores = cores
        self._processes: list[Child] = []
        self._followers: list[asyncio.Task[None]] = []
        self._users: dict[int, int] = {}
        self._lags_ms: list[tuple[int, float]] = []

    @property
    def wanted(self) -> int:
        """Users that are to be up before the clock starts: all, unless the scenario's profile begins with fewer."""
        scenario = scenarios.load(self._options.scenario)
        return sum(scenario.users_at_start(users) for users in split(self._options.users, self._options.generators))

    @property
    def pids(self) -> list[int]:
        """Process ids, in the order of the users they hold."""
        return [process.pid for process in self._processes]

    @property
    def users(self) -> int:
        """Users that are up, as last heard."""
        return sum(self._users.values())

    @property
    def cores(self) -> int:
        """How many cores they may keep busy."""
        return min(self._options.generators, len(self._cores) or self._options.generators)

    async def start(self, label: str, server: ServerUnderTest, run_dir: Path, block: int, first_user: int) -> None:
        """Start the processes and wait until all are ready. Raises ChildError when one is not.

        Users are numbered from `first_user` on.
        """
        shares = split(self._options.users, self._options.generators)
        for number, users in enumerate(shares, 1):
            name = label if len(shares) == 1 else f"{label} ({number} of {len(shares)})"
            command = self._command(server, run_dir, block, first_user, users)
            core = [self._cores[(number - 1) % len(self._cores)]] if self._cores else []
            self._processes.append(await self._children.spawn(name, command, core, listens=True))
            first_user += users
        for process in self._processes:
            await process.first_line(READY_S)
            self._followers.append(asyncio.create_task(self._follow(process)))

    def tell_opening(self, opens_ns: int) -> None:
        """Say when the measured time begins (wall clock, ns), to which a profile of users holds."""
        for process in self._processes:
            process.tell(str(opens_ns))

    def _command(self, server: ServerUnderTest, run_dir: Path, block: int, first_user: int, users: int) -> list[str]:
        options = self._options
        flags = {
            "--url": server.url,
            "--scenario": options.scenario,
            "--users": users,
            "--first-user": first_user,
            "--total-users": options.users,
            "--spawn-rate": round(users / max(options.timing.ramp_s, 0.1), 3),
            "--seed": options.seed,
            "--run-dir": run_dir,
            "--block": block,
            "--duration": options.timing.measure_s,
            "--stop-timeout": options.timing.stop_s,
        }
        command = [
            sys.executable,
            "-m",
            "loadtests.generator.generate",
            *(str(part) for flag in flags.items() for part in flag),
        ]
        if options.rate is not None:
            command += ["--rate", str(options.rate)]
        if not server.echoes:
            command.append("--no-echo")
        if options.may_load_host:
            command.append("--i-may-load-this-host")
        return command

    async def _follow(self, process: Child) -> None:
        async for line in process.lines():
            try:
                news = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # not the generator's own words: something it uses printed a line
            if "lag_ms" in news:
                self._users[process.pid] = news["users"]
                self._lags_ms.append((time.time_ns(), news["lag_ms"]))

    def lag_ms(self, from_ns: int, until_ns: int) -> float | None:
        """How late the event loops of the processes woke a sleeper at the 99th percentile; None if none has said.

        They report the 99th percentile of each second; this is the ninth decile of those, so that a single odd second
        in ten does not speak for the whole window, and two do.
        """
        lags = [lag for at_ns, lag in self._lags_ms if from_ns <= at_ns < until_ns]
        return float(np.quantile(lags, 0.9)) if lags else None

    @property
    def last_lag_ms(self) -> float | None:
        """The delay that was reported last."""
        return self._lags_ms[-1][1] if self._lags_ms else None

    async def drain(self) -> None:
        """Have no new request start, and wait for those in flight. Raises ChildError for a process that fails so."""
        for process in self._processes:
            process.signal(signal.SIGTERM)
        limit_s = self._options.timing.stop_s + _GIVE_UP_S
        for process in self._processes:
            try:
                async with asyncio.timeout(limit_s):
                    code = await process.ended()
            except TimeoutError:
                raise ChildError(process.name, f"did not stop in {limit_s:g} s", None, process.log_tail()) from None
            if code != 0:
                raise process.death()
        await asyncio.gather(*self._followers)

    async def stop(self, grace_s: float) -> None:
        """Stop what still runs, within `grace_s` seconds."""
        await asyncio.gather(*(process.stop(grace_s) for process in self._processes if process.running))
        await asyncio.gather(*self._followers)


def split(users: int, processes: int) -> list[int]:
    """Users of each process: as equal as can be, the first ones larger. No process goes without a user."""
    share, rest = divmod(users, processes)
    return [share + (number < rest) for number in range(processes) if share or number < rest]
