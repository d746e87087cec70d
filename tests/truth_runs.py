"""Running load against a server whose truth is known: both as processes of their own, and what each has noted."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from reports.records.samples import iter_batches
from reports.store.run import Run
from reports.store.store import RunStore


@dataclass
class TruthServer:
    """A running ``tests.truth_server``."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def stop(self) -> pd.DataFrame:
        """End it; its log by request: ``user``, ``number`` (of the user's requests), ``read``, ``replied`` (ns)."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0
        frame = pd.read_csv(self.log, sep=" ", names=["id", "read", "replied"])
        numbers = frame.pop("id").str.rsplit("-", n=2, expand=True)
        return frame.assign(user=numbers[1].astype(int), number=numbers[2].astype(int))


@contextlib.contextmanager
def truth_server(log: Path, law: str) -> Iterator[TruthServer]:
    """The server as a process of its own; killed on leaving, if it still runs."""
    command = [sys.executable, "-m", "tests.truth_server", "--law", law, "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = re.search(r"http://\S+", process.stdout.readline())
            assert ready is not None
            yield TruthServer(process, ready[0], log)
        finally:
            process.kill()


@dataclass
class LoadProcess:
    """A running load process."""

    process: subprocess.Popen[str]

    def news(self) -> dict[str, float]:
        """Its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        return json.loads(line)

    def stop(self) -> int:
        """Have it end in order; how many requests it has recorded."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=30)
        assert (self.process.returncode, err) == (0, "")
        return json.loads(out.splitlines()[-1])["recorded"]


@contextlib.contextmanager
def load_process(run_dir: Path, url: str, *flags: object) -> Iterator[LoadProcess]:
    """``python -m loadtests.generator.generate`` that is ready; killed on leaving, if it still runs."""
    command = [
        sys.executable,
        "-m",
        "loadtests.generator.generate",
        "--url",
        url,
        "--run-dir",
        str(run_dir),
        *map(str, flags),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            load = LoadProcess(process)
            assert load.news()["ready"]
            yield load
        finally:
            process.kill()
            process.communicate()


def samples(run_dir: Path) -> pd.DataFrame:
    """All samples of a run's directory, each user's requests numbered from 1 in the order of sending."""
    frame = pd.concat([batch.to_pandas() for batch in iter_batches(run_dir)], ignore_index=True)
    frame = frame.sort_values("sent_at", ignore_index=True)
    return frame.assign(number=frame.groupby("user").cumcount() + 1)


def milliseconds(nanoseconds: pd.Series) -> npt.NDArray[np.float64]:
    """A column of ns as an array of ms."""
    return nanoseconds.to_numpy(np.float64) / 1e6


def take_precedence(*processes: subprocess.Popen[str] | psutil.Process) -> None:
    """Run ahead of whatever else this machine does, where the system allows it.

    What these processes wait for a core is no error of measurement, but looks like one; they need a tenth of a core.
    """
    with contextlib.suppress(AttributeError, PermissionError):
        for process in processes:
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))


@dataclass
class Bench:
    """A running bench, and where it saves its runs."""

    process: subprocess.Popen[str]
    store: RunStore

    def runs(self) -> list[Run]:
        """Its runs so far, by arm."""
        return [self.store.open(run_id) for run_id in self.store.ids()]

    def await_phase(self, *phases: str) -> None:
        """Wait until a tick, of which there is one a second, says that a block is or was in one of these phases."""
        while not any(tick["phase"] in phases for run in self.runs() for tick in run.ticks()):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def load_process(self) -> psutil.Process:
        """The load process that runs."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if "loadtests.generator.generate" in child.cmdline())

    def end(self, *, undisturbed: bool = False) -> tuple[int, str, str]:
        """Wait for its end, its servers and load ``undisturbed`` if possible: exit code, standard output and error."""
        while undisturbed and self.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                take_precedence(*psutil.Process(self.process.pid).children())
            time.sleep(0.1)
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, out, err


@contextlib.contextmanager
def bench(runs: Path, *flags: object) -> Iterator[Bench]:
    """``python -m loadtests bench`` as a process of its own; killed on leaving, if it still runs."""
    command = [sys.executable, "-m", "loadtests", "bench", "--runs", str(runs), *map(str, flags)]
    environment = {**os.environ, "TMPDIR": str(runs.parent)}  # for the logs that a failed bench leaves
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Bench(process, RunStore(runs))
        finally:
            process.kill()
            process.communicate()
