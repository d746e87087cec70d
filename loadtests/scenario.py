"""What a scenario is: who asks what and when, and which server settings make it meaningful."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loadtests.catalogue import Catalogue
from loadtests.load_models import ClosedLoop, OpenLoop

Setting = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One named scenario.

    ``server`` holds the settings that the bench gives to a server of its own, by dotted path;
    ``headers`` go with every request; ``timeout_s`` bounds each.
    """

    name: str
    summary: str
    load: ClosedLoop | OpenLoop
    catalogue: Catalogue = field(default_factory=Catalogue)
    server: Mapping[str, Setting] = field(default_factory=dict)
    path: str = "/process"
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0
