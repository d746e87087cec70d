"""`python -m loadtests capacity --slo "p99<1s,failed<1%"`: the most users, or the highest rate, within an SLO.

Exit codes: 0 found; 1 a process died or the machine would not do it; 2 wrong arguments; 3 no level is within the SLO; 5
the load generator was the limit, or too little was measured to tell; 128 + n ended by signal n.
"""

import asyncio
from collections.abc import Sequence

from rich.console import Console

from loadtests.bench.checks import BenchError, allow_open_files, check_port
from loadtests.capacity.options import read_options


def main(arguments: Sequence[str]) -> int:
    """Run the search that some arguments ask for and return its exit code."""
    options = read_options(arguments)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        allow_open_files(options.bench.users if options.by_rate else options.plan.most)
        check_port(options.bench.port)
        from loadtests.capacity.session import run_capacity  # late: a mistype is told before it loads

        return asyncio.run(run_capacity(options, Console(), errors))
    except BenchError as error:
        errors.print(f"capacity: {error}")
        return error.exit_code
