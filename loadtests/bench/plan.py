"""What a bench does in which order: arms, blocks in alternation, and how long it takes.

Blocks of two arms alternate as A B B A, those of more as A B C C B A, so that a machine that grows slower or faster
over the minutes does so for all arms alike (any drift that is linear in time cancels out of the difference).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loadtests.bench.revisions import Revision

Mode = Literal["async", "sync", "blocking"]

READY_S = 60.0
"""Seconds that a process may take to say that it is ready."""

DRAIN_S = 3.0
"""Seconds between two blocks that a plan reckons with: requests in flight end, a new generator starts."""


@dataclass(frozen=True)
class Arm:
    """One configuration under test: a server of its own, and a run of its own on disk.

    `letter` is None when there is nothing to compare with; `mode` is `external` for a server that somebody else runs,
    `bare` for the bare handler; `settings` are server settings by dotted path; `label` says in what this arm differs
    from the others; `revision` is the server's code, None for the files as they are.
    """

    letter: Literal["A", "B"] | None
    mode: Mode | Literal["external", "bare"]
    settings: Mapping[str, str]
    label: str
    revision: Revision | None = None

    @property
    def name(self) -> str:
        """What it is called among the arms, e.g. `A async`."""
        return self.label if self.letter is None else f"{self.letter} {self.label}"


@dataclass(frozen=True)
class Timing:
    """Seconds of a block's phases: users start, load settles, the clock runs. `stop_s` bounds the wait for the rest."""

    ramp_s: float
    warmup_s: float
    measure_s: float
    stop_s: float

    @property
    def block_s(self) -> float:
        """Seconds from a block's first user to the end of its measured window."""
        return self.ramp_s + self.warmup_s + self.measure_s


def arms_of(
    mode: Literal["ab"] | Mode,
    settings: Mapping[str, str],
    changes: Mapping[str, str] | None = None,
    host: str | None = None,
) -> tuple[Arm, ...]:
    """The arms of a bench, all with `settings`; with a `host` (a URL), that server alone.

    With `changes` there are two, without them (A) and with them (B), in `mode` (async, if that is `ab`). Without
    `changes`, mode `ab` compares async (A) with sync (B), and any other runs alone.
    """
    if host is not None:
        return (Arm(None, "external", {}, host),)
    if changes:
        mode = "async" if mode == "ab" else mode
        was = ", ".join(f"{key}={settings[key]}" for key in changes if key in settings)
        now = ", ".join(f"{key}={value}" for key, value in changes.items())
        a = Arm("A", mode, settings, f"{mode} {was}".strip())
        return a, Arm("B", mode, {**settings, **changes}, f"{mode} {now}")
    if mode == "ab":
        return Arm("A", "async", settings, "async"), Arm("B", "sync", settings, "sync")
    return (Arm(None, mode, settings, mode),)


def arms_of_revisions(
    mode: Literal["ab"] | Mode, settings: Mapping[str, str], a: Revision, b: Revision
) -> tuple[Arm, Arm]:
    """Two revisions of the server, all else equal, in `mode` (async, if that is `ab`)."""
    mode = "async" if mode == "ab" else mode
    return Arm("A", mode, settings, f"{mode} {_shown(a)}", a), Arm("B", mode, settings, f"{mode} {_shown(b)}", b)


def _shown(revision: Revision) -> str:
    if revision.root is None:
        return f"working tree{' (changed)' if revision.dirty else ''}"
    return revision.name if revision.commit.startswith(revision.name) else f"{revision.name} ({revision.commit[:7]})"


def in_alternation(arms: Sequence[Arm], rounds: int) -> tuple[Arm, ...]:
    """The arm of each block, in order: there and back a round (A B B A), or one block a round for one arm."""
    return tuple(arms) * rounds if len(arms) == 1 else (*arms, *reversed(arms)) * rounds


def expected_s(blocks: int, timing: Timing) -> float:
    """Seconds that so many blocks will take, as far as one can know before."""
    return blocks * (timing.block_s + DRAIN_S)
