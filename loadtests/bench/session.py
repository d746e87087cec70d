"""A bench from its first child to its printed report, however it ends: done, failed, told to stop, or hurried."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from loadtests.bench.block import ABORT_GRACE_S
from loadtests.bench.checks import BenchError, check_runs_directory
from loadtests.bench.experiment import Experiment
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import Arm
from loadtests.bench.processes import ChildError, Children
from loadtests.bench.progress import Progress
from loadtests.bench.record import RunRecord
from loadtests.bench.signals import StopSignals
from reports.errors import StoreError
from reports.records.schema import Status
from reports.store.run import Run
from reports.store.store import DEFAULT_ROOT, RunStore

_EXIT_USAGE = 2
_EXIT_INVALID = 5
_SERVER_DRAIN_S = 10.0  # between blocks no request is in flight, so a server that takes longer hangs
_DEATH_NEWS_S = 0.5  # a request to a dead server fails a moment before its death is noticed


@dataclass(frozen=True)
class Outcome:
    """How a bench ended: what the manifest says, and the end of the log of the process that caused it."""

    status: Status
    exit_code: int
    reason: str | None = None
    log_tail: str = ""


@dataclass(frozen=True)
class Session:
    """What a session left: its experiment, how it ended, the directories of the runs that were kept, and the logs."""

    experiment: Experiment
    outcome: Outcome
    kept: Sequence[Path]
    logs: Path


MakeExperiment = Callable[[RunStore, Children, Progress], Experiment]


async def run_bench(options: BenchOptions, arms: Sequence[Arm], console: Console, errors: Console) -> int:
    """Run a bench of some arms from its first child to the printed report and return its exit code.

    Raises BenchError when runs cannot be saved where they should be.
    """
    store = RunStore(options.runs)

    def make(store: RunStore, children: Children, progress: Progress) -> Experiment:
        return Experiment(options.mode, options, arms, store, children, progress)

    session = await run_session("bench", options, make, console, errors)
    if session.kept:
        _print_report(console, store, session.experiment, session.kept)
    code = say_how_it_ended("bench", session, errors)
    if options.require_valid and session.outcome.status == "complete":
        return _EXIT_INVALID if any(_verdict(record) != "VALID" for record in session.experiment.records) else 0
    return code


async def run_session(
    command: str, options: BenchOptions, make: MakeExperiment, console: Console, errors: Console
) -> Session:
    """Run the experiment that `make` makes, from its first child until all its runs are saved, however it ends.

    `command` is what complaints are told under. Raises BenchError when runs cannot be saved where they should be.
    """
    logs = Path(tempfile.mkdtemp(prefix=f"tailgate-{command}-"))
    store = RunStore(options.runs)
    children = Children(logs)
    signals = StopSignals(hurry=children.kill_all, leave=lambda: console.show_cursor(True))
    with Progress(console) as progress:
        experiment = make(store, children, progress)
        check_runs_directory(options.runs, options.users, experiment.expected_s)
        progress.say(experiment.headline)
        outcome = await _run_until_end(experiment, children, signals, progress)
        progress.waiting("saving the report")
        try:
            kept = await asyncio.to_thread(_finish, experiment, store, outcome)
        except OSError as error:
            errors.print(f"{command}: no report could be written ({error}); the samples are in {options.runs}")
            kept = []
            outcome = replace(outcome, exit_code=outcome.exit_code or 1)
    return Session(experiment, outcome, kept, logs)


def say_how_it_ended(command: str, session: Session, errors: Console) -> int:
    """Print why a session did not complete, if so, with the log that tells more; its exit code."""
    outcome = session.outcome
    if outcome.reason is not None:
        errors.print(f"{command}: {outcome.reason}")
    if outcome.log_tail:
        errors.print(f"The end of its log ({session.logs}):\n{outcome.log_tail}")
    else:
        shutil.rmtree(session.logs, ignore_errors=True)
    return outcome.exit_code


def _print_report(console: Console, store: RunStore, experiment: Experiment, kept: Sequence[Path]) -> None:
    from reports.views.terminal import print_runs  # late: its statistics take a second to import

    print_runs(console, store.experiment(experiment.id))
    flags = "" if store.root == DEFAULT_ROOT else f" DASH_FLAGS='--runs {store.root}'"
    for line in (*(f"Saved: {directory}" for directory in kept), f"Browse: make dash{flags}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _verdict(record: RunRecord) -> str:
    return Run(record.writer.directory, record.writer.manifest).summary().validity.verdict


async def _run_until_end(
    experiment: Experiment, children: Children, signals: StopSignals, progress: Progress
) -> Outcome:
    """Run the experiment until it is done, fails, loses a child or is told to stop; afterwards no child is left."""
    work = asyncio.create_task(experiment.run())
    ticks = asyncio.create_task(experiment.tick_forever())
    death = asyncio.create_task(children.death())
    stop = asyncio.create_task(signals.first())
    ends = {work, ticks, death, stop}
    grace_s = ABORT_GRACE_S
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if work.done() and work.exception() is not None:
            await asyncio.wait({death, stop}, timeout=_DEATH_NEWS_S, return_when=asyncio.FIRST_COMPLETED)
        outcome = _outcome(work, ticks, death, stop)
        if outcome.status == "complete":
            grace_s = _SERVER_DRAIN_S
        elif outcome.status == "aborted":
            progress.say(f"Stopping: requests in flight have {ABORT_GRACE_S:g} s (Ctrl-C again: at once).")
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        await children.stop_all(grace_s)
    return outcome


def _outcome(
    work: asyncio.Task[None],
    ticks: asyncio.Task[None],
    death: asyncio.Task[ChildError],
    stop: asyncio.Task[signal.Signals],
) -> Outcome:
    if stop.done():
        number = stop.result()
        return Outcome("aborted", 128 + number, f"stopped by {number.name}")
    failure: BaseException | None = death.result() if death.done() else None
    for task in (work, ticks):
        failure = failure or (task.exception() if task.done() else None)
    if failure is None:
        return Outcome("complete", 0)
    if isinstance(failure, ChildError) and failure.exit_code == _EXIT_USAGE:
        line = (failure.log_tail or str(failure)).splitlines()[-1]
        return Outcome("failed", _EXIT_USAGE, f"{failure.name} refused what was set: {line.partition(': ')[2] or line}")
    if isinstance(failure, ChildError):
        return Outcome("failed", 1, str(failure), failure.log_tail)
    if isinstance(failure, BenchError):
        return Outcome("failed", failure.exit_code, str(failure))
    if isinstance(failure, StoreError | OSError):
        return Outcome("failed", 1, str(failure))
    raise failure


def _finish(experiment: Experiment, store: RunStore, outcome: Outcome) -> list[Path]:
    """End every run on disk; the directories of those that are kept. A run that nothing was recorded in is removed."""
    kept = []
    for record in experiment.records:
        record.writer.finish(outcome.status, outcome.reason)
        if record.recorded.total() or outcome.status == "complete":
            kept.append(record.writer.directory)
        else:
            store.delete(record.writer.id)
    return kept
