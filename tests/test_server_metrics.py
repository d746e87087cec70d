import asyncio
import json
import math
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from server.gemini.protocol import GeminiReply, Usage
from server.live_frames import FrameMaker, LiveFrames
from server.log_histogram import BINS, LogHistogram, log_bin, upper_edge_s
from server.metrics import Metrics
from server.policy_state import policy_state
from server.process_usage import ProcessUsage
from server.progress import StageSeconds
from server.prometheus import metrics_text
from server.settings import Settings
from tests.server_process import ask, listening_app, local_server

STAGES = StageSeconds(0.001, 0.002, 0.003, 0.2, 0.0, 0.004, 0.21)
SECONDS = st.floats(1e-9, 1e5)


@given(seconds=SECONDS)
def test_bins_are_those_of_the_run_on_disk(seconds: float):
    nanoseconds = seconds * 1e9
    expected = int(np.clip(np.floor(40 * np.log10(nanoseconds / 1000)), 0, 359))

    # On an edge the last digit of a float decides, and either neighbour is right.
    assert abs(log_bin(seconds) - expected) <= (
        1 if math.isclose(40 * math.log10(seconds * 1e6) % 1, 0, abs_tol=1e-9) else 0
    )


@given(seconds=st.floats(1e-6, 999.0))
def test_a_duration_lies_within_the_edges_of_its_bin(seconds: float):
    index = log_bin(seconds)

    assert upper_edge_s(index - 1) <= seconds * (1 + 1e-9)
    assert seconds <= upper_edge_s(index) * (1 + 1e-9)


@given(st.lists(SECONDS, max_size=50))
def test_a_histogram_counts_each_duration_once(durations: list[float]):
    histogram = LogHistogram()
    for duration in durations:
        histogram.add(duration)

    assert sum(histogram.counts) == len(durations)
    assert histogram.sum_s == pytest.approx(sum(durations))


def _samples(text: str) -> dict[str, float]:
    """Prometheus' text format, read strictly: each family announced once, and before its samples."""
    samples: dict[str, float] = {}
    announced = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in announced, f"{name} is announced twice"
            announced[name] = kind
            continue
        if line.startswith("# HELP "):
            continue
        sample = re.fullmatch(r'([a-z_]+)(\{(?:[a-z_]+="[^"\\\n]*",?)+\})? (\S+)', line)
        assert sample is not None, line
        name = re.sub(r"_(bucket|sum|count)$", "", sample[1]) if sample[1] not in announced else sample[1]
        assert name in announced, line
        if announced[name] == "counter":
            assert name.endswith("_total"), name
        key = sample[1] + (sample[2] or "")
        assert key not in samples, f"{key} stands twice"
        samples[key] = float(sample[3])
    return samples


def test_prometheus_text_is_well_formed_and_its_histograms_are_cumulative():
    metrics = Metrics()
    for index in range(1000):
        stages = STAGES._replace(total=1e-6 * 1.03**index)
        metrics.request_answered(200, "hit" if index % 3 else "miss", stages, 0 if index % 3 else 2)
    metrics.request_answered(429, "none", STAGES, 1)
    usage = Usage(3, 4, 7)
    metrics.attempt_ended("generate", 0.2, GeminiReply("t", "m", "STOP", usage), None)
    metrics.attempt_ended("generate", 0.2, None, OSError())
    metrics.attempt_ended("generate", 0.2, None, asyncio.CancelledError())
    settings = Settings(hedge={"enabled": True})

    samples = _samples(metrics_text(metrics, policy_state(settings), ProcessUsage()).decode())

    assert samples['tailgate_requests_total{status="200",cache="hit"}'] == 666
    assert samples['tailgate_requests_total{status="429",cache="none"}'] == 1
    assert samples['tailgate_gemini_attempts_total{outcome="ok"}'] == 1
    assert samples['tailgate_gemini_attempts_total{outcome="error"}'] == 1
    assert samples['tailgate_gemini_attempts_total{outcome="cancelled"}'] == 1
    assert samples['tailgate_tokens_total{kind="prompt"}'] == 3
    assert samples['tailgate_tokens_total{kind="output"}'] == 4
    assert samples["process_resident_memory_bytes"] > 1e6
    buckets = [
        (float(re.search(r'le="([^"]+)"', name)[1]), value)
        for name, value in samples.items()
        if name.startswith('tailgate_request_duration_seconds_bucket{status="200",cache="hit"')
    ]
    assert buckets == sorted(buckets)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1] == (math.inf, 666)
    assert samples['tailgate_request_duration_seconds_count{status="200",cache="hit"}'] == 666


