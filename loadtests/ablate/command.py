"""`python -m loadtests ablate`: switches off each policy in turn and prints what each one earns and costs.

Exit codes: 0 done; 1 a process died or the machine would not do it; 2 wrong arguments; 5 a run that is not valid, so
that there is no verdict on a policy; 128 + n ended by signal n.
"""

import asyncio
from collections.abc import Sequence

from rich.console import Console

from loadtests.ablate.options import read_options
from loadtests.bench.checks import BenchError, allow_open_files, check_port
from reports.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the ablation that some arguments ask for and return its exit code."""
    options = read_options(arguments)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        allow_open_files(options.bench.users)
        check_port(options.bench.port)
        from loadtests.ablate.session import run_ablation  # late: a mistype is told before it loads

        return asyncio.run(run_ablation(options, Console(), errors))
    except (BenchError, InputError) as error:
        errors.print(f"ablate: {error}")
        return error.exit_code if isinstance(error, BenchError) else 2
