"""The bench's readings: CPU, memory and steal from the kernel, counters from the server's own page."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.monitor import (
    HostTime,
    Usage,
    cores_used,
    counted_between,
    edge,
    fetch,
    host_time,
    parse_counters,
    read_counters,
    steal_share,
    usage_of,
    window_figures,
)

METRICS = """\
# HELP tailgate_requests_total Answered requests.
# TYPE tailgate_requests_total counter
tailgate_requests_total{status="200",cache="hit"} 812
tailgate_requests_total{cache="miss",status="200"} 1.3e+02
tailgate_requests_total{status="503",cache="none"} 4.0 1764000000000
tailgate_requests_created{status="200",cache="hit"} 1.7e9
tailgate_request_duration_seconds_bucket{le="0.005"} 3
tailgate_in_flight{state="PROCESSING"} 41
tailgate_in_flight{state="QUEUED"} 0
process_cpu_seconds_total 12.4
"""


def test_counters_are_read_whatever_the_order_of_labels() -> None:
    counters = parse_counters(METRICS)
    assert counters.requests == {"200/hit": 812, "200/miss": 130, "503/none": 4}
    assert counters.in_flight == {"PROCESSING": 41, "QUEUED": 0}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 5)), st.dictionaries(st.text(max_size=3), st.integers(0, 5)))
def test_what_was_counted_between_and_before_is_what_was_counted(before: dict[str, int], new: dict[str, int]) -> None:
    after = {key: before.get(key, 0) + new.get(key, 0) for key in {*before, *new}}
    assert counted_between(before, after) == {key: count for key, count in new.items() if count}


def test_cores_used_is_cpu_time_over_wall_time() -> None:
    assert cores_used(Usage(0, 1.0, 0), Usage(2_000_000_000, 2.5, 0)) == 0.75
    assert cores_used(Usage(5, 1.0, 0), Usage(5, 2.0, 0)) == 0
    assert cores_used(Usage(0, 1.0, 0), None) == 0


def test_steal_is_a_share_of_all_cpu_time() -> None:
    assert steal_share(HostTime(100, 1), HostTime(140, 3)) == 0.05
    assert steal_share(HostTime(100, 1), HostTime(100, 1)) == 0


def test_host_time_counts_every_core_once() -> None:
    boot, before = time.time() - psutil.boot_time(), host_time()
    assert 0 <= before.stolen_s <= before.total_s
    # A core that idles is counted too, so the sum is about uptime times cores; guests counted twice would exceed it.
    assert before.total_s <= boot * psutil.cpu_count() * 1.05


def test_a_busy_child_is_seen_and_a_dead_one_is_not_taken_for_idle() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        before = edge(child.pid, [os.getpid()])
        assert child.stdout.readline() == "done\n"
        after = edge(child.pid, [os.getpid()])
        child.communicate("\n")
    figures = window_figures(before, after)
    assert 0.3 <= figures["server_cpu_s"] <= 0.6
    assert figures["server_rss_bytes"] > 1_000_000
    assert 0 <= figures["generator_cpu_s"] < 0.3
    assert usage_of([os.getpid(), child.pid]) is None
    assert "generator_cpu_s" not in window_figures(before, edge(child.pid, [child.pid]))


def test_a_server_that_is_not_ours_has_no_figures() -> None:
    figures = window_figures(edge(None, [os.getpid()]), edge(None, [os.getpid()]))
    assert not {name for name in figures if name.startswith("server")}


@pytest.fixture
def metrics_server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/metrics"
            self.send_response(200 if known else 503)
            self.end_headers()
            self.wfile.write(METRICS.encode() if known else b"")

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_live_server_is_asked(metrics_server: str) -> None:
    assert (await read_counters(metrics_server)).requests["200/hit"] == 812


async def test_an_error_and_silence_and_nonsense_are_os_errors(metrics_server: str) -> None:
    with pytest.raises(OSError, match="503"):
        await fetch(f"{metrics_server}/readyz", 5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(OSError, match="timed out"):
            await fetch(url, 0.2)

        def answer_nonsense() -> None:
            mute.accept()[0].close()  # the connection that timed out above
            connection, _ = mute.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"nonsense\r\n\r\n")

        thread = threading.Thread(target=answer_nonsense)
        thread.start()
        with pytest.raises(OSError, match="no proper HTTP"):
            await fetch(url, 5)
        thread.join()
