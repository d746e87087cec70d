"""A capacity search from its first child to its printed report, however it ends."""

import os

import psutil
from rich.console import Console

from loadtests.bench.processes import Children
from loadtests.bench.progress import Progress
from loadtests.bench.session import run_session, say_how_it_ended
from loadtests.capacity.experiment import CapacityExperiment
from loadtests.capacity.options import CapacityOptions
from reports.capacity.sizing import Host
from reports.capacity.view import exit_code, print_capacity
from reports.store.store import RunStore


async def run_capacity(options: CapacityOptions, console: Console, errors: Console) -> int:
    """Search, print what was found and return the exit code. Raises BenchError when runs cannot be saved."""
    made: list[CapacityExperiment] = []

    def make(store: RunStore, children: Children, progress: Progress) -> CapacityExperiment:
        made.append(CapacityExperiment(options, store, children, progress))
        return made[0]

    session = await run_session("capacity", options.bench, make, console, errors)
    experiment = made[0]
    capacity = experiment.capacity
    if capacity.levels:
        print_capacity(console, capacity, _host(options))
        again = f"python -m reports --runs {options.bench.runs} capacity {experiment.id} --slo ..."
        console.print(
            f"Saved: {len(session.kept)} run{'s' if len(session.kept) != 1 else ''} in {options.bench.runs}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"Judge it by another SLO: {again}", highlight=False, markup=False, soft_wrap=True)
    code = say_how_it_ended("capacity", session, errors)
    return code if session.outcome.status != "complete" else code or exit_code(capacity)


def _host(options: CapacityOptions) -> Host:
    """The hosts that sizes are given in: as the user says, else like this machine."""
    cores = options.host_cores or os.cpu_count() or 1
    return Host(cores, options.host_memory_bytes or psutil.virtual_memory().total)
