"""An ablation from its first child to its printed report, however it ends."""

from rich.console import Console

from loadtests.ablate.options import AblateOptions
from loadtests.bench.checks import BenchError
from loadtests.bench.experiment import Experiment
from loadtests.bench.plan import Arm
from loadtests.bench.processes import Children
from loadtests.bench.progress import Progress
from loadtests.bench.servers import ServerUnderTest
from loadtests.bench.session import run_session, say_how_it_ended
from reports.compare.ablation import ablate
from reports.compare.ablation_view import print_ablations
from reports.cost.pricing import PRICES, load_prices, model_of
from reports.store.store import RunStore

EXIT_INVALID = 5


class AblateExperiment(Experiment):
    """Servers that differ in one policy each, all up at once; blocks go through them there and back."""

    def __init__(self, options: AblateOptions, store: RunStore, children: Children, progress: Progress) -> None:
        super().__init__("ablate", options.bench, options.arms, store, children, progress)
        self._policies = options.policies

    @property
    def headline(self) -> str:
        """What is going to be done, in one line."""
        return f"ablation of {', '.join(self._policies)}: {super().headline.partition(': ')[2]}"

    async def _servers_up(self) -> list[tuple[Arm, ServerUnderTest]]:
        """As for any experiment; BenchError where a policy to be switched off is not on in the first place."""
        found = await super()._servers_up()
        settings = found[0][1].config.get("settings", {})
        for policy in self._policies:
            group = settings.get(policy)
            if not isinstance(group, dict) or not group.get("enabled"):
                raise BenchError(f"{policy} is off in this server: add --set {policy}.enabled=true", exit_code=2)
        return found


async def run_ablation(options: AblateOptions, console: Console, errors: Console) -> int:
    """Measure, print what was found and return the exit code.

    Raises BenchError when runs cannot be saved, PriceError when the price table cannot be used.
    """
    prices = load_prices(options.prices or PRICES)

    def make(store: RunStore, children: Children, progress: Progress) -> AblateExperiment:
        return AblateExperiment(options, store, children, progress)

    session = await run_session("ablate", options.bench, make, console, errors)
    code = say_how_it_ended("ablate", session, errors)
    labels = {record.writer.directory: record.writer.manifest.label for record in session.experiment.records}
    for directory in session.kept:
        console.print(f"Saved: {directory} ({labels[directory]})", highlight=False, markup=False, soft_wrap=True)
    if session.outcome.status != "complete" or code:
        return code
    store = RunStore(options.bench.runs)
    base, *others = [store.open(record.writer.id) for record in session.experiment.records]
    server = base.manifest.server
    price = prices.models[model_of(server.config if server else {}, prices)]
    ablations = [ablate(policy, base, run, price) for policy, run in zip(options.policies, others, strict=True)]
    print_ablations(console, ablations, prices.currency)
    if "track" in options.policies:
        console.print("track can only cost here: what it earns is what /metrics tells of Gemini calls.", style="dim")
    return EXIT_INVALID if any(ablation.refusal for ablation in ablations) else 0
