"""The bench as people run it: real servers, load and signals. Whatever happens, no process stays and the data does."""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from reports.records.aggregate import from_rows, merge
from reports.store.run import Run
from reports.store.store import RunStore

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--keep-spoiled", "--users", "50", "--duration", "1.1", "--ramp", "0.1", "--warmup", "0.25"]
LONG = ["--users", "50", "--duration", "60", "--ramp", "0.1", "--warmup", "0", "--mode", "async"]


class Bench:
    """A bench that runs in the background, with the runs directory it writes to."""

    def __init__(self, runs: Path, *flags: str) -> None:
        self.store = RunStore(runs)
        command = [sys.executable, "-m", "loadtests", "bench", "--runs", str(runs), *flags]
        environment = {**os.environ, "TMPDIR": str(runs.parent)}  # the logs that a failed bench leaves
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, module: str) -> psutil.Process:
        return next(child for child in self.children() if module in child.cmdline())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self, within_s: float = 60) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=within_s)
        return self.process.returncode, out, err

    def runs(self) -> list[Run]:
        return [self.store.open(run_id) for run_id in self.store.ids()]

    def ticks(self) -> list[dict[str, Any]]:
        return [tick for run in self.runs() for tick in run.ticks()]

    def wait_until(self, condition: Callable[[], object], within_s: float = 30) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert self.process.poll() is None, f"the bench ended too early: {self.process.communicate()}"
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.05)

    def wait_for_samples(self, phase: str) -> None:
        self.wait_until(lambda: any(tick["phase"] == phase and tick["cells"] for tick in self.ticks()))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    started: list[Bench] = []

    def start_bench(*flags: str) -> Bench:
        started.append(Bench(tmp_path / "runs", *flags))
        return started[-1]

    yield start_bench
    for bench in started:
        bench.process.kill()
        bench.process.communicate()


def assert_gone(processes: list[psutil.Process], within_s: float = 5) -> None:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    left = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert left == []


def test_async_against_sync_from_nothing_to_a_report(start: Callable[..., Bench]) -> None:
    bench = start(*SMALL, "--seed", "7", "--set", "cache.max_entries=64")
    bench.wait_for_samples("measure")
    children = bench.children()
    code, out, err = bench.end()
    assert (code, err) == (0, "")
    assert_gone(children)

    a, b = bench.runs()
    assert [run.manifest.mode for run in (a, b)] == ["async", "sync"]
    assert [run.manifest.arm for run in (a, b)] == ["A", "B"]
    assert a.manifest.experiment == b.manifest.experiment
    assert a.manifest.workload.digest == b.manifest.workload.digest
    blocks = sorted([*a.manifest.blocks, *b.manifest.blocks], key=lambda block: block.started_ns)
    assert [block.arm for block in blocks] == ["A", "B", "B", "A"]
    assert all(one.ended_ns <= next_one.started_ns for one, next_one in itertools.pairwise(blocks))

    for run in (a, b):
        manifest = run.manifest
        assert manifest.status == "complete"
        assert run.path.name in out.replace("\n", "")
        assert manifest.server is not None
        assert manifest.server.config["settings"]["mode"] == manifest.mode
        assert manifest.server.config["settings"]["mock"]["seed"] == 7
        assert manifest.server.config["settings"]["cache"]["max_entries"] == 64
        samples = run.samples().to_pandas()
        assert (samples["error"] == "").all()
        per_block = samples.groupby("block").size().to_dict()
        for block in manifest.blocks:
            assert block.measured_s == pytest.approx(1.1)
            assert block.recorded == per_block[block.index] == sum(block.server_counted.values())
            outcomes = samples[samples["block"] == block.index]["cache"].astype(str).value_counts().to_dict()
            assert block.server_counted == {f"200/{cache}": count for cache, count in outcomes.items()}
            assert 0 < block.server_cpu_s < 4
            assert 0 < block.generator_cpu < 1
            assert block.server_rss_bytes > 10_000_000
            assert block.generator_lag_ms >= 0
            assert 0 <= block.steal < 1
        assert set(manifest.load_pids) == {int(path.stem.split("-")[1]) for path in run.path.glob("samples-*.parquet")}
        assert {tick["phase"] for tick in run.ticks()} >= {"measure", "idle"}
        seqs = [tick["seq"] for tick in run.ticks()]
        assert seqs == list(range(len(seqs)))
        assert max(np.diff([tick["t"] for tick in run.ticks()])) < 3
        live = merge(from_rows(tick["cells"]) for tick in run.ticks())
        assert live.equals(run.aggregate())
    if len(os.sched_getaffinity(0)) > 1:
        cores = a.manifest.environment.affinity
        assert set(cores["server"]).isdisjoint(cores["generator"])


