"""What a capacity search found, in sentences: the limit, the knee, the fitted law, and what to be wary of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.capacity.assess import Capacity
from reports.judge.attainment import Attainment
from reports.judge.slo import show_slo
from reports.readable import DASH, count, latency, number, share
from reports.statistics.usl import UslFit


def limit_sentence(capacity: Capacity) -> str:
    """The most load within the SLO with its interval, and what was the limit."""
    unit, slo, most = capacity.unit, show_slo(capacity.slo), capacity.most
    low, high = count(most.low), count(most.high)
    if not capacity.levels:
        return "No level was measured."
    match most.limited_by:
        case "server":
            return f"{low} {unit} within {slo}: {low} hold, {high} miss, so the most is {low} to {high}."
        case "generator":
            at_least = f"At least {low} {unit} within {slo}. " if most.low else ""
            return (
                f"{at_least}At {high} the load generator was the limit, not the server: "
                "give it more processes (--generators) or hosts."
            )
        case "search":
            if most.low is None:
                return (
                    f"No level up to {count(capacity.levels[-1].level.load)} {unit} could be decided: measure longer."
                )
            return f"At least {low} {unit} within {slo}: the highest that was tried. Raise --most to find the limit."
        case "samples":
            return (
                f"No level could be shown to hold {slo}: those that may had too few samples. "
                "Measure longer (--duration), or ask for a lower percentile."
            )
        case "machine":
            held = f"{low} {unit} hold {slo}; no more" if most.low else "Nothing"
            return f"{held} is said: {_first_invalid(capacity)}. Repeat it when the machine is idle."
        case "slo":
            return f"No level holds {slo}, not even {high} {unit}."


def _first_invalid(capacity: Capacity) -> str:
    level = next(judged.level for judged in capacity.levels if judged.verdict == "invalid")
    return f"no measurement of {count(level.load)} {capacity.unit} was valid ({level.repeats[-1].reason})"


def knee_sentence(capacity: Capacity) -> str:
    """Where throughput stops growing in proportion, with its interval."""
    knee, unit = capacity.knee, capacity.unit
    if knee is None:
        return "Knee: none in sight; throughput still grows in proportion to the load."
    low, high = (count(round(end)) for end in knee.interval)
    one = unit.removesuffix("s") if unit == "users" else "arrival/s"
    return (
        f"Knee: {count(round(knee.load))} {unit} (95%: {low} to {high}). "
        f"Before it {number(knee.per_load)} req/s for each {one}, beyond it {number(knee.ceiling)} req/s in all."
    )


def law_sentence(capacity: Capacity) -> str:
    """The Universal Scalability Law as fitted, or why there is none to read."""
    fit = capacity.usl
    if fit is None:
        return "Universal Scalability Law: too few levels with throughput to fit it."
    if fit.poor:
        return (
            f"Universal Scalability Law: does not describe this server (typical residual {share(fit.residual)} of "
            f"{fit.samples} measurements), so nothing is read off it; the knee stands."
        )
    contention = f"contention {share(fit.law.contention)} ({share(fit.contention[0])} to {share(fit.contention[1])})"
    coherency = f"coherency {fit.law.coherency:.2g} ({fit.coherency[0]:.2g} to {fit.coherency[1]:.2g})"
    return (
        f"Universal Scalability Law: {contention}, {coherency}, {_peak(fit, capacity)}; typical residual "
        f"{share(fit.residual)} of {fit.samples} measurements."
    )


def _peak(fit: UslFit, capacity: Capacity) -> str:
    highest = capacity.levels[-1].level.load
    if fit.law.peak_load > highest:
        return f"no peak up to {count(highest)} {capacity.unit}"
    low, high = ("∞" if math.isinf(end) else count(round(end)) for end in fit.peak_load)
    ceiling = f"{number(fit.law.ceiling)} req/s"
    return f"throughput is highest at {count(round(fit.law.peak_load))} {capacity.unit} ({low} to {high}): {ceiling}"


def cautions(capacity: Capacity) -> Sequence[str]:
    """What a reader should know before using the figures."""
    found = []
    if not any(threshold.indicator.kind == "failed" for threshold in capacity.slo):
        found.append("the SLO does not bound failures; a server that refuses quickly looks fast. Add failed<1%.")
    spoiled = sum(r.validity == "NOISY" for judged in capacity.levels for r in judged.level.repeats)
    if spoiled:
        found.append(f"{spoiled} repeats were not valid and were not used.")
    return found


def attained(attainment: Attainment | None) -> tuple[str, str]:
    """What was measured, and of how many samples; where too few let it be printed, how many lie beyond the limit."""
    if attainment is None or not attainment.samples:
        return DASH, ""
    value = attainment.value
    match attainment.threshold.indicator.kind:
        case _ if value is None:
            text = f"{count(attainment.beyond)} beyond"
        case "latency":
            text = latency(value)
        case "failed" | "hit_share":
            text = share(value)
        case "goodput":
            text = number(value, "req/s")
        case "attempts":
            text = number(value)
    return text, f"n = {count(attainment.samples)}"
