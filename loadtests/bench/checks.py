"""What can be known to go wrong before any load starts: said then, in one line."""

import resource
import shutil
import socket
import tempfile
from pathlib import Path

_FILES_BESIDE_USERS = 256  # the process's own: libraries, logs, pipes, sample files
_SPARE_BYTES = 300_000_000  # what a run asks for on disk, and some more
_BYTES_A_SAMPLE = 200  # about 90 in the stream and as many in parquet, while both are there


class BenchError(Exception):
    """A bench that cannot go on, in one line; `exit_code` is 2 for what the user typed, 1 for anything else."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def allow_open_files(users: int) -> None:
    """Raise this process's soft limit on open files, which children inherit, so that every user may hold a connection.

    Raises BenchError when the hard limit is below that.
    """
    needed = users + _FILES_BESIDE_USERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        most = hard - _FILES_BESIDE_USERS
        raise BenchError(
            f"--users {users} needs {needed} open files, but this system allows a process {hard} (ulimit -Hn): "
            f"use at most {most} users, or raise the hard limit",
            exit_code=2,
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def check_port(port: int) -> None:
    """Raise BenchError when this port of 127.0.0.1 is taken, or not allowed; 0 (any free one) passes."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BenchError(
                f"port {port} cannot be used: {error.strerror}; choose another --port, or leave it out"
            ) from None


def check_runs_directory(runs: Path, users: int, seconds: float) -> None:
    """Make the runs directory if need be. Raises BenchError where it cannot be written, or its disk is too full.

    The space asked for is 300 MB and what `users` leave in `seconds` at one request a second each.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
        free = shutil.disk_usage(runs).free
    except OSError as error:
        raise BenchError(f"runs cannot be saved in {runs}: {error.strerror}; choose another --runs directory") from None
    needed = _SPARE_BYTES + int(users * seconds * _BYTES_A_SAMPLE)
    if free < needed:
        raise BenchError(
            f"the disk of {runs} has {free / 1e6:.0f} MB free and this bench may need {needed / 1e6:.0f} MB; "
            "make room, or choose another --runs directory"
        )
