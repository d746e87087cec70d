"""The servers under test: those that a bench starts for itself, and one that somebody else runs."""

import os
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from loadtests.bench.checks import BenchError
from loadtests.bench.monitor import fetch, post
from loadtests.bench.plan import READY_S, Arm
from loadtests.bench.processes import Child, Children
from loadtests.target import parse_target
from reports.records.schema import BARE_MODE

_REACH_S = 5.0


@dataclass(frozen=True)
class ServerUnderTest:
    """A server that is up.

    `url` is what the load is sent to and `base_url` that without its path; `pid` is None for a server that is not ours.
    `counts`: it is a Tailgate, whose counters can be read; `echoes`: its replies repeat the prompts' beginning, as
    those of the mock Gemini do. `config` is what it says of itself, `argv` how it was started; both may be empty.
    `has_faults`: it is ours, and its mock runs a script of faults.
    """

    url: str
    base_url: str
    pid: int | None
    counts: bool
    echoes: bool
    config: dict[str, Any]
    argv: list[str]
    has_faults: bool = False

    async def restart_faults(self) -> list[tuple[float, float | None]]:
        """Have the mock's fault script begin anew, if it runs one. Raises BenchError where it will not.

        Returns when it disturbs calls, as (from, until) in seconds from now; None for an end that does not come.
        """
        if not self.has_faults:
            return []
        try:
            told = orjson.loads(await post(f"{self.base_url}/mock/faults/restart", _REACH_S) or b"{}")
            return [(start, end) for start, end in told.get("disturbed_s", [])]
        except (OSError, orjson.JSONDecodeError) as error:
            raise BenchError(
                f"the server would not begin its fault script anew, so blocks are not alike: {error}"
            ) from None


def server_command(arm: Arm, port: int, seed: int) -> list[str]:
    """What starts an arm's server, after `python`. The mock's seed is the bench's, unless a setting says otherwise."""
    if arm.mode == BARE_MODE:
        return ["-m", "loadtests.baseline.bare_handler", "--port", str(port)]
    settings = {"mode": arm.mode, "port": str(port), "mock.seed": str(seed), **arm.settings}
    return ["-m", "server", *(part for key, value in settings.items() for part in (f"--{key}", value))]


async def start_server(arm: Arm, port: int, seed: int, children: Children, cores: Sequence[int]) -> Child:
    """Start an arm's server, of the arm's revision of the code; it may not be ready yet."""
    interpreter, environment = [sys.executable], dict(os.environ)
    if arm.revision is not None and arm.revision.root is not None:
        # before all else on the path; -P: not even the current directory comes first
        interpreter.append("-P")
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(arm.revision.root), environment.get("PYTHONPATH")))
        )
    command = [*interpreter, *server_command(arm, port, seed)]
    return await children.spawn(f"server ({arm.name})", command, cores, environment)


async def own_server(child: Child, arm: Arm, seed: int) -> ServerUnderTest:
    """A server that we have started, once it is ready. Raises ChildError, BenchError or OSError when it does not."""
    line = await child.first_line(READY_S)
    found = re.search(r"https?://[^\s\"',]+", line)
    if found is None:
        raise BenchError(f"{child.name} did not say where it listens, but {line!r}")
    url = found[0].rstrip("/")
    config = orjson.loads(await fetch(f"{url}/config", _REACH_S))
    argv = ["python", *server_command(arm, 0, seed)]
    has_faults = _is_mock(config) and config["settings"].get("mock", {}).get("faults") is not None
    return ServerUnderTest(
        url, url, child.pid, counts=True, echoes=_is_mock(config), config=config, argv=argv, has_faults=has_faults
    )


async def foreign_server(url: str) -> ServerUnderTest:
    """A server that somebody else runs, at `url`. Raises BenchError when nothing listens there."""
    target = parse_target(url, path="")
    try:
        with socket.create_connection((target.host, target.port), _REACH_S):
            pass
    except OSError as error:
        why = error.strerror or "no answer"
        raise BenchError(f"nothing can be reached at {target.base_url}: {why}; start the server first") from None
    config = await _tailgate_config(target.base_url)
    return ServerUnderTest(
        url, target.base_url, None, counts=bool(config), echoes=_is_mock(config), config=config, argv=[]
    )


async def _tailgate_config(base_url: str) -> dict[str, Any]:
    """What a Tailgate says of itself; empty when it is another kind of server."""
    try:
        config = orjson.loads(await fetch(f"{base_url}/config", _REACH_S))
    except (OSError, orjson.JSONDecodeError):
        return {}
    return config if isinstance(config, dict) and "gemini_client" in config.get("settings", {}) else {}


def _is_mock(config: dict[str, Any]) -> bool:
    client = config.get("settings", {}).get("gemini_client")
    return bool(client == "mock")
