"""A client that answers as a test wants, for what is around a call: the modes."""

import asyncio
import threading
from collections.abc import Callable, Coroutine

from server.execution import Execution
from server.gemini.protocol import GeminiCall, GeminiReply, Usage


class StubGemini:
    """Answers with its prompt; notes in which thread, and how many calls were under way at once."""

    name = "stub"

    def __init__(self, work: Callable[[str], object] = lambda prompt: None) -> None:
        self._work = work
        self.threads: list[int] = []
        self.under_way = 0
        self.most_under_way = 0
        self.timeouts: list[float | None] = []

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        self._enter(timeout_s)
        try:
            await asyncio.sleep(0)
            self._work(call.prompt)
        finally:
            self.under_way -= 1
        return GeminiReply(call.prompt, call.model, "STOP", Usage(1, 1, 2))

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        self._enter(timeout_s)
        try:
            self._work(call.prompt)
        finally:
            self.under_way -= 1
        return GeminiReply(call.prompt, call.model, "STOP", Usage(1, 1, 2))

    async def aclose(self) -> None: ...

    def _enter(self, timeout_s: float | None) -> None:
        self.timeouts.append(timeout_s)
        self.threads.append(threading.get_ident())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)


def prompting(execution: Execution) -> Callable[[str], Coroutine[None, None, str]]:
    """Makes a call of a prompt through ``execution``, and answers with the text."""

    async def run(prompt: str) -> str:
        return (await execution.call(GeminiCall(prompt, "m"), 5.0)).text

    return run
