"""The HTTP clients that users can have, by the name that ``--client`` takes; the first is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtests.fast_user import FastPromptUser
from loadtests.lean_client import Transport
from loadtests.lean_user import LeanPromptUser, WireRequests
from loadtests.locust_stats import LocustStats
from loadtests.paced import PacedUser
from loadtests.session import Session

if TYPE_CHECKING:
    from locust.env import Environment

CLIENTS: Final = ("lean", "fast")


def equip(client: str, session: Session) -> type[PacedUser]:
    """Return the Locust user class of a client of CLIENTS, ready to be spawned.

    Raises ValueError when that client cannot speak to the session's target.
    """
    if client == "fast":
        FastPromptUser.session = session
        return FastPromptUser
    target = session.target
    if target.scheme != "http":
        raise ValueError(f"the lean client speaks http only, not {target.scheme}: add --client fast")
    LeanPromptUser.session = session
    LeanPromptUser.transport = Transport(target.addresses(), session.workload.scenario.timeout_s)
    LeanPromptUser.wire = WireRequests(target, session.workload)
    return LeanPromptUser


def report_to_locust(users: type[PacedUser], session: Session, environment: Environment) -> None:
    """Have Locust's statistics follow users who fire no events of their own."""
    if users is LeanPromptUser:
        recorder = session.recorder
        recorder.on_batch = LocustStats(environment, session.target.path, recorder.epoch_offset_ns)
