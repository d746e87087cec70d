"""Tailgate's scenarios under Locust's own UI: ``locust -f loadtests/locustfile.py --host http://127.0.0.1:8080``.

Works with ``--headless``, ``--processes`` and ``--master``/``--worker`` (workers on this machine). Each test makes a
run in ``--runs``, to be browsed like those of ``make bench``. For users on FastHttpUser, name ``FastPromptUser`` on
the command line, of all processes. Lean users do not fire Locust's request event: its statistics get them in batches,
up to a second late.
"""

from loadtests.generator.fast_user import FastPromptUser
from loadtests.generator.lean_user import LeanPromptUser
from loadtests.locust_ui.listeners import listen

__all__ = ["FastPromptUser", "LeanPromptUser"]

listen()
