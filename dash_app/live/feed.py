"""The one task that reads the files of running runs, and the queues of the browsers that watch.

Nothing is read while nobody watches. Frames of the last ``KEPT_S`` are kept encoded, so that a browser that comes late,
or comes back, gets what it lacks by ``seq`` without another read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

import orjson

from dash_app.library import Library
from dash_app.live.frames import Frame, about_run, tick_frame
from reports.errors import StoreError
from reports.records.schema import Manifest
from reports.records.ticks import TickTail

LOG = logging.getLogger("dash_app")

PERIOD_S: Final = 0.25
"""How often the ticks are looked at: a tick comes once a second, so it is shown at most a quarter of one later."""

KEPT_S: Final = 900 + 60
"""The longest window of the live page, and a little for frames on their way."""

_DISCOVER_EVERY: Final = 4
"""Looks at the list of runs are dearer than looks at a file: one in so many periods."""

_NEWEST: Final = 8
"""Running runs are among the newest by name."""

_QUEUE: Final = 256
"""Frames a browser may lag behind before it is let go; it comes back and asks for the rest."""


class TooSlowError(Exception):
    """A browser did not take its frames."""


@dataclass(slots=True)
class _Followed:
    manifest: Manifest
    tail: TickTail
    frames: deque[Frame] = field(default_factory=deque)

    def read(self) -> list[Frame]:
        """New frames, kept too; none from a file that cannot be read. Call it in a thread."""
        try:
            ticks = self.tail.read_new()
        except OSError:
            return []
        fresh = [frame for tick in ticks if (frame := tick_frame(self.manifest.id, tick))]
        _keep(self.frames, fresh)
        return fresh


class Feed:
    """Broadcasts frames to subscribers. One per process, used on one event loop.

    ``server_metrics``: what follows a server's own frames while somebody watches, if a server is to be followed.
    """

    def __init__(
        self, library: Library, server_metrics: Callable[[Feed], Coroutine[None, None, None]] | None = None
    ) -> None:
        self._library = library
        self._server_metrics = server_metrics
        self._server_frames: deque[Frame] = deque()
        self._server_said = b""
        self._followed: dict[str, _Followed] = {}
        self._watchers = 0
        self._subscribers: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._about = b""

    @contextlib.asynccontextmanager
    async def subscription(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Encoded messages from now on, the list of running runs first. Raises ``TooSlowError`` in the iteration."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)
        self._watchers += 1
        if self._task is None:
            self._ready.clear()
            self._task = asyncio.create_task(self._watch())
            self._task.add_done_callback(self._watch_ended)
        try:
            await self._ready.wait()
            self._subscribers.add(queue)
            yield _drain(queue, first=[self._about, *([self._server_said] if self._server_said else [])])
        finally:
            self._watchers -= 1
            self._subscribers.discard(queue)
            if not self._watchers and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                self._followed.clear()
                self._server_frames.clear()
                await asyncio.wait([task])

    def running(self) -> list[str]:
        """The ids of the runs that go on now. Reads their manifests: call it in a thread."""
        return list(_running(self._library))

    def history(self, have: dict[str, int], seconds: float) -> list[bytes]:
        """Encoded frames of the last ``seconds`` of each running run, above the ``seq`` that the caller has of it."""
        wanted: list[bytes] = []
        for frames in (*(followed.frames for followed in self._followed.values()), self._server_frames):
            since = frames[-1].time - seconds if frames else 0.0
            wanted += [f.encoded for f in frames if f.time >= since and f.seq > have.get(f.run, -1)]
        return wanted

    def keep_server_frame(self, frame: Frame) -> None:
        """Send a frame of the followed server, and keep it for those who come late."""
        _keep(self._server_frames, [frame])
        self._send(frame.encoded)

    def say_of_server(self, text: str) -> None:
        """Tell how it stands with the followed server; empty when all is well."""
        self._server_said = orjson.dumps({"type": "server-state", "text": text})
        self._send(self._server_said)

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            if self._server_metrics is not None:
                group.create_task(self._server_metrics(self))

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        """A watch that died of a fault lets everybody go: the first to come back starts another."""
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("the live feed stopped", exc_info=error)
            self._task = None
            self._ready.set()
            for queue in self._subscribers:
                _let_go(queue)

    async def _follow(self) -> None:
        turn = 0
        while True:
            if turn % _DISCOVER_EVERY == 0:
                await self._discover()
            for followed in list(self._followed.values()):
                for frame in await asyncio.to_thread(followed.read):
                    self._send(frame.encoded)
            self._ready.set()
            turn += 1
            await asyncio.sleep(PERIOD_S)

    async def _discover(self) -> None:
        running = await asyncio.to_thread(_running, self._library)
        before = self._about
        for run_id in self._followed.keys() - running.keys():
            followed = self._followed.pop(run_id)
            for frame in await asyncio.to_thread(followed.read):
                self._send(frame.encoded)
            self._send(orjson.dumps({"type": "ended", "run": run_id}))
        for run_id, manifest in running.items():
            if run_id in self._followed:
                self._followed[run_id].manifest = manifest
            else:
                fresh = _Followed(manifest, TickTail(self._library.store.root / run_id))
                await asyncio.to_thread(fresh.read)  # what is there already is history, to be asked for
                self._followed[run_id] = fresh
        in_order = sorted((f.manifest for f in self._followed.values()), key=lambda m: (m.arm or "", m.id))
        about = [about_run(manifest) for manifest in in_order]
        self._about = orjson.dumps({"type": "runs", "runs": about})
        if self._about != before:
            self._send(self._about)

    def _send(self, encoded: bytes) -> None:
        for queue in self._subscribers:
            if queue.full():
                _let_go(queue)
            else:
                queue.put_nowait(encoded)


def _let_go(queue: asyncio.Queue[bytes | None]) -> None:
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _keep(frames: deque[Frame], fresh: list[Frame]) -> None:
    frames.extend(fresh)
    while frames and frames[-1].time - frames[0].time > KEPT_S:
        frames.popleft()


async def _drain(queue: asyncio.Queue[bytes | None], first: list[bytes]) -> AsyncIterator[bytes]:
    for message in first:
        yield message
    while True:
        fresh = await queue.get()
        if fresh is None:
            raise TooSlowError
        yield fresh


def _running(library: Library) -> dict[str, Manifest]:
    """The manifests of the runs that go on: live ones, and the other arms of their experiments, which take turns."""
    manifests: dict[str, Manifest] = {}
    live: set[str] = set()
    experiments: set[str] = set()
    for run_id in library.store.ids()[-_NEWEST:]:
        with contextlib.suppress(StoreError, OSError):
            entry = library.store.entry(run_id)
            if entry.manifest is None or entry.manifest.status != "running":
                continue
            manifests[run_id] = entry.manifest
            if entry.live:
                live.add(run_id)
                experiments |= {entry.manifest.experiment} if entry.manifest.experiment else set()
    return {
        run_id: manifest
        for run_id, manifest in manifests.items()
        if run_id in live or manifest.experiment in experiments
    }
