"""The servers that are compared, each a process on a core of its own, and the CPU time that each has used."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.server_process import clean_environment

READY = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Arm:
    """One server under measurement."""

    name: str
    pid: int
    port: int

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far, ended ones included, by the kernel's clock of that process."""
        # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) in Linux: what clock_getcpuclockid gives.
        return time.clock_gettime((~self.pid << 3) | 2)


@contextmanager
def arm(name: str, *command: str, core: int | None = None, **environment: str) -> Iterator[Arm]:
    """Start ``python -m command`` and wait for its line with a URL; end it on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(**environment),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = READY.search(line)
        if ready is None:
            raise RuntimeError(f"{' '.join(command)} did not start: {line!r}")
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield Arm(name, process.pid, int(ready[1]))
    finally:
        process.terminate()
        process.communicate(timeout=20)


def cores() -> tuple[int, int]:
    """A core for the servers and one for the load; the same one twice where there is only one."""
    free = sorted(os.sched_getaffinity(0))
    return free[0], free[-1]
