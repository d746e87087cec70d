"""What a summary of five million samples costs: ``python -m tests.perf_summary [--samples N]``.

Writes a run as load processes do, then summarises it in a process of its own and prints that process's wall clock, CPU
and peak resident memory (the kernel's high-water mark, imports included), and the compaction's apart.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from reports.records.samples import compact
from reports.store.store import RunStore
from tests.made_runs import block, mixed, save

_PART = 8192


def write(root: Path, samples: int) -> str:
    """A run of so many samples over 1000 s, not yet compacted; its id."""
    parts = -(-samples // _PART)
    each_s = 1000.0 / parts
    few = [mixed(seed, rows=_PART, seconds=each_s) for seed in range(16)]

    def later(number: int) -> pa.RecordBatch:
        one = few[number % len(few)]
        shift_ns = int(number * each_s * 1e9)
        for name in ("scheduled_at", "sent_at"):
            column = one.schema.get_field_index(name)
            moved = pa.array(one.column(column).to_numpy() + shift_ns)
            one = one.set_column(column, one.schema.field(column), moved)
        return one

    batches = [later(number) for number in range(parts)]
    return save(root, batches, status="running", blocks=[block(measured_s=998.0)]).id


def measure(step: str, root: Path, run_id: str) -> None:
    """Do one step in this process and print what it cost."""
    run = RunStore(root).open(run_id)
    cpu_s, began_s = time.process_time(), time.perf_counter()
    if step == "compact":
        compact(run.path)
        said = ""
    else:
        summary = run.summarise()
        p99_ms = summary.latency["miss"]["intended"].percentiles["p99"]
        said = f", {summary.requests:,} requests measured, miss p99 {p99_ms:.1f} ms"
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step}: {wall_s:.1f} s wall, {cpu_s:.1f} s CPU, {peak_mb:.0f} MB peak resident{said}", flush=True)


def main() -> None:
    """Write, compact and summarise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=5_000_000)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, root, run_id = options.step
        measure(step, Path(root), run_id)
        return
    with tempfile.TemporaryDirectory() as directory:
        run_id = write(Path(directory), options.samples)
        print(f"{options.samples:,} samples written", flush=True)
        for step in ("summarise", "compact", "summarise"):
            subprocess.run([sys.executable, "-m", "tests.perf_summary", "--step", step, directory, run_id], check=True)


if __name__ == "__main__":
    main()
