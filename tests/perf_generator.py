"""What the load generator costs and how well it tells the time: ``python -m tests.perf_generator [PART ...]``.

Parts: ``recorder`` (us of CPU a recorded request, and memory over a million of them), ``clients`` (us of CPU a request
of lean users, of FastHttpUser and of wrk, taking turns against one fast target), ``percentiles`` (p50 and p99 as
recorded against what the target measured), ``users`` (memory of 10,000 users in one process). With two cores or more
the target has the first and the generator the last. Figures of one machine drift; ratios hold better.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from loadtests import scenarios
from loadtests.generator import generate
from loadtests.generator.recorder import Recorder
from loadtests.generator.reply import usage
from reports.records.samples import iter_batches

_CORES = sorted(os.sched_getaffinity(0))
_LUA = 'wrk.method="POST"\nwrk.body=string.rep("x",600)\nwrk.headers["Content-Type"]="application/json"\n'
_SETTLE_S, _WINDOW_S = 4, 5
console = Console(highlight=False)


def _pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if len(_CORES) > 1 and shutil.which("taskset") else []


@contextlib.contextmanager
def target(*flags: str) -> Iterator[str]:
    """The URL of a target at work, with those flags of ``tests.perf_target``."""
    command = [*_pinned(_CORES[0]), sys.executable, "-m", "tests.perf_target", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.send_signal(signal.SIGTERM)


def generator(run_dir: Path, url: str, client: str, scenario: str, users: int, rate: int) -> subprocess.Popen[str]:
    """A load process, which knows the scenarios of ``tests/perf_scenarios`` too."""
    flags = ["--url", url, "--run-dir", str(run_dir), "--client", client, "--scenario", scenario, "--no-echo"]
    flags += ["--users", str(users), "--spawn-rate", str(rate)]
    command = [*_pinned(_CORES[-1]), sys.executable, "-m", "tests.perf_generator", "--generate", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def cost_of_users(url: str, client: str) -> float:
    """Median over seconds of the generator's CPU in us a request, 800 users thinking 20 ms."""
    with tempfile.TemporaryDirectory() as run_dir, generator(Path(run_dir), url, client, "dense", 800, 1600) as process:
        assert process.stdout is not None
        watched = psutil.Process(process.pid)
        seconds: list[tuple[int, float]] = []
        for line in process.stdout:
            news = json.loads(line)
            if "lag_ms" in news:
                times = watched.cpu_times()
                seconds.append((news["requests"], times.user + times.system))
            if len(seconds) > _SETTLE_S + _WINDOW_S:
                break
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    steps = zip(seconds[_SETTLE_S:], seconds[_SETTLE_S + 1 :], strict=False)
    return statistics.median((cpu - before_cpu) / (n - before_n) * 1e6 for (before_n, before_cpu), (n, cpu) in steps)


