"""The HTTP clients that users can have, by the name that ``--client`` takes."""

from __future__ import annotations

from loadtests.paced import PacedUser

CLIENTS = ("fast",)


def user_class(client: str) -> type[PacedUser]:
    """Return the Locust user class of a client of CLIENTS."""
    from loadtests.fast_user import FastPromptUser

    return {"fast": FastPromptUser}[client]
