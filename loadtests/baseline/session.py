"""A baseline's measurement from its first child to its printed ratios, however it ends."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from loadtests.bench.experiment import Experiment
from loadtests.bench.options import BenchOptions
from loadtests.bench.plan import Arm
from loadtests.bench.processes import Children
from loadtests.bench.progress import Progress
from loadtests.bench.session import run_session, say_how_it_ended
from reports.judge.baseline import METRICS, Baseline, BaselineError, measure_baseline
from reports.readable import number
from reports.store.run import Run
from reports.store.store import RunStore

EXIT_INVALID = 5


async def run_baseline(options: BenchOptions, arms: Sequence[Arm], console: Console, errors: Console) -> int:
    """Measure, print the ratios and return the exit code. Raises BenchError when runs cannot be saved."""

    def make(store: RunStore, children: Children, progress: Progress) -> Experiment:
        return Experiment("baseline", options, arms, store, children, progress)

    session = await run_session("baseline", options, make, console, errors)
    code = say_how_it_ended("baseline", session, errors)
    if session.outcome.status != "complete" or code:
        return code
    store, experiment = RunStore(options.runs), session.experiment.id
    server, bare = store.experiment(experiment)
    invalid = _why_invalid((server, bare))
    try:
        _print_ratios(console, measure_baseline(server, bare))
    except BaselineError as error:
        invalid.append(str(error))
    for reason in invalid:
        errors.print(f"baseline: {reason}")
    gate = f"python -m reports --runs {options.runs} gate {experiment}"
    for line in (f"Commit it: {gate} --write-baseline baseline.json", f"Judge by it: {gate} --baseline baseline.json"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return EXIT_INVALID if invalid else 0


def _why_invalid(runs: Sequence[Run]) -> list[str]:
    verdicts = [(run.manifest.label, run.summary().validity) for run in runs]
    return [f"{label} is {v.verdict}: {v.reasons[0].what}" for label, v in verdicts if v.verdict != "VALID"]


def _print_ratios(console: Console, baseline: Baseline) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="Server to bare handler", title_justify="left")
    table.add_column("")
    for name in ("ratio", "95% interval", "pairs of blocks"):
        table.add_column(name, justify="right")
    for metric, ratio in baseline.ratios.items():
        interval = f"{number(ratio.low)} to {number(ratio.high)}"
        table.add_row(METRICS[metric], f"{number(ratio.value)}×", interval, str(ratio.pairs))
    console.print(table)