def cost_of_wrk(url: str) -> float:
    """wrk's CPU in us a request over a few seconds, 100 connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA)
        script.flush()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = ["wrk", "-t1", "-c100", "-d3s", "-s", script.name, f"{url}/process"]
        output = subprocess.run([*_pinned(_CORES[-1]), *command], capture_output=True, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    requests = next(int(line.split()[0]) for line in output.splitlines() if "requests in" in line)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / requests * 1e6


def clients(rounds: int) -> None:
    """Lean users, FastHttpUser and wrk in turn, and the ratios of each round."""
    to_fast, to_wrk = [], []
    with target() as url:
        for _ in range(rounds):
            lean = cost_of_users(url, "lean")
            fast = cost_of_users(url, "fast")
            to_fast.append(lean / fast)
            line = f"lean {lean:.1f}, FastHttpUser {fast:.1f}"
            if shutil.which("wrk"):
                wrk = cost_of_wrk(url)
                to_wrk.append(lean / wrk)
                line += f", wrk {wrk:.1f}"
            console.print(f"  {line} us of CPU a request")
    console.print(f"clients: lean / FastHttpUser {statistics.median(to_fast):.2f} (median of {rounds} rounds)")
    if to_wrk:
        console.print(f"         lean / wrk {statistics.median(to_wrk):.2f}")


def recorder(requests: int) -> None:
    """The cost of recording, headers, tokens, columns and the write included; and the memory it does not take."""
    stage = b"queue;dur=%.3f, validate;dur=0.101, cache;dur=0.004, gemini;dur=%.3f, backoff;dur=0.000, "
    stage += b"aggregate;dur=0.030, total;dur=%.3f"
    stages = [stage % (i % 7 / 100, 200 + i % 50, 212 + i % 13) for i in range(997)]
    caches = [b"tailgate; hit; ttl=%d" % (i % 300) for i in range(997)]
    body = b'{"results":[' + b"x" * 1800 + b'],"usage":{"prompt_tokens":9,"output_tokens":41,"total_tokens":50},'
    body += b'"cache":"hit","attempts":1,"timings_ms":{"queue":0.0,"gemini":212.5,"total":212.7},"degraded":false}'

    def costs(record: bool, count: int) -> float:
        began = time.process_time()
        for i in range(count):
            row = (i, i + 5, i + 300, 200, "", stages[i % 997], caches[i % 997], b"1", None, len(body), i, i)
            if record:
                under_test.record((*row[:8], usage(body), *row[9:]))
        return (time.process_time() - began) / count * 1e6

    with tempfile.TemporaryDirectory() as run_dir:
        under_test = Recorder(Path(run_dir), 1, "steady", 0)
        costs(True, 50_000)
        before = psutil.Process().memory_info().rss
        rounds = [costs(True, 50_000) - costs(False, 50_000) for _ in range(requests // 50_000)]
        grown = psutil.Process().memory_info().rss - before
        under_test.close()
        size = sum(path.stat().st_size for path in Path(run_dir).iterdir())
    console.print(
        f"recorder: {statistics.median(rounds):.2f} us of CPU a request (quickest {min(rounds):.2f}; median of "
        f"{len(rounds)} rounds), {grown / 2**20:+.1f} MiB of memory over {requests:,} requests, "
        f"{size / under_test.recorded:.0f} bytes each on disk"
    )


def percentiles() -> None:
    """p50 and p99 of a known log-normal law, as recorded from the send, against the target's own.

    Of what was sent, or read, within one window: after the ramp, as in a bench, and up to the moment of the stop.
    """
    with tempfile.TemporaryDirectory() as directory:
        run_dir, log = Path(directory), Path(directory) / "target.npy"
        with (
            target("--delay-ms", "20", "--log", str(log)) as url,
            generator(run_dir, url, "lean", "steady", 500, 250) as process,
        ):
            assert process.stdout is not None
            while json.loads(process.stdout.readline()).get("users") != 500:
                pass
            time.sleep(_SETTLE_S)
            opens_ns = time.time_ns()
            time.sleep(20)
            closes_ns = time.time_ns()
            process.send_signal(signal.SIGTERM)
            process.communicate()
        batches = list(iter_batches(run_dir))
        sent_ns, latency_ns = (
            np.concatenate([b[name].to_numpy() for b in batches]) for name in ("sent_at", "latency_ns")
        )
        read_ns, service_ns = np.load(log).T
    recorded = latency_ns[(sent_ns >= opens_ns) & (sent_ns < closes_ns)]
    served = service_ns[(read_ns >= opens_ns) & (read_ns < closes_ns)]
    (p50_ms, p99_ms), (true_p50_ms, true_p99_ms) = (
        np.percentile(times, [50, 99]) / 1e6 for times in (recorded, served)
    )
    console.print(
        f"percentiles: p50 {p50_ms:.2f} ms recorded, {true_p50_ms:.2f} ms at the target; "
        f"p99 {p99_ms:.2f} ms recorded, {true_p99_ms:.2f} ms at the target; n = {len(recorded):,} and {len(served):,}"
    )


def users(number: int) -> None:
    """Memory of one process with so many users, all of whom have asked something."""
    with (
        tempfile.TemporaryDirectory() as run_dir,
        target() as url,
        generator(Path(run_dir), url, "lean", "steady", number, number // 8) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            news = json.loads(line)
            if news.get("users") == number and news["requests"] > 4 * number:
                rss = psutil.Process(process.pid).memory_info().rss
                break
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    console.print(f"users: {rss / 2**20:.0f} MiB resident with {number:,} users, {news['failures']} failures")


def main(arguments: list[str]) -> int:
    """Measure the parts that are asked for, all by default."""
    if arguments[:1] == ["--generate"]:
        scenarios.__path__.append(str(Path(__file__).with_name("perf_scenarios")))
        return generate.main(arguments[1:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="recorder, clients, percentiles, users; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the clients")
    options = parser.parse_args(arguments)
    parts = {
        "recorder": lambda: recorder(1_000_000),
        "clients": lambda: clients(options.rounds),
        "percentiles": percentiles,
        "users": lambda: users(10_000),
    }
    unknown = set(options.parts) - set(parts)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for name in options.parts or parts:
        parts[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
