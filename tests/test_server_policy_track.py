"""Track: every call is reported once, with how it ended and how long it took."""

from __future__ import annotations

import asyncio

import pytest

from server.policies.track import track
from tests.virtual_time import now, virtual_time


class Seen(list[tuple[str, float, object, BaseException | None]]):
    """A hook that keeps what it is told."""

    def __call__(self, name: str, duration_s: float, result: object, error: BaseException | None) -> None:
        self.append((name, duration_s, result, error))


@virtual_time
async def test_every_call_is_reported_once_however_it_ends() -> None:
    seen = Seen()
    bug = KeyError("bug")

    @track(on_done=seen, name="leg", clock=now)
    async def call(seconds: float, error: Exception | None = None) -> str:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return "answer"

    assert await call(1.0) == "answer"
    with pytest.raises(KeyError):
        await call(2.0, error=bug)
    task = asyncio.create_task(call(100))
    await asyncio.sleep(3.0)
    task.cancel()
    await asyncio.wait([task])
    assert seen[:2] == [("leg", 1.0, "answer", None), ("leg", 2.0, None, bug)]
    assert seen[2][:3] == ("leg", 3.0, None)
    assert isinstance(seen[2][3], asyncio.CancelledError)
    assert len(seen) == 3


@virtual_time
async def test_the_name_is_the_functions_own_unless_given() -> None:
    seen = Seen()

    @track(on_done=seen)
    async def call() -> None: ...

    await call()
    assert seen[0][0] == call.__qualname__
