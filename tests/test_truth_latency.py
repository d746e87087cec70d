"""Known truth: what a server knows of its own latencies is what the load generator and the reports say of them."""

import time
from pathlib import Path

import numpy as np

from reports.schema import Block
from reports.store import RunStore
from reports.summarise import summarise
from tests.made_runs import manifest
from tests.truth_runs import load_process, milliseconds, samples, take_precedence, truth_server

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
SLICES, SLICE_S = 3, 1.5


def test_percentiles_are_those_that_the_server_itself_has_measured(tmp_path: Path) -> None:
    writer = RunStore(tmp_path / "runs").create(manifest(), room_bytes=0)
    with (
        truth_server(tmp_path / "log", "mixture") as server,
        load_process(writer.directory, server.url, "--users", 1200, "--spawn-rate", 2400) as load,
    ):
        take_precedence(server.process, load.process)
        while load.news()["users"] < 1200:
            pass
        time.sleep(0.6)  # the slowest replies to the first requests
        began_ns = time.time_ns()
        time.sleep(SLICES * SLICE_S)
        recorded = load.stop()
        truth = server.stop()
    found = samples(writer.directory)
    both = found.merge(truth, on=["user", "number"], validate="one_to_one")
    assert len(found) == len(truth) == len(both) == recorded
    assert (found["error"] == "").all()

    # No request is measured shorter than it was, whatever the machine does meanwhile: sent, read, replied, received.
    assert (both["sent_at"] <= both["read"]).all()
    assert (both["replied"] <= both["sent_at"] + both["latency_ns"]).all()

    errors: dict[str, list[float]] = {name: [] for name in PERCENTILES}
    for number in range(SLICES):
        start_ns = began_ns + int(number * SLICE_S * 1e9)
        end_ns = start_ns + int(SLICE_S * 1e9)
        block = Block(index=0, started_ns=start_ns, measure_from_ns=start_ns, measure_until_ns=end_ns)
        run = RunStore(tmp_path / "runs").open(writer.id)
        said = summarise(writer.manifest.model_copy(update={"blocks": [block]}), run.iter_batches).latency["miss"][
            "sent"
        ]
        mine = both[both["scheduled_at"].between(start_ns, end_ns, inclusive="left")]
        assert said.count == len(mine) > 1000
        for name, q in PERCENTILES.items():
            true_ms = float(np.quantile(milliseconds(mine["replied"] - mine["read"]), q))
            recovered_ms = said.percentiles[name]
            assert recovered_ms is not None
            errors[name].append(abs(recovered_ms - true_ms) / (0.01 * true_ms + 0.2))
    for name, of_allowed in errors.items():
        assert np.median(of_allowed) <= 1.0, f"{name} is off by {of_allowed} of what is allowed, slice by slice"
