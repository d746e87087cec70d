import inspect
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.answers import LegReply, aggregate, identity_of, legs_of
from server.errors import InvalidRequest, MalformedRequest, RequestError, TailgateError
from server.gemini.protocol import GeminiReply, Parameters, Usage
from server.models import PromptResult, TokenUsage
from server.openapi import openapi
from server.request_body import parse_request, understanding

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
REQUESTS = st.fixed_dictionaries(
    {"agent_id": TEXT, "prompts": st.lists(TEXT, min_size=1, max_size=8)},
    optional={
        "model": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 2) | st.integers(0, 2),
                "top_p": st.floats(0, 1),
                "max_output_tokens": st.integers(1, 65_536),
                "stop_sequences": st.lists(TEXT, max_size=5),
            },
        ),
        "deadline_ms": st.integers(1, 600_000),
        "metadata": st.dictionaries(TEXT, TEXT, max_size=5) | st.none(),
    },
)


@given(asked=REQUESTS, ascii_only=st.booleans())
def test_every_valid_request_is_understood_as_it_was_said(asked: dict, ascii_only: bool):
    request = parse_request(json.dumps(asked, ensure_ascii=ascii_only).encode())

    assert request.agent_id == asked["agent_id"]
    assert list(request.prompts) == asked["prompts"]
    assert request.model == asked.get("model")
    assert request.deadline_ms == asked.get("deadline_ms")
    assert request.metadata == asked.get("metadata")
    assert request.parameters.temperature == asked.get("parameters", {}).get("temperature")
    assert list(request.parameters.stop_sequences) == asked.get("parameters", {}).get("stop_sequences", [])


@given(asked=REQUESTS, data=st.data())
def test_a_name_that_stands_twice_is_refused_wherever_it_stands(asked: dict, data: st.DataObject):
    objects = [asked] + [asked[name] for name in ("parameters", "metadata") if asked.get(name)]
    chosen = data.draw(st.sampled_from(range(len(objects))))
    name = data.draw(st.sampled_from(sorted(objects[chosen])))
    members = [(key, value) for key, value in objects[chosen].items()] + [(name, objects[chosen][name])]
    doubled = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members) + "}"
    whole = doubled
    if chosen:
        parent = "parameters" if objects[chosen] is asked.get("parameters") else "metadata"
        others = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in asked.items() if key != parent]
        whole = "{" + ",".join([*others, f'"{parent}":{doubled}']) + "}"

    with pytest.raises(MalformedRequest):
        parse_request(whole.encode())


