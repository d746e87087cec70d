"""The gate: a saved run or experiment against an SLO and a committed baseline, for a build to pass or to fail.

Exit codes, of which the first that applies is taken: 2 usage; 5 the measurement is not valid, or has too few samples to
be judged; 3 the SLO is missed; 4 a regression against the baseline; 0 all is well.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reports.errors import InputError
from reports.judge.attainment import Attainment, attain, observe
from reports.judge.baseline import METRICS, Baseline, Ratio, check_same_workload, measure_baseline
from reports.judge.slo import Slo
from reports.readable import change, count, latency, number, share
from reports.records.schema import BARE_MODE
from reports.store.run import Run

EXIT_PASS: Final = 0
EXIT_USAGE: Final = 2
EXIT_SLO_MISSED: Final = 3
EXIT_REGRESSION: Final = 4
EXIT_INVALID: Final = 5

TOLERANCE: Final = 0.10
"""How much worse than the baseline a ratio may be, as a fraction, unless a gate file says otherwise."""

Group = Literal["validity", "slo", "baseline"]
_EXIT_OF: Final[dict[Group, int]] = {"validity": EXIT_INVALID, "slo": EXIT_SLO_MISSED, "baseline": EXIT_REGRESSION}


class GateError(InputError):
    """A gate that cannot be held; one line."""


class GateFile(BaseModel):
    """``gate.toml``: ``slo`` (an expression), ``baseline`` (a path beside the file), ``tolerance`` (a fraction)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slo: str | None = None
    baseline: Path | None = None
    tolerance: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = TOLERANCE


@dataclass(frozen=True)
class Check:
    """One thing that was judged; ``passed`` None: it could not be. ``detail``: what was measured, in one line."""

    group: Group
    run: str
    name: str
    passed: bool | None
    detail: str

    @property
    def exit_code(self) -> int:
        """What this check alone would exit with."""
        if self.passed:
            return EXIT_PASS
        return EXIT_INVALID if self.passed is None else _EXIT_OF[self.group]


@dataclass(frozen=True)
class Verdict:
    """All checks of a gate. ``name``: the run or experiment that was judged."""

    name: str
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """The first that applies, in the order of this module's description."""
        codes = {check.exit_code for check in self.checks}
        return next((code for code in (EXIT_INVALID, EXIT_SLO_MISSED, EXIT_REGRESSION) if code in codes), EXIT_PASS)

    @property
    def headline(self) -> str:
        """The outcome in a few words."""
        return {
            EXIT_PASS: "passed",
            EXIT_SLO_MISSED: "SLO missed",
            EXIT_REGRESSION: "regression against the baseline",
            EXIT_INVALID: "not judged: the measurement does not allow it",
        }[self.exit_code]


def read_gate_file(path: Path) -> GateFile:
    """The thresholds in a TOML file, its baseline's path made relative to where we are. Raises ``GateError``."""
    try:
        found = GateFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise GateError(f"no thresholds can be read from {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GateError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise GateError(f"{path}: {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None
    return found.model_copy(update={"baseline": found.baseline and path.parent / found.baseline})


def hold_gate(
    name: str, runs: Sequence[Run], slo: Slo, baseline: Baseline | None = None, tolerance: float = TOLERANCE
) -> Verdict:
    """Judge runs: each but the bare handler's by the SLO, and by the baseline where one is given.

    Of a run that is not valid the figures are told, but nothing is judged.

    Raises ``BaselineError`` where the baseline is of something else, or there is no bare handler to compare by.
    """
    judged = [run for run in runs if run.manifest.mode != BARE_MODE]
    if not judged:
        raise GateError(f"{name} has no run of a server to judge")
    if not slo and baseline is None:
        raise GateError("there is nothing to judge by: give an SLO, a baseline, or a gate file with either")
    checks = [_check_validity(run) for run in runs]
    judged_checks = [check for run in judged for check in _check_slo(run, slo)]
    if baseline is not None:
        judged_checks += _check_baseline(name, runs, judged, baseline, tolerance)
    invalid = {check.run for check in checks if not check.passed}
    if baseline is not None and invalid:
        invalid = {run.manifest.id for run in runs}  # a ratio needs both
    checks += [replace(check, passed=None) if check.run in invalid else check for check in judged_checks]
    return Verdict(name, tuple(checks))


def _check_validity(run: Run) -> Check:
    summary, status = run.summary(), run.manifest.status
    validity = summary.validity
    reasons = [f"{reason.what}: {reason.advice}" for reason in validity.reasons]
    if status != "complete":
        reasons.insert(0, f"the run is {status}: {run.manifest.reason or 'it did not end by itself'}")
    measured = f"{count(summary.requests)} requests in {number(summary.window.measured_s, 's')}"
    left_out = [f"{reason.what}: {reason.advice}" for reason in validity.left_out]
    detail = "; ".join(reasons or [measured, *left_out])
    return Check("validity", run.manifest.id, validity.verdict, not reasons and validity.verdict == "VALID", detail)


def _check_slo(run: Run, slo: Slo) -> list[Check]:
    attainments = attain(slo, observe(run.manifest, run.iter_batches)) if slo else ()
    return [Check("slo", run.manifest.id, one.name, one.met, describe(one)) for one in attainments]


def describe(attainment: Attainment) -> str:
    """What was measured, in words: the value, how many samples lie beyond the limit, of how many."""
    kind, samples = attainment.threshold.indicator.kind, f"n = {count(attainment.samples)}"
    match kind:
        case "latency":
            beyond = f"{count(attainment.beyond)} of {count(attainment.samples)} beyond the limit"
            value = latency(attainment.value)
            if attainment.met is None:
                return f"too few samples to tell: {beyond}; measure longer, or with more users"
            return beyond if attainment.value is None else f"{value}, {beyond}"
        case "failed" | "hit_share":
            return f"{share(attainment.value)}, {samples}" if attainment.value is not None else "nothing was measured"
        case "goodput":
            return f"{number(attainment.value, '/s')}, {samples}"
        case "attempts":
            return f"{number(attainment.value)}, {samples}" if attainment.samples else "no request reached Gemini"


def _check_baseline(
    name: str, runs: Sequence[Run], judged: Sequence[Run], then: Baseline, tolerance: float
) -> list[Check]:
    bare = [run for run in runs if run.manifest.mode == BARE_MODE]
    if len(bare) != 1 or len(judged) != 1:
        raise GateError(
            f"{name} cannot be compared with a baseline: it needs one run of a server and one of the bare handler, "
            "measured in turn, as make baseline does"
        )
    now = measure_baseline(judged[0], bare[0])
    check_same_workload(now, then)
    return [
        Check(
            "baseline", judged[0].manifest.id, METRICS[metric], *_compare(now.ratios.get(metric), committed, tolerance)
        )
        for metric, committed in then.ratios.items()
    ]


def _compare(measured: Ratio | None, committed: Ratio, tolerance: float) -> tuple[bool | None, str]:
    """Worse only if even the lower end of what was measured is; with the figures in words."""
    if measured is None:
        return None, f"not measured; baseline {number(committed.value)}×"
    return measured.low <= committed.value * (1 + tolerance), (
        f"{number(measured.value)}× the bare handler ({number(measured.low)} to {number(measured.high)}, "
        f"{measured.pairs} pairs of blocks), baseline {number(committed.value)}×: "
        f"{change(measured.value / committed.value)}, allowed {change(1 + tolerance)}"
    )
