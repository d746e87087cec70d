"""The command line of `python -m loadtests capacity`, read once and frozen."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench.load_flags import add_load_flags, read_load_flags
from loadtests.bench.options import BenchOptions
from loadtests.flags import OneLineParser, whole
from reports.capacity.search import SearchPlan
from reports.judge.slo import Slo, SloError, parse_slo

DEFAULT_SLO = "p99<1s,failed<1%"
_GIGABYTE = 10**9


@dataclass(frozen=True)
class CapacityOptions:
    """What a search was asked for. `bench` is the block that is run at each level, but for its load.

    A level is a number of users; with `by_rate` (an open loop) one of arrivals a second over `bench.users` connections.
    `host_cores` and `host_memory_bytes` are of the hosts that sizes are given in; None stands for this machine's.
    """

    slo: Slo
    plan: SearchPlan
    bench: BenchOptions
    by_rate: bool
    host_cores: int | None
    host_memory_bytes: int | None


def read_options(arguments: Sequence[str]) -> CapacityOptions:
    """The options that some arguments stand for. Ends the process with code 2 and one line where they are wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        slo = parse_slo(given.slo)
    except SloError as error:
        parser.error(f"argument --slo: {error}")
    if given.start > given.most:
        parser.error(f"argument --start: {given.start} is more than --most {given.most}")
    if given.most_repeats < given.repeats:
        parser.error(f"argument --most-repeats: {given.most_repeats} is less than --repeats {given.repeats}")
    bench, scenario = read_load_flags(parser, given, arguments, users=given.connections, rounds=1)
    if scenario.profile:
        parser.error(f"argument --scenario: the number of users changes in {given.scenario}; capacity needs it to stay")
    if scenario.is_open:
        try:
            scenario.at_rate(given.start)
        except ValueError as error:
            parser.error(f"argument --scenario: {error}")
    elif given.generators > given.start:
        parser.error(f"argument --generators: {given.generators} processes cannot share --start {given.start} users")
    plan = SearchPlan(
        start=given.start,
        most=given.most,
        tolerance=given.tolerance,
        repeats=given.repeats,
        most_repeats=given.most_repeats,
    )
    memory = None if given.host_memory_gb is None else int(given.host_memory_gb * _GIGABYTE)
    return CapacityOptions(slo, plan, bench, scenario.is_open, given.host_cores, memory)


def _parser() -> OneLineParser:
    parser = OneLineParser(
        "loadtests capacity",
        "Find the most users (of an open loop: arrivals a second) that a server holds within an SLO.",
    )
    option = parser.add_argument
    option("--slo", default=DEFAULT_SLO, metavar="EXPR", help="what must hold, e.g. hit.p99<20ms,failed<0.1%%")
    option("--start", type=whole(1), default=100, metavar="N", help="users of the first level, or arrivals a second")
    option("--most", type=whole(1), default=10_000, metavar="N", help="beyond which nothing is tried")
    option("--connections", type=whole(1), default=1000, metavar="N", help="that an open loop's arrivals may use")
    option("--tolerance", type=_tolerance, default=0.1, metavar="X", help="relative width that the answer may have")
    option("--repeats", type=whole(2), default=2, metavar="N", help="measurements of each level")
    option("--most-repeats", type=whole(2), default=4, metavar="N", help="and of one that they cannot decide")
    option("--host-cores", type=whole(1), metavar="N", help="cores of the hosts to size for (default: as here)")
    option("--host-memory-gb", type=_gigabytes, metavar="X", help="memory of the hosts to size for (default: as here)")
    add_load_flags(parser, duration_s=8.0, ramp_s=2.0, warmup_s=4.0, scenario="steady")
    return parser


def _tolerance(text: str) -> float:
    value = _number(text)
    if not 0.01 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.01 and 1")
    return value


def _gigabytes(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a size in gigabytes")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
