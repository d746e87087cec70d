"""`python -m loadtests baseline`: a server and the bare handler in turn, so that the gate can compare across machines.

Exit codes: 0 done; 1 a process died or the machine would not do it; 2 wrong arguments; 5 a run that is not valid, so
that nothing can be compared; 128 + n ended by signal n.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from rich.console import Console

from loadtests.bench.checks import BenchError, allow_open_files, check_port
from loadtests.bench.load_flags import add_load_flags, read_load_flags
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import Arm, Mode
from loadtests.flags import OneLineParser, add_keep_spoiled, whole
from reports.records.schema import BARE_MODE


def main(arguments: Sequence[str]) -> int:
    """Measure what some arguments ask for and return the exit code."""
    options = read_options(arguments)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        allow_open_files(options.users)
        check_port(options.port)
        from loadtests.baseline.session import run_baseline  # late: a mistype is told before it loads

        return asyncio.run(run_baseline(options, arms_of(options), Console(), errors))
    except BenchError as error:
        errors.print(f"baseline: {error}")
        return error.exit_code


def arms_of(options: BenchOptions) -> tuple[Arm, Arm]:
    """The server as asked for, and the bare handler."""
    mode = cast(Mode, options.mode)
    return Arm("A", mode, options.settings, mode), Arm("B", BARE_MODE, {}, "bare handler")


def read_options(arguments: Sequence[str]) -> BenchOptions:
    """The options that some arguments stand for. Ends the process with code 2 and one line where they are wrong."""
    parser = OneLineParser(
        "loadtests baseline",
        "Measure a server and a handler that does nothing, in turn; the gate compares their ratio.",
    )
    option = parser.add_argument
    option("--users", type=whole(1), default=1000, metavar="N", help="users at the same time")
    option("--rounds", type=whole(1), default=2, metavar="N", help="blocks A B B A so many times")
    add_keep_spoiled(parser)
    add_load_flags(parser, duration_s=8.0, ramp_s=3.0, warmup_s=3.0, scenario="steady")
    given = parser.parse_args(arguments)
    return read_load_flags(parser, given, arguments, users=given.users, rounds=given.rounds)[0]
