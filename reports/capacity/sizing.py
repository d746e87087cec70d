"""From what one server process holds to processes and hosts for many more users: arithmetic, with its assumptions said.

Nothing here was measured at those sizes. Processes are taken to share nothing, so that they add up; whatever they do
share (Gemini's quota, a balancer, a network) is listed as assumed and not as known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reports.readable import count, number

TARGETS: Final = (10_000, 100_000, 1_000_000)
"""Users (or arrivals a second) that are sized for."""

HEADROOM: Final = 0.3
"""Share of a process's measured capacity that is left free: users do not spread evenly, hosts fail."""

MEMORY_SHARE: Final = 0.8
"""Share of a host's memory that its processes may fill."""


@dataclass(frozen=True)
class Host:
    """A machine to run processes on."""

    cores: int
    memory_bytes: int


@dataclass(frozen=True)
class ProcessLoad:
    """What one server process holds within the SLO, and uses while it does. CPU in cores, memory in bytes.

    ``gemini_rps``: requests a second that went on to Gemini at that load.
    """

    capacity: int
    cores: float
    rss_bytes: int
    gemini_rps: float


@dataclass(frozen=True)
class Sizing:
    """What so much load needs; ``gemini_rps``: requests a second that Gemini must then take."""

    target: int
    processes: int
    hosts: int
    gemini_rps: float


def planned_load(process: ProcessLoad) -> int:
    """The load that a process is planned for; at least 1."""
    return max(1, math.floor(process.capacity * (1 - HEADROOM)))


def processes_per_host(process: ProcessLoad, host: Host) -> int:
    """How many fit by CPU, at the load they are planned for, and by memory, as much as was measured; at least 1."""
    by_cpu = host.cores / max(process.cores * planned_load(process) / process.capacity, 0.01)
    by_memory = host.memory_bytes * MEMORY_SHARE / max(process.rss_bytes, 1)
    return max(1, math.floor(min(by_cpu, by_memory)))


def size_for(target: int, process: ProcessLoad, host: Host) -> Sizing:
    """Processes and hosts for ``target`` users (or arrivals a second)."""
    processes = math.ceil(target / planned_load(process))
    hosts = math.ceil(processes / processes_per_host(process, host))
    return Sizing(target, processes, hosts, process.gemini_rps / process.capacity * target)


def assumptions(process: ProcessLoad, host: Host, unit: str) -> Sequence[str]:
    """What has to be true for the sizes to hold, a sentence or two each."""
    capacity, planned = count(process.capacity), count(planned_load(process))
    used = f"{number(process.cores)} cores and {number(process.rss_bytes / 1e6, 'MB')}"
    has = f"{count(host.cores)} cores and {number(host.memory_bytes / 1e9, 'GB')}"
    fits = count(processes_per_host(process, host))
    return (
        f"One process holds {capacity} {unit}, the lower end of what was measured, and uses {used} meanwhile.",
        f"It is given {planned} {unit} ({HEADROOM:.0%} headroom: load does not spread evenly, hosts fail).",
        f"A host has {has}, {MEMORY_SHARE:.0%} of that for processes: {fits} of them.",
        "Processes add up: each has its own cache, limits and breakers, and cores do not slow each other.",
        "Gemini answers as fast at any of these rates as it did here, and its quota allows them.",
        "Network, TLS, load balancer and limits on connections were not measured.",
    )
