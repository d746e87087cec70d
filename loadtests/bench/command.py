"""`python -m loadtests bench`: one command from nothing to a saved, compared report.

Exit codes: 0 done; 1 a process died or the machine would not do it; 2 wrong arguments; 5 with --require-valid, a run
that is not VALID; 128 + n ended by signal n.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from loadtests.bench.checks import BenchError, allow_open_files, check_port
from loadtests.bench.options import BenchOptions, read_options
from loadtests.bench.plan import Arm, arms_of, arms_of_revisions
from loadtests.bench.revisions import checked_out, locked_otherwise, resolve


def main(arguments: Sequence[str]) -> int:
    """Run the bench that some arguments ask for and return its exit code."""
    options = read_options(arguments)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        allow_open_files(options.users)
        check_port(options.port)
        with _arms(options, errors) as arms:
            from loadtests.bench.session import run_bench  # late: a mistype is told before it loads

            return asyncio.run(run_bench(options, arms, Console(), errors))
    except BenchError as error:
        errors.print(f"bench: {error}")
        return error.exit_code


@contextmanager
def _arms(options: BenchOptions, errors: Console) -> Iterator[tuple[Arm, ...]]:
    """What is compared, with the code of revisions checked out meanwhile. Raises BenchError where that cannot be."""
    if options.revisions is None:
        yield arms_of(options.mode, options.settings, options.changes, options.host)
        return
    with checked_out(resolve(options.revisions)) as revisions:
        arms = arms_of_revisions(options.mode, options.settings, *revisions)
        for arm in arms:
            if arm.revision in locked_otherwise(revisions):
                errors.print(
                    f"bench: the requirements.lock of {arm.name} is not the one here: it runs with the packages that "
                    "are installed here, not with those that it was locked to"
                )
        yield arms
