"""What a scenario is: who asks what and when, and which server settings make it meaningful."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from loadtests.workload.catalogue import Catalogue
from loadtests.workload.load_models import ClosedLoop, ConstantArrivals, OpenLoop, PoissonArrivals
from loadtests.workload.profile import Profile, users_at_start

Setting = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One named scenario.

    ``profile`` changes the number of users of a closed loop over the measured time. ``server`` holds the settings that
    the bench gives to a server of its own, by dotted path; ``headers`` go with every request; ``timeout_s`` bounds
    each.
    """

    name: str
    summary: str
    load: ClosedLoop | OpenLoop
    catalogue: Catalogue = field(default_factory=Catalogue)
    profile: Profile = ()
    server: Mapping[str, Setting] = field(default_factory=dict)
    path: str = "/process"
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.profile and self.is_open:
            raise ValueError(f"{self.name}: a profile is of users, but an open loop is paced by its arrivals")
        if self.profile and self.profile[0].at != 0:
            raise ValueError(f"{self.name}: the profile's first stage must be at 0")

    @property
    def is_open(self) -> bool:
        """Whether requests arrive on an absolute schedule (open loop) or wait for the reply before (closed loop)."""
        return isinstance(self.load, OpenLoop)

    def users_at_start(self, users: int) -> int:
        """Return how many of ``users`` are wanted when the measured time begins."""
        return users_at_start(self.profile, users)

    def at_rate(self, rate_per_s: float) -> Scenario:
        """Return the same scenario with another arrival rate. Raises ValueError where there is no rate to change."""
        if not isinstance(self.load, PoissonArrivals | ConstantArrivals):
            raise ValueError(f"scenario {self.name} has no arrival rate")
        return replace(self, load=replace(self.load, rate_per_s=rate_per_s))
