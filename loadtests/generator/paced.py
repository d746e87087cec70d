"""Locust's loop of tasks and waits, with the waits and items that the session's plan fixes in advance."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from locust import TaskSet, User, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_WAITING

from loadtests.generator.session import Plan, Session

if TYPE_CHECKING:
    from locust.env import Environment


class PacedTasks(TaskSet):
    """Waits for the intended start of the user's next request, then has the user ask it."""

    def __init__(self, parent: PacedUser) -> None:
        super().__init__(parent)
        self._asker = parent
        self._session = parent.session
        self._alarm = parent.session.alarm
        self._task_queue.append(self.tasks[0])  # stays there, so that Locust looks for no other
        self._plan: Plan
        self._scheduled_ns = 0
        self._item = 0

    def on_start(self) -> None:
        """Wait for the gate (open loop) and for the first request's time; the user may be stopped meanwhile."""
        asker = self._asker
        if asker.session.workload.scenario.is_open:
            asker.connect()
            asker._state = LOCUST_STATE_WAITING
            asker.session.gate.wait()
            asker._state = LOCUST_STATE_RUNNING
        self._plan = asker.session.plan(asker.number)
        self.wait()

    def wait(self) -> None:
        """Decide on the next request and wait until it is due. Does what Locust's own does, at a third of its cost."""
        asker, session = self._asker, self._session
        if asker.stopped or session.draining:
            raise StopUser
        self._scheduled_ns, self._item = self._plan(perf_counter_ns())
        asker._state = LOCUST_STATE_WAITING
        self._alarm.sleep_until(self._scheduled_ns)
        # A kill is only scheduled: the alarm may wake the user before it, to die in the middle of a request.
        if asker.stopped or session.draining:
            raise StopUser
        asker._state = LOCUST_STATE_RUNNING

    @task
    def ask(self) -> None:
        """Ask what was decided."""
        self._asker.ask(self._scheduled_ns, self._item)

    def execute_next_task(self) -> None:
        """Ask and wait in turn until the user is told to stop. Locust's own loop would do no more, at a higher cost."""
        ask, wait = self._asker.ask, self.wait
        while True:
            ask(self._scheduled_ns, self._item)
            wait()


class PacedUser(User):
    """A Locust user with a number and a plan. ``session`` must be set on the class before the test starts."""

    abstract = True
    tasks: list[Any] = [PacedTasks]  # noqa: RUF012  # Locust copies and filters it
    session: Session

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.number = self.session.join()
        self._asked = 0  # requests so far, for the id of each
        self.stopped = False

    def stop(self, force: bool = False) -> bool:
        """See :class:`locust.User`; a user told to stop while waiting starts no further request."""
        self.stopped = True
        return bool(super().stop(force))

    def on_stop(self) -> None:
        """Give the number back."""
        self.session.leave(self.number)

    def connect(self) -> None:
        """Open a connection ahead of an open loop's first arrivals, if the client can."""

    def ask(self, scheduled_ns: int, item: int) -> None:
        """Ask ``item`` now and record what became of it; ``scheduled_ns`` is the intended start (perf_counter ns)."""
        raise TypeError(f"{type(self).__name__} does not say how to ask")
