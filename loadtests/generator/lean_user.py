"""Users on the lean client: the default, at a fraction of FastHttpUser's cost. Plain http only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loadtests.generator.lean_client import LeanClient, Transport
from loadtests.generator.paced import PacedUser
from loadtests.target import Target
from loadtests.workload.workload import Workload

if TYPE_CHECKING:
    from locust.env import Environment


class WireRequests:
    """All requests of a workload as they go over the wire: ``head``, the request's id, ``tails[item]``."""

    def __init__(self, target: Target, workload: Workload) -> None:
        lines = [
            f"POST {target.path} HTTP/1.1",
            f"Host: {target.authority}",
            "Content-Type: application/json",
            *(f"{name}: {value}" for name, value in workload.scenario.headers.items()),
            "X-Request-Id: ",
        ]
        self.head = "\r\n".join(lines).encode("latin-1")
        self.tails = [
            b"\r\nContent-Length: %d\r\n\r\n%b" % (len(question.body), question.body) for question in workload.questions
        ]


class LeanPromptUser(PacedUser):
    """Asks over one keep-alive connection. Locust's statistics are fed from the recorder's batches, not by events.

    ``transport`` and ``wire``, like ``session``, must be set on the class before the test starts.
    """

    transport: Transport
    wire: WireRequests

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._client = LeanClient(self.transport)
        self._head, self._tails = self.wire.head, self.wire.tails
        self._id_prefix = f"{self.session.run_token}-{self.number}-".encode()

    def on_stop(self) -> None:
        """Hang up and give the number back."""
        self._client.close()
        super().on_stop()

    def connect(self) -> None:
        """Open the connection ahead of the first request; whether that fails is left to the request."""
        if not self._client.connected:
            self._client.connect()

    def ask(self, scheduled_ns: int, item: int) -> None:
        """See :class:`PacedUser`."""
        session, client = self.session, self._client
        self._asked += 1
        request_id = b"%b%d" % (self._id_prefix, self._asked)
        session.in_flight += 1
        try:
            error = client.exchange(self._head + request_id + self._tails[item])
        except BaseException:  # killed: the time for requests in flight is over
            session.failed(scheduled_ns, client.sent_ns, client.done_ns, "timeout", self.number, item)
            raise
        finally:
            session.in_flight -= 1
        if error:
            session.failed(scheduled_ns, client.sent_ns, client.done_ns, error, self.number, item)
            return
        headers: Mapping[bytes, bytes | None] = client.headers
        try:
            timing, cache = headers[b"Server-Timing"], headers[b"Cache-Status"]
            attempts, echoed_id = headers[b"X-Attempts"], headers[b"X-Request-Id"]
        except KeyError:  # absent, or spelt otherwise
            get = {name.lower(): value for name, value in headers.items()}.get
            timing, cache = get(b"server-timing"), get(b"cache-status")
            attempts, echoed_id = get(b"x-attempts"), get(b"x-request-id")
        session.answered(
            scheduled_ns, client.sent_ns, client.done_ns, client.status, timing, cache, attempts, echoed_id,
            request_id, client.body, self.number, item,
        )  # fmt: skip
