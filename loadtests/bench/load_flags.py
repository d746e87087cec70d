"""The flags that every command has which loads servers of its own: who asks what, how long, and of which server."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from loadtests import scenarios
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import Mode, Timing
from loadtests.flags import OneLineParser, port, seconds, setting, whole
from loadtests.workload.scenario import Scenario


def add_load_flags(parser: OneLineParser, *, duration_s: float, ramp_s: float, warmup_s: float, scenario: str) -> None:
    """Add them, with the defaults that a command wants."""
    option = parser.add_argument
    option("--mode", default="async", choices=["async", "sync", "blocking"], help="how the server works")
    option("--duration", type=seconds(0.5), default=duration_s, metavar="S", help="seconds measured, per block")
    option("--ramp", type=seconds(0), default=ramp_s, metavar="S", help="seconds over which users start")
    option("--warmup", type=seconds(0), default=warmup_s, metavar="S", help="seconds of full load before that")
    option("--scenario", default=scenario, metavar="NAME", help=f"one of: {', '.join(scenarios.names())}")
    option("--seed", type=whole(0), default=42, metavar="N", help="same seed, same workload and mock latencies")
    option("--port", type=port, default=0, metavar="P", help="port of the (first) server; 0: any free one")
    option("--generators", type=whole(1), default=1, metavar="N", help="processes that the users are spread over")
    option("--runs", type=Path, default=Path("reports/runs"), metavar="DIR", help="where runs are saved")
    option("--stop-timeout", type=seconds(0.1), default=60.0, metavar="S", help="wait so long for the last replies")
    option(
        "--set", dest="settings", type=setting, action="append", default=[], metavar="KEY=VALUE",
        help="a server setting, e.g. cache.enabled=false; may be repeated",
    )  # fmt: skip


def read_load_flags(
    parser: OneLineParser, given: argparse.Namespace, arguments: Sequence[str], *, users: int, rounds: int
) -> tuple[BenchOptions, Scenario]:
    """The blocks that they ask for, and the scenario. Ends the process with code 2 and one line if they are wrong."""
    try:
        scenario = scenarios.load(given.scenario)
    except ValueError as error:
        parser.error(f"argument --scenario: {error}")
    if given.generators > users:
        parser.error(f"argument --generators: {given.generators} processes cannot share {users} users")
    options = BenchOptions(
        mode=cast(Mode, given.mode),
        users=users,
        rate=None,
        scenario=given.scenario,
        seed=given.seed,
        timing=Timing(given.ramp, given.warmup, given.duration, given.stop_timeout),
        host=None,
        may_load_host=False,
        port=given.port,
        generators=given.generators,
        rounds=rounds,
        runs=given.runs,
        settings={key: str(value) for key, value in scenario.server.items()} | dict(given.settings),
        changes={},
        revisions=None,
        require_valid=False,
        keep_spoiled=getattr(given, "keep_spoiled", True),  # a search repeats by a rule of its own
        command=(Path(sys.executable).name, *parser.prog.split()[1:], *arguments),
    )
    return options, scenario
