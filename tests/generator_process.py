"""A real load process for tests: start it, follow what it says, end it, read what it has recorded."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from reports.records.samples import iter_batches
from reports.records.schema import SAMPLE_SCHEMA


@contextlib.contextmanager
def generator(run_dir, url, *flags, users=20, **popen):
    """A load process at work; it is killed when the block ends, if it has not ended before."""
    command = [sys.executable, "-m", "loadtests.generator.generate", "--url", url, "--run-dir", str(run_dir)]
    command += ["--users", str(users), "--spawn-rate", "500", *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def news(process):
    """The next line of the protocol; None at its end."""
    line = process.stdout.readline()
    return json.loads(line) if line else None


def finish(process):
    """Stop the load; the lines still to come, the last of which says how many requests were recorded."""
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    return [json.loads(line) for line in output.splitlines()]


def run_until(process, requests):
    """Wait for so many requests; all lines until then."""
    lines = []
    while not lines or lines[-1].get("requests", 0) < requests:
        lines.append(news(process))
        assert lines[-1] is not None, process.stderr.read()
    return lines


def read(run_dir):
    """All samples of a run's directory."""
    return pa.Table.from_batches(iter_batches(Path(run_dir)), schema=SAMPLE_SCHEMA).to_pylist()
