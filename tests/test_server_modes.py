import asyncio
import threading
import time

import pytest

from server.errors import UpstreamError
from server.execution import AsyncExecution, BlockingExecution, SyncExecution
from server.policies.deadline import deadline
from tests.server_process import ask, local_server, server_process
from tests.stub_gemini import StubGemini, prompting

MODES = ("async", "sync", "blocking")


PROMPTS = ["a", "b", "c"]


async def test_async_runs_all_legs_at_once_on_the_loop():
    client = StubGemini()
    execution = AsyncExecution(client)

    assert await execution.fan_out(prompting(execution), PROMPTS) == PROMPTS
    assert client.most_under_way == 3
    assert set(client.threads) == {threading.get_ident()}
    assert client.timeouts == [5.0] * 3


async def test_blocking_runs_legs_one_by_one_and_nothing_else_meanwhile():
    ticks = []
    client = StubGemini(lambda prompt: time.sleep(0.02))
    execution = BlockingExecution(client)

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    before = len(ticks)
    assert await execution.fan_out(prompting(execution), PROMPTS) == PROMPTS
    assert len(ticks) == before
    ticker.cancel()
    assert client.most_under_way == 1
    assert set(client.threads) == {threading.get_ident()}


async def test_sync_runs_legs_one_by_one_in_another_thread():
    client = StubGemini()
    execution = SyncExecution(client, 2)
    worker = await execution.hold()
    try:
        assert await execution.fan_out(prompting(execution), PROMPTS) == PROMPTS
    finally:
        worker.give_back()
        execution.close()

    assert client.most_under_way == 1
    assert threading.get_ident() not in client.threads


