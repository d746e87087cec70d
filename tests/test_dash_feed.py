"""The live feed: frames of running runs to whoever watches, by seq, and nobody held up by a slow one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from dash_app.library import Library
from dash_app.live import feed as feed_module
from dash_app.live import server_metrics
from dash_app.live.feed import Feed, TooSlowError
from dash_app.live.frames import FAILED, HIT, MISS, tick_frame
from tests.dash_fixtures import Traffic, live_run

TRAFFIC = Traffic(seconds=20, rate=100, storm=(5, 10))


async def collected(messages: Any, number: int) -> list[dict[str, Any]]:
    """The next ``number`` messages."""
    async with asyncio.timeout(5):
        return [orjson.loads(await anext(messages)) for _ in range(number)]


def test_a_frame_holds_what_its_tick_counts(tmp_path: Path) -> None:
    run = live_run(tmp_path, TRAFFIC)
    run.write(15)
    kinds = {HIT: 0, MISS: 0, FAILED: 0}
    attempts = 0
    for tick in run.written:
        frame = tick_frame("x", tick)
        assert frame is not None
        cells = orjson.loads(frame.encoded)["cells"]
        for i in range(0, len(cells), 5):
            kinds[cells[i + 1]] += cells[i + 4]
            attempts += cells[i + 2] * cells[i + 4]
    assert kinds[HIT] == run.count(cache="hit", error="")
    assert kinds[MISS] == sum(run.count(cache=cache, error="") for cache in ("miss", "collapsed"))
    assert kinds[FAILED] == run.count() - kinds[HIT] - kinds[MISS] > 0
    assert attempts == sum(row[4] * row[9] for tick in run.written for row in tick["cells"])


@pytest.mark.parametrize(
    "tick",
    [{}, {"seq": 1}, {"seq": "x", "t": 0, "time": 0}, {"seq": 1, "t": 1, "time": 1, "cells": [[1, 2]]},
     {"seq": 1, "t": 1, "time": 1, "cells": 3}, {"seq": 1, "t": 1, "time": 1, "server": [1]}],
)  # fmt: skip
def test_what_is_no_tick_is_left_out(tick: dict[str, Any]) -> None:
    assert tick_frame("x", tick) is None


async def test_history_and_stream_together_lack_nothing(tmp_path: Path) -> None:
    run = live_run(tmp_path, TRAFFIC)
    run.write(8)
    feed = Feed(Library(tmp_path))
    async with feed.subscription() as messages:
        first = (await collected(messages, 1))[0]
        assert [about["id"] for about in first["runs"]] == [run.writer.id]
        seqs = [orjson.loads(frame)["seq"] for frame in feed.history({}, 900)]
        assert seqs == list(range(8))
        assert [orjson.loads(f)["seq"] for f in feed.history({run.writer.id: 5}, 900)] == [6, 7]
        assert [orjson.loads(f)["seq"] for f in feed.history({}, 2.5)] == [5, 6, 7]
        run.write(4)
        async with asyncio.timeout(5):
            fresh: list[int] = []
            while len(fresh) < 4:
                message = orjson.loads(await anext(messages))
                fresh += [message["seq"]] if message["type"] == "tick" and message["seq"] >= 8 else []
        assert fresh == [8, 9, 10, 11]


async def test_a_long_history_is_asked_for_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent as frames, it would fill the queue of every browser, which would be let go, come back, and be let go."""
    monkeypatch.setattr(feed_module, "_QUEUE", 4)
    run = live_run(tmp_path, TRAFFIC)
    run.write(15)
    feed = Feed(Library(tmp_path))
    async with feed.subscription() as messages:
        assert len(feed.history({}, 900)) == 15
        run.write(1)
        assert [message["type"] for message in await collected(messages, 2)] == ["runs", "tick"]


async def test_a_torn_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    run = live_run(tmp_path, TRAFFIC)
    run.write(2)
    ticks = run.writer.directory / "ticks.jsonl"
    whole = orjson.dumps(run.coming[0]) + b"\n"
    with ticks.open("ab") as file:
        file.write(whole[:40])
    feed = Feed(Library(tmp_path))
    async with feed.subscription():
        assert len(feed.history({}, 900)) == 2
        with ticks.open("ab") as file:
            file.write(whole[40:])
        await kept(feed, 3)


