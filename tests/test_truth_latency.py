"""Known truth: what a server knows of its own latencies is what the load generator and the reports say of them."""

import itertools
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from loadtests import scenarios
from loadtests.workload.workload import Workload
from reports.records.schema import Block
from reports.store.store import RunStore
from reports.summary.summarise import summarise
from tests.made_runs import manifest
from tests.truth_runs import load_process, milliseconds, samples, take_precedence, truth_server

CONNECTIONS = 10
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
SLICES, SLICE_S = 3, 1.5


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_is_in_flight_when_the_load_stops_is_measured_as_exactly_as_all_else(tmp_path: Path) -> None:
    with (
        truth_server(tmp_path / "log", "mixture") as server,
        load_process(tmp_path, server.url, "--users", 2000, "--spawn-rate", 2000) as load,
    ):
        take_precedence(server.process, load.process)
        while load.news()["users"] < 2000:
            pass
        time.sleep(1.5)
        stopped_ns = time.time_ns()
        load.stop()
        truth = server.stop()
    both = samples(tmp_path).merge(truth, on=["user", "number"], validate="one_to_one")
    assert len(both) == len(truth)
    in_flight = both[(both["sent_at"] < stopped_ns) & both["replied"].between(stopped_ns, stopped_ns + 100_000_000)]
    assert len(in_flight) > 50
    seen_late = in_flight["sent_at"] + in_flight["latency_ns"] - in_flight["replied"]
    # To stop 2,000 users takes 0.1 s and more, in which nobody reads replies: not to be done while any are awaited.
    assert np.median(milliseconds(seen_late)) < 2


@pytest.mark.slow
def test_a_stall_shows_for_all_who_arrived_in_it_and_hides_from_who_looks_at_sending(tmp_path: Path) -> None:
    writer = RunStore(tmp_path / "runs").create(manifest(), room_bytes=0)
    flags = ("--scenario", "open", "--users", CONNECTIONS, "--spawn-rate", 100, "--seed", 7)
    with (
        truth_server(tmp_path / "log", "constant") as server,
        load_process(writer.directory, server.url, *flags) as load,
    ):
        take_precedence(server.process, load.process)
        while not load.news().get("requests"):
            pass
        server.process.send_signal(signal.SIGSTOP)
        while psutil.Process(server.process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        stopped_ns = time.time_ns()
        time.sleep(2.0)
        goes_on_ns = time.time_ns()
        server.process.send_signal(signal.SIGCONT)
        time.sleep(1.5)
        load.stop()
        truth = server.stop()
    found = samples(writer.directory).sort_values("scheduled_at")
    assert len(truth) == (found["error"] == "").sum()
    found = found[found["scheduled_at"] < goes_on_ns + 1_200_000_000]  # then it was told to stop
    assert (found["error"] == "").all()
    scheduled = found["scheduled_at"].to_numpy()

    # Nobody is left out: the arrivals are those of the plan, on its absolute times, before, in and after the stall.
    plan = Workload(scenarios.load("open"), seed=7).arrivals(0, CONNECTIONS, 1.0)
    planned_s, items = zip(*itertools.islice(plan, len(found)), strict=True)
    assert found["item"].tolist() == list(items)
    assert (scheduled - scheduled[0]) / 1e9 == pytest.approx(np.array(planned_s) - planned_s[0], abs=1e-6)

    fell_in = (scheduled > stopped_ns) & (scheduled < goes_on_ns)
    at_least = np.where(fell_in, goes_on_ns - scheduled, 0)
    assert fell_in.sum() > 600
    assert (found["sent_at"] - scheduled + found["latency_ns"] >= at_least).all()
    assert (found["latency_ns"] > 500_000_000).sum() <= CONNECTIONS

    block = Block(index=0, started_ns=scheduled[0], measure_from_ns=scheduled[0], measure_until_ns=scheduled[-1] + 1)
    run = RunStore(tmp_path / "runs").open(writer.id)
    said = summarise(writer.manifest.model_copy(update={"blocks": [block]}), run.iter_batches).latency["miss"]
    for name, q in PERCENTILES.items():
        intended_ms, sent_ms = said["intended"].percentiles[name], said["sent"].percentiles[name]
        assert intended_ms is not None
        assert sent_ms is not None
        assert intended_ms >= np.quantile(at_least, q) / 1e6
        assert sent_ms < 500
    assert (said["intended"].percentiles["p99"] or 0) > 1800
