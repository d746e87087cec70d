"""Two revisions of the server against each other, from a real history: the right code runs, and nothing is left."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtests.bench.checks import BenchError
from loadtests.bench.revisions import checked_out, locked_otherwise, resolve, two_revisions, working_tree
from reports.store.run import Run
from reports.store.store import RunStore

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = "sync_threads: Annotated[int, Field(ge=1, le=4096)] = Field(40"
SMALL = ["--users", "10", "--duration", "0.5", "--ramp", "0.1", "--warmup", "0.1"]


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path, message: str) -> str:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", message)
    return git(repository, "rev-parse", "HEAD")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This project with a history: `first`, `second` (another default, another lock file), `broken`, `empty`."""
    home = tmp_path_factory.mktemp("history") / "tailgate"
    for room in ("server", "loadtests", "reports"):
        shutil.copytree(ROOT / room, home / room, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    shutil.copy(ROOT / "requirements.lock", home)
    (home / ".gitignore").write_text("__pycache__\n")
    git(home, "init", "--quiet")
    made = {"home": str(home), "first": commit(home, "first")}
    replace(home / "server" / "settings.py", DEFAULT, f"{DEFAULT[:-1]}1")
    replace(home / "requirements.lock", "aiohttp==", "aiohttp==0.")
    made["second"] = commit(home, "second")
    (home / "server" / "__main__.py").write_text("raise SystemExit('it does not start: no cheese')\n")
    made["broken"] = commit(home, "broken")
    git(home, "rm", "--quiet", "-r", "server")
    made["empty"] = commit(home, "empty")
    git(home, "checkout", "--quiet", made["second"])
    return made


@pytest.fixture
def repository(history: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The history's directory at `second`, while worktrees go under this test's own directory."""
    home = Path(history["home"])
    yield home
    git(home, "checkout", "--quiet", "--force", history["second"])
    assert git(home, "worktree", "list").count("\n") == 0


@pytest.fixture
def bench(repository: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a bench of the copied project; what it checks out goes to `tmp`, its runs to `runs`."""
    (tmp_path / "tmp").mkdir()

    def start(*flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "loadtests", "bench", "--runs", str(tmp_path / "runs"), *flags]
        environment = {**os.environ, "PYTHONPATH": str(repository), "TMPDIR": str(tmp_path / "tmp")}
        return subprocess.Popen(
            command, cwd=repository, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start


def runs(tmp_path: Path) -> list[Run]:
    store = RunStore(tmp_path / "runs")
    return [store.open(run_id) for run_id in store.ids()]


def trees(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "tmp").glob("*/tree/server/__main__.py"))


@pytest.mark.slow
def test_each_arm_runs_its_own_code_and_ctrl_c_leaves_no_worktree(
    bench: Callable[..., subprocess.Popen[str]], history: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    replace(repository / "server" / "settings.py", f"{DEFAULT[:-1]}1", f"{DEFAULT[:-1]}2")
    running = bench("--revs", f"{history['first'][:8]}..", *SMALL, "--duration", "60")
    wait_until(lambda: any(tick["cells"] for run in runs(tmp_path) for tick in run.ticks()))
    assert len(trees(tmp_path)) == 1
    a, b = sorted((run.manifest for run in runs(tmp_path)), key=lambda manifest: manifest.arm or "")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert trees(tmp_path) == []

    assert [manifest.commit for manifest in (a, b)] == [history["first"], history["second"]]
    assert [manifest.dirty for manifest in (a, b)] == [False, True]
    servers = [manifest.server for manifest in (a, b)]
    assert [server and server.config["settings"]["sync_threads"] for server in servers] == [40, 42]
    assert a.experiment == b.experiment
    assert a.workload.digest == b.workload.digest
    assert history["first"][:8] in a.label
    (complaint,) = [line for line in err.splitlines() if "requirements.lock" in line]
    assert history["first"][:8] in complaint


@pytest.mark.slow
def test_a_revision_whose_server_does_not_start_is_named_with_its_log(
    bench: Callable[..., subprocess.Popen[str]], history: dict[str, str], tmp_path: Path
) -> None:
    running = bench("--revs", f"{history['broken']}..HEAD", *SMALL)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert history["broken"][:7] in err
    assert err.count("no cheese") == 1
    assert "Traceback" not in err
    assert (runs(tmp_path), trees(tmp_path)) == ([], [])


def test_what_cannot_be_compared_is_one_line_and_exit_2(
    bench: Callable[..., subprocess.Popen[str]], history: dict[str, str], tmp_path: Path
) -> None:
    for revs, said in (
        ("nonesuch..HEAD", "nonesuch"),
        (f"--output=x..{history['first']}", "--output=x"),
        (f"{history['empty']}..HEAD", history["empty"]),
    ):
        running = bench(f"--revs={revs}", *SMALL)
        out, err = running.communicate(timeout=30)
        complaints = [line for line in err.splitlines() if "requirements.lock" not in line]
        assert (running.returncode, out, len(complaints)) == (2, "", 1), err
        assert said in complaints[0]
    assert (runs(tmp_path), trees(tmp_path)) == ([], [])


def test_what_a_killed_bench_left_goes_at_the_next_start_and_what_is_in_use_stays(
    bench: Callable[..., subprocess.Popen[str]], repository: Path, tmp_path: Path
) -> None:
    killed = bench("--revs", "HEAD..", *SMALL)
    wait_until(lambda: trees(tmp_path))
    killed.kill()
    killed.communicate()
    (left,) = trees(tmp_path)
    head = resolve(["HEAD"], repository)
    with checked_out(head, repository) as (mine,):
        assert not left.exists()
        with checked_out(head, repository) as (other,):
            assert mine.root is not None
            assert mine.root != other.root
            assert (mine.root / "server" / "__main__.py").exists()


def test_a_commit_is_checked_out_once(history: dict[str, str], repository: Path) -> None:
    with checked_out(resolve(["HEAD", history["second"], ""], repository), repository) as (a, b, here):
        assert a.root == b.root != here.root
        assert here.root is None


def test_only_a_revision_with_another_lock_file_is_said_to_have_one(history: dict[str, str], repository: Path) -> None:
    first, second, here = resolve([history["first"], history["second"], ""], repository)
    assert locked_otherwise([first, second, here], repository) == [first]


def test_without_git_there_are_no_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert working_tree(tmp_path).commit == ""
    with pytest.raises(BenchError, match="repository") as error:
        resolve(["HEAD"], tmp_path)
    assert error.value.exit_code == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    assert working_tree(tmp_path).commit == ""
    with pytest.raises(BenchError, match="git") as error:
        resolve(["HEAD"], tmp_path)
    assert error.value.exit_code == 2


def test_either_side_may_be_left_out_but_not_both() -> None:
    assert two_revisions("main~3..main") == ("main~3", "main")
    assert two_revisions("main..") == ("main", "")
    assert two_revisions("..main") == ("", "main")
    for text in ("..", "main", "main...topic", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            two_revisions(text)


def wait_until(condition: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
