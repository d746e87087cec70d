"""The run directory: made, listed, opened, marked and deleted; what is damaged says so and breaks nothing."""

import os
import time
from pathlib import Path

import orjson
import pytest

from reports.errors import RunBusy, RunDamaged, RunNotFound, StoreError
from reports.records.aggregate import cells, to_rows
from reports.records.ticks import TickTail
from reports.store.store import RunStore
from tests.made_runs import T0_NS, batch, block, manifest, mixed, save


def test_an_id_tells_time_scenario_mode_and_commit_and_is_unique(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "not" / "there" / "yet")
    ids = [store.create(manifest(scenario="My Scénario/..")).id for _ in range(3)]
    first = "20261123T120000Z-my_sc_nario-async-abcdef0"
    assert ids == [first, f"{first}-2", f"{first}-3"]
    assert store.ids() == ids
    assert not [p for p in store.root.iterdir() if p.name.startswith(".")]


def test_a_root_that_cannot_be_written_is_said_before_the_load_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="--runs"):
        RunStore(tmp_path / "file" / "runs").create(manifest())
    with pytest.raises(StoreError, match="room"):
        RunStore(tmp_path).create(manifest(), room_bytes=1 << 60)
    assert RunStore(tmp_path).ids() == []


def test_a_finished_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    writer = save(tmp_path, [mixed(rows=500)], label="first")
    run = RunStore(tmp_path).open(writer.id)
    assert run.manifest == writer.manifest
    assert run.manifest.status == "complete"
    assert run.manifest.ended_at is not None
    assert run.samples().num_rows == 500
    assert run.samples(["latency_ns"]).column_names == ["latency_ns"]
    assert run.aggregate().to_pylist() == run.count_samples().to_pylist()
    assert run.summary() == run.summarise()
    assert {p.name for p in run.path.iterdir()} == {
        "run.json",
        "samples-4711.parquet",
        "ticks.jsonl",
        "aggregate.parquet",
        "summary.json",
    }


def test_save_replaces_the_manifest_whole_and_keeps_what_people_marked(tmp_path: Path) -> None:
    writer = save(tmp_path, [], status="running")
    store = RunStore(tmp_path)
    store.tag(writer.id, ["slow", "slow", "odd"])
    store.set_baseline(writer.id)
    writer.save(writer.manifest.model_copy(update={"load_pids": [1, 2]}))
    found = store.open(writer.id).manifest
    assert (found.load_pids, found.tags, found.baseline) == ([1, 2], ["slow", "odd"], True)
    with pytest.raises(ValueError, match="another"):
        writer.save(writer.manifest.model_copy(update={"id": "another"}))


