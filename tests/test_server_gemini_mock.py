"""The simulation and its in-process face: seeds, texts, tokens, faults by time, cancellation."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from server.errors import UpstreamBlocked, UpstreamError, UpstreamQuotaExhausted, UpstreamUnavailable
from server.gemini import simulation as simulation_module
from server.gemini.faults import FaultKind, FaultScript
from server.gemini.mock import MockGemini
from server.gemini.protocol import GeminiCall, Parameters
from server.gemini.reply_text import compose, count_tokens
from server.gemini.simulation import Plan, Simulation

MODEL = "gemini-2.5-flash"
PROMPTS = [f"prompt {number}: why is the tail longer than the median?" for number in range(50)]


def plan(simulation: Simulation, prompt: str, **parameters) -> Plan:
    planned = simulation.begin(GeminiCall(prompt, MODEL, Parameters(**parameters)))
    simulation.end()
    return planned


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# Seeds


def test_order_of_prompts_changes_nothing():
    asked = PROMPTS * 4
    shuffled = random.Random(7).sample(asked, len(asked))
    first, second = Simulation(seed=3), Simulation(seed=3)

    by_prompt = {prompt: [plan(first, prompt) for _ in range(4)] for prompt in PROMPTS}
    shuffled_by_prompt: dict[str, list[Plan]] = {prompt: [] for prompt in PROMPTS}
    for prompt in shuffled:
        shuffled_by_prompt[prompt].append(plan(second, prompt))

    assert shuffled_by_prompt == by_prompt


async def test_concurrent_calls_answer_as_calls_in_turn_do():
    calls = [GeminiCall(prompt, MODEL) for prompt in PROMPTS]
    together, in_turn = MockGemini("0.5ms", seed=3), MockGemini("0.5ms", seed=3)

    replies = await asyncio.gather(*(together.generate(call) for call in reversed(calls)))

    assert replies[::-1] == [await in_turn.generate(call) for call in calls]


def test_threads_lose_no_call():
    shared, alone = Simulation(seed=3), Simulation(seed=3)
    call = GeminiCall(PROMPTS[0], MODEL)

    with ThreadPoolExecutor(8) as pool:
        planned = Counter(pool.map(lambda _: shared.begin(call).delay_s, range(2000)))

    assert planned == Counter(plan(alone, call.prompt).delay_s for _ in range(2000))
    assert shared.asked(call.prompt) == shared.in_flight == 2000


def test_seeds_prompts_and_repeats_differ():
    delays = {plan(Simulation(seed=seed), prompt).delay_s for seed in range(20) for prompt in PROMPTS}
    again = Simulation()

    assert len(delays) == 20 * len(PROMPTS)
    assert len({plan(again, "same").delay_s for _ in range(20)}) == 20


def test_a_negative_or_huge_seed_is_a_seed_too():
    assert plan(Simulation(seed=-1), "a") == plan(Simulation(seed=2**64 - 1), "a")


def test_memory_of_prompts_is_bounded(monkeypatch):
    monkeypatch.setattr(simulation_module, "_MOST_PROMPTS", 100)
    simulation = Simulation()

    for number in range(1000):
        plan(simulation, f"prompt {number}")

    distinct, _ = simulation.asked_prompts()
    assert 75 <= distinct <= 100
    assert simulation.asked("prompt 999") == 1
    assert simulation.asked("prompt 0") == 0


# Texts


@given(prompt=st.text(max_size=200), seed=st.integers(0, 2**63))
def test_a_reply_opens_with_its_prompt_and_counts_its_tokens(prompt, seed):
    reply = plan(Simulation(seed=seed), prompt).reply

    assert reply.text.startswith(prompt[:64])
    assert reply.usage.prompt_tokens == count_tokens(prompt) >= 1
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.output_tokens
    assert reply.usage.output_tokens == -(-len(prompt[:64]) // 4) + len(reply.text[len(prompt[:64]) :].split())


@given(wanted=st.integers(1, 20_000), variant=st.integers(0, 2**64), most=st.none() | st.integers(1, 20_000))
def test_token_limits_cut_words_and_say_so(wanted, variant, most):
    text, tokens, finish = compose("x" * 64, wanted, variant, most)

    asked = max(wanted, 16)
    assert tokens == min(asked, most or asked, 16 + 8192)
    assert finish == ("MAX_TOKENS" if most is not None and asked > most else "STOP")
    assert len(text[64:].split()) == max(0, tokens - 16)


def test_stop_sequences_end_the_words():
    whole, tokens, _ = compose("abcd", 40, 0)
    third = whole.split()[3]

    text, stopped_tokens, finish = compose("abcd", 40, 0, None, ("never", third))

    assert whole.startswith(text)
    assert third not in text
    assert stopped_tokens == 1 + len(text[4:].split()) < tokens
    assert finish == "STOP"


def test_shorter_replies_are_faster():
    slow, fast = plan(Simulation("flash"), "a"), plan(Simulation("flash"), "a", max_output_tokens=1)

    assert fast.delay_s == fast.draw.ttft_ms / 1000 < slow.delay_s


# Waiting


async def test_a_timeout_ends_the_wait():
    client = MockGemini("60000ms")

    with pytest.raises(TimeoutError):
        await client.generate(GeminiCall("a", MODEL), timeout_s=0.01)
    with pytest.raises(TimeoutError):
        client.generate_blocking(GeminiCall("a", MODEL), timeout_s=0.01)


async def test_cancelled_calls_are_in_flight_no_more():
    client = MockGemini("60000ms")
    calls = [asyncio.create_task(client.generate(GeminiCall(prompt, MODEL))) for prompt in PROMPTS]
    await asyncio.sleep(0)
    assert client._simulation.in_flight == len(PROMPTS)

    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert client._simulation.in_flight == 0


async def test_both_ways_take_the_planned_time():
    client = MockGemini("30ms")
    loop = asyncio.get_running_loop()

    started = loop.time()
    await client.generate(GeminiCall("a", MODEL))
    between = loop.time()
    client.generate_blocking(GeminiCall("a", MODEL))

    assert between - started >= 0.029
    assert loop.time() - between >= 0.029


def test_load_slows_the_congested_profile():
    simulation, alone = Simulation("congested", seed=1), Simulation("congested", seed=1)
    planned = [simulation.begin(GeminiCall(prompt, MODEL)) for prompt in [f"p{number}" for number in range(400)]]

    assert planned[199].delay_s == plan(alone, "p199").delay_s
    assert planned[399].delay_s == pytest.approx(2 * plan(alone, "p399").delay_s)


# Faults


def test_faults_begin_and_end_by_the_clock():
    clock = Clock()
    script = FaultScript.parse('[[fault]]\nat_s = 20\nfor_s = 15\nkind = "unavailable"')
    simulation = Simulation(faults=script, clock=clock)

    faulty = []
    for second in (0.0, 19.999, 20.0, 34.999, 35.0, 1e6):
        clock.now = 1000.0 + second
        faulty.append(plan(simulation, "a").fault is not None)

    assert faulty == [False, False, True, True, False, False]


def test_faults_begin_anew_when_told_to():
    clock = Clock()
    simulation = Simulation(faults=FaultScript.parse('[[fault]]\nfor_s = 5\nkind = "unavailable"'), clock=clock)
    clock.now += 7
    assert plan(simulation, "a").fault is None
    simulation.restart_faults()
    clock.now += 4
    assert plan(simulation, "a").fault is not None
    clock.now += 2
    assert plan(simulation, "a").fault is None


def test_a_share_of_calls_fails_and_the_same_ones_each_time():
    script = FaultScript.parse('[[fault]]\nkind = "rate-limit"\nshare = 0.3')
    first, second = Simulation(faults=script, seed=5), Simulation(faults=script, seed=5)
    prompts = [f"prompt {number}" for number in range(5000)]

    failed = {prompt for prompt in prompts if plan(first, prompt).fault}

    assert failed == {prompt for prompt in reversed(prompts) if plan(second, prompt).fault}
    assert stats.binomtest(len(failed), 5000, 0.3).pvalue > 0.001


def test_windows_overlap_in_their_order_and_independently():
    half = '[[fault]]\nshare = 0.5\nkind = "{}"\n'
    simulation = Simulation(faults=FaultScript.parse(half.format("internal") + half.format("hang")))

    kinds = Counter(fault and fault.kind for fault in (plan(simulation, f"p{n}").fault for n in range(4000)))

    for kind, share in ((FaultKind.INTERNAL, 0.5), (FaultKind.HANG, 0.25), (None, 0.25)):
        assert stats.binomtest(kinds[kind], 4000, share).pvalue > 0.001


def test_slow_calls_are_slower_and_refusals_quicker():
    plain = plan(Simulation(), "a")
    slow = plan(Simulation(faults=FaultScript.parse('[[fault]]\nkind = "slow"\nfactor = 5')), "a")
    refused = plan(Simulation(faults=FaultScript.parse('[[fault]]\nkind = "unavailable"')), "a")

    assert slow.delay_s == pytest.approx(5 * plain.delay_s)
    assert slow.reply == plain.reply
    assert refused.delay_s < plain.delay_s / 5


@pytest.mark.parametrize("way", ["async", "blocking"])
@pytest.mark.parametrize(
    ("fault", "error", "status", "retry_after_s"),
    [
        ('kind = "rate-limit"\nretry_after_s = 45.837906927', UpstreamUnavailable, 429, 45.837906927),
        ('kind = "rate-limit"', UpstreamUnavailable, 429, None),
        ('kind = "quota"', UpstreamQuotaExhausted, 429, 3600.0),
        ('kind = "unavailable"', UpstreamUnavailable, 503, None),
        ('kind = "internal"', UpstreamUnavailable, 500, None),
        ('kind = "reset"', UpstreamUnavailable, 0, None),
        ('kind = "truncated"', UpstreamUnavailable, 200, None),
        ('kind = "malformed"', UpstreamUnavailable, 200, None),
        ('kind = "blocked"', UpstreamBlocked, 200, None),
    ],
)
async def test_each_fault_is_its_typed_error(way, fault, error, status, retry_after_s):
    client = MockGemini("zero", faults=FaultScript.parse(f"[[fault]]\n{fault}"))
    call = GeminiCall("a", MODEL)

    with pytest.raises(UpstreamError) as caught:
        await client.generate(call) if way == "async" else client.generate_blocking(call)

    assert type(caught.value) is error
    assert (caught.value.upstream_status, caught.value.retry_after_s) == (status, retry_after_s)


async def test_a_hang_lasts_until_the_timeout():
    client = MockGemini("zero", faults=FaultScript.parse('[[fault]]\nkind = "hang"'))

    with pytest.raises(TimeoutError):
        await client.generate(GeminiCall("a", MODEL), timeout_s=0.01)


def test_another_process_draws_the_same():
    script = """
from server.gemini.protocol import GeminiCall
from server.gemini.simulation import Simulation
print([Simulation("flash", seed=6).begin(GeminiCall(prompt, "m")).delay_s for prompt in ("a", "b", "c")])
"""
    here = [Simulation("flash", seed=6).begin(GeminiCall(prompt, "m")).delay_s for prompt in ("a", "b", "c")]

    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout == f"{here}\n"