MINIMAL = '{"agent_id":"a","prompts":["p"]%s}'
REFUSED = {
    "empty body": ("", MalformedRequest, None),
    "cut short": ('{"agent_id":"a"', MalformedRequest, None),
    "two values": (MINIMAL % "" + "{}", MalformedRequest, None),
    "a byte order mark": ("\ufeff" + MINIMAL % "", MalformedRequest, None),
    "deep": ("[" * 100_000, MalformedRequest, None),
    "deep and closed": ('{"a":' * 5000 + "1" + "}" * 5000, MalformedRequest, None),
    "lone surrogate": ('{"agent_id":"a","prompts":["\\ud800"]}', MalformedRequest, None),
    "control character": ('{"agent_id":"a\n","prompts":["p"]}', MalformedRequest, None),
    "a number of 5000 digits": (MINIMAL % f',"deadline_ms":{"9" * 5000}', MalformedRequest, None),
    "not an object": ("[]", InvalidRequest, ""),
    "null": ("null", InvalidRequest, ""),
    "NaN": (MINIMAL % ',"parameters":{"temperature":NaN}', InvalidRequest, "parameters.temperature"),
    "Infinity": (MINIMAL % ',"parameters":{"top_p":-Infinity}', InvalidRequest, "parameters.top_p"),
    "infinite by size": (MINIMAL % ',"parameters":{"top_p":1e999}', InvalidRequest, "parameters.top_p"),
    "no prompts": ('{"agent_id":"a"}', InvalidRequest, "prompts"),
    "nine prompts": (json.dumps({"agent_id": "a", "prompts": ["p"] * 9}), InvalidRequest, "prompts"),
    "empty prompt": ('{"agent_id":"a","prompts":["p",""]}', InvalidRequest, "prompts.1"),
    "number for a prompt": ('{"agent_id":"a","prompts":[1]}', InvalidRequest, "prompts.0"),
    "string for prompts": ('{"agent_id":"a","prompts":"p"}', InvalidRequest, "prompts"),
    "empty agent": ('{"agent_id":"","prompts":["p"]}', InvalidRequest, "agent_id"),
    "agent of 129": (json.dumps({"agent_id": "a" * 129, "prompts": ["p"]}), InvalidRequest, "agent_id"),
    "unknown field": (MINIMAL % ',"prompt":"p"', InvalidRequest, "prompt"),
    "unknown parameter": (MINIMAL % ',"parameters":{"top_k":1}', InvalidRequest, "parameters.top_k"),
    "model that climbs": (MINIMAL % ',"model":"../v1/files"', InvalidRequest, "model"),
    "model with a newline": (MINIMAL % ',"model":"gemini\\n"', InvalidRequest, "model"),
    "string for a number": (MINIMAL % ',"deadline_ms":"1"', InvalidRequest, "deadline_ms"),
    "a fraction": (MINIMAL % ',"deadline_ms":1.5', InvalidRequest, "deadline_ms"),
    "boolean for a number": (MINIMAL % ',"deadline_ms":true', InvalidRequest, "deadline_ms"),
    "deadline of nothing": (MINIMAL % ',"deadline_ms":0', InvalidRequest, "deadline_ms"),
    "metadata that is no string": (MINIMAL % ',"metadata":{"a":1}', InvalidRequest, "metadata.a"),
}


