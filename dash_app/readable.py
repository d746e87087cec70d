"""Numbers as people read them: three significant digits and a unit. None is a dash, never a zero."""

from __future__ import annotations

from datetime import datetime

DASH = "–"


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


def latency(ms: float | None) -> tuple[str, str]:
    """A latency as (number, unit): µs below 1 ms, s from 1000 ms up."""
    if ms is None:
        return DASH, ""
    if ms < 0.9995:
        return three_digits(ms * 1000), "µs"
    if ms < 999.5:
        return three_digits(ms), "ms"
    return three_digits(ms / 1000), "s"


def latency_text(ms: float | None) -> str:
    """A latency with its unit, in one string."""
    return " ".join(latency(ms)).strip()


def share(fraction: float | None, digits: int = 1) -> str:
    """A fraction as per cent, without the sign."""
    if fraction is None:
        return DASH
    if 0 < fraction < 0.001:
        return three_digits(round(fraction * 100, 4))
    return f"{fraction * 100:.{digits}f}"


def count(number: int | None) -> str:
    """A count with thousands separated."""
    return DASH if number is None else f"{number:,}"


def number(value: float | None) -> str:
    """Any other figure, three significant digits."""
    return DASH if value is None else three_digits(value)


def ratio(value: float | None) -> str:
    """A ratio near one, to three decimals."""
    return DASH if value is None else f"{value:.3f}"


def seconds(value: float) -> str:
    """A duration: ``45 s``, ``5 min``, ``1 h 20 min``."""
    if value < 120:
        return f"{three_digits(value)} s"
    minutes = round(value / 60)
    if minutes < 120 and abs(value - minutes * 60) < 1:
        return f"{minutes} min"
    if minutes < 120:
        return f"{int(value // 60)} min {round(value % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(when: datetime | None) -> str:
    """A time in UTC, to the minute."""
    return DASH if when is None else f"{when:%Y-%m-%d %H:%M} UTC"


def size(number_of_bytes: int | None) -> str:
    """A size in binary units."""
    if number_of_bytes is None:
        return DASH
    value = float(number_of_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{three_digits(value)} {unit}"
        value /= 1024
    return f"{three_digits(value)} GiB"
