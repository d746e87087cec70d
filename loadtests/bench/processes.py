"""Starting and supervising the processes of a bench: servers and load generators.

No child outlives the bench. Each runs in a session of its own, so that Ctrl-C in the terminal reaches only the runner,
which then stops the children in order; each is killed by the kernel if the runner itself is killed (see `launch`); and
each is killed, with whatever it started, when it does not stop in time. A child that ends without having been asked to
is a `ChildError`, which names it and carries the end of its log.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launch.py")
_LOG_TAIL_BYTES = 16384
_SYSFS_CPU = Path("/sys/devices/system/cpu")


class ChildError(Exception):
    """A child ended without having been asked to, or said nothing in time.

    `name` says which one, `why` how it ended, `exit_code` is its code (minus the signal that ended it, None if it still
    ran), `log_tail` the last lines that it wrote to its error stream.
    """

    def __init__(self, name: str, why: str, exit_code: int | None, log_tail: str) -> None:
        super().__init__(f"{name} {why}")
        self.name = name
        self.why = why
        self.exit_code = exit_code
        self.log_tail = log_tail


class Child:
    """One supervised process: its lines of standard output, its log, its end. Made by `Children.spawn`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self.name = name
        self.pid = process.pid
        self.log_path = log_path
        self.asked_to_stop = False
        self._process = process
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    def __repr__(self) -> str:
        return f"<Child {self.name} pid={self.pid} exit={self._process.returncode}>"

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.returncode is None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._lines.put_nowait(line.decode(errors="replace").rstrip("\n"))
        self._lines.put_nowait(None)

    async def first_line(self, timeout_s: float) -> str:
        """The next line of standard output. Raises `ChildError` if the process ends or the time passes without one."""
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._lines.get()
        except TimeoutError:
            why = f"was not ready within {timeout_s:g} s"
            raise ChildError(self.name, why, self._process.returncode, self.log_tail()) from None
        if line is None:
            await self.ended()
            raise self.death()
        return line

    async def lines(self) -> AsyncIterator[str]:
        """The lines of standard output that no one has taken yet, as they come, until the process closes it."""
        while (line := await self._lines.get()) is not None:
            yield line

    def tell(self, line: str) -> None:
        """Write a line to the standard input of a process that listens; lost on one that has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def ended(self) -> int:
        """The exit code, once the process has ended."""
        return await self._process.wait()

    def death(self) -> ChildError:
        """The error that tells of this child's end."""
        code = self._process.returncode
        if code is None:
            why = "closed its output"
        elif code < 0:
            why = f"was killed by {signal.Signals(-code).name}"
        else:
            why = f"ended by itself with exit code {code}"
        return ChildError(self.name, why, code, self.log_tail())

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of the error stream."""
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it still runs."""
        self.asked_to_stop = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL the process and whatever it started in its session, if it still runs."""
        self.asked_to_stop = True
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, grace_s: float) -> int:
        """SIGTERM, wait up to `grace_s` seconds, then SIGKILL; the exit code. Cancelled meanwhile, it kills at once."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                return await self.ended()
        except TimeoutError:
            self.kill()
            return await self.ended()
        except asyncio.CancelledError:
            self.kill()
            raise


class Children:
    """The processes of one bench. `logs` is a directory for their error streams, one file a name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._death: asyncio.Future[ChildError] = asyncio.get_running_loop().create_future()

    async def spawn(
        self,
        name: str,
        argv: Sequence[str],
        cores: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        *,
        listens: bool = False,
    ) -> Child:
        """Start a program on the given cores (any, when none are given), in its own session, to die with this process.

        `environment` are its variables, this process's own when None; one that `listens` can be told lines. Raises
        OSError when the log cannot be written. A program that cannot be started shows as a child that died.
        """
        log_path = self._logs / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}.log"
        pinned = ",".join(map(str, cores)) if cores and hasattr(os, "sched_setaffinity") else "-"
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), pinned, *argv,
                stdin=asyncio.subprocess.PIPE if listens else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True, env=environment,
            )  # fmt: skip
        child = Child(name, process, log_path)
        self._children.append(child)
        watcher = asyncio.create_task(self._watch(child))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return child

    async def _watch(self, child: Child) -> None:
        await child.ended()
        if not child.asked_to_stop and not self._death.done():
            self._death.set_result(child.death())

    async def death(self) -> ChildError:
        """Wait until a child ends without having been asked to, and say which; at once if one has already."""
        return await asyncio.shield(self._death)

    def kill_all(self) -> None:
        """SIGKILL every child at once."""
        for child in self._children:
            child.kill()

    async def stop_all(self, grace_s: float) -> None:
        """Stop every child that still runs, side by side: SIGTERM, `grace_s` seconds, SIGKILL."""
        await asyncio.gather(*(child.stop(grace_s) for child in self._children if child.running))


def divide_cores(available: Sequence[int], sysfs: Path = _SYSFS_CPU) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A core for the server, and those for generators in the order to be taken: `((server,), (first, second, ...))`.

    A hardware thread of the server's own physical core comes last, for two threads of one core slow each other. With a
    single core nothing is pinned: `((), ())`.
    """
    if len(available) < 2:
        return (), ()
    server, *others = sorted(available)
    siblings = _hardware_threads(server, sysfs)
    return (server,), tuple(sorted(others, key=lambda core: (core in siblings, core)))


def _hardware_threads(core: int, sysfs: Path) -> set[int]:
    """The logical CPUs on the physical core of `core`, itself included; only itself where the system does not say."""
    try:
        text = (sysfs / f"cpu{core}" / "topology" / "thread_siblings_list").read_text()
    except OSError:
        return {core}
    threads: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        threads.update(range(int(first), int(last or first) + 1))
    return threads
