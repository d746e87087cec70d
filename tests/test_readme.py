"""Every command of the README is run: here in small, or by ``.ci/run`` as it stands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dash_fixtures import Traffic, save_run

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
BY_CI = ["make bench"]
# In the README's order: the first leaves the run that the others show.
TO_THE_END = [
    "make bench MODE=async USERS=200 DURATION=5",
    "python -m reports list",
    "python -m reports show latest",
    "python -m reports export latest --output report.html",
]
OF_TWO_RUNS = [
    "python -m reports compare latest~1 latest",
    'python -m reports gate latest --slo "p99<10s,failed<1%"',
]
AT_LENGTH = ['make capacity SLO="p99<1s,failed<1%"', "make ablate", "make bench REVS=HEAD~1..HEAD"]
UNTIL_STOPPED = {
    "make dash": ("8050", "/runs"),
    "python -m server --port 8080": ("8080", "/readyz"),
    "locust -f loadtests/locustfile.py --host http://127.0.0.1:8080": ("8089", "/"),
    "python -m server --gemini-client builtin": ("8080", "/readyz"),
}
OF_A_SERVER = 'make bench BENCH_FLAGS="--host http://127.0.0.1:9000"'
SETTINGS = ["export GEMINI_API_KEY=..."]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files in a folder of their own, set up: commands run there leave nothing behind here."""
    folder = tmp_path_factory.mktemp("checkout") / "tailgate"
    skipped = (".git", ".venv*", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*skipped))
    shutil.rmtree(folder / "reports" / "runs", ignore_errors=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "BENCH_FLAGS": "--ramp 1 --warmup 1",
        "CAPACITY_FLAGS": "--start 40 --most 80 --tolerance 1 --ramp 0.5 --warmup 1 --duration 2",
        "ABLATE_FLAGS": "--policies cache --rounds 1 --users 100 --ramp 0.5 --warmup 1 --duration 3",
        "GEMINI_API_KEY": "...",
    }


def test_every_command_is_known() -> None:
    run_here = [*TO_THE_END, *OF_TWO_RUNS, *AT_LENGTH, *UNTIL_STOPPED, OF_A_SERVER]
    assert sorted(COMMANDS) == sorted([*BY_CI, *run_here, *SETTINGS])


def test_ci_runs_what_this_suite_does_not() -> None:
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert set(BY_CI) <= set(ci)


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", README)
    targets = [one or other for one, other in links if "://" not in (one or other)]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.slow
def test_commands_that_end(checkout: Path, environment: dict[str, str]) -> None:
    for command in TO_THE_END:
        done = subprocess.run(command, shell=True, cwd=checkout, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (checkout / "report.html").stat().st_size > 1_000_000
    assert len(list((checkout / "reports" / "runs").iterdir())) == 1


@pytest.mark.parametrize("command", OF_TWO_RUNS)
def test_commands_that_judge(command: str, environment: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reports", tmp_path / "reports", ignore=shutil.ignore_patterns("runs", "__pycache__"))
    for minute in range(2):
        save_run(tmp_path / "reports" / "runs", Traffic(seconds=20, rate=200), minute=minute)
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("command", AT_LENGTH)
def test_commands_that_take_their_time(command: str, checkout: Path, environment: dict[str, str]) -> None:
    if not (checkout / ".git").exists():
        for step in ("init -q", "add -A", "commit -q -m one", "commit -q --allow-empty -m two"):
            subprocess.run(f"git -c user.name=t -c user.email=t@t {step}", shell=True, cwd=checkout, check=True)
    small = "USERS=100 DURATION=2 MODE=async" if "REVS" in command else ""
    done = subprocess.run(
        f"{command} {small}", shell=True, cwd=checkout, env=environment, capture_output=True, text=True
    )
    # A machine that is busy with other tests may spoil a measurement; make answers that too with 2.
    spoiled = re.search(r"Error [35]\b", done.stderr)
    assert done.returncode == 0 or spoiled, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Saved:" in done.stdout


@pytest.mark.parametrize("command", UNTIL_STOPPED)
def test_commands_that_serve(command: str, checkout: Path, environment: dict[str, str]) -> None:
    default_port, path = UNTIL_STOPPED[command]
    port = str(_free_port())
    ports = {"PORT": port, "TAILGATE_PORT": port, "LOCUST_WEB_PORT": port}
    with _running(command.replace(default_port, port), checkout, environment | ports) as process:
        status = _status_of(f"http://127.0.0.1:{port}{path}", process)
        assert status == 200


def test_the_command_for_a_server_of_one_s_own(checkout: Path, environment: dict[str, str]) -> None:
    port = str(_free_port())
    command = OF_A_SERVER.replace("9000", port).replace('="', '="--ramp 0.2 --warmup 0.2 ')
    with _running(f"python -m server --port {port}", checkout, environment) as server:
        assert _status_of(f"http://127.0.0.1:{port}/readyz", server) == 200
        small = environment | {"USERS": "20", "DURATION": "1"}
        done = subprocess.run(command, shell=True, cwd=checkout, env=small, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Saved:" in done.stdout


@contextmanager
def _running(command: str, folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, shell=True, cwd=folder, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _status_of(url: str, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
