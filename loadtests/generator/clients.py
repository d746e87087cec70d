"""The HTTP clients that users can have, by the name that ``--client`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtests.generator.fast_user import FastPromptUser
from loadtests.generator.lean_client import Transport
from loadtests.generator.lean_user import LeanPromptUser, WireRequests
from loadtests.generator.locust_stats import LocustStats
from loadtests.generator.paced import PacedUser
from loadtests.generator.session import Session

if TYPE_CHECKING:
    from locust.env import Environment


def equip(client: str, session: Session) -> type[PacedUser]:
    """Return the Locust user class of the ``lean`` or the ``fast`` client, ready to be spawned."""
    if client == "fast":
        FastPromptUser.session = session
        return FastPromptUser
    target = session.target
    LeanPromptUser.session = session
    LeanPromptUser.transport = Transport(target.addresses(), session.workload.scenario.timeout_s)
    LeanPromptUser.wire = WireRequests(target, session.workload)
    return LeanPromptUser


def report_to_locust(users: type[PacedUser], session: Session, environment: Environment) -> None:
    """Have Locust's statistics follow users who fire no events of their own."""
    if users is LeanPromptUser:
        recorder = session.recorder
        recorder.on_batch = LocustStats(environment, session.target.path, recorder.epoch_offset_ns)