@pytest.fixture
def somebodys_server() -> Iterator[tuple[str, int]]:
    """A Tailgate that no bench has started: its URL and process id."""
    command = [sys.executable, "-m", "server", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = re.search(r"http://[\w.:]+", server.stdout.readline())
        assert url is not None
        yield url[0], server.pid
        server.terminate()


@pytest.mark.slow
def test_a_server_of_somebody_else_is_loaded_and_left_alone(
    start: Callable[..., Bench], somebodys_server: tuple[str, int]
) -> None:
    url, pid = somebodys_server
    bench = start("--host", url, *SMALL)
    code, _, err = bench.end()
    assert (code, err) == (0, "")
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    (run,) = bench.runs()
    assert run.manifest.target.model_dump() == {"url": url, "owned": False}
    (block,) = run.manifest.blocks
    assert block.recorded == sum(block.server_counted.values()) == run.samples(["status"]).num_rows > 0
    assert block.server_cpu_s is None
    assert block.generator_cpu_s > 0


@pytest.mark.slow
def test_a_server_that_is_no_tailgate_is_measured_without_its_help(start: Callable[..., Bench]) -> None:
    class Constant(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Constant) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        flags = ["--users", "5", "--duration", "1", "--ramp", "0.1", "--warmup", "0"]
        bench = start("--host", f"http://127.0.0.1:{server.server_port}", *flags)
        code, _, err = bench.end()
        server.shutdown()
        thread.join()
    assert (code, err) == (0, "")
    (run,) = bench.runs()
    assert run.manifest.server is None
    assert run.manifest.blocks[0].server_counted is None
    assert set(run.samples(["error"])["error"].to_pylist()) == {""}
    summary = run.summary()
    assert summary.latency["miss"]["intended"].count == summary.successes > 0
    assert summary.cache.hit_share is None


@pytest.mark.slow
def test_every_block_meets_the_fault_script_at_the_same_time(start: Callable[..., Bench], tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nat_s = 0.7\nfor_s = 0.6\nkind = "quota"\n')
    server = {"mock.faults": script, "mock.profile": "5ms"} | {
        f"{policy}.enabled": "false" for policy in ("cache", "retry", "circuit_breaker", "fallback")
    }
    settings = [part for key, value in server.items() for part in ("--set", f"{key}={value}")]
    timing = [
        "--users",
        "100",
        "--ramp",
        "0.2",
        "--warmup",
        "0.3",
        "--duration",
        "1.2",
        "--rounds",
        "2",
        "--keep-spoiled",
    ]
    code, _, err = start("--mode", "async", *timing, *settings).end()
    assert (code, err) == (0, "")
    (run,) = RunStore(tmp_path / "runs").ids()
    opened = RunStore(tmp_path / "runs").open(run)
    samples = opened.samples(["block", "scheduled_at", "status"]).to_pandas()
    assert len(opened.manifest.blocks) == 2
    for block in opened.manifest.blocks:
        mine = samples[samples["block"] == block.index]
        since_s = (
            mine["scheduled_at"] - block.measure_from_ns
        ) / 1e9  # faults from 0.4 to 1.0, by the warm-up of 0.3 s
        assert (mine["status"][since_s.between(0.5, 0.9)] != 200).all()
        assert (mine["status"][since_s.between(0.0, 0.3) | since_s.between(1.1, 1.2)] == 200).all()
        assert since_s.between(0.5, 0.9).sum() > 5
        ((from_ns, until_ns),) = block.faults
        assert (from_ns - block.measure_from_ns) / 1e9 == pytest.approx(0.4, abs=0.05)
        assert until_ns - from_ns == pytest.approx(600_000_000, abs=1000)
    calm, faulty = opened.summary().phases
    assert (calm.faults, calm.measured_s, calm.failures) == (False, pytest.approx(1.2), 0)
    assert (faulty.faults, faulty.measured_s) == (True, pytest.approx(1.2))
    assert faulty.failures == opened.summary().failures > 0.9 * faulty.requests


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_while_servers_start_leaves_nothing(
    start: Callable[..., Bench], number: signal.Signals, exit_code: int
) -> None:
    bench = start(*LONG)
    bench.wait_until(bench.children)
    children = bench.children()
    bench.process.send_signal(number)
    code, _, _ = bench.end(15)
    assert code == exit_code
    assert_gone(children)
    assert bench.store.ids() == []


def test_ctrl_c_while_measuring_keeps_what_was_measured(start: Callable[..., Bench]) -> None:
    bench = start(*LONG, "--generators", "2")
    bench.wait_for_samples("measure")
    children = bench.children()
    assert len(children) == 3
    bench.interrupt()
    code, out, err = bench.end(20)
    assert code == 130
    assert len(err.splitlines()) == 1
    assert_gone(children)
    (run,) = bench.runs()
    assert run.manifest.status == "aborted"
    assert run.path.name in out.replace("\n", "")
    (block,) = run.manifest.blocks
    assert 0 < block.measured_s < 30
    samples = run.samples(["user"])
    assert block.recorded == samples.num_rows > 0
    assert {user >= 25 for user in samples["user"].to_pylist()} == {True, False}
    assert merge(from_rows(tick["cells"]) for tick in run.ticks())["count"].to_pylist()
    assert (run.path / "summary.json").exists()


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait_for_requests_in_flight(start: Callable[..., Bench]) -> None:
    # One thread, 2 s a call, 30 users: a drain would take a minute.
    slow = ["--mode", "sync", "--sync-threads", "1", "--set", "mock.profile=2000ms", "--set", "cache.enabled=false"]
    bench = start(*slow, "--users", "30", "--duration", "1.1", "--ramp", "1.1", "--warmup", "1.1")
    bench.wait_until(lambda: any(tick["phase"] == "drain" for tick in bench.ticks()))
    assert {tick["phase"] for tick in bench.ticks()} >= {"ramp", "warmup", "measure", "drain"}
    children = bench.children()
    bench.interrupt()
    time.sleep(0.3)
    interrupted = time.monotonic()
    bench.interrupt()
    code, _, _ = bench.end(20)
    assert time.monotonic() - interrupted < 4
    assert code == 130
    assert_gone(children)
    assert [run.manifest.status for run in bench.runs()] in (["aborted"], [])


@pytest.mark.parametrize("module", ["server", pytest.param("loadtests.generator.generate", marks=pytest.mark.slow)])
def test_a_child_that_dies_is_named_and_what_was_measured_is_kept(start: Callable[..., Bench], module: str) -> None:
    bench = start(*LONG)
    bench.wait_for_samples("measure")
    children = bench.children()
    bench.child(module).send_signal(signal.SIGKILL)
    code, _, err = bench.end(20)
    assert code == 1
    assert module.removeprefix("loadtests.")[:6] in err
    assert "SIGKILL" in err
    assert "Traceback" not in err
    assert_gone(children)
    (run,) = bench.runs()
    assert run.manifest.status == "failed"
    assert "SIGKILL" in (run.manifest.reason or "")
    assert run.manifest.blocks[0].recorded == run.samples(["status"]).num_rows > 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ties child to parent on Linux only")
def test_no_process_outlives_a_runner_that_is_killed(start: Callable[..., Bench]) -> None:
    bench = start(*LONG)
    bench.wait_for_samples("measure")
    children = bench.children()
    assert len(children) == 2
    bench.process.kill()
    assert_gone(children)
    (run,) = bench.runs()
    assert run.samples(["status"]).num_rows > 0


def test_what_the_user_typed_wrong_is_one_line(start: Callable[..., Bench], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = start(*LONG, "--port", port).end()
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert port in err
    code, out, err = start(*LONG, "--set", "retry.attempts=many").end()
    assert (code, len(err.splitlines())) == (2, 1)
    assert "retry.attempts" in err
    code, out, err = start("--host", "http://127.0.0.1:9", *SMALL).end()
    assert (code, len(err.splitlines())) == (1, 1)
    assert "127.0.0.1:9" in err
    (tmp_path / "file").touch()
    code, out, err = start(*LONG, "--runs", str(tmp_path / "file")).end()
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    for arguments in (["bench", "--users", "x"], ["nonesuch"], []):
        command = [sys.executable, "-m", "loadtests", *arguments]
        refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
