"""The command line of `python -m loadtests ablate`, read once and frozen."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from loadtests.bench.load_flags import add_load_flags, read_load_flags
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import Arm, Mode
from loadtests.flags import OneLineParser, add_keep_spoiled, whole

POLICIES = ("cache", "retry", "rate_limit", "circuit_breaker", "bulkhead", "deadline", "track")
"""Those that the reference server has on unless told otherwise."""

POLICIES_OFF = ("hedge", "fallback")
"""Those that it has off unless told otherwise."""


@dataclass(frozen=True)
class AblateOptions:
    """What an ablation was asked for: `policies` are switched off one after the other by `<policy>.enabled=false`.

    `prices` is the price table for tokens, None for the one that comes along.
    """

    policies: tuple[str, ...]
    bench: BenchOptions
    prices: Path | None

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All policies first, then all but each in turn."""
        mode, settings = cast(Mode, self.bench.mode), self.bench.settings
        return (
            Arm(None, mode, settings, "all policies"),
            *(Arm(None, mode, {**settings, f"{p}.enabled": "false"}, f"without {p}") for p in self.policies),
        )


def read_options(arguments: Sequence[str]) -> AblateOptions:
    """The options that some arguments stand for. Ends the process with code 2 and one line where they are wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    bench, _ = read_load_flags(parser, given, arguments, users=given.users, rounds=given.rounds)
    return AblateOptions(given.policies, bench, given.prices)


def _parser() -> OneLineParser:
    parser = OneLineParser(
        "loadtests ablate",
        "Switch off each policy of the server in turn, and tell what each one earns and costs.",
    )
    option = parser.add_argument
    option(
        "--policies", type=_policies, default=POLICIES, metavar="A,B,...",
        help=f"of these ({','.join(POLICIES)} unless told otherwise); one that is off by default needs --set too, "
        "e.g. --policies hedge --set hedge.enabled=true",
    )  # fmt: skip
    option("--rounds", type=whole(1), default=2, metavar="N", help="blocks of all arms, there and back, so many times")
    option("--users", type=whole(1), default=400, metavar="N", help="users at the same time")
    option("--prices", type=Path, metavar="FILE", help="price table for tokens (default: reports/cost/prices.toml)")
    add_keep_spoiled(parser)
    add_load_flags(parser, duration_s=10.0, ramp_s=2.0, warmup_s=3.0, scenario="brownout")
    return parser


def _policies(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in POLICIES + POLICIES_OFF:
            known = ", ".join(POLICIES + POLICIES_OFF)
            raise argparse.ArgumentTypeError(f"{name!r} is not a policy of the server; it has {known}")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} names a policy twice")
    return names
