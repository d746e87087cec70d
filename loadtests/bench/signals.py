"""What Ctrl-C and its kin do to a bench: the first asks it to end, the second hurries it, the third leaves at once."""

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts requests to stop while the event loop runs; `hurry` is called at the second, `leave` at the third.

    Once the loop is closed they do nothing. After the third the process ends on the spot, which harms no one else: its
    children die with it, and samples are on disk up to their last second. A signal that was ignored at the start
    (nohup) stays ignored.
    """

    def __init__(self, hurry: Callable[[], None], leave: Callable[[], object]) -> None:
        self._hurry = hurry
        self._leave = leave
        self._count = 0
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[signal.Signals] = self._loop.create_future()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                # not by the loop, whose handlers go with it: a late signal would kill the process on its way out
                signal.signal(number, self._hand_over)

    def _hand_over(self, number: int, _frame: FrameType | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, signal.Signals(number))

    def _take(self, number: signal.Signals) -> None:
        self._count += 1
        if self._count == 1:
            self._first.set_result(number)
        elif self._count == 2:
            self._hurry()
        else:
            self._leave()
            os._exit(128 + number)

    async def first(self) -> signal.Signals:
        """Wait for the first request to stop, and say by which signal it came."""
        return await asyncio.shield(self._first)
