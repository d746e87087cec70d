"""`python -m loadtests bench`: one command from nothing to a saved, compared report.

Exit codes: 0 done; 1 a process died or the machine would not do it; 2 wrong arguments; 5 with --require-valid, a run
that is not VALID; 128 + n ended by signal n.
"""

import asyncio
from collections.abc import Sequence

from rich.console import Console

from loadtests.bench.checks import BenchError, allow_open_files, check_port
from loadtests.bench.options import read_options


def main(arguments: Sequence[str]) -> int:
    """Run the bench that some arguments ask for and return its exit code."""
    options = read_options(arguments)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        allow_open_files(options.users)
        check_port(options.port)
        from loadtests.bench.session import run_bench  # late: a mistype is told before it loads

        return asyncio.run(run_bench(options, Console(), errors))
    except BenchError as error:
        errors.print(f"bench: {error}")
        return error.exit_code
