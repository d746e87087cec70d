"""What `python -m dash_app` was told: one frozen record, read once at the edge."""

from __future__ import annotations

import argparse
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the page is started with."""

    runs: Path
    """Directory that holds the run directories; it need not exist yet."""
    host: str
    port: int
    """TCP port; 0 takes a free one."""
    server: str | None
    """Base URL of a running reference server whose `/ws/metrics` the live page follows, or None."""
    password: str | None
    """What a browser must send (HTTP Basic, any user name), or None on loopback."""


class _OneLineParser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help\n")


def parse(argv: list[str]) -> Settings:
    """Read the command line; a wrong flag or value is one line on stderr and exit status 2."""
    parser = _OneLineParser(
        prog="python -m dash_app",
        description="Browse load-test reports, live and saved.",
        allow_abbrev=False,
    )
    parser.add_argument("--runs", type=Path, default=Path("reports/runs"), metavar="DIR", help="where the runs are")
    parser.add_argument("--port", type=_port, default=8050, help="TCP port (default 8050; 0 takes a free one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    parser.add_argument("--server", type=_server_url, metavar="URL", help="follow this server's /ws/metrics as well")
    parser.add_argument(
        "--password-file", type=Path, metavar="F", help="ask browsers for this file's first line as a password"
    )
    given = parser.parse_args(argv)
    password = None
    if given.password_file is not None:
        try:
            password = _first_line(given.password_file)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            parser.error(f"argument --password-file: {given.password_file}: {_reason(error)}")
    if password is None and not _is_loopback(given.host):
        parser.error(f"argument --host: {given.host} is reachable from outside; give --password-file as well")
    if given.runs.exists() and not given.runs.is_dir():
        parser.error(f"argument --runs: {given.runs} is not a directory")
    return Settings(runs=given.runs, host=given.host, port=given.port, server=given.server, password=password)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return port


def _server_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"{text!r} is not an http(s) URL such as http://127.0.0.1:8080")
    return text.rstrip("/")


def _first_line(path: Path) -> str:
    line = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    if not line:
        raise ValueError("its first line is empty")
    return line


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
