"""``python -m reports list | show | compare | export | gate | capacity | cost``: saved runs, shown and judged.

Each command imports what it alone needs: ``--help`` and a mistype answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from reports.cost.pricing import PRICES, load_prices
from reports.errors import InputError, StoreError
from reports.judge.gate_command import add_gate_flags, gate
from reports.judge.slo import EXAMPLE, parse_slo
from reports.store.store import DEFAULT_ROOT, RunStore

USAGE_ERROR = 2
PIPE_WIDTH = 160  # what reads a pipe has no width: all columns


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what was asked, 2 where the user asked for what is not there or cannot be read.

    ``gate`` and ``capacity`` have codes of their own for what they found (``reports.judge.gate``).
    """
    arguments = _parser().parse_args(argv)
    store = RunStore(arguments.runs)
    try:
        code: int | None = arguments.command(store, arguments)
    except (StoreError, InputError) as error:
        Console(stderr=True, soft_wrap=True).print(Text(str(error), "red"))
        return USAGE_ERROR
    return code or 0


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _add_runs(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--runs", type=Path, default=default, metavar="DIR", help=f"where runs are (default: {DEFAULT_ROOT})"
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m reports", description="Saved runs, listed, shown and compared.")
    _add_runs(parser, DEFAULT_ROOT)
    after_the_command = _Parser(add_help=False)
    _add_runs(after_the_command, argparse.SUPPRESS)  # or the default would replace what came before the command
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = partial(commands.add_parser, parents=[after_the_command])
    one = "a run's id, the beginning of one, latest, or latest~1 for the one before"

    listing = add("list", help="all runs, newest first")
    listing.set_defaults(command=_list)

    show = add("show", help="one run, or both arms of an experiment")
    show.add_argument(
        "name", nargs="?", default="latest", metavar="RUN", help=f"{one} (default), or an experiment's id"
    )
    show.set_defaults(command=_show)

    compare = add("compare", help="run B against run A, with a verdict")
    compare.add_argument("a", metavar="A", help=one)
    compare.add_argument("b", metavar="B", help=one)
    compare.set_defaults(command=_compare)

    export = add("export", help="one self-contained HTML file of a run or of a comparison")
    export.add_argument(
        "name", nargs="?", default="latest", metavar="RUN", help=f"{one} (default), or an experiment's id"
    )
    export.add_argument("other", nargs="?", metavar="B", help="a second run, to be compared against the first")
    export.add_argument("--output", "-o", type=Path, metavar="FILE", help="default: RUN.html in the current directory")
    export.add_argument("--theme", choices=("dark", "light"), default="dark")
    export.set_defaults(command=_export)

    judging = add("gate", help="a run or experiment against an SLO and a baseline, for a build to fail by")
    add_gate_flags(judging)
    judging.set_defaults(command=gate)

    capacity = add("capacity", help="a saved capacity search, judged by another SLO")
    capacity.add_argument(
        "name", nargs="?", default="latest", metavar="EXPERIMENT", help="its id, or that of a run of it"
    )
    capacity.add_argument("--slo", required=True, metavar="EXPR", help="e.g. " + EXAMPLE.replace("%", "%%"))
    capacity.set_defaults(command=_capacity)

    cost = add("cost", help="what the tokens of a run or experiment cost, and what the cache saved")
    cost.add_argument(
        "name", nargs="?", default="latest", metavar="RUN", help=f"{one} (default), or an experiment's id"
    )
    cost.add_argument(
        "--prices", type=Path, default=PRICES, metavar="FILE", help="price table (default: the one beside)"
    )
    cost.set_defaults(command=_cost)
    return parser


def _list(store: RunStore, arguments: argparse.Namespace) -> None:
    from reports.views.terminal import print_list

    entries = store.entries()
    if entries:
        console = Console()
        print_list(console if console.is_terminal else Console(width=PIPE_WIDTH), entries)
    else:
        Console().print(f"No runs in {store.root} yet: make bench writes the first.")


def _show(store: RunStore, arguments: argparse.Namespace) -> None:
    from reports.views.terminal import print_runs

    print_runs(Console(), store.meant(arguments.name))


def _compare(store: RunStore, arguments: argparse.Namespace) -> None:
    from reports.views.terminal import print_comparison

    a, b = (store.open(store.resolve(name)) for name in (arguments.a, arguments.b))
    print_comparison(Console(), a, b)


def _export(store: RunStore, arguments: argparse.Namespace) -> None:
    from reports.figures import THEMES
    from reports.views.export import export_html

    if arguments.other is not None:
        runs = [store.open(store.resolve(name)) for name in (arguments.name, arguments.other)]
        name = "-vs-".join(run.manifest.id for run in runs)
    else:
        runs = store.meant(arguments.name)
        name = (runs[0].manifest.experiment if len(runs) > 1 else None) or runs[0].manifest.id
    output = arguments.output or Path(f"{name}.html")
    try:
        output.write_text(export_html(runs, THEMES[arguments.theme]), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror}; choose another place with --output") from error
    Console(soft_wrap=True).print(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)


def _capacity(store: RunStore, arguments: argparse.Namespace) -> int:
    from reports.capacity.view import show_capacity

    return show_capacity(Console(), store, arguments.name, parse_slo(arguments.slo))


def _cost(store: RunStore, arguments: argparse.Namespace) -> None:
    from reports.cost.view import print_costs

    prices = load_prices(arguments.prices)
    runs = store.meant(arguments.name)
    print_costs(Console(), runs, prices)


if __name__ == "__main__":
    sys.exit(main())
