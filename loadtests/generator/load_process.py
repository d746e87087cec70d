"""A load process at work: Locust as a library, users spawned, progress told, an end in good order."""

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
import time

import gevent
import gevent.event
import gevent.socket

from loadtests.generator.alarm import make_alarm
from loadtests.generator.clients import equip, report_to_locust
from loadtests.generator.lag import LagMeter
from loadtests.generator.recorder import Recorder
from loadtests.generator.session import Session
from loadtests.target import Target
from loadtests.workload.profile import changes
from loadtests.workload.scenario import Scenario
from loadtests.workload.workload import Workload

_REPORT_EVERY_S = 1.0
_AT_ONCE_S = 0.001  # to Locust, 0 would mean to kill users in the middle of what they do


def run(options: argparse.Namespace, scenario: Scenario, target: Target) -> int:
    """Load ``target`` until told to stop, as the flags of ``loadtests.generator.generate`` say; return the exit code.

    Raises OSError when the sample file cannot be opened.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # It warns of spawn rates above 100/s and of a busy CPU; the bench judges both by what it measures.
    logging.getLogger("locust.runners").setLevel(logging.ERROR)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stop = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    session = Session(
        Workload(scenario, options.seed),
        target,
        Recorder(options.run_dir, os.getpid(), scenario.name, options.block),
        make_alarm(),
        users=options.users,
        first_user=options.first_user,
        share=options.users / (options.total_users or options.users),
        echo=not options.no_echo,
    )
    session.recorder_failed.rawlink(lambda _: stop.set())
    users = equip(options.client, session)
    environment = locust.env.Environment(
        user_classes=[users], host=target.base_url, stop_timeout=options.stop_timeout or _AT_ONCE_S
    )
    report_to_locust(users, session, environment)
    runner = environment.create_local_runner()
    full = gevent.event.Event()
    environment.events.spawning_complete.add_listener(lambda **_: full.set())  # type: ignore[no-untyped-call]
    lag = LagMeter(session.alarm)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

    def report() -> None:
        full.wait(_REPORT_EVERY_S)  # whoever started the load waits for all users: tell at once that they are up
        while True:
            session.recorder.flush()
            _say(
                users=runner.user_count,
                in_flight=session.in_flight,
                requests=session.recorder.recorded,
                failures=session.recorder.failures,
                lag_ms=round(lag.take_p99_ms(), 3),
            )
            gevent.sleep(_REPORT_EVERY_S)

    def follow_schedule() -> None:
        full.wait()
        session.open_gate()
        if not scenario.profile:
            return
        opens_ns = _opening_ns()
        for change in changes(scenario.profile, options.users, options.duration):
            session.alarm.sleep_until(opens_ns + int(change.at_s * 1e9))
            runner.start(change.users, change.rate_per_s)

    _say(ready=True, pid=os.getpid())
    runner.start(scenario.users_at_start(options.users), options.spawn_rate)
    background = [gevent.spawn(report), gevent.spawn(lag.run), gevent.spawn(follow_schedule)]
    stop.wait()
    background.pop().kill()
    environment.stop_timeout = session.drain(options.stop_timeout) or _AT_ONCE_S
    runner.stop()
    session.record_unsent()
    gevent.killall(background)
    session.recorder.close()
    if session.recorder_error is not None:
        print(f"samples could not be written: {session.recorder_error}", file=sys.stderr)
        return 1
    _say(done=True, recorded=session.recorder.recorded)
    return 0


def _opening_ns() -> int:
    """When the measured time begins, in perf_counter ns: read from standard input as wall-clock ns. Now, if it ends."""
    told = b""
    while not told.endswith(b"\n"):
        gevent.socket.wait_read(sys.stdin.fileno())
        part = os.read(sys.stdin.fileno(), 64)
        if not part:
            return time.perf_counter_ns()
        told += part
    return time.perf_counter_ns() + int(told) - time.time_ns()


def _say(**news: object) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()
