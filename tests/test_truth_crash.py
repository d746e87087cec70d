"""Known truth: what the server has answered is in the report, though the load process was killed."""

import time
from pathlib import Path

import pytest

from tests.truth_runs import bench, samples, take_precedence, truth_server


@pytest.mark.slow
def test_all_but_the_last_second_of_a_killed_load_process_is_in_the_report(tmp_path: Path) -> None:
    with truth_server(tmp_path / "log", "constant") as server:
        # So few that only the flush of each second, not a full batch, can have put them on disk.
        flags = ("--host", server.url, "--users", 100, "--ramp", 0.3, "--warmup", 0.3, "--duration", 60)
        with bench(tmp_path / "runs", *flags) as running:
            running.await_phase("measure")
            victim = running.load_process()
            take_precedence(server.process, victim)
            time.sleep(2.5)
            killed_ns = time.time_ns()
            victim.kill()
            code, out, err = running.end()
            (run,) = running.runs()
        truth = server.stop()
    assert code == 1
    assert "SIGKILL" in err
    assert run.manifest.status == "failed"
    assert "SIGKILL" in (run.manifest.reason or "")
    assert str(run.manifest.reason) in " ".join(out.split())  # wherever the terminal has broken its lines

    found = samples(run.path)
    both = truth.merge(found, on=["user", "number"], how="left", indicator=True)
    lost = both[both["_merge"] == "left_only"]
    assert len(found) == len(both) - len(lost) > 100
    assert (lost["replied"] > killed_ns - 1_250_000_000).all()  # its second, and a quarter for the machine

    summary, (block,) = run.summary(), run.manifest.blocks
    assert summary.requests + summary.window.samples_outside == block.recorded == len(found)
    assert summary.latency["miss"]["sent"].count == summary.requests > 0
    assert (run.path / "summary.json").exists()
