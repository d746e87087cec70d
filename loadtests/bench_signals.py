"""What Ctrl-C and its kin do to a bench: the first asks it to end, the second hurries it, the third leaves at once."""

import asyncio
import os
import signal
from collections.abc import Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts requests to stop, as long as the event loop runs; `hurry` is called at the second, `leave` at the third.

    After the third the process ends on the spot, which harms no one else: its children die with it, and samples are on
    disk up to their last second. A signal that was ignored at the start (nohup) stays ignored.
    """

    def __init__(self, hurry: Callable[[], None], leave: Callable[[], object]) -> None:
        self._hurry = hurry
        self._leave = leave
        self._count = 0
        self._first: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            asyncio.get_running_loop().add_signal_handler(number, self._take, number)

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
