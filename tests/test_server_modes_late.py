"""Mode sync: what becomes of a call whose request has ended while it was in its thread, or waiting for one."""

import asyncio
import gc
import threading
from collections.abc import Callable

from server.errors import UpstreamError
from server.execution import SyncExecution
from server.gemini.protocol import GeminiCall
from server.gemini.reply_text import count_tokens
from tests.server_process import ask, exchange, local_server, until_processing
from tests.stub_gemini import StubGemini, prompting


async def _cancelled_in_its_thread(client: StubGemini, execution: SyncExecution, prompt: str) -> asyncio.Task[str]:
    """A request whose call is in a thread when it is cancelled."""
    before = len(client.threads)
    request = asyncio.create_task(prompting(execution)(prompt))
    await _until(lambda: len(client.threads) > before)
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    return request


async def _until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # a thread sends no event
        await asyncio.sleep(0.001)


async def test_a_failure_that_comes_when_its_request_is_gone_is_no_error_of_the_loop():
    go_on, told = threading.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    def fail(prompt: str) -> None:
        go_on.wait(5)
        raise UpstreamError("no")

    client = StubGemini(fail)
    execution = SyncExecution(client, 1)
    await _cancelled_in_its_thread(client, execution, "p")
    go_on.set()
    worker = await asyncio.wait_for(execution.hold(), 5)  # its thread is out of the call
    worker.give_back()
    execution.close()
    gc.collect()

    assert not told


async def test_a_reply_that_comes_when_its_request_is_gone_is_told():
    go_on, late = threading.Event(), []
    client = StubGemini(lambda prompt: go_on.wait(5))
    execution = SyncExecution(client, 1, on_late_reply=late.append)
    await _cancelled_in_its_thread(client, execution, "gone")
    assert not late
    go_on.set()
    assert await prompting(execution)("there") == "there"
    execution.close()

    assert [reply.text for reply in late] == ["gone"]


async def test_a_call_that_waits_for_a_thread_is_not_made_once_its_request_is_gone():
    go_on, late = threading.Event(), []
    client = StubGemini(lambda prompt: go_on.wait(5))
    execution = SyncExecution(client, 1, on_late_reply=late.append)
    worker = await execution.hold()
    first = asyncio.create_task(prompting(execution)("first"))
    await _until(lambda: client.threads)
    second = asyncio.create_task(prompting(execution)("second"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    go_on.set()
    assert await first == "first"
    worker.give_back()
    await asyncio.wait_for(execution.hold(), 5)
    execution.close()

    assert len(client.threads) == 1
    assert not late


async def test_the_time_that_a_call_waits_for_a_thread_is_its_own():
    go_on = threading.Event()
    client = StubGemini(lambda prompt: go_on.wait(5))
    execution = SyncExecution(client, 1)
    worker = await execution.hold()
    first = asyncio.create_task(prompting(execution)("first"))
    await _until(lambda: client.threads)
    hurried = asyncio.create_task(execution.call(GeminiCall("hurried", "m"), 0.05))
    patient = asyncio.create_task(prompting(execution)("patient"))
    await asyncio.sleep(0.1)
    go_on.set()
    await asyncio.wait([first, hurried, patient])
    worker.give_back()
    execution.close()

    assert isinstance(hurried.exception(), TimeoutError)
    assert patient.result() == "patient"
    assert len(client.timeouts) == 2
    assert 0.0 < client.timeouts[1] <= 4.9


async def test_in_sync_mode_tokens_are_counted_when_the_client_did_not_wait_for_them():
    async with local_server(mode="sync", sync_threads=1, mock={"profile": "200ms"}) as server:
        gone = asyncio.create_task(exchange(server, ask("a", "never mind")))
        await until_processing(server.session, server.url, 1)
        gone.cancel()
        await asyncio.wait([gone])
        await exchange(server, ask("a", "the next one, when the worker is free"))
        async with server.session.get(f"{server.url}/metrics") as reply:
            lines = (await reply.text()).splitlines()

    assert 'tailgate_gemini_attempts_total{outcome="ok"} 1' in lines
    assert 'tailgate_gemini_attempts_total{outcome="cancelled"} 1' in lines
    both = count_tokens("never mind") + count_tokens("the next one, when the worker is free")
    assert f'tailgate_tokens_total{{kind="prompt"}} {both}' in lines
