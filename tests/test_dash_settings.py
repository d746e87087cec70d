"""The command line of the page, and what stands at its door: wrong flags, busy ports, passwords, other origins."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dash_app.__main__ import _is_news
from dash_app.scripts import compiled_once, plotly_address, table_address
from dash_app.settings import parse
from tests.dash_process import serving


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.read(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


@pytest.mark.parametrize(
    "flags",
    [
        ["--prot", "1"],
        ["--port", "banana"],
        ["--port", "65536"],
        ["--port", "-1"],
        ["--server", "ftp://x"],
        ["--server", "http://"],
        ["--server", "http://x:port"],
        ["--host", "0.0.0.0"],
        ["--host", "::"],
        ["--host", "example.org"],
        ["--password-file", "/nowhere/at/all"],
        ["--password-file", "/dev/null"],
        ["--runs", "/dev/null"],
        ["stray"],
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(flags)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1


def test_a_password_opens_other_addresses(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret \nnot this\n")
    settings = parse(["--host", "0.0.0.0", "--password-file", str(file)])
    assert (settings.host, settings.password) == ("0.0.0.0", "s3cret")


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "dash_app", "--runs", str(tmp_path), "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert str(port) in ended.stderr


def test_the_command_says_where_it_serves_and_ends_with_0_at_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dash_app", "--runs", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split("http://")[1].split("/")[0]
        assert get(f"http://{address}/")[0] == 200
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_requests_cut_off_at_the_end_are_no_news_and_errors_are() -> None:
    def record(error: BaseException | None, text: str = "Exception in ASGI application") -> logging.LogRecord:
        told = (type(error), error, None) if error else None
        return logging.LogRecord("uvicorn.error", logging.ERROR, "", 1, text, (), told)

    assert not _is_news(record(asyncio.CancelledError()))
    assert not _is_news(record(None, "Cancel 1 running task(s), timeout graceful shutdown exceeded"))
    assert _is_news(record(ValueError("a bug")))
    assert _is_news(record(None))


def test_what_takes_long_to_import_is_imported_late() -> None:
    code = "import sys; from dash_app.__main__ import main; print([m for m in sys.modules if m in ('dash', 'plotly')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_without_the_password_nothing_is_served(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret")
    with serving(tmp_path, "--password-file", str(file)) as (address, _):
        right = "Basic " + base64.b64encode(b"anyone:s3cret").decode()
        for wrong in ("", "Basic", "Basic ###", "Bearer s3cret", "Basic " + base64.b64encode(b"a:s3cre").decode()):
            for path in ("/", "/runs", "/_dash-layout", "/live/history", "/assets/style/1-tokens.css"):
                status, body, headers = get(f"http://{address}{path}", Authorization=wrong)
                assert status == 401, (wrong, path)
                assert headers["www-authenticate"].startswith("Basic")
                assert len(body) < 100
        assert get(f"http://{address}/runs", Authorization=right)[0] == 200
        with pytest.raises(InvalidStatus):
            connect(f"ws://{address}/live", origin=f"http://{address}")
        with connect(f"ws://{address}/live", origin=f"http://{address}", additional_headers={"Authorization": right}):
            pass


def test_another_origin_may_not_listen(tmp_path: Path) -> None:
    with serving(tmp_path) as (address, _):
        for origin in ("http://evil.example", None, "null"):
            with pytest.raises(InvalidStatus):
                connect(f"ws://{address}/live", origin=origin)
        with connect(f"ws://{address}/live", origin=f"http://{address}") as socket_:
            assert json.loads(socket_.recv(timeout=5)) == {"type": "runs", "runs": []}


def test_scripts_travel_packed_and_come_out_whole(tmp_path: Path) -> None:
    import gzip
    import re

    with serving(tmp_path) as (address, _):
        index = get(f"http://{address}/runs")[1].decode()
        scripts = re.findall(r'src="(/_dash-component-suites/[^"]+)"', index)
        assert len(scripts) > 3
        assert not any("ag_grid" in script for script in scripts), "a table fetches its library itself"
        scripts += [plotly_address(), table_address()]
        assert all(script in index for script in scripts)
        for script in scripts:
            status, packed, headers = get(f"http://{address}{script}", Accept_Encoding="gzip")
            plain = get(f"http://{address}{script}")[1]
            assert (status, headers["content-encoding"]) == (200, "gzip")
            assert gzip.decompress(packed) == compiled_once(plain)
            assert "max-age=31536000" in headers["cache-control"]
        assert "2-shell.css" in index  # the first page that is opened has its style, whichever it is
        assert "http" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', index)), "everything comes from here"


def test_a_script_that_is_one_function_is_compiled_as_it_comes_in() -> None:
    """In parentheses it is not parsed again when it is called; every other script stays as it is."""
    head = b"/* licence */\n!function(e,n){e.lib=n(e.React)}"
    assert compiled_once(head + b"(self,(e,n)=>(()=>{})());") == head + b"(self,((e,n)=>(()=>{})()));"
    outer = b"(\n function(root, factory) { root.lib = factory(); }"
    assert compiled_once(outer + b" (typeof self !== 'undefined' ? self : this, () => {\n}));") == (
        outer + b" (typeof self !== 'undefined' ? self : this, (() => {\n})));"
    )
    for other in (b"!function(){var t={}}();\n", b"var x=(()=>{})();", head + b"(self,(e,n)=>1) //"):
        assert compiled_once(other) == other
    wrapped = ("plotly", "package_data/plotly.min.js"), ("dash_mantine_components", "dash_mantine_components.js")
    for package, file in wrapped:
        script = (files(package) / file).read_bytes()
        assert len(compiled_once(script)) == len(script) + 2, f"{file} comes in another form: is it parsed twice again?"