@pytest.mark.parametrize(("body", "kind", "loc"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_a_request_is_refused_at_the_field(body: str, kind: type, loc: str | None):
    with pytest.raises(kind) as refusal:
        parse_request(body.encode())

    if loc is not None:
        assert refusal.value.errors[0].loc == loc


@pytest.mark.parametrize("body", [b"\xff\xfe{", '{"agent_id":"a"}'.encode("utf-16"), b'{"a":"\xed\xa0\x80"}'])
def test_bytes_that_are_not_utf8_are_refused(body: bytes):
    with pytest.raises(MalformedRequest):
        parse_request(body)


def test_all_wrong_fields_are_reported_at_once():
    with pytest.raises(InvalidRequest) as refusal:
        parse_request(b'{"agent_id":1,"prompts":["x",2],"zzz":1}')

    assert {error.loc for error in refusal.value.errors} == {"agent_id", "prompts.1", "zzz"}


def test_a_wrong_item_is_not_a_fault_of_its_list_too():
    with pytest.raises(InvalidRequest) as refusal:
        parse_request(b'{"agent_id":"a","prompts":[1]}')

    assert [error.loc for error in refusal.value.errors] == ["prompts.0"]


def test_a_whole_number_may_be_written_with_a_point():
    request = parse_request((MINIMAL % ',"deadline_ms":8e3,"parameters":{"max_output_tokens":5.0}').encode())

    assert (request.deadline_ms, request.parameters.max_output_tokens) == (8000, 5)
    assert type(request.deadline_ms) is int


def _identity(**members: object) -> tuple[str, bytes]:
    body = {"agent_id": "a", "prompts": ["p", "q"]} | members
    return identity_of("gemini-2.5-flash", shared=False)(parse_request(orjson.dumps(body)))


def test_the_cache_key_changes_with_all_that_changes_the_answer():
    changes = [
        {},
        {"agent_id": "b"},
        {"prompts": ["q", "p"]},
        {"prompts": ["pq"]},
        {"model": "gemini-2.5-pro"},
        {"parameters": {"temperature": 0.5}},
        {"parameters": {"top_p": 0.5}},
        {"parameters": {"max_output_tokens": 5}},
        {"parameters": {"stop_sequences": ["p"]}},
    ]

    assert len({_identity(**change) for change in changes}) == len(changes)


def test_the_cache_key_does_not_change_with_what_does_not_change_the_answer():
    same = [{}, {"model": "gemini-2.5-flash"}, {"parameters": {}}, {"deadline_ms": 5}, {"metadata": {"a": "b"}}]

    assert len({_identity(**each) for each in same}) == 1


def test_shared_answers_belong_to_no_agent():
    shared = identity_of("m", shared=True)
    one, other = (parse_request(orjson.dumps({"agent_id": each, "prompts": ["p"]})) for each in "ab")

    assert shared(one) == shared(other)


def test_legs_carry_prompts_in_order_with_the_requests_parameters():
    request = parse_request(
        b'{"agent_id":"a","prompts":["p","q"],"parameters":{"temperature":1,"stop_sequences":["x"]}}'
    )

    legs = legs_of(request, "gemini-default")

    assert [leg.call.prompt for leg in legs] == ["p", "q"]
    assert {leg.call.model for leg in legs} == {"gemini-default"}
    assert legs[0].call.parameters == Parameters(temperature=1.0, stop_sequences=("x",))


@given(texts=st.lists(TEXT, min_size=1, max_size=8), tokens=st.lists(st.integers(0, 10**6), min_size=8, max_size=8))
def test_an_answer_is_what_the_models_say_and_sums_its_legs(texts: list[str], tokens: list[int]):
    legs = [
        LegReply(GeminiReply(text, "m", "STOP", Usage(each, each + 1, 2 * each + 1)), 2, 12.34567)
        for text, each in zip(texts, tokens, strict=False)
    ]

    members = json.loads(b"{" + aggregate(legs).json + b"}")

    results = [PromptResult.model_validate(result) for result in members["results"]]
    assert [result.text for result in results] == texts
    assert {result.attempts for result in results} == {2}
    assert math.isclose(results[0].latency_ms, 12.346)
    usage = TokenUsage.model_validate(members["usage"])
    assert usage.prompt_tokens == sum(tokens[: len(texts)])
    assert usage.total_tokens == usage.prompt_tokens + usage.output_tokens
    assert members["text"] == "\n\n".join(texts)


def test_a_body_that_came_before_is_understood_the_same_and_in_the_end_not_anew():
    understand = understanding(identity_of("m", shared=False))
    body = orjson.dumps({"agent_id": "a", "prompts": ["p"]})

    first, second, third = (understand(bytes(bytearray(body))) for _ in range(3))

    assert first == second == third
    assert third[0] is second[0]
    assert first[0] is not second[0]


def test_what_is_remembered_of_bodies_is_bounded_and_never_of_another():
    understand = understanding(identity_of("m", shared=False))
    bodies = [orjson.dumps({"agent_id": f"a{n}", "prompts": ["p"]}) for n in range(5000)]

    for _ in range(3):
        for n, body in enumerate(bodies):
            request, key = understand(body)
            assert request.agent_id == key[0] == f"a{n}"

    kept = inspect.getclosurevars(understand).nonlocals
    assert len(kept["remembered"]) <= 2048
    assert len(kept["came_once"]) <= 8 * 2048


def test_a_body_that_is_refused_is_refused_again():
    understand = understanding(identity_of("m", shared=False))

    for _ in range(3):
        with pytest.raises(InvalidRequest):
            understand(b"{}")


def test_the_page_about_the_wire_has_each_problem_with_its_status():
    def kinds(base: type[TailgateError]) -> Iterator[type[TailgateError]]:
        yield base
        for kind in base.__subclasses__():
            if kind.__module__ == base.__module__:
                yield from kinds(kind)

    page = (Path(__file__).parents[1] / "docs" / "wire.md").read_text()
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \| (`.*) \|$", page, re.MULTILINE)
    documented = {name: statuses for statuses, names in rows for name in re.findall(r"`([a-z-]+)`", names)}
    said = {kind.problem: str(kind.status) for kind in kinds(TailgateError) if kind is not RequestError}

    assert {name for name, status in said.items() if status not in documented.get(name, "")} == set()
    elsewhere = {"no-websocket", "forbidden-origin", "not-found"}
    described = set(openapi(needs_key=True)["paths"]["/process"]["post"]["responses"])
    assert described == {"200"} | {status for name, status in said.items() if name not in elsewhere}
