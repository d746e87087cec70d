"""The recorder writes what was measured, to the nanosecond, whatever headers a server has or has not."""

import math
import re
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.generator.recorder import BATCH_ROWS, Recorder
from loadtests.generator.reply import cache_outcome, echoes, error_name, stage_durations, token_counts, usage
from reports.records.error_bodies import KEPT, MOST_BYTES, MOST_KINDS, read_error_bodies
from reports.records.samples import iter_batches
from reports.records.schema import SAMPLE_SCHEMA, STAGES

TIMING = (
    b"queue;dur=0.012, validate;dur=0.101, cache;dur=0.004, gemini;dur=212.500, "
    b"backoff;dur=1.250, aggregate;dur=0.030, total;dur=213.897"
)


def a_row(number=0, error="", timing=TIMING, cache=b"tailgate; hit; ttl=271", attempts=b"2", status=200, tokens=b""):
    start = 1_000_000_000 + number * 1_000
    tokens = tokens or b'"usage":{"prompt_tokens":9,"output_tokens":41,"total_tokens":50'
    return (start, start + 17, start + 1_234_567_908, status, error, timing, cache, attempts, tokens, 321, number, 5)


def read(directory):
    return pa.Table.from_batches(iter_batches(directory), schema=SAMPLE_SCHEMA).to_pylist()