def test_every_policy_can_be_off_and_the_metrics_still_hold():
    off = {"enabled": False}
    settings = Settings(
        cache=off, retry=off, rate_limit=off, circuit_breaker=off, bulkhead=off, deadline=off, hedge=off, fallback=off
    )
    state, metrics, usage = policy_state(settings), Metrics(), ProcessUsage()

    assert _samples(metrics_text(metrics, state, usage).decode())
    frame = FrameMaker(metrics, state, usage, "async").next_frame()

    assert frame["breaker"] == "off"
    assert frame["cache"] == {"entries": 0}
    json.dumps(frame, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(["hit", "miss"]), SECONDS, st.integers(0, 3), st.booleans()), max_size=60))
def test_frames_add_up_to_the_counters(history: list[tuple[str, float, int, bool]]):
    metrics = Metrics()
    maker = FrameMaker(metrics, policy_state(Settings()), ProcessUsage(), "async")
    frames = []
    for cache, seconds, attempts, frame_now in history:
        metrics.request_answered(200, cache, STAGES._replace(total=seconds), attempts)
        if frame_now:
            frames.append(maker.next_frame())
    frames.append(maker.next_frame())

    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    answered = Counter(f"200/{cache}" for cache, *_ in history)
    assert Counter(frames[-1]["requests"]) == answered
    by_bin, attempts_spent, total_ms, count = Counter(), Counter(), 0.0, 0
    for frame in frames:
        for cache, bins in frame["latency"].items():
            by_bin.update({(cache, int(index)): new for index, new in bins.items()})
        attempts_spent.update(frame["attempts"])
        total_ms += frame["stages"]["total"]["sum_ms"]
        count += frame["stages"]["total"]["n"]
    assert by_bin == Counter((cache, log_bin(seconds)) for cache, seconds, *_ in history)
    assert attempts_spent == Counter(str(attempts) for _, _, attempts, _ in history if attempts)
    assert count == len(history)
    assert total_ms == pytest.approx(sum(seconds for _, seconds, *_ in history) * 1000, abs=0.001 * len(frames))


def test_there_are_as_many_bins_as_the_format_has():
    assert len(LogHistogram().counts) == BINS == 360


FRAME_MEMBERS = {
    "seq", "t", "requests", "latency", "stages", "attempts", "in_flight", "breaker", "limiter", "bulkhead", "cache",
    "cpu_seconds", "rss_bytes", "mode",
}  # fmt: skip


async def test_two_listeners_get_the_same_frames_twice_a_second():
    async with local_server() as server:
        url = f"{server.url}/ws/metrics"
        async with server.session.ws_connect(url) as one, server.session.ws_connect(url) as other:
            loop = asyncio.get_running_loop()
            async with server.post(ask()) as reply:
                assert reply.status == 200
            frames, arrivals = [], []
            for _ in range(4):
                frames.append(await one.receive_json(timeout=5))
                arrivals.append(loop.time())
            seen = [await other.receive_json(timeout=5) for _ in range(4)]

        assert seen == frames
        assert all(set(frame) == FRAME_MEMBERS for frame in frames)
        assert [frame["seq"] for frame in frames] == list(range(frames[0]["seq"], frames[0]["seq"] + 4))
        assert sum(sum(frame["latency"].get("miss", {}).values()) for frame in frames) == 1
        assert frames[-1]["requests"] == {"200/miss": 1}
        assert frames[-1]["in_flight"] == {"QUEUED": 0, "VALIDATING": 0, "PROCESSING": 0, "RETRY": 0}
        assert 1.0 <= arrivals[-1] - arrivals[0] <= 4.0


