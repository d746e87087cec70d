"""The capacity search, its baseline and their flags as people run them: real servers and load, small."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import psutil
import pytest

from loadtests.baseline import command as baseline
from loadtests.baseline.bare_handler import build_app
from loadtests.bench.monitor import parse_counters
from loadtests.capacity import options as capacity_options
from loadtests.capacity.options import read_options
from reports.store.store import RunStore

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["--duration", "0.5", "--ramp", "0", "--warmup", "0.1"]


def run(command: str, runs: Path, *flags: str, within_s: float = 100) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; no process of it may be left."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", command, "--runs", str(runs), *flags],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(runs.parent), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert not left
    return done


def reports(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reports", "--runs", str(runs), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_search_under_load_ends_saves_its_levels_and_can_be_judged_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    done = run("capacity", runs, *QUICK, "--slo", "p50<9s", "--start", "15", "--most", "30", "--most-repeats", "2")
    assert done.returncode in (0, 3, 5), done.stderr
    assert done.stderr == ""
    store = RunStore(runs)
    saved = [store.open(run_id) for run_id in store.ids()]
    assert 15 in {one.manifest.users for one in saved}
    assert {one.manifest.status for one in saved} == {"complete"}
    (experiment,) = {one.manifest.experiment for one in saved}
    for one in saved:
        assert len(one.manifest.blocks) == 2
        assert one.manifest.label == f"async, {one.manifest.users} users"
        assert one.summary().reconciliation.matches
    users = [set(one.samples(["block", "user"]).to_pandas()["user"]) for one in saved]
    assert all(not (a & b) for i, a in enumerate(users) for b in users[:i])  # nobody asks what was asked before

    again = reports(runs, "capacity", str(experiment), "--slo", "p50<1ms")
    assert again.returncode in (3, 5)
    assert again.stderr == ""
    for one in saved:
        assert f" {one.manifest.users} " in again.stdout


@pytest.mark.slow
def test_a_search_in_arrivals_loads_each_level_at_its_rate(tmp_path: Path) -> None:
    done = run(
        "capacity", tmp_path / "runs", *QUICK, "--scenario", "open", "--start", "80", "--most", "80", "--connections",
        "60", "--most-repeats", "2",
    )  # fmt: skip
    assert done.returncode in (0, 5), done.stderr
    store = RunStore(tmp_path / "runs")
    (run_id,) = store.ids()
    manifest = store.open(run_id).manifest
    assert manifest.workload.parameters["load"]["rate_per_s"] == 80.0
    assert manifest.users == 60
    samples = store.open(run_id).samples(["scheduled_at", "block"]).to_pandas()
    for _, at in samples.groupby("block")["scheduled_at"]:
        assert len(at) / ((at.max() - at.min()) / 1e9) == pytest.approx(80.0, rel=0.5)


@pytest.mark.slow
def test_a_baseline_is_measured_written_and_compared(tmp_path: Path) -> None:
    runs, path = tmp_path / "runs", tmp_path / "baseline.json"
    done = run("baseline", runs, *QUICK, "--users", "60", "--rounds", "1")
    assert done.returncode in (0, 5), done.stderr
    server, bare = sorted(map(RunStore(runs).open, RunStore(runs).ids()), key=lambda one: one.manifest.arm or "")
    assert (server.manifest.mode, bare.manifest.mode) == ("async", "bare")
    assert bare.summary().failures == 0
    assert bare.summary().cache.hit_share == 1.0
    assert bare.summary().reconciliation.matches
    assert server.manifest.workload.digest == bare.manifest.workload.digest

    written = reports(runs, "gate", "latest", "--write-baseline", str(path))
    if written.returncode == 5:  # this machine was too busy for a valid run; then nothing may have been written
        assert not path.exists()
        return
    assert json.loads(path.read_text())["ratios"]["server_cpu"]["pairs"] in (1, 2)  # one: a pass was spoiled twice
    judged = reports(runs, "gate", "latest", "--baseline", str(path), "--junit", str(tmp_path / "gate.xml"))
    assert judged.returncode == 0, judged.stdout
    assert (tmp_path / "gate.xml").exists()


async def test_the_bare_handler_counts_what_it_answers_and_says_what_a_bench_asks() -> None:
    runner = aiohttp.web.AppRunner(build_app(), access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        replies = await asyncio.gather(*(session.post(f"{url}/process", data=b'{"n": 1}') for _ in range(20)))
        assert {reply.status for reply in replies} == {200}
        assert await replies[0].read() == b'{"n": 1}'
        assert replies[0].headers["Cache-Status"].startswith("tailgate; hit")
        counters = parse_counters(await (await session.get(f"{url}/metrics")).text())
        assert counters.requests == {"200/hit": 20}
        config = await (await session.get(f"{url}/config")).json()
        assert config["settings"]["gemini_client"] == "mock"
    await runner.cleanup()


def test_what_is_not_said_is_a_search_of_async_by_users() -> None:
    options = read_options([])
    assert not options.by_rate
    assert (options.bench.mode, options.bench.scenario) == ("async", "steady")
    assert [str(threshold) for threshold in options.slo] == ["p99<1s", "failed<1%"]
    assert read_options(["--scenario", "open"]).by_rate
    assert "cache.max_entries" in options.bench.settings  # the scenario's own
    assert read_options(["--host-memory-gb", "64"]).host_memory_bytes == 64 * 10**9


@pytest.mark.parametrize(
    "arguments",
    [
        ["--slo", "p99<0s"],
        ["--slo", "p99"],
        ["--slo", ""],
        ["--start", "0"],
        ["--start", "500", "--most", "400"],
        ["--repeats", "1"],
        ["--repeats", "3", "--most-repeats", "2"],
        ["--tolerance", "0"],
        ["--tolerance", "nan"],
        ["--host-cores", "0"],
        ["--host-memory-gb", "-1"],
        ["--scenario", "nonesuch"],
        ["--scenario", "spike"],
        ["--scenario", "stampede"],
        ["--generators", "8", "--start", "4"],
        ["--set", "novalue"],
        ["--mode", "ab"],
        ["stray"],
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        capacity_options.read_options(arguments)
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert len(complaint.splitlines()) == 1
    assert arguments[0].lstrip("-")[:4] in complaint


def test_a_baseline_takes_the_server_as_it_is_asked_for_and_the_bare_handler() -> None:
    server, bare = baseline.arms_of(baseline.read_options(["--mode", "sync", "--set", "cache.enabled=false"]))
    assert (server.letter, server.mode, server.settings["cache.enabled"]) == ("A", "sync", "false")
    assert (bare.letter, bare.mode, dict(bare.settings)) == ("B", "bare", {})


def test_an_unknown_setting_is_refused_in_one_line(tmp_path: Path) -> None:
    done = run("capacity", tmp_path / "runs", *QUICK, "--set", "nonesuch.enabled=false")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "nonesuch" in line
    assert RunStore(tmp_path / "runs").ids() == []
