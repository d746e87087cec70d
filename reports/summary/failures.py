"""What failed in a run, by reason and status: counted from its aggregate, over the measured window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reports.records.aggregate import bin_counts
from reports.records.bins import quantile_ns
from reports.statistics.percentiles import enough_samples


@dataclass(frozen=True)
class FailureKind:
    """The failures of one reason and status; ``status`` 0 is no reply at all.

    ``of_failures`` and ``of_requests`` are fractions. ``attempts``: mean Gemini attempts of those that said, None if
    none did. ``p50_ms`` and ``p99_ms``: how long the caller waited for the failure, from the intended start; None where
    too few lie beyond. ``first_s`` and ``last_s``: intended start of the first and last, whole seconds of the run.
    """

    reason: str
    status: int
    count: int
    of_failures: float
    of_requests: float
    attempts: float | None
    p50_ms: float | None
    p99_ms: float | None
    first_s: int
    last_s: int


def failures(aggregate: pa.Table) -> pa.Table:
    """The rows of failed requests, measured or not, with a column ``reason``: the error's name or ``http-<status>``."""
    status = aggregate["status"].to_numpy()
    error = aggregate["error"].to_numpy(zero_copy_only=False).astype(object)
    bad = (error != "") | (status < 200) | (status >= 300)
    reason = [name or f"http-{code}" for name, code in zip(error[bad], status[bad], strict=True)]
    return aggregate.filter(pa.array(bad)).append_column("reason", pa.array(reason, pa.string()))


def failure_kinds(aggregate: pa.Table) -> list[FailureKind]:
    """The measured failures by reason and status, the most frequent first."""
    measured = aggregate.filter(aggregate["measured"])
    failed = failures(measured)
    requests = int(measured["count"].to_numpy().sum())
    everything = int(failed["count"].to_numpy().sum())
    keys = sorted(set(zip(failed["reason"].to_pylist(), failed["status"].to_pylist(), strict=True)))
    reason, status = failed["reason"].to_numpy(zero_copy_only=False), failed["status"].to_numpy()
    kinds = [
        _kind(name, code, failed.filter(pa.array((reason == name) & (status == code))), everything, requests)
        for name, code in keys
    ]
    return sorted(kinds, key=lambda kind: -kind.count)


def _kind(reason: str, status: int, rows: pa.Table, failed: int, requests: int) -> FailureKind:
    number = rows["count"].to_numpy()
    count = int(number.sum())
    by_bin = bin_counts(rows)
    second = rows["second"].to_numpy()
    return FailureKind(
        reason=reason,
        status=status,
        count=count,
        of_failures=count / failed,
        of_requests=count / requests,
        attempts=_mean_attempts(rows["attempts"].to_numpy(), number),
        p50_ms=quantile_ns(by_bin, 0.5) / 1e6 if enough_samples(count, 0.5) else None,
        p99_ms=quantile_ns(by_bin, 0.99) / 1e6 if enough_samples(count, 0.99) else None,
        first_s=int(second.min()),
        last_s=int(second.max()),
    )


def _mean_attempts(attempts: npt.NDArray[np.int16], number: npt.NDArray[np.int64]) -> float | None:
    said = attempts >= 0
    return float(np.average(attempts[said], weights=number[said])) if said.any() else None