async def test_frames_tell_who_waits_for_a_place_of_the_bulkhead():
    async with (
        local_server(bulkhead={"max_in_flight": 1}, mock={"profile": "30000ms"}) as server,
        server.session.ws_connect(f"{server.url}/ws/metrics") as listener,
    ):
        asked = [asyncio.ensure_future(server.post(ask("a", str(number)))) for number in range(3)]
        async with asyncio.timeout(5):
            while (await listener.receive_json())["bulkhead"] != {"limit": 1, "waiting": 2}:
                pass
        for request in asked:  # they leave, the one that works first
            request.cancel()
        async with asyncio.timeout(5):
            while (await listener.receive_json())["bulkhead"]["waiting"]:
                pass


class FatFrames(FrameMaker):
    """Frames that fill any socket's buffers at once."""

    def next_frame(self):
        return super().next_frame() | {"padding": "x" * 8_000_000}


@asynccontextmanager
async def fat_frames(interval_s: float) -> AsyncIterator[tuple[LiveFrames, aiohttp.ClientWebSocketResponse]]:
    """Frames that go to a listener who never reads and to one who does; the latter's end."""
    frames = LiveFrames(FatFrames(Metrics(), policy_state(Settings()), ProcessUsage(), "async"), interval_s=interval_s)
    app = web.Application()
    app.router.add_get("/", frames.listen)
    loop = asyncio.get_running_loop()
    async with listening_app(app) as url, aiohttp.ClientSession() as session:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, ("127.0.0.1", int(url.rpartition(":")[2])))
            await loop.sock_sendall(
                deaf,
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            assert (await loop.sock_recv(deaf, 12)).startswith(b"HTTP/1.1 101")
            async with session.ws_connect(url, max_msg_size=0) as good:
                assert frames.listeners == 2
                yield frames, good


async def test_a_listener_who_does_not_read_is_cut_off_and_the_others_miss_nothing():
    async with asyncio.timeout(20), fat_frames(interval_s=0.1) as (frames, good):
        numbers = [(await good.receive_json())["seq"]]
        while frames.listeners == 2:
            numbers.append((await good.receive_json())["seq"])
        numbers += [(await good.receive_json())["seq"] for _ in range(3)]

    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_listener_who_does_not_read_does_not_hold_up_the_end():
    async with fat_frames(interval_s=2.0) as (frames, good):
        await good.receive_json(timeout=10)
        assert frames.listeners == 2
        async with asyncio.timeout(5):
            await asyncio.gather(frames.close(), good.receive())


async def test_no_burst_of_frames_comes_after_a_stall():
    async with local_server() as server, server.session.ws_connect(f"{server.url}/ws/metrics") as listener:
        await listener.receive_json(timeout=5)
        time.sleep(1.6)  # noqa: ASYNC251  # the stall
        loop = asyncio.get_running_loop()
        arrivals = []
        for _ in range(3):
            await listener.receive_json(timeout=5)
            arrivals.append(loop.time())

    assert arrivals[-1] - arrivals[0] >= 0.8


async def test_nothing_ticks_when_nobody_listens():
    async with local_server() as server:
        async with server.session.ws_connect(f"{server.url}/ws/metrics") as socket:
            await socket.receive_json(timeout=5)
            assert server.app.frames.listeners == 1
        for _ in range(100):
            if server.app.frames.listeners == 0:
                break
            await asyncio.sleep(0.01)

        assert server.app.frames.listeners == 0
        assert not server.app.frames.ticking


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), ("http://dash.example", 101), (None, 101)]
)
async def test_pages_of_unlisted_origins_cannot_listen(origin: str | None, status: int):
    async with local_server(cors_origins=["http://dash.example"]) as server:
        headers = {"Origin": origin} if origin else {}
        try:
            async with server.session.ws_connect(f"{server.url}/ws/metrics", headers=headers):
                answered = 101
        except aiohttp.WSServerHandshakeError as refusal:
            answered = refusal.status

    assert answered == status