async def test_the_end_of_a_run_and_its_removal_are_told(tmp_path: Path) -> None:
    import shutil

    run, other = live_run(tmp_path, TRAFFIC), live_run(tmp_path, TRAFFIC, mode="sync")
    run.write(3)
    feed = Feed(Library(tmp_path))
    async with feed.subscription() as messages:
        assert len((await collected(messages, 1))[0]["runs"]) == 2
        run.end()
        shutil.rmtree(other.writer.directory)
        ended: set[str] = set()
        async with asyncio.timeout(5):
            while len(ended) < 2:
                message = orjson.loads(await anext(messages))
                ended |= {message["run"]} if message["type"] == "ended" else set()
        assert ended == {run.writer.id, other.writer.id}


async def test_nothing_is_read_while_nobody_watches(tmp_path: Path) -> None:
    run = live_run(tmp_path, TRAFFIC)
    run.write(3)
    feed = Feed(Library(tmp_path))
    async with feed.subscription():
        assert len(feed.history({}, 900)) == 3
    assert feed.history({}, 900) == []
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_browser_that_takes_nothing_is_let_go_and_the_others_are_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_QUEUE", 4)
    feed = Feed(Library(tmp_path))
    async with feed.subscription() as slow, feed.subscription() as quick:
        await collected(quick, 1)
        for number in range(10):
            feed.say_of_server(str(number))
            assert (await collected(quick, 1))[0]["text"] == str(number)
        await collected(slow, 1)
        with pytest.raises(TooSlowError):
            await collected(slow, 10)


def metrics(seq: int, **more: Any) -> dict[str, Any]:
    """A frame as docs/wire.md has it."""
    return {
        "seq": seq, "t": 1000.0 + seq / 2, "requests": {"200/hit": 10 * seq, "200/miss": 5 * seq, "429/none": seq},
        "latency": {"hit": {"57": 10}, "miss": {"120": 5}}, "stages": {"queue": {"n": 5, "sum_ms": 0.2}},
        "attempts": {"1": 4, "2": 1}, "in_flight": {"QUEUED": 0, "PROCESSING": 41}, "breaker": "closed",
        "limiter": {"tokens": 1990.0, "waiting": 0}, "cache": {"entries": 512}, "cpu_seconds": 12.0 + 0.2 * seq,
        "rss_bytes": 91234304, "mode": "async", **more,
    }  # fmt: skip


async def test_a_server_that_is_followed_becomes_frames(tmp_path: Path) -> None:
    subscribed = asyncio.Event()  # what is said before that is history, not news

    async def speak(connection: ServerConnection) -> None:
        await subscribed.wait()
        for seq in range(4):
            await connection.send(json.dumps(metrics(seq)))
        await connection.wait_closed()

    async with serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        feed = Feed(Library(tmp_path), lambda feed: server_metrics.follow(feed, f"http://127.0.0.1:{port}"))
        async with feed.subscription() as messages:
            subscribed.set()
            frames: list[dict[str, Any]] = []
            async with asyncio.timeout(5):
                while len(frames) < 3:
                    message = orjson.loads(await anext(messages))
                    frames += [message] if message["type"] == "server" else []
            assert [frame["seq"] for frame in frames] == [0, 1, 2]
            assert frames[0]["hit"] == [57, 10]
            assert (frames[0]["ended"], frames[0]["failed"]) == (16, 1)
            assert frames[0]["cpu"] == pytest.approx(0.4)
            assert len(feed.history({}, 900)) == 3


@pytest.mark.parametrize("said", ["not json", "[]", json.dumps(metrics(1, latency={"hit": {"x": 1}})), "{}"])
async def test_a_server_that_speaks_nonsense_is_told_and_the_feed_goes_on(tmp_path: Path, said: str) -> None:
    async def speak(connection: ServerConnection) -> None:
        await connection.send(said)
        await connection.wait_closed()

    run = live_run(tmp_path, TRAFFIC)
    async with serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        feed = Feed(Library(tmp_path), lambda feed: server_metrics.follow(feed, f"http://127.0.0.1:{port}"))
        async with feed.subscription() as messages:
            assert "another language" in await server_text(messages)
            run.write(2)
            await kept(feed, 2)


async def test_a_server_that_is_down_is_told(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    feed = Feed(Library(tmp_path), lambda feed: server_metrics.follow(feed, url))
    async with feed.subscription() as messages:
        assert url in await server_text(messages)


async def kept(feed: Feed, number: int) -> None:
    """Wait until the feed has kept so many frames; nothing is sent that could be waited for."""
    for _ in range(250):
        if len(feed.history({}, 900)) >= number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"fewer than {number} frames kept")


async def server_text(messages: Any) -> str:
    """The first thing said of the server that is not "all is well"."""
    async with asyncio.timeout(5):
        while True:
            message = orjson.loads(await anext(messages))
            if message["type"] == "server-state" and message["text"]:
                return str(message["text"])
