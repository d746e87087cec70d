"""What happens at each of Locust's events, so that a test under Locust's UI becomes a run like any other.

The conducting process (the only one, or the master) makes the run; every process that has users of its own makes a
session. What the workers must know they get as options, which Locust sends to them with the order to spawn.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import urllib.request
from argparse import Namespace
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtests import scenarios
from loadtests.generator.alarm import make_alarm
from loadtests.generator.clients import equip, report_to_locust
from loadtests.generator.lag import LagMeter
from loadtests.generator.lean_user import LeanPromptUser
from loadtests.generator.paced import PacedUser
from loadtests.generator.recorder import Recorder
from loadtests.generator.session import Session
from loadtests.locust_ui.run import LocustRun
from loadtests.target import Target, parse_target
from loadtests.workload.workload import Workload
from reports.errors import StoreError
from reports.store.store import DEFAULT_ROOT, RunStore

_log = logging.getLogger("tailgate")
_WORKER_USERS = 1_000_000  # numbers that each worker has for its users
_CONFIG_TIMEOUT_S = 2.0
_CLOSE_S = 10.0  # what a worker may take beyond waiting for requests in flight
_REPORT_KEY = "tailgate"
_END, _ENDED = "tailgate_end", "tailgate_ended"  # messages between master and workers


def listen() -> None:
    """Register everything with Locust; once, by the locustfile."""
    locust.runners.WORKER_REPORT_INTERVAL = 1.0  # Locust's 3 s would make every tick of a distributed run late
    test = _Test()
    for event, listener in (
        (events.init_command_line_parser, _add_arguments),
        (events.init, test.on_init),
        (events.test_start, test.on_test_start),
        (events.spawning_complete, test.on_spawning_complete),
        (events.test_stopping, test.on_test_stopping),
        (events.test_stop, test.on_test_stop),
        (events.report_to_master, test.on_report_to_master),
        (events.worker_report, test.on_worker_report),
    ):
        event.add_listener(listener)  # type: ignore[no-untyped-call]


def _add_arguments(parser: LocustArgumentParser, **_: Any) -> None:
    group = parser.add_argument_group("Tailgate")
    add = group.add_argument
    add("--scenario", default="steady", choices=scenarios.names(), help="what the users do")
    add("--seed", type=int, default=42, help="same seed, same requests")
    add("--warmup", type=float, default=5.0, help="seconds after the last user has started that are not measured")
    add("--runs", default=str(DEFAULT_ROOT), help="where runs are saved")
    add("--i-may-load-this-host", action="store_true", help="confirm that you may load a host that is not this machine")


class _Test:
    """The state of one Locust process between its events."""

    def __init__(self) -> None:
        self._environment: Environment
        self._run: LocustRun | None = None
        self._session: Session | None = None
        self._background: list[gevent.Greenlet] = []
        self._lags_ms: dict[int, float] = {}
        self._ended: set[str] = set()

    @property
    def _options(self) -> Namespace:
        options: Namespace | None = self._environment.parsed_options
        assert options is not None
        return options

    @property
    def _runner(self) -> Any:
        """The runner, of whose classes only some have an index or workers."""
        return self._environment.runner

    def on_init(self, environment: Environment, **_: Any) -> None:
        """Choose the lean users unless others were named, and refuse early what cannot be done."""
        self._environment = environment
        if not self._options.user_classes:
            environment.user_classes[:] = [
                users for users in environment.user_classes if users.__name__.startswith("Lean")
            ]
        environment.stop_timeout = environment.stop_timeout or scenarios.load(self._options.scenario).timeout_s
        runner = self._runner
        if isinstance(runner, WorkerRunner):
            runner.register_message(_END, self._end_worker, concurrent=True)
        elif isinstance(runner, MasterRunner):
            runner.register_message(_ENDED, lambda msg, **_: self._ended.add(msg.node_id))
        if environment.host:
            try:
                self._target()
            except ValueError as error:
                sys.exit(_refusal(error))

    def on_test_start(self, **_: Any) -> None:
        """Make the run (unless a worker) and the session (unless the master)."""
        runner = self._runner
        try:
            workload, target = self._workload(), self._target()
            if not isinstance(runner, WorkerRunner):
                self._begin_run(workload, target)
            if not isinstance(runner, MasterRunner):
                self._begin_session(workload, target)
        except (ValueError, OSError, StoreError) as error:
            self._environment.process_exit_code = 2
            raise StopTest(str(error)) from None

    def _begin_run(self, workload: Workload, target: Target) -> None:
        options, runner = self._options, self._runner
        config = _config(target)
        self._lags_ms = {} if isinstance(runner, MasterRunner) else {os.getpid(): 0.0}
        self._run = LocustRun(
            RunStore(Path(options.runs)),
            workload,
            target,
            config,
            users=lambda: runner.user_count,
            target_users=runner.target_user_count,
            warmup_s=options.warmup,
            lags_ms=self._lags_ms,
        )
        # For the workers, as Locust sends them the master's options.
        options.run_dir = str(self._run.directory.resolve())
        options.echo = config.get("settings", {}).get("gemini_client") == "mock"
        options.load_processes = runner.worker_count
        options.load_users = runner.target_user_count
        _log.warning("run %s", self._run.id)

    def _begin_session(self, workload: Workload, target: Target) -> None:
        environment, options, runner = self._environment, self._options, self._runner
        run_dir = Path(options.run_dir)
        if not run_dir.is_dir():
            raise ValueError(f"{run_dir} is not on this machine: workers elsewhere cannot write their samples there")
        self._session = session = Session(
            workload,
            target,
            Recorder(run_dir, os.getpid(), workload.scenario.name, block=0),
            make_alarm(),
            users=max(1, options.load_users // options.load_processes),
            first_user=max(0, runner.worker_index) * _WORKER_USERS,
            share=1 / options.load_processes,
            echo=options.echo,
        )
        (users,) = environment.user_classes
        assert issubclass(users, PacedUser)
        equip("lean" if users is LeanPromptUser else "fast", session)
        report_to_locust(users, session, environment)
        session.recorder_failed.rawlink(lambda _: gevent.spawn(self._give_up, session))
        lag = LagMeter(session.alarm)
        self._background = [gevent.spawn(lag.run), gevent.spawn(self._flush_forever, session, lag)]

    def on_spawning_complete(self, **_: Any) -> None:
        """All users are up."""
        if self._session is not None:
            self._session.open_gate()
        if self._run is not None:
            self._run.spawned()

    def on_test_stopping(self, **_: Any) -> None:
        """No new request is wanted."""
        if self._run is not None:
            self._run.stopping()
        if isinstance(self._runner, MasterRunner):
            self._ended.clear()
            self._runner.send_message(_END)

    def on_test_stop(self, **_: Any) -> None:
        """All users have stopped: end the samples, then (in the conducting process) the run."""
        gevent.killall(self._background)
        if self._session is not None:
            self._session.record_unsent()
            self._session.recorder.close()
            self._session = None
            if isinstance(self._runner, WorkerRunner):
                self._runner.send_message(_ENDED)
        if self._run is not None:
            if isinstance(self._runner, MasterRunner):
                self._await_workers(self._runner)
            self._run.finish()
            self._run = None

    def _end_worker(self, **_: Any) -> None:
        self._runner.stop()
        # Locust's worker sleeps for as long again before it is ready for another test; nothing is left to wait for.
        self._environment.stop_timeout = 0.0

    def _await_workers(self, master: MasterRunner) -> None:
        """Wait until every worker that lives has closed its samples: Locust, when it quits, does not."""
        deadline = time.monotonic() + self._environment.stop_timeout + _CLOSE_S
        while time.monotonic() < deadline:
            living = {worker.id for worker in master.clients.all if worker.state != STATE_MISSING}
            if living <= self._ended:
                return
            gevent.sleep(0.05)
        _log.error("some workers did not end their samples in time")

    def on_report_to_master(self, data: dict[str, Any], **_: Any) -> None:
        """A worker says which process it is and how late its event loop was."""
        data[_REPORT_KEY] = {"pid": os.getpid(), "lag_ms": self._lags_ms.get(os.getpid(), 0.0)}

    def on_worker_report(self, data: dict[str, Any], **_: Any) -> None:
        """The master takes note of it."""
        if self._run is not None and _REPORT_KEY in data:
            self._lags_ms[data[_REPORT_KEY]["pid"]] = data[_REPORT_KEY]["lag_ms"]

    def _flush_forever(self, session: Session, lag: LagMeter) -> None:
        while True:
            gevent.sleep(1.0)
            session.recorder.flush()
            self._lags_ms[os.getpid()] = lag.take_p99_ms()

    def _give_up(self, session: Session) -> None:
        _log.error("samples could not be written: %s", session.recorder_error)
        self._environment.process_exit_code = 1
        self._runner.quit()

    def _workload(self) -> Workload:
        return Workload(scenarios.load(self._options.scenario), self._options.seed)

    def _target(self) -> Target:
        options = self._options
        if not self._environment.host:
            raise ValueError("no host to load: give one with --host or in the form")
        target = parse_target(self._environment.host, scenarios.load(options.scenario).path)
        target.refuse_foreign(allowed=options.i_may_load_this_host)
        if target.scheme != "http" and LeanPromptUser in self._environment.user_classes:
            raise ValueError(
                f"lean users speak http only, not {target.scheme}: name FastPromptUser on the command line"
            )
        return target


def _refusal(error: Exception) -> int:
    """Say why in one line; the exit code for wrong usage."""
    print(f"locust: {error}", file=sys.stderr)
    return 2


def _config(target: Target) -> dict[str, Any]:
    """What a Tailgate says of itself at ``/config``; empty when the target is another server, or down."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{target.base_url}/config", timeout=_CONFIG_TIMEOUT_S) as answer:
            config = json.load(answer)
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) and "gemini_client" in config.get("settings", {}) else {}
