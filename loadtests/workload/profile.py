"""How the number of users changes over the measured time.

Locust's LoadTestShape blocks while it ramps and skips stages shorter than their ramp, so the load process follows the
profile by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """From ``at`` (0 to 1, of the measured time) on, ``users`` (0 to 1, of all) are wanted.

    They come or go evenly over ``over`` (of the measured time), or at once when that is 0.
    """

    at: float
    users: float
    over: float = 0.0


Profile = Sequence[Stage]
"""Stages in the order of their time; the first one, at 0, also holds before the measured time. Empty: all users."""


@dataclass(frozen=True)
class Change:
    """``at_s`` seconds into the measured time, start (or stop) users at ``rate_per_s`` until there are ``users``."""

    at_s: float
    users: int
    rate_per_s: float


def users_at_start(profile: Profile, users: int) -> int:
    """Return how many of ``users`` are wanted before and when the measured time begins; at least one."""
    return max(1, round(users * profile[0].users)) if profile else users


def changes(profile: Profile, users: int, duration_s: float) -> Iterator[Change]:
    """Yield the changes after the start that a profile makes of ``users`` in ``duration_s`` measured seconds."""
    now = users_at_start(profile, users)
    for stage in profile[1:]:
        wanted = max(1, round(users * stage.users))
        if wanted != now:
            over_s = stage.over * duration_s
            # Locust starts floor(rate) users at once, then waits a second.
            yield Change(stage.at * duration_s, wanted, abs(wanted - now) / over_s if over_s else abs(wanted - now))
            now = wanted
