"""The mock's fault script begins anew when this machine asks for it, and where there is one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.errors import NotFound
from server.gemini.mock import MockGemini
from server.mock_control import RESTART_FAULTS, restart_faults
from tests.server_process import ask, exchange, local_server

ONCE = '[[fault]]\nfor_s = {for_s}\nkind = "quota"\n'


async def test_the_script_begins_anew(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text(ONCE.format(for_s=0.8))
    mock = {"profile": "zero", "faults": script}
    async with local_server(mock=mock, cache={"enabled": False}, retry={"enabled": False}) as server:
        status = (await exchange(server, ask()))[0].status
        assert status >= 400
        while status != 200:  # until the fault's time is over
            status = (await exchange(server, ask()))[0].status
        async with server.session.post(server.url + RESTART_FAULTS) as reply:
            assert (reply.status, await reply.json()) == (200, {"disturbed_s": [[0.0, 0.8]]})
        assert (await exchange(server, ask()))[0].status >= 400
        async with server.session.get(server.url + RESTART_FAULTS) as reply:
            assert reply.status == 405


async def test_without_a_script_there_is_nothing_to_begin() -> None:
    async with local_server() as server, server.session.post(server.url + RESTART_FAULTS) as reply:
        assert reply.status == 404


@pytest.mark.parametrize(
    ("remote", "refused"), [("127.0.0.1", False), ("::1", False), ("192.0.2.1", True), (None, True)]
)
async def test_only_this_machine_may_ask(remote: str | None, refused: bool) -> None:
    handler = restart_faults(MockGemini())
    request = cast(Any, SimpleNamespace(remote=remote))
    if refused:
        with pytest.raises(NotFound):
            await handler(request)
    else:
        assert cast(Any, await handler(request)).status == 200
