"""`python -m dash_app` as processes forked from one that has imported it: an app starts in a tenth of the time.

The command itself, started as users start it, is tested in test_dash_settings.py.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["dash_app.__main__", "dash_app.app", "uvicorn"])

START_S = 60.0


@contextmanager
def serving(runs: Path, *flags: str, port: int = 0) -> Iterator[tuple[str, ForkServerProcess]]:
    """The app over ``runs``; its address, once it listens, and its process."""
    said = runs.parent / f"{runs.name}-app-{time.monotonic_ns()}.log"
    process = _FORKS.Process(target=_main, args=(["--runs", str(runs), "--port", str(port), *flags], str(said)))
    process.start()
    try:
        yield _address(process, said), process
    finally:
        process.terminate()
        process.join(10)
        assert process.exitcode is not None, "the app did not end"
        out = said.read_text()
        said.unlink()
        assert "Traceback" not in out, out


def _address(process: ForkServerProcess, said: Path) -> str:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.is_alive():
        if said.exists() and "http://" in (line := said.read_text()) and "\n" in line:
            return line.split("http://")[1].split("/")[0]
        time.sleep(0.02)
    raise AssertionError(said.read_text() if said.exists() else "the app said nothing")


def _main(argv: Sequence[str], said: str) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    from dash_app.__main__ import main  # here: only the process that forks has to have it

    sys.exit(main(list(argv)))
