"""The named scenarios, one module each. To add your own, put a module with a ``SCENARIO`` into this folder."""

from __future__ import annotations

import importlib
import pkgutil

from loadtests.workload.scenario import Scenario


def names() -> list[str]:
    """Return the names of all scenarios, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Scenario:
    """Return the scenario called ``name``. Raises ValueError when there is none, or its file is not one."""
    if name not in names():
        raise ValueError(f"no scenario is called {name!r}; there are: {', '.join(names())}")
    try:
        scenario = getattr(importlib.import_module(f"{__name__}.{name}"), "SCENARIO", None)
    except Exception as error:  # somebody's own file may fail in any way: they are to read how, not where in here
        at = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise ValueError(f"loadtests/scenarios/{name}.py{at}: {type(error).__name__}: {said}") from error
    if not isinstance(scenario, Scenario):
        raise ValueError(f"loadtests/scenarios/{name}.py: SCENARIO is not a loadtests.workload.scenario.Scenario")
    return scenario
