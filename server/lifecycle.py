"""The request's state machine, and how many requests are in which state.

    IDLE -> QUEUED -> VALIDATING -> PROCESSING -> (RETRY -> PROCESSING)* -> COMPLETED | FAILED
                      VALIDATING -> COMPLETED on a cache hit; any live state -> FAILED

An illegal move raises. Every request ends exactly once, so that always ``started == completed + failed + in flight``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where a request stands."""

    IDLE = 0
    QUEUED = 1
    VALIDATING = 2
    PROCESSING = 3
    RETRY = 4
    COMPLETED = 5
    FAILED = 6


IN_FLIGHT: Final = (State.QUEUED, State.VALIDATING, State.PROCESSING, State.RETRY)

MOVES: Final[dict[State, frozenset[State]]] = {
    State.IDLE: frozenset({State.QUEUED, State.FAILED}),
    State.QUEUED: frozenset({State.VALIDATING, State.FAILED}),
    State.VALIDATING: frozenset({State.PROCESSING, State.COMPLETED, State.FAILED}),
    State.PROCESSING: frozenset({State.RETRY, State.COMPLETED, State.FAILED}),
    State.RETRY: frozenset({State.PROCESSING, State.FAILED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
}
"""From each state, those that may follow."""

_LEGAL: Final = tuple(tuple(new in MOVES[old] for new in State) for old in State)


class IllegalMoveError(RuntimeError):
    """A move that the state machine does not have: a bug in the server, never a user's fault."""


class Population:
    """All requests of a server by state: how many are there now, and how long they were there, in seconds.

    ``count`` and ``seconds`` are indexed by :class:`State`; the counts of COMPLETED and FAILED only grow.
    """

    __slots__ = ("count", "seconds", "started")

    def __init__(self) -> None:
        self.started = 0
        self.count = [0] * len(State)
        self.seconds = [0.0] * len(State)

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return self.started - self.count[State.COMPLETED] - self.count[State.FAILED]

    def by_state(self) -> dict[str, int]:
        """Requests in flight, by the name of their state."""
        return {state.name: self.count[state] for state in IN_FLIGHT}


class Lifecycle:
    """One request's way through the states. ``seconds`` says how long it was in each, indexed by :class:`State`.

    ``clock`` gives seconds and never goes back. ``started_s`` and ``moved_s`` are its readings at the start and at the
    latest move.
    """

    state = State.IDLE

    def __init__(self, population: Population, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._population = population
        self.clock = clock
        self.started_s = self.moved_s = clock()
        self.seconds = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        population.started += 1
        population.count[0] += 1

    def move(self, new: State) -> None:
        """Go to ``new``; :class:`IllegalMoveError` if there is no such move."""
        old = self.state
        if not _LEGAL[old][new]:
            raise IllegalMoveError(f"{old.name} -> {new.name}")
        now = self.clock()
        spent = now - self.moved_s
        self.state = new
        self.moved_s = now
        self.seconds[old] += spent
        population = self._population
        population.seconds[old] += spent
        count = population.count
        count[old] -= 1
        count[new] += 1

    @property
    def ended(self) -> bool:
        """Whether the request is COMPLETED or FAILED."""
        return self.state >= State.COMPLETED
