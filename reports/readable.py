"""Numbers as people read them: three significant digits and a unit. None is a dash, never a zero."""

from __future__ import annotations

DASH = "–"
_HUGE = 100_000  # a change beyond it is not told apart


def three_digits(value: float) -> str:
    """Three significant digits without exponent; whole numbers from 100 up, with thousands separated."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3g}"


def number(value: float | None, unit: str = "") -> str:
    """A figure with its unit, if it has one."""
    return DASH if value is None else f"{three_digits(value)} {unit}".rstrip()


def latency(ms: float | None) -> str:
    """A latency with its unit: µs below 1 ms, s from 1000 ms up."""
    if ms is None:
        return DASH
    if ms < 0.9995:
        return f"{three_digits(ms * 1000)} µs"
    if ms < 999.5:
        return f"{three_digits(ms)} ms"
    return f"{three_digits(ms / 1000)} s"


def share(fraction: float | None) -> str:
    """A fraction as per cent, one decimal; three digits below 1%, so that a rare failure does not read as none."""
    if fraction is None:
        return DASH
    if 0 < fraction < 0.00995:
        return f"{three_digits(round(fraction * 100, 4))}%"
    return f"{fraction * 100:.1f}%"


def count(whole: int | None) -> str:
    """A count with thousands separated."""
    return DASH if whole is None else f"{whole:,}"


def change(ratio: float) -> str:
    """A ratio as a change: 0.9 is ``-10.0%``, 3.2 is ``+220%``; from tenfold on a factor: ``×16.4``, ``÷16.4``.

    Beyond a hundred thousandfold only that: the end of an interval that lies there says that nothing is known.
    """
    if ratio >= 10.0:
        return f"×{three_digits(ratio)}" if ratio < _HUGE else f"×>{_HUGE:,}"
    if 0 < ratio <= 0.1:
        return f"÷{three_digits(1.0 / ratio)}" if ratio > 1.0 / _HUGE else f"÷>{_HUGE:,}"
    percent = (ratio - 1.0) * 100.0
    if abs(percent) < 0.05:
        return "0.0%"
    return f"{percent:+,.0f}%" if abs(percent) >= 99.95 else f"{percent:+.1f}%"


def either_way(fraction: float) -> str:
    """A relative change up or down: 0.08 is ``±8.0%``; from twofold on a factor, as there is no ``-120%``."""
    if fraction < 1.0:
        return f"±{fraction * 100:.1f}%"
    return f"a factor of {three_digits(1.0 + fraction)}" if fraction < _HUGE else f"a factor >{_HUGE:,}"


def elapsed(seconds: float) -> str:
    """Time since a start as a clock shows it: ``0:07``, ``12:30``, ``1:02:30``."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, last = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{last:02}" if hours else f"{minutes}:{last:02}"
