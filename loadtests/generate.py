"""One load process: ``python -m loadtests.generate --url URL --scenario steady --users N ... --run-dir DIR``.

Standard output is a protocol, one JSON object a line: first ``{"ready": true, "pid": n}``, then once a second
``{"users", "in_flight", "requests", "failures", "lag_ms"}`` (``lag_ms`` is the 99th percentile of how late the event
loop woke a sleeper in that second), last ``{"done": true, "recorded": n}``. SIGTERM or SIGINT ends it: no new request
starts, those in flight are awaited for ``--stop-timeout`` seconds, all samples are written. Exit codes: 0, 1 when the
samples could not be written, 2 for what cannot be started.
"""

from __future__ import annotations

import locust.env  # isort: skip  # first: it patches the sockets that the imports below use

import argparse
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import gevent
import gevent.event

from loadtests import scenarios
from loadtests.alarm import make_alarm
from loadtests.clients import CLIENTS, equip, report_to_locust
from loadtests.lag import LagMeter
from loadtests.paced import PacedUser
from loadtests.recorder import Recorder
from loadtests.session import Session
from loadtests.target import parse_target
from loadtests.workload import Workload


def main(arguments: Sequence[str]) -> int:
    """Generate load as the command line says; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # It warns of spawn rates above 100/s and of a busy CPU; the bench judges both by what it measures.
    logging.getLogger("locust.runners").setLevel(logging.ERROR)
    try:
        session = _session(options)
        users = equip(options.client, session)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return _run(session, users, options)


def _session(options: argparse.Namespace) -> Session:
    """Everything that can fail before the load starts. Raises ValueError or OSError."""
    scenario = scenarios.load(options.scenario)
    target = parse_target(options.url, scenario.path)
    target.refuse_foreign(allowed=options.i_may_load_this_host)
    workload = Workload(scenario, options.seed)
    recorder = Recorder(options.run_dir, os.getpid(), scenario.name, options.block)
    return Session(
        workload,
        target,
        recorder,
        make_alarm(),
        users=options.users,
        first_user=options.first_user,
        share=options.users / (options.total_users or options.users),
        echo=not options.no_echo,
    )


def _run(session: Session, users: type[PacedUser], options: argparse.Namespace) -> int:
    """Spawn the users, report once a second, and end in order when told to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stop = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    environment = locust.env.Environment(
        user_classes=[users], host=session.target.base_url, stop_timeout=options.stop_timeout
    )
    report_to_locust(users, session, environment)
    environment.events.spawning_complete.add_listener(lambda **_: session.open_gate())  # type: ignore[no-untyped-call]
    runner = environment.create_local_runner()
    lag = LagMeter(session.alarm)
    session.recorder_failed.rawlink(lambda _: stop.set())
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

    def report() -> None:
        while True:
            gevent.sleep(1.0)
            session.flush()
            _say(
                users=runner.user_count,
                in_flight=session.in_flight,
                requests=session.recorder.recorded,
                failures=session.recorder.failures,
                lag_ms=round(lag.take_p99_ms(), 3),
            )

    _say(ready=True, pid=os.getpid())
    runner.start(options.users, options.spawn_rate)
    background = [gevent.spawn(report), gevent.spawn(lag.run)]
    stop.wait()
    runner.stop()
    gevent.killall(background)
    session.close()
    if session.recorder_error is not None:
        print(f"samples could not be written: {session.recorder_error}", file=sys.stderr)
        return 1
    _say(done=True, recorded=session.recorder.recorded)
    return 0


def _say(**news: object) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.generate", description="One load process.")
    add = parser.add_argument
    add("--url", required=True, help="the server under test, e.g. http://127.0.0.1:8080")
    add("--scenario", default="steady", help=f"one of: {', '.join(scenarios.names())}")
    add("--users", type=_positive_int, required=True, help="users of this process")
    add("--first-user", type=int, default=0, help="number of this process's first user (default 0)")
    add("--total-users", type=_positive_int, help="users of all processes, of which an open loop's rate is shared out")
    add("--spawn-rate", type=_positive_float, default=100.0, help="users to start a second (default 100)")
    add("--seed", type=int, default=42, help="same seed, same requests (default 42)")
    add("--run-dir", type=Path, required=True, help="the run's directory, which must exist")
    add("--block", type=int, default=0, help="index of the block in the manifest (default 0)")
    add(
        "--stop-timeout", type=_positive_float, default=60.0, help="seconds to wait for requests in flight (default 60)"
    )
    add("--client", choices=CLIENTS, default=CLIENTS[0], help=f"HTTP client of the users (default {CLIENTS[0]})")
    add("--no-echo", action="store_true", help="the server's replies do not repeat the prompts: do not look for them")
    add("--i-may-load-this-host", action="store_true", help="confirm that you may load a host that is not this machine")
    return parser


def _positive_int(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