def test_a_row_comes_back_to_the_nanosecond(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", block=3)
    recorder.record(a_row(number=8))
    recorder.close()
    (sample,) = read(tmp_path)
    offset = recorder.epoch_offset_ns
    stages = {stage: sample.pop(f"{stage}_ms") for stage in STAGES}
    assert sample == {
        "scheduled_at": 1_000_008_000 + offset, "sent_at": 1_000_008_017 + offset, "latency_ns": 1_234_567_891,
        "status": 200, "error": "", "scenario": "steady", "block": 3, "cache": "hit", "attempts": 2, "bytes": 321,
        "user": 8, "item": 5, "prompt_tokens": 9, "output_tokens": 41,
    }  # fmt: skip
    assert stages == pytest.approx(
        {"queue": 0.012, "validate": 0.101, "cache": 0.004, "gemini": 212.5, "backoff": 1.25, "aggregate": 0.03,
         "total": 213.897}
    )  # fmt: skip


def test_times_are_anchored_to_the_wall_clock(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", 0)
    assert time.perf_counter_ns() + recorder.epoch_offset_ns == pytest.approx(time.time_ns(), abs=50_000_000)
    recorder.close()


def test_what_a_foreign_server_does_not_say_is_absent_not_zero(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", 0)
    recorder.record(a_row(timing=None, cache=None, attempts=None, tokens=b"nothing of the kind"))
    recorder.record(a_row(timing=b"db;dur=3, total;dur=7.5, app", attempts=b"many", cache=b"x; nonsense"))
    recorder.close()
    silent, odd = read(tmp_path)
    assert all(math.isnan(silent[f"{stage}_ms"]) for stage in STAGES)
    assert (silent["cache"], silent["attempts"], silent["prompt_tokens"]) == ("none", -1, -1)
    assert odd["total_ms"] == 7.5
    assert math.isnan(odd["queue_ms"])
    assert (odd["cache"], odd["attempts"], odd["output_tokens"]) == ("none", -1, 41)


def test_errors_that_turn_up_later_keep_the_names_of_those_before(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", 0)
    names = ["", "timeout", "", "rate-limited", "reset", "timeout", "http-418"]
    for number, name in enumerate(names):
        recorder.record(a_row(number, error=name, status=0 if name else 200))
        recorder.flush()
    recorder.close()
    assert [sample["error"] for sample in read(tmp_path)] == names
    assert recorder.failures == 5


def test_full_batches_are_on_disk_at_once_the_rest_when_flushed(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", 0)
    seen = []
    recorder.on_batch = lambda rows: seen.append(len(rows))
    for number in range(BATCH_ROWS * 2 + 10):
        recorder.record(a_row(number))
    assert len(read(tmp_path)) == BATCH_ROWS * 2
    assert recorder.recorded == BATCH_ROWS * 2 + 10
    recorder.flush()
    assert [sample["user"] for sample in read(tmp_path)] == list(range(BATCH_ROWS * 2 + 10))
    assert seen == [BATCH_ROWS, BATCH_ROWS, 10]
    recorder.flush()
    recorder.close()
    assert recorder.recorded == len(read(tmp_path)) == BATCH_ROWS * 2 + 10


def test_one_process_cannot_write_over_anothers_samples(tmp_path):
    Recorder(tmp_path, 1, "steady", 0).close()
    with pytest.raises(FileExistsError):
        Recorder(tmp_path, 1, "steady", 0)


number = st.integers(0, 10_000_000).map(lambda value: value / 1000)
canonical = st.lists(number, min_size=7, max_size=7).map(
    lambda values: ", ".join(f"{stage};dur={value:.3f}" for stage, value in zip(STAGES, values, strict=True)).encode()
)
foreign = st.sampled_from(
    [
        None,
        b"",
        b"queue",
        b"queue;dur=",
        b'cache;desc="a, b;dur=9";dur=2.5',
        b"total ; dur = 4",
        b"gemini;dur=1.2.3",
        b"TOTAL;DUR=5",
        b"miss, db;dur=53, aggregate;dur=47.2",
        TIMING.replace(b"dur=0.012", b"dur="),
        TIMING.replace(b"0.012", b"012"),
    ]
)


def one_stage(header, stage):
    """The oracle: one header at a time, quoted strings cut out first."""
    for metric in re.sub(rb'"[^"]*"', b"", header or b"").split(b","):
        name, *parameters = (part.strip() for part in metric.split(b";"))
        if name == stage.encode():
            for parameter in parameters:
                found = re.fullmatch(rb"dur\s*=\s*(\d+(?:\.\d+)?)", parameter)
                if found:
                    return float(found[1])
    return math.nan


@given(st.lists(st.one_of(canonical, foreign.filter(lambda h: h is None or b"TOTAL" not in h)), max_size=20))
def test_stages_read_together_are_those_read_one_by_one(headers):
    expected = [[one_stage(header, stage) for stage in STAGES] for header in headers]
    np.testing.assert_allclose(
        stage_durations(headers), np.array(expected, dtype=np.float32).reshape(-1, len(STAGES)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("header", "outcome"),
    [
        (b"tailgate; hit; ttl=271", "hit"),
        (b"tailgate; hit; ttl=-12", "stale"),
        (b"tailgate; hit", "hit"),
        (b"tailgate; fwd=miss; stored", "miss"),
        (b"tailgate; fwd=miss; collapsed", "collapsed"),
        (b"tailgate; fwd=bypass", "bypass"),
        (b"ExampleCache; fwd=stale; fwd-status=304", "miss"),
        (b"ExampleCache; fwd=uri-miss; collapsed", "collapsed"),
        (b'OriginCache; hit; ttl=1100, "CDN Company Here"; fwd=uri-miss', "miss"),
        (b'OriginCache; fwd=miss, "CDN Company Here"; hit; ttl=545', "hit"),
        (b"ReverseProxyCache", "none"),
        (b"", "none"),
    ],
)
def test_cache_status_as_rfc_9211_has_it(header, outcome):
    assert cache_outcome(header) == outcome


def test_usage_is_that_of_the_whole_reply_not_of_a_result():
    inner = b'{"usage":{"prompt_tokens":1,"output_tokens":2,"total_tokens":3}}'
    body = b'{"results":[' + inner + b'],"text":"a \\"usage\\": b","usage":{"prompt_tokens":90,"output_tokens":410,'
    body += b'"total_tokens":500},"cache":"hit"}'
    spaced = b'{"usage": {"prompt_tokens": 7, "output_tokens": 8}}'
    counts = token_counts([usage(body), usage(spaced), usage(b"<html>"), None])
    assert counts[:, :2].tolist() == [[90, 410], [7, 8], [-1, -1], [-1, -1]]


def test_problems_are_called_by_their_name_and_others_by_their_status():
    problem = b'{"type":"urn:tailgate:error:rate-limited","title":"x","status":429}'
    assert error_name(429, problem) == "rate-limited"
    assert error_name(502, b"<html>bad gateway</html>") == "http-502"


def test_an_echo_must_have_every_tag():
    assert echoes(b'{"text":"[q1.0] a"},{"text":"[q1.1] b"}', (b"[q1.0]", b"[q1.1]"))
    assert not echoes(b'{"text":"[q1.0] a"},{"text":"[q2.1] b"}', (b"[q1.0]", b"[q1.1]"))


def test_the_first_bodies_of_each_failure_are_kept_and_no_more(tmp_path):
    recorders = [Recorder(tmp_path, pid, "steady", 0) for pid in (1, 2)]
    for number in range(3 * KEPT):
        recorder = recorders[number % 2]
        recorder.keep_body("rate-limited", 429, b'{"n": %d}' % number)
        recorder.flush()
    recorders[0].keep_body("http-500", 500, b"<script>alert(1)</script>" + b"x" * 2 * MOST_BYTES)
    for recorder in recorders:
        recorder.close()
    kept = read_error_bodies(tmp_path)
    assert [body.body for body in kept if body.status == 429] == [f'{{"n": {number}}}' for number in range(KEPT)]
    (long,) = (body for body in kept if body.status == 500)
    assert long.body.startswith("<script>")
    assert (len(long.body), long.bytes) == (MOST_BYTES, 25 + 2 * MOST_BYTES)


def test_a_run_without_failures_has_no_file_of_bodies_and_a_server_with_too_many_kinds_a_small_one(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", 0)
    recorder.record(a_row())
    recorder.flush()
    assert read_error_bodies(tmp_path) == []
    assert not list(tmp_path.glob("errors-*"))
    for number in range(10 * MOST_KINDS):
        recorder.keep_body(f"reason-{number}", 500, b"y" * MOST_BYTES)
    recorder.close()
    assert len(read_error_bodies(tmp_path)) == MOST_KINDS


def test_credentials_in_a_body_and_torn_lines_are_left_out(tmp_path):
    recorder = Recorder(tmp_path, 1, "steady", 0)
    key = "AIzaSyA-1234567890abcdefghijklmnopqrstu"
    recorder.keep_body("unauthorized", 401, f"API key {key} not valid; Authorization: Bearer abc.def-ghi.jkl".encode())
    recorder.keep_body("unauthorized", 401, b"\xff\xfe not text")
    recorder.close()
    (path,) = tmp_path.glob("errors-*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"time": 3, "reason": "x", "sta\n[1]\nnull\n')
    first, second = read_error_bodies(tmp_path)
    assert key not in first.body
    assert "abc.def" not in first.body
    assert first.body.startswith("API key [")
    assert second.body.endswith(" not text")