async def test_a_worker_is_taken_until_its_thread_is_free_even_when_its_request_is_gone():
    working, go_on = threading.Event(), threading.Event()
    client = StubGemini(lambda prompt: (working.set(), go_on.wait(5)))
    execution = SyncExecution(client, 1)

    async def request() -> None:
        worker = await execution.hold()
        try:
            await prompting(execution)("p")
        finally:
            worker.give_back()

    first = asyncio.create_task(request())
    await asyncio.to_thread(working.wait, 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(request())
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(client.threads) == 1, "the second request got a worker whose thread still works for the first"
    go_on.set()
    await second
    assert len(client.threads) == 2
    execution.close()


async def test_a_worker_whose_call_was_hedged_is_free_when_both_calls_are_over():
    go_on = {"slow": threading.Event(), "slower": threading.Event()}
    client = StubGemini(lambda prompt: go_on[prompt].wait(5))
    execution = SyncExecution(client, 2)
    worker = await execution.hold()
    calls = [asyncio.create_task(prompting(execution)(prompt)) for prompt in go_on]
    while len(client.threads) < 2:  # noqa: ASYNC110  # a thread sends no event
        await asyncio.sleep(0.001)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    worker.give_back()

    await asyncio.wait_for(execution.hold(), 1)  # the second of two
    go_on["slow"].set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(execution.hold(), 0.05)
    go_on["slower"].set()
    await asyncio.wait_for(execution.hold(), 1)
    execution.close()


async def test_a_call_for_no_request_takes_a_worker_for_itself_alone():
    execution = SyncExecution(StubGemini(), 1)

    for _ in range(3):
        assert await prompting(execution)("p") == "p"
    worker = await asyncio.wait_for(execution.hold(), 1)

    worker.give_back()
    execution.close()


async def test_only_a_call_that_nothing_can_cancel_is_told_how_much_of_the_deadline_is_left():
    clients = [StubGemini() for _ in range(3)]
    executions = [AsyncExecution(clients[0]), SyncExecution(clients[1], 1), BlockingExecution(clients[2])]

    @deadline(default_s=2.0)
    async def in_time() -> None:
        for execution in executions:
            await prompting(execution)("p")

    await in_time()
    for execution in executions:
        await prompting(execution)("p")
        execution.close()

    (cancelled, without), *others = [client.timeouts for client in clients]
    assert cancelled == without == 5.0
    for left, without in others:
        assert left is not None
        assert without is not None
        assert 0.0 < left <= 2.0 < without <= 5.0


@pytest.mark.parametrize("failing", PROMPTS)
@pytest.mark.parametrize("kind", [AsyncExecution, BlockingExecution])
async def test_the_first_failure_is_raised_as_it_is(kind, failing: str):
    def fail(prompt: str) -> None:
        if prompt == failing:
            raise UpstreamError("no")

    execution = kind(StubGemini(fail))

    with pytest.raises(UpstreamError, match="no"):
        await execution.fan_out(prompting(execution), PROMPTS)


@pytest.mark.parametrize("failing", PROMPTS)
async def test_a_failure_cancels_the_other_legs_and_a_cancelled_request_all_of_them(failing: str):
    ended = []

    async def run(prompt: str) -> None:
        try:
            await asyncio.sleep(0)
            if prompt == failing:
                raise UpstreamError("no")
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(prompt)
            raise

    execution = AsyncExecution(StubGemini())
    with pytest.raises(UpstreamError, match="no"):
        await execution.fan_out(run, PROMPTS)
    assert sorted(ended) == [prompt for prompt in PROMPTS if prompt != failing]

    ended.clear()
    request = asyncio.create_task(execution.fan_out(run, [prompt for prompt in PROMPTS if prompt != failing]))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert sorted(ended) == [prompt for prompt in PROMPTS if prompt != failing]


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_says_the_same_in_every_mode(mode: str):
    async with local_server(mode=mode, mock={"profile": "20ms", "seed": 3}) as server:
        async with server.post(ask("a", "first", "second", "third")) as reply:
            answer = await reply.json()
            assert reply.status == 200, answer
        async with server.post(ask("a", "first", "second", "third")) as reply:
            again = await reply.json()

    assert [result["text"].split()[0] for result in answer["results"]] == ["first", "second", "third"]
    assert again["results"] == answer["results"]
    assert (answer["cache"], again["cache"]) == ("miss", "hit")
    gemini_ms = answer["timings_ms"]["gemini"]
    legs_ms = sum(result["latency_ms"] for result in answer["results"])
    if mode == "async":
        assert 20 <= gemini_ms < 0.7 * legs_ms, "legs did not run at once"
    else:
        assert gemini_ms >= 0.99 * legs_ms, "legs did not run one after another"


async def test_in_sync_mode_a_request_queues_for_a_worker_also_for_a_hit():
    async with local_server(mode="sync", sync_threads=1, mock={"profile": "100ms"}) as server:
        async with server.post(ask("a", "kept")) as reply:
            await reply.read()
        slow = asyncio.create_task(_ask(server, ask("a", "slow")))
        await asyncio.sleep(0.02)
        hit = await _ask(server, ask("a", "kept"))
        await slow

    assert hit["cache"] == "hit"
    assert hit["timings_ms"]["queue"] >= 50


async def test_in_sync_mode_waiting_for_a_worker_uses_up_the_deadline_of_the_request():
    """Its own, whether that is shorter than the server's or longer."""
    settings = {"mode": "sync", "sync_threads": 1, "mock": {"profile": "900ms"}, "deadline": {"default_ms": 100}}
    async with local_server(**settings) as server:
        slow = asyncio.create_task(_ask(server, ask("a", "slow", deadline_ms=10_000)))
        patient = asyncio.create_task(_ask(server, ask("a", "patient", deadline_ms=10_000)))
        await asyncio.sleep(0.02)
        began = time.monotonic()
        hurried = await _ask(server, ask("a", "hurried", deadline_ms=50))
        took_s = time.monotonic() - began
        default = await _ask(server, ask("a", "default"))
        assert [(await waited)["state"] for waited in (slow, patient)] == ["COMPLETED"] * 2

    assert 0.05 <= took_s < 0.7, "it waited as long as another's deadline, or until a worker was free"
    for problem in (hurried, default):
        assert problem["type"] == "urn:tailgate:error:deadline-exceeded"
        assert problem["status"] == 504


@pytest.mark.parametrize("mode", MODES)
async def test_a_missed_deadline_is_no_stale_answer_in_any_mode(mode: str):
    cache = {"ttl_s": 0.05, "stale_if_error_s": 100}
    async with local_server(mode=mode, cache=cache, mock={"profile": "300ms"}) as server:
        assert (await _ask(server, ask("a", "kept")))["cache"] == "miss"
        await asyncio.sleep(0.06)
        assert (await _ask(server, ask("a", "kept", deadline_ms=100)))["status"] == 504


async def _ask(server, body) -> dict:
    async with server.post(body) as reply:
        return await reply.json()


@pytest.mark.parametrize("mode", MODES)
def test_a_server_process_says_its_mode_and_drains_in_every_mode(mode: str):
    with server_process("--mode", mode) as server:
        code, stderr = server.stop()

    assert (code, stderr) == (0, "")
