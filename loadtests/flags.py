"""Command-line flags: a parser that complains in one line, and the kinds of value that flags take."""

import argparse
import math
from collections.abc import Callable
from typing import NoReturn

_OWN_FLAGS = ("mode", "port")


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the default of a flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


class OneLineParser(argparse.ArgumentParser):
    """The parser of `python -m MODULE`: whole flags only, defaults told, a complaint in one line with exit code 2."""

    def __init__(self, module: str, description: str) -> None:
        prog = f"python -m {module}"
        super().__init__(
            prog, usage=f"{prog} [flags]", description=description, formatter_class=Help, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to look, and exit."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_keep_spoiled(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands whose blocks are compared in passes (`loadtests.bench.spoiled`)."""
    parser.add_argument(
        "--keep-spoiled",
        action="store_true",
        help="blocks that the machine or the load generator spoiled are neither left out nor measured once more",
    )


def whole(at_least: int) -> Callable[[str], int]:
    """Whole numbers from `at_least` on."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < at_least:
            raise argparse.ArgumentTypeError(f"{number} is less than {at_least}")
        return number

    return parse


def seconds(at_least: float) -> Callable[[str], float]:
    """Finite numbers of seconds from `at_least` on."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
        if not math.isfinite(number) or number < at_least:
            raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from {at_least:g}")
        return number

    return parse


def rate(text: str) -> float:
    """Events a second: any finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def port(text: str) -> int:
    """A TCP port; 0 stands for any free one."""
    number = whole(0)(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{number} is not a port (0 to 65535)")
    return number


def setting(text: str) -> tuple[str, str]:
    """A server setting, `KEY=VALUE`, that has no flag of its own."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or key.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    if key.strip() in _OWN_FLAGS:
        raise argparse.ArgumentTypeError(f"{key.strip()} has a flag of its own, --{key.strip()}")
    return key.strip(), value
