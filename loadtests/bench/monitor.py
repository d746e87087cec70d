"""What the bench reads while load runs: CPU and memory of each process, stolen time, the server's own counters.

All readings are taken from outside (the kernel, `GET /metrics`), once a second and at the edges of a measured window,
so that they cost neither side more than a few hundred microseconds a second.
"""

import asyncio
import http.client
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)\{(?P<labels>[^}]*)\} (?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# A server on loopback is asked directly, whatever proxy the environment names.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Usage:
    """What some processes have used: CPU seconds (user and system, since their start) and resident bytes, summed."""

    time_ns: int
    cpu_s: float
    rss_bytes: int


def usage_of(pids: Sequence[int]) -> Usage | None:
    """The usage of some processes now, None if one of them is gone. CPU time has the kernel's grain, 10 ms."""
    cpu_s = 0.0
    rss_bytes = 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system
                rss_bytes += process.memory_info().rss
        except psutil.NoSuchProcess:
            return None
    return Usage(time.time_ns(), cpu_s, rss_bytes)


def cores_used(before: Usage | None, after: Usage | None) -> float:
    """CPU use between two readings of the same processes, in cores (1.0 = one core busy); 0 where nothing was read."""
    if before is None or after is None:
        return 0.0
    elapsed_s = (after.time_ns - before.time_ns) / 1e9
    return max(0.0, after.cpu_s - before.cpu_s) / elapsed_s if elapsed_s > 0 else 0.0


@dataclass(frozen=True)
class HostTime:
    """CPU seconds of the whole machine since boot: all of them, and those that the hypervisor gave to others."""

    total_s: float
    stolen_s: float


def host_time() -> HostTime:
    """The machine's CPU time now (`/proc/stat`). `stolen_s` stays 0 where the system does not report it."""
    times = psutil.cpu_times()._asdict()
    # guest time is counted in user time already (proc_stat(5))
    total_s = sum(seconds for field, seconds in times.items() if not field.startswith("guest"))
    return HostTime(total_s, times.get("steal", 0.0))


def steal_share(before: HostTime, after: HostTime) -> float:
    """Share of the machine's CPU time between two readings that was stolen, 0 to 1."""
    total_s = after.total_s - before.total_s
    return max(0.0, after.stolen_s - before.stolen_s) / total_s if total_s > 0 else 0.0


@dataclass(frozen=True)
class Edge:
    """The readings at one edge of a measured window; None for what was gone, or is not ours."""

    server: Usage | None
    generator: Usage | None
    host: HostTime


def edge(server_pid: int | None, generator_pids: Sequence[int]) -> Edge:
    """Read everything that a window is measured by; `server_pid` is None for a server that is not ours."""
    server = None if server_pid is None else usage_of([server_pid])
    return Edge(server, usage_of(generator_pids), host_time())


def window_figures(first: Edge, last: Edge, generator_cores: int = 1) -> dict[str, Any]:
    """The fields of a block that two edges give: CPU seconds of both sides, RSS, steal, and how busy generators were.

    That is their CPU time as a share of the `generator_cores` that they may run on, 1.0 being all of them. What was
    not read at both edges is left out.
    """
    figures: dict[str, Any] = {"steal": round(steal_share(first.host, last.host), 5)}
    if first.generator is not None and last.generator is not None:
        figures["generator_cpu_s"] = round(last.generator.cpu_s - first.generator.cpu_s, 3)
        figures["generator_cpu"] = round(cores_used(first.generator, last.generator) / generator_cores, 4)
    if first.server is not None and last.server is not None:
        figures["server_cpu_s"] = round(last.server.cpu_s - first.server.cpu_s, 3)
        figures["server_rss_bytes"] = last.server.rss_bytes
    return figures


@dataclass(frozen=True)
class ServerCounters:
    """What the server counts: answered requests since its start by `status/cache`, and requests in flight by state."""

    requests: dict[str, int]
    in_flight: dict[str, int]


def parse_counters(prometheus_text: str) -> ServerCounters:
    """The counters in a `/metrics` answer (Prometheus text format). Raises ValueError on a value that is no number."""
    requests: dict[str, int] = {}
    in_flight: dict[str, int] = {}
    for sample in _SAMPLE.finditer(prometheus_text):
        labels = dict(_LABEL.findall(sample["labels"]))
        if sample["name"] == "tailgate_requests_total":
            requests[f"{labels['status']}/{labels['cache']}"] = int(float(sample["value"]))
        elif sample["name"] == "tailgate_in_flight":
            in_flight[labels["state"]] = int(float(sample["value"]))
    return ServerCounters(requests, in_flight)


def counted_between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The requests counted between two readings, by `status/cache`, without those that did not change."""
    grown = {key: count - before.get(key, 0) for key, count in after.items()}
    return {key: count for key, count in grown.items() if count}


async def fetch(url: str, timeout_s: float) -> bytes:
    """The body of a GET. Raises OSError when the server answers an error, or nothing within `timeout_s` seconds."""
    return await asyncio.to_thread(_ask, url, None, timeout_s)


async def post(url: str, timeout_s: float) -> bytes:
    """The body that answers an empty POST. Raises OSError as `fetch` does."""
    return await asyncio.to_thread(_ask, url, b"", timeout_s)


def _ask(url: str, content: bytes | None, timeout_s: float) -> bytes:
    try:
        with _DIRECT.open(url, content, timeout=timeout_s) as answer:
            body: bytes = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{url} answered no proper HTTP: {error!r}") from error
    return body


async def read_counters(server_url: str, timeout_s: float = 5.0) -> ServerCounters:
    """The counters of a running server. Raises OSError when it does not answer."""
    return parse_counters((await fetch(f"{server_url}/metrics", timeout_s)).decode())
