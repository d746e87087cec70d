"""A scenario bound to a seed: every body encoded before the load starts, every user's requests fixed in advance.

What user u asks as its k-th request depends on (seed, u, k) alone: not on time, the server or the other users.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from functools import partial
from random import Random
from typing import Any

from loadtests.workload.load_models import ClosedLoop, OpenLoop
from loadtests.workload.popularity import zipf_cumulative
from loadtests.workload.scenario import Scenario

DIGEST_USERS, DIGEST_REQUESTS = 16, 16


class Workload:
    """All that one seed makes of a scenario. ``questions[item]`` has the body to send and the tags to look for."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        catalogue = scenario.catalogue
        self.questions = [catalogue.question(item, _rng(seed, "item", item)) for item in range(catalogue.items)]
        self._draw = partial(bisect_right, zipf_cumulative(catalogue.items, catalogue.exponent))

    def user(self, number: int) -> Iterator[tuple[float, int]]:
        """Return user ``number``'s requests, endlessly: (pause before it in seconds, item). Closed loop only."""
        load = self.scenario.load
        assert isinstance(load, ClosedLoop)
        return load.requests(_rng(self.seed, "user", number), self._draw)

    def arrivals(self, first_user: int, users: int, share: float) -> Iterator[tuple[float, int]]:
        """Return the arrivals at the process whose users start at ``first_user``. Open loop only."""
        load = self.scenario.load
        assert isinstance(load, OpenLoop)
        return load.arrivals(_rng(self.seed, "arrivals", first_user), self._draw, users, share)

    def manifest(self) -> dict[str, Any]:
        """Return what the manifest keeps: the parameters, and a digest that two equal workloads share."""
        scenario = self.scenario
        return {
            "scenario": scenario.name,
            "seed": self.seed,
            "path": scenario.path,
            "catalogue": {"kind": type(scenario.catalogue).__name__, **asdict(scenario.catalogue)},
            "load": {
                "kind": type(scenario.load).__name__,
                "loop": "open" if scenario.is_open else "closed",
                **(asdict(scenario.load) if is_dataclass(scenario.load) else {}),
            },
            "profile": [asdict(stage) for stage in scenario.profile],
            "timeout_s": scenario.timeout_s,
            "digest": self.digest(),
        }

    def digest(self) -> str:
        """Return a SHA-256 over every body and over the first requests of the first users (or the first arrivals)."""
        digest = hashlib.sha256()
        for question in self.questions:
            digest.update(question.body)
        if self.scenario.is_open:
            plans = [self.arrivals(0, DIGEST_USERS, 1.0)]
        else:
            plans = [self.user(number) for number in range(DIGEST_USERS)]
        for plan in plans:
            digest.update(repr(list(itertools.islice(plan, DIGEST_REQUESTS))).encode())
        return digest.hexdigest()


def _rng(seed: int, purpose: str, number: int) -> Random:
    """A generator of its own for each purpose and number; seeding by text is the same in every Python and process."""
    return Random(f"{seed}/{purpose}/{number}")  # noqa: S311  # reproducible on purpose, nothing here is secret
