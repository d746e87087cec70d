"""Colours of all figures. One meaning a colour; what a colour means a dash, a marker or a word says too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reports.records.schema import Population

FONT: Final = "Inter, system-ui, sans-serif"


@dataclass(frozen=True)
class Theme:
    """CSS colours. ``heat`` goes from few to many requests; ``attempts`` from two attempts to five and more."""

    name: str
    page: str
    card: str
    line: str
    text: str
    muted: str
    hit: str
    miss: str
    tail: str
    slo: str
    good: str
    bad: str
    arm_a: str
    arm_b: str
    arm_c: str
    shade: str
    heat: tuple[str, ...]
    attempts: tuple[str, str, str, str]

    def of(self, population: Population) -> str:
        """The colour of a population."""
        return self.hit if population == "hit" else self.miss

    def arm(self, name: str) -> str:
        """The colour of arm ``A`` or ``B``, or of ``C``, the third run that stands beside them."""
        return {"A": self.arm_a, "C": self.arm_c}.get(name, self.arm_b)


DARK: Final = Theme(
    name="dark",
    page="#0d1117",
    card="#151b23",
    line="#262e39",
    text="#e6edf3",
    muted="#9aa5b1",
    hit="#4cc9f0",
    miss="#ffb454",
    tail="#ffffff",
    slo="#ff8fa3",
    good="#5bd6a0",
    bad="#ff8a85",
    arm_a="#aab4bf",
    arm_b="#79a8ff",
    arm_c="#d9a3e8",
    shade="rgba(154,165,177,0.10)",
    heat=("#14304f", "#1a4a74", "#1f6f94", "#2c97a5", "#57bfa5", "#9fdc9d", "#edf7a8"),
    attempts=("#ffe08a", "#ffb454", "#f5793b", "#d64550"),
)

LIGHT: Final = Theme(
    name="light",
    page="#f5f7f9",
    card="#ffffff",
    line="#e2e7ec",
    text="#10161f",
    muted="#57616d",
    hit="#0077b6",
    miss="#b85200",
    tail="#10161f",
    slo="#b3154f",
    good="#0c6b4c",
    bad="#b3152b",
    arm_a="#57616d",
    arm_b="#1f57c8",
    arm_c="#8a2c9e",
    shade="rgba(87,97,109,0.09)",
    heat=("#dcebf5", "#b9d8ea", "#8cbfdb", "#559fc5", "#2a7ba6", "#125980", "#06304d"),
    attempts=("#f2bd4b", "#e0862d", "#c2500f", "#8c1c13"),
)

THEMES: Final = {theme.name: theme for theme in (DARK, LIGHT)}


def translucent(colour: str, opacity: float) -> str:
    """A ``#rrggbb`` colour as CSS with an opacity of 0 to 1."""
    return f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},{opacity})"
