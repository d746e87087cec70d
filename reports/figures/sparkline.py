"""A sparkline: the course of one figure, without axes, as a small SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 120, 40
_EDGE = 3.0


def sparkline(values: Sequence[float]) -> str:
    """``values`` over equal steps of time as an SVG of 120 x 40 units, stretched to its box by whoever shows it.

    Scaled from the least value to the greatest; NaN breaks the line. Colours are ``currentColor``, the area under the
    line lighter, so that it serves as a mask too. An empty string when there are fewer than two values to draw.
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, high = min(finite), max(finite)
    span = high / 2 - low / 2  # halves: the difference of two floats may be no float
    step = WIDTH / (len(values) - 1)
    pieces: list[list[tuple[float, float]]] = [[]]
    for i, value in enumerate(values):
        if math.isfinite(value):
            height = (value / 2 - low / 2) / span if span > 0 else 0.5
            pieces[-1].append((i * step, HEIGHT - _EDGE - height * (HEIGHT - 2 * _EDGE)))
        elif pieces[-1]:
            pieces.append([])
    points = [[f"{x:.1f} {y:.1f}" for x, y in piece] for piece in pieces if len(piece) > 1]
    line = "".join("M" + "L".join(piece) for piece in points)
    area = "".join(
        f"M{piece[0].split()[0]} {HEIGHT}L{'L'.join(piece)}L{piece[-1].split()[0]} {HEIGHT}Z" for piece in points
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f'<path d="{area}" fill="currentColor" fill-opacity="0.16"/>'
        f'<path d="{line}" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
