"""The named scenarios, one module each. To add your own, put a module with a ``SCENARIO`` into this folder."""

from __future__ import annotations

import importlib
import pkgutil

from loadtests.workload.scenario import Scenario


def names() -> list[str]:
    """Return the names of all scenarios, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Scenario:
    """Return the scenario called ``name``. Raises ValueError, with the names there are, when there is none."""
    if name not in names():
        raise ValueError(f"no scenario is called {name!r}; there are: {', '.join(names())}")
    scenario = importlib.import_module(f"{__name__}.{name}").SCENARIO
    if not isinstance(scenario, Scenario):
        raise ValueError(f"loadtests/scenarios/{name}.py: SCENARIO is not a loadtests.workload.scenario.Scenario")
    return scenario