def test_at_most_one_baseline_a_scenario_and_mode(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first, second = save(tmp_path, [batch(1)]).id, save(tmp_path, [batch(1)]).id
    other = save(tmp_path, [batch(1)], mode="sync").id
    for run_id in (first, other, second):
        store.set_baseline(run_id)
    assert {e.id for e in store.entries() if e.manifest and e.manifest.baseline} == {second, other}
    assert store.set_baseline(second, on=False).baseline is False


DAMAGES = {
    "missing": lambda path: (path / "run.json").unlink(),
    "empty": lambda path: (path / "run.json").write_bytes(b""),
    "torn": lambda path: (path / "run.json").write_bytes((path / "run.json").read_bytes()[:200]),
    "not an object": lambda path: (path / "run.json").write_bytes(b"[1]"),
    "newer": lambda path: (path / "run.json").write_bytes(b'{"schema_version": 99}'),
    "wrong type": lambda path: (path / "run.json").write_bytes(
        orjson.dumps(orjson.loads((path / "run.json").read_bytes()) | {"users": "many"})
    ),
    "directory": lambda path: ((path / "run.json").unlink(), (path / "run.json").mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_with_its_reason_beside_the_others(tmp_path: Path, damage: str) -> None:
    good, bad = save(tmp_path, [batch(1)]), save(tmp_path, [batch(1)])
    DAMAGES[damage](bad.directory)
    store = RunStore(tmp_path)
    states = {e.id: (e.state, bool(e.damage)) for e in store.entries()}
    assert states == {good.id: ("complete", False), bad.id: ("damaged", True)}
    with pytest.raises(RunDamaged) as caught:
        store.open(bad.id)
    assert caught.value.reason == store.entry(bad.id).damage
    assert "\n" not in str(caught.value)
    store.delete(bad.id)
    assert store.ids() == [good.id]


def test_the_reason_names_the_place(tmp_path: Path) -> None:
    writer = save(tmp_path, [batch(1)])
    DAMAGES["wrong type"](writer.directory)
    assert "users" in str(RunStore(tmp_path).entry(writer.id).damage)
    DAMAGES["newer"](writer.directory)
    assert "99" in str(RunStore(tmp_path).entry(writer.id).damage)


@pytest.mark.parametrize("name", ["summary.json", "aggregate.parquet", "samples-4711.parquet"])
def test_other_damaged_files_are_said_when_they_are_needed(tmp_path: Path, name: str) -> None:
    writer = save(tmp_path, [batch(50)])
    path = writer.directory / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    run = RunStore(tmp_path).open(writer.id)
    read = {"summary.json": run.summary, "aggregate.parquet": run.aggregate, "samples-4711.parquet": run.samples}[name]
    with pytest.raises(RunDamaged, match=name.split("-")[0]):
        read()


@pytest.mark.parametrize("name", ["..", ".", "../secret", "/etc", "a/b", "", "x" * 300, "a\0b", "<b>", "out"])
def test_ids_that_climb_out_or_are_no_ids_are_not_found(tmp_path: Path, name: str) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    for act in (RunStore(root).open, RunStore(root).entry, RunStore(root).delete, lambda i: RunStore(root).tag(i, [])):
        with pytest.raises(RunNotFound):
            act(name)
    assert (tmp_path / "secret").exists()


def test_an_unknown_id_offers_the_nearest(tmp_path: Path) -> None:
    run_id = save(tmp_path, [batch(1)]).id
    store = RunStore(tmp_path)
    with pytest.raises(RunNotFound) as caught:
        store.open(run_id.replace("async", "asink"))
    assert caught.value.nearest == [run_id]
    assert run_id in str(caught.value)


def test_names_are_resolved_from_latest_and_from_unique_beginnings(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(RunNotFound):
        store.resolve("latest")
    a, b = save(tmp_path, [batch(1)]).id, save(tmp_path, [batch(1)], mode="sync").id
    assert store.resolve("latest") == store.resolve("latest~0") == max(a, b)
    assert store.resolve("latest~1") == min(a, b)
    assert store.resolve(a) == a
    assert store.resolve(b[:-4]) == b
    for name in ("20261123", "", "nothing like it", "latest~2", "latest~"):
        with pytest.raises(RunNotFound):
            store.resolve(name)


def test_an_experiment_is_its_readable_runs_by_arm(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    b = save(tmp_path, [batch(1)], experiment="e", arm="B", mode="async").id
    a = save(tmp_path, [batch(1)], experiment="e", arm="A", mode="sync").id
    save(tmp_path, [batch(1)], experiment="other")
    assert [run.manifest.id for run in store.experiment("e")] == [a, b]
    assert store.experiment("none") == []


def test_a_silent_run_has_crashed_and_is_read_from_its_samples(tmp_path: Path) -> None:
    writer = save(tmp_path, [mixed(rows=300)], status="running")
    part = mixed(rows=100)
    writer.append_tick({"seq": 0, "cells": to_rows(cells(part, writer.manifest.blocks, T0_NS))})
    store = RunStore(tmp_path)
    assert (store.entry(writer.id).state, store.open(writer.id).aggregate()["count"].to_pylist()) != ("crashed", [])
    assert sum(store.open(writer.id).aggregate()["count"].to_pylist()) == 100  # live: what ticks have told
    with pytest.raises(RunBusy):
        store.delete(writer.id)
    writer.append_tick({"seq": 1, "cells": [[1, 2, 3]]})
    with pytest.raises(RunDamaged, match="ticks"):
        store.open(writer.id).aggregate()
    long_ago = time.time() - 3600
    for name in ("run.json", "ticks.jsonl"):
        os.utime(writer.directory / name, (long_ago, long_ago))
    assert store.entry(writer.id).state == "crashed"
    assert sum(store.open(writer.id).aggregate()["count"].to_pylist()) == 300
    assert store.open(writer.id).summary().requests > 0
    store.delete(writer.id)


def test_a_finish_that_died_half_way_can_be_repeated(tmp_path: Path) -> None:
    writer = save(tmp_path, [mixed(rows=300)], status="running")
    (writer.directory / "aggregate.parquet-partial").write_bytes(b"half")
    writer.finish("aborted", "Ctrl-C")
    writer.finish("aborted", "Ctrl-C")
    entry = RunStore(tmp_path).entry(writer.id)
    assert (entry.state, entry.manifest and entry.manifest.reason) == ("aborted", "Ctrl-C")
    assert entry.summary is not None


def test_ticks_are_read_as_they_come_and_torn_lines_wait(tmp_path: Path) -> None:
    writer = save(tmp_path, [], status="running")
    tail = TickTail(writer.directory)
    writer.append_tick({"seq": 0, "t": 0.0})
    assert [t["seq"] for t in tail.read_new()] == [0]
    with (writer.directory / "ticks.jsonl").open("ab") as file:
        file.write(b'{"seq": 1, "t"')
    assert tail.read_new() == []
    with (writer.directory / "ticks.jsonl").open("ab") as file:
        file.write(b': 1.0}\nnonsense\n["no tick"]\n{"seq": 2}\n')
    assert [t["seq"] for t in tail.read_new()] == [1, 2]
    assert [t["seq"] for t in RunStore(tmp_path).open(writer.id).ticks(after_seq=0)] == [1, 2]
    writer.finish("aborted")


def test_two_thousand_runs_are_all_listed(tmp_path: Path) -> None:
    source = save(tmp_path / "one", [mixed(rows=200)]).directory
    for n in range(2000):
        copy = tmp_path / "many" / f"20261123T120000Z-steady-async-abcdef0-{n + 2}"
        copy.mkdir(parents=True)
        for name in ("run.json", "summary.json"):
            os.link(source / name, copy / name)
    entries = RunStore(tmp_path / "many").entries()
    assert len(entries) == 2000
    assert all(e.summary is not None and e.damage is None for e in entries)
    assert entries == sorted(entries, key=lambda e: e.id, reverse=True)


def test_what_is_no_run_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".new-1-aa").mkdir()
    assert RunStore(tmp_path).entries() == []
    assert RunStore(tmp_path / "absent").entries() == []
    assert RunStore(tmp_path / "README.md").entries() == []


def test_blocks_know_what_they_measured() -> None:
    assert (block(warmup_s=2.0, measured_s=5.0).warmup_s, block(measured_s=5.0).measured_s) == (2.0, 5.0)
    assert manifest(blocks=[block(0), block(1, at_s=20)]).measured_s == 20.0
    assert manifest().started_ns == T0_NS
