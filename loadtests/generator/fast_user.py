"""Users on Locust's own FastHttpUser: slower than the lean client, but able to speak TLS and to odd servers."""

from __future__ import annotations

import ssl
import time
import zlib
from typing import TYPE_CHECKING, cast

from gevent.timeout import Timeout
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust import FastHttpUser

from loadtests.generator.paced import PacedUser

if TYPE_CHECKING:
    from locust.env import Environment

# What geventhttpclient raises, most specific first, in the words of docs/run-format.md.
_ERRORS: tuple[tuple[type[BaseException], str], ...] = (
    (Timeout, "timeout"),
    (TimeoutError, "timeout"),
    (HTTPConnectionClosed, "reset"),
    (ConnectionResetError, "reset"),
    (BrokenPipeError, "reset"),
    (HTTPParseError, "protocol"),
    (zlib.error, "protocol"),
    (ssl.SSLError, "connect"),
    (OSError, "connect"),
)


class FastPromptUser(PacedUser, FastHttpUser):
    """Asks by ``self.client``, without redirects, retries, cookies or compression."""

    max_redirects = 0
    max_retries = 0

    def __init__(self, environment: Environment) -> None:
        self.network_timeout = self.connection_timeout = self.session.workload.scenario.timeout_s
        super().__init__(environment)

    def ask(self, scheduled_ns: int, item: int) -> None:
        """See :class:`PacedUser`. Locust's own statistics are fed by the request event, once a request."""
        session = self.session
        self._asked += 1
        request_id = f"{session.run_token}-{self.number}-{self._asked}"
        headers = {
            **session.workload.scenario.headers,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "X-Request-Id": request_id,
        }
        body = session.workload.questions[item].body
        session.in_flight += 1
        sent_ns = time.perf_counter_ns()
        try:
            with self.client.request(
                "POST", session.target.path, data=cast(str, body), headers=headers, catch_response=True
            ) as response:
                done_ns = time.perf_counter_ns()
                failure = getattr(response, "error", None)
                if response.status_code == 0:
                    error = next((name for kind, name in _ERRORS if isinstance(failure, kind)), "protocol")
                    session.failed(scheduled_ns, sent_ns, done_ns, error, self.number, item)
                else:
                    header = response.headers.get
                    error = session.answered(
                        scheduled_ns, sent_ns, done_ns, response.status_code,
                        _raw(header("server-timing")), _raw(header("cache-status")), _raw(header("x-attempts")),
                        _raw(header("x-request-id")), request_id.encode(), response.content or b"", self.number, item,
                    )  # fmt: skip
                if error:
                    response.failure(error)
        finally:
            session.in_flight -= 1


def _raw(header: str | None) -> bytes | None:
    return None if header is None else header.encode("latin-1")
