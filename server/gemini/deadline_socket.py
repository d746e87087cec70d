"""A blocking connection whose waits all end at one moment, however slowly the peer sends.

A socket's own time-out begins anew with each byte: a peer that sends one now and then is never late.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class DeadlineSocket:
    """A connected socket: as much of one as ``http.client`` and ``select`` use.

    ``ends_at`` is when all waiting ends, by ``time.monotonic``; ``None`` waits for ever. Raises ``TimeoutError`` then.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.ends_at: float | None = None
        self._sock = sock

    @classmethod
    def connect(cls, host: str, port: int, ends_at: float, tls: ssl.SSLContext | None) -> DeadlineSocket:
        """Connect to the first of the host's addresses that answers, and agree on TLS; all of it until ``ends_at``.

        Raises ``OSError``, ``TimeoutError`` among them. Looking up the host's addresses is the system's, and takes as
        long as it takes.
        """
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"{host} has no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                # One that does not answer leaves time for those after it.
                sock.settimeout(_left_s(ends_at) / (len(addresses) - tried))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if tls is not None:
                    sock.settimeout(_left_s(ends_at))
                    sock = tls.wrap_socket(sock, server_hostname=host)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return cls(sock)
        raise failure

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``."""
        left = memoryview(data)
        while left:
            self.wait_no_longer()
            left = left[self._sock.send(left) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        """A file to read the answer from, which goes on when the socket is closed, as that of a plain socket does."""
        return io.BufferedReader(_Incoming(self, self._sock.makefile("rb", buffering=0)))

    def fileno(self) -> int:
        """The file descriptor, for ``select``."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def wait_no_longer(self) -> None:
        """Let the next wait end at ``ends_at``. Raises ``TimeoutError`` when that is past."""
        self._sock.settimeout(None if self.ends_at is None else _left_s(self.ends_at))


class _Incoming(io.RawIOBase):
    def __init__(self, sock: DeadlineSocket, file: socket.SocketIO) -> None:
        self._sock = sock
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.wait_no_longer()
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _left_s(ends_at: float) -> float:
    left_s = ends_at - time.monotonic()
    if left_s <= 0.0:
        raise TimeoutError("the time is used up")
    return left_s
