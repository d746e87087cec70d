"""Errors as replies: none fails to be rendered."""

import math

import pytest

from server.errors import Overloaded, UpstreamQuotaExhausted
from server.problems import problem_reply


@pytest.mark.parametrize(
    ("wait_s", "told"),
    [
        (None, 1),
        (0.0, 1),
        (-5.0, 1),
        (1.2, 2),
        (59.0, 59),
        (1e300, 86_400),
        (math.inf, 86_400),
        (-math.inf, 1),
        (math.nan, 1),
    ],
)
@pytest.mark.parametrize("kind", [Overloaded, UpstreamQuotaExhausted])
def test_retry_after_is_a_whole_number_of_seconds_whatever_the_wait(kind, wait_s, told):
    reply = problem_reply(kind("later", retry_after_s=wait_s), "id")

    assert reply.status == 503
    assert f"Retry-After: {told}\r\n" in reply.headers
