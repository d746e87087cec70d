"""Where a live client calls, with which key: checked once at start, the key kept secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr

from server.gemini.rest_wire import NO_KEY, REAL_BASE_URL


class GeminiSetupError(ValueError):
    """A Gemini client that cannot be made as asked; its text is one line for the user."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL taken apart, and the API key to send there. ``prefix`` is the URL's path without a closing slash."""

    base_url: str
    tls: bool
    host: str
    port: int
    prefix: str
    key: SecretStr = field(repr=False)

    @property
    def authority(self) -> str:
        """``host:port`` as the ``Host`` header has it, without a default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @classmethod
    def parse(cls, base_url: str | None, key: SecretStr | None) -> Endpoint:
        """The endpoint at ``base_url`` (Google's own when ``None``). Raises :class:`GeminiSetupError`.

        Google wants a key; another endpoint may do without.
        """
        url = base_url or REAL_BASE_URL
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise GeminiSetupError(f"Gemini base URL {url!r}: {error}") from None
        odd = "?" in url or "#" in url or parts.username or parts.path.startswith("//")
        if parts.scheme not in ("http", "https") or not parts.hostname or odd:
            raise GeminiSetupError(f"Gemini base URL {url!r}: expected http://HOST[:PORT] or https://HOST[:PORT]")
        tls = parts.scheme == "https"
        secret = key.get_secret_value().strip() if key else ""
        if not secret and parts.hostname.endswith("googleapis.com"):
            raise GeminiSetupError(
                "a live Gemini client needs an API key: set GEMINI_API_KEY, or choose the mock client"
            )
        if not tls and parts.hostname.endswith("googleapis.com"):
            raise GeminiSetupError(f"Gemini base URL {url!r}: the API key goes to Google over https only")
        if not secret.isascii() or not secret.isprintable():
            raise GeminiSetupError("the Gemini API key has characters that no key has: check GEMINI_API_KEY")
        return cls(
            base_url=url.rstrip("/"),
            tls=tls,
            host=parts.hostname,
            port=port or (443 if tls else 80),
            prefix=parts.path.rstrip("/"),
            key=SecretStr(secret or NO_KEY),
        )
