"""The client's side of the wire: encoding, decoding, and the mapping of errors, whatever the bytes."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import UpstreamError, UpstreamQuotaExhausted, UpstreamUnavailable
from server.gemini.mock_requests import BadCallError, read_count, read_generate
from server.gemini.protocol import GeminiCall, GeminiReply, Parameters, Usage
from server.gemini.rest_wire import decode_answer, encode_call
from server.gemini.upstream_errors import duration_s, error_from_body, retry_after_s

CALL = GeminiCall("p", "gemini-2.5-flash")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
gemini_keys = st.sampled_from(
    [
        "candidates",
        "content",
        "parts",
        "text",
        "promptFeedback",
        "blockReason",
        "usageMetadata",
        "error",
        "details",
        "@type",
    ]
)
gemini_like = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(gemini_keys, inner, max_size=5),
    max_leaves=20,
)

parameters = st.builds(
    Parameters,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    max_output_tokens=st.none() | st.integers(1, 100_000),
    stop_sequences=st.lists(st.text(min_size=1, max_size=9), max_size=5).map(tuple),
)


def outcome(act, expected_error):
    try:
        return act()
    except expected_error as error:
        return error


@given(prompt=st.text(), parameters=parameters)
def test_the_mock_reads_what_clients_write(prompt, parameters):
    call = GeminiCall(prompt, "m", parameters)

    assert read_generate(encode_call(call), "m") == call
    assert read_count(b'{"generateContentRequest":%b}' % encode_call(call)) == prompt


@given(st.binary(max_size=200) | gemini_like.map(orjson.dumps), st.sampled_from([200, 400, 404, 429, 500, 503]))
def test_any_body_is_a_reply_or_a_typed_error(body, status):
    result = outcome(lambda: decode_answer(CALL, status, body), UpstreamError)

    if isinstance(result, UpstreamError):
        assert result.upstream_status == status
        assert "\n" not in result.detail
    else:
        assert status == 200
        assert isinstance(result.text, str)


@given(st.binary(max_size=200) | gemini_like.map(orjson.dumps))
def test_any_body_is_a_call_or_a_400(body):
    result = outcome(lambda: read_generate(body, "m"), BadCallError)

    if isinstance(result, BadCallError):
        assert orjson.loads(result.body)["error"]["code"] == 400
    else:
        assert isinstance(result.prompt, str)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(status, UpstreamUnavailable) for status in (408, 429, 500, 502, 503, 504)]
    + [(status, UpstreamError) for status in (301, 400, 401, 403, 404, 413, 499, 501, 505)],
)
def test_which_statuses_may_be_retried(status, kind):
    assert type(error_from_body(status, b"")) is kind


def error_body(*details: object) -> bytes:
    return orjson.dumps({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}})


def quota(*ids: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name} for name in ids]}


def test_a_day_quota_among_others_is_final():
    minute, day = "GenerateRequestsPerMinutePerProjectPerModel", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"

    assert type(error_from_body(429, error_body(quota(minute)))) is UpstreamUnavailable
    assert type(error_from_body(429, error_body(quota(minute, day)))) is UpstreamQuotaExhausted
    assert type(error_from_body(503, error_body(quota(day)))) is UpstreamUnavailable


def test_retry_info_goes_before_the_header():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}

    assert error_from_body(429, error_body(info), retry_after="3").retry_after_s == 45.837906927
    assert error_from_body(429, error_body(), retry_after="3").retry_after_s == 3.0
    assert error_from_body(429, error_body({**info, "retryDelay": "soon"}), retry_after="3").retry_after_s == 3.0


@given(st.floats(0, 1e9))
def test_durations(seconds):
    assert duration_s(f"{seconds:.9f}s") == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", ["", "s", "5", "5m", "-1s", "nans", "infs", "1e999s", None, 5, ["5s"]])
def test_what_is_no_duration(text):
    assert duration_s(text) is None


def test_retry_after_takes_seconds_and_dates():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert retry_after_s("120") == 120.0
    assert retry_after_s(later) == pytest.approx(100, abs=5)
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for unreadable in (None, "", "soon", "-5", "1.5", "٣"):
        assert retry_after_s(unreadable) in (None, 3.0)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("9" * 400, None),
        ("9" * 5000, None),
        ("9" * 30, 86_400.0),
        ("86401", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 -1200", 86_400.0),
        ("Fri, 01 Jan 0001 00:00:00 +1200", 0.0),
        (f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT", None),
        ("Mon, 01 Jan 10000 00:00:00 GMT", None),
        ("Mon, 01 Jan 2030 00:00:00 +999999999999", None),
    ],
)
def test_an_absurd_wait_is_none_or_a_day(header, wait_s):
    assert retry_after_s(header) == wait_s


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ (Jan|Feb) \d+ \d+:\d+:\d+ [+-]?\w*", fullmatch=True))
def test_any_retry_after_is_a_wait_or_none(header):
    wait_s = retry_after_s(header)

    assert wait_s is None or 0.0 <= wait_s <= 86_400.0


def test_a_retry_delay_is_a_day_at_most():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{10**20}s"}

    assert error_from_body(429, error_body(info)).retry_after_s == 86_400.0


def test_a_day_quota_is_not_over_in_a_minute():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "41s"}
    long = {**info, "retryDelay": "7000s"}

    for details, wait_s in (([], 3600.0), ([info], 3600.0), ([long], 7000.0)):
        error = error_from_body(429, error_body(quota("GenerateRequestsPerDay"), *details))
        assert (type(error), error.retry_after_s) == (UpstreamQuotaExhausted, wait_s)


def test_thoughts_are_output_but_not_text():
    body = {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}, "finishReason": "MAX_TOKENS"}],
        "usageMetadata": {"promptTokenCount": 2, "thoughtsTokenCount": 9, "totalTokenCount": 11},
        "modelVersion": "gemini-2.5-pro",
    }

    reply = decode_answer(CALL, 200, orjson.dumps(body))

    assert reply == GeminiReply("", "gemini-2.5-pro", "MAX_TOKENS", Usage(2, 9, 11))
