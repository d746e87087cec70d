"""The command line of `python -m loadtests bench`, read once and frozen."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from loadtests import scenarios
from loadtests.bench.plan import Mode, Timing
from loadtests.bench.revisions import two_revisions
from loadtests.flags import OneLineParser, add_keep_spoiled, port, rate, seconds, setting, whole
from loadtests.target import parse_target


@dataclass(frozen=True)
class BenchOptions:
    """What a bench was asked to do.

    `settings` go to the servers, by dotted path, the scenario's own included; `changes` to that of arm B on top.
    `revisions` of the server are A and B, where they are what is compared. `rate` is in requests a second, None for the
    scenario's own. `keep_spoiled`: blocks count whatever the machine or the generator did to them.
    """

    mode: Literal["ab"] | Mode
    users: int
    rate: float | None
    scenario: str
    seed: int
    timing: Timing
    host: str | None
    may_load_host: bool
    port: int
    generators: int
    rounds: int
    runs: Path
    settings: Mapping[str, str]
    changes: Mapping[str, str]
    revisions: tuple[str, str] | None
    require_valid: bool
    keep_spoiled: bool
    command: tuple[str, ...]


def read_options(arguments: Sequence[str]) -> BenchOptions:
    """The options that some arguments stand for. Ends the process with code 2 and one line where they are wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        scenario = scenarios.load(given.scenario)
    except ValueError as error:
        parser.error(f"argument --scenario: {error}")
    if given.rate is not None:
        try:
            scenario.at_rate(given.rate)
        except ValueError as error:
            parser.error(f"argument --rate: {error}")
    if given.generators > given.users:
        parser.error(f"argument --generators: {given.generators} processes cannot share {given.users} users")
    if given.host is not None:
        _check_host(parser, given)
    if given.revs and given.ab:
        parser.error("argument --revs: not with --ab: a difference could then be of either")
    settings = {key: str(value) for key, value in scenario.server.items()}
    if given.sync_threads is not None:
        settings["sync_threads"] = str(given.sync_threads)
    settings.update(given.settings)
    return BenchOptions(
        mode=cast(Literal["ab"] | Mode, given.mode),
        users=given.users,
        rate=given.rate,
        scenario=given.scenario,
        seed=given.seed,
        timing=Timing(given.ramp, given.warmup, given.duration, given.stop_timeout),
        host=given.host,
        may_load_host=given.i_may_load_this_host,
        port=given.port,
        generators=given.generators,
        rounds=given.rounds,
        runs=given.runs,
        settings=settings,
        changes=dict(given.ab),
        revisions=given.revs,
        require_valid=given.require_valid,
        keep_spoiled=given.keep_spoiled,
        command=(Path(sys.executable).name, "-m", "loadtests", "bench", *arguments),
    )


def _parser() -> OneLineParser:
    parser = OneLineParser(
        "loadtests bench",
        "Load a server of its own with simulated users, async against sync, and save a report.",
    )
    option = parser.add_argument
    option("--mode", default="ab", choices=["ab", "async", "sync", "blocking"], help="ab: async against sync, in turn")
    option(
        "--ab", type=setting, action="append", default=[], metavar="KEY=VALUE",
        help="compare the server without this setting (A) and with it (B), in --mode (ab: async); may be repeated",
    )  # fmt: skip
    option(
        "--revs", type=two_revisions, metavar="A..B",
        help="compare two git revisions of the server, in --mode (ab: async), e.g. main~3..main; A.. is A against the "
        "files as they are",
    )  # fmt: skip
    option("--rounds", type=whole(1), default=1, metavar="N", help="blocks A B B A so many times (one arm: N blocks)")
    option("--users", type=whole(1), default=1000, metavar="N", help="users at the same time")
    option(
        "--rate", type=rate, metavar="R", help="requests a second, of a scenario with an open loop (default: its own)"
    )
    option("--duration", type=seconds(0.5), default=15.0, metavar="S", help="seconds measured, per block")
    option("--ramp", type=seconds(0), default=3.0, metavar="S", help="seconds over which users start")
    option("--warmup", type=seconds(0), default=8.0, metavar="S", help="seconds of full load before the clock starts")
    option("--scenario", default="steady", metavar="NAME", help=f"one of: {', '.join(scenarios.names())}")
    option("--seed", type=whole(0), default=42, metavar="N", help="same seed, same workload and mock latencies")
    option("--host", metavar="URL", help="load this server instead of one of our own, e.g. http://127.0.0.1:8080")
    option(
        "--i-may-load-this-host", action="store_true", help="confirm that you may load a --host that is not loopback"
    )
    option("--port", type=port, default=0, metavar="P", help="port of the (first) server; 0: any free one")
    option("--generators", type=whole(1), default=1, metavar="N", help="processes that the users are spread over")
    option("--runs", type=Path, default=Path("reports/runs"), metavar="DIR", help="where runs are saved")
    option("--sync-threads", type=whole(1), metavar="N", help="worker threads of the sync mode (server default: 40)")
    option("--stop-timeout", type=seconds(0.1), default=60.0, metavar="S", help="wait so long for the last replies")
    option(
        "--set", dest="settings", type=setting, action="append", default=[], metavar="KEY=VALUE",
        help="a server setting, e.g. retry.attempts=1; may be repeated",
    )  # fmt: skip
    add_keep_spoiled(parser)
    option("--require-valid", action="store_true", help="exit with code 5 unless every run's verdict is VALID")
    return parser


def _check_host(parser: OneLineParser, given: argparse.Namespace) -> None:
    """Refuse a host that is none, or may not be loaded, and flags that only our own servers obey."""
    ours = {
        "--ab": given.ab,
        "--revs": given.revs,
        "--set": given.settings,
        "--sync-threads": given.sync_threads,
        "--port": given.port,
    }
    unheard = [flag for flag, value in ours.items() if value]
    if unheard:
        parser.error(f"argument {unheard[0]}: not with --host, whose server is not ours to set")
    try:
        target = parse_target(given.host, path="")
        loopback = target.is_loopback
    except ValueError as error:
        parser.error(f"argument --host: {error}")
    if not loopback and not given.i_may_load_this_host:
        parser.error(
            f"argument --host: {target.host} is not this machine; add --i-may-load-this-host if you may load it"
        )
