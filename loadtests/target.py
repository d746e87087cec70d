"""The address under load, checked before the load starts."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Target:
    """``scheme://host:port`` and the ``path`` that is asked."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def base_url(self) -> str:
        """The URL without a path."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """``host:port`` as the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def addresses(self) -> list[tuple[int, Any]]:
        """Return the (family, socket address) pairs that the host stands for. Raises ValueError when there is none."""
        try:
            infos = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ValueError(f"the host {self.host!r} has no address: {error.strerror}") from None
        return [(info[0], info[4]) for info in infos]

    @property
    def is_loopback(self) -> bool:
        """Whether every address of the host is this machine's own. Raises ValueError for an unknown host."""
        return all(
            ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for _, address in self.addresses()
        )

    def refuse_foreign(self, *, allowed: bool) -> None:
        """Raise ValueError for a host that is not this machine, unless its owner's consent is ``allowed``."""
        if not allowed and not self.is_loopback:
            raise ValueError(f"{self.host} is not this machine: add --i-may-load-this-host if you may load it")


def parse_target(url: str, path: str) -> Target:
    """Return the target that ``url`` (http or https; a path in it replaces ``path``) names.

    Raises ValueError, in one line, for what is not such a URL.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{url!r} has no valid port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL such as http://127.0.0.1:8080")
    if parts.username or parts.query or parts.fragment:
        raise ValueError(f"{url!r}: only scheme, host, port and path are meant here")
    default_port = 443 if parts.scheme == "https" else 80
    return Target(parts.scheme, parts.hostname, port or default_port, parts.path.rstrip("/") or path)
