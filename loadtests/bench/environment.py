"""Where a bench ran: machine, interpreter, packages. Kept with every run."""

import hashlib
import platform
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from reports.records.schema import Environment

_PACKAGES = ("aiohttp", "gevent", "httptools", "locust", "numpy", "orjson", "pyarrow", "pydantic", "uvloop")


def environment(affinity: Mapping[str, Sequence[int]]) -> Environment:
    """This machine, and the CPU numbers that the processes of each role were pinned to."""
    cpu_model = _cpu_model()
    cpu_count = psutil.cpu_count() or 1
    memory_bytes = psutil.virtual_memory().total
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu_model=cpu_model,
        cpu_count=cpu_count,
        affinity={role: list(cores) for role, cores in affinity.items() if cores},
        memory_bytes=memory_bytes,
        machine_id=_machine_id(cpu_model, cpu_count),
        packages=_package_versions(),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _machine_id(cpu_model: str, cpu_count: int) -> str:
    """A token that is the same on this machine and tells nothing about it.

    The CPU is part of it: a virtual machine moved to another kind of host is another machine to a benchmark.
    """
    try:
        identity = Path("/etc/machine-id").read_text().strip()
    except OSError:
        identity = f"{uuid.getnode():x}"
    return hashlib.sha256(f"{identity}|{cpu_model}|{cpu_count}".encode()).hexdigest()[:16]


def _package_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
