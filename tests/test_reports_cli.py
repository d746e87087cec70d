"""``python -m reports``: what it prints and writes, and that what a user can do wrong is one line and exit 2."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from reports.__main__ import main
from reports.readable import latency, number
from reports.store.store import RunStore
from reports.views.terminal import print_runs
from tests.made_runs import batch, block, mixed, save


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    blocks = [block(i, at_s=20.0 * i, server_cpu_s=1.0, generator_cpu_s=0.5) for i in range(2)]
    for luck, arm, mode, scale in ((1, "A", "sync", 1.0), (2, "B", "async", 0.5)):
        parts = [mixed(luck, index=i, at_s=20.0 * i, miss_scale=scale) for i in range(2)]
        save(root, parts, blocks=blocks, experiment="exp-1", arm=arm, mode=mode, label=mode)
    bad = save(root, [batch(1)], scenario="bad")
    (bad.directory / "run.json").write_text("{")
    return root


def called(root: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["--runs", str(root), *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_list_has_every_run_and_the_damaged_one_s_reason(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(root, "list", capsys=capsys)
    assert code == 0
    lines = {run_id: next(line for line in out.splitlines() if run_id in line) for run_id in RunStore(root).ids()}
    assert len(lines) == 3
    for run_id, line in lines.items():
        if "bad" in run_id:
            assert "damaged" in line
            assert "run.json" in line
        else:
            s = RunStore(root).open(run_id).summary()
            assert number(s.throughput_rps) in line
            assert latency(s.latency["miss"]["intended"].percentiles["p99"]) in line


def test_the_place_of_runs_may_be_named_after_the_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = called(root, "list", capsys=capsys)
    assert main(["list", "--runs", str(root)]) == 0
    assert capsys.readouterr().out == before[1]


def test_an_empty_place_lists_nothing_and_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(tmp_path / "none", "list", capsys=capsys)
    assert code == 0
    assert "make bench" in out


def test_show_prints_the_summary_s_figures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = next(i for i in RunStore(root).ids() if "steady-async" in i)
    code, out, _ = called(root, "show", run_id, capsys=capsys)
    assert code == 0
    s = RunStore(root).open(run_id).summary()
    for population in ("hit", "miss"):
        for name in ("p50", "p90", "p99"):
            line = next(text for text in out.splitlines() if f"{population} {name} " in text)
            assert latency(s.latency[population]["intended"].percentiles[name]) in line
            assert latency(s.latency[population]["sent"].percentiles[name]) in line
        withheld = next(text for text in out.splitlines() if f"{population} p99.9" in text)
        assert "10,000" in withheld
    assert "circuit-open" in out
    assert "gemini" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_experiment_prints_both_arms_and_the_verdict(root: Path) -> None:
    console = Console(width=100, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        print_runs(console, RunStore(root).experiment("exp-1"))
    out = console.export_text()
    assert "A sync" in out
    assert "B async" in out
    assert "B is faster for misses at p50, p90 and p99." in out
    a, b = (run.summary() for run in RunStore(root).experiment("exp-1"))
    line = next(text for text in out.splitlines() if "throughput" in text)
    assert f"{number((b.throughput_rps or 0) / (a.throughput_rps or 1))}×" in line


def test_a_narrow_terminal_loses_no_figure(root: Path) -> None:
    told = []
    for width in (100, 62):
        console = Console(width=width, record=True, file=io.StringIO())
        print_runs(console, RunStore(root).experiment("exp-1"))
        text = console.export_text()
        told.append(re.findall(r"[\d.,]+(?: [mµ]?s\b|×|%)", text[: text.index("relative to A")]))
    assert sorted(told[0]) == sorted(told[1])
    assert len(told[0]) > 40


def test_latest_means_both_arms_of_what_was_measured_last(tmp_path: Path) -> None:
    a, b = (save(tmp_path, [batch(1)], experiment="e", arm=arm, mode=mode).id for arm, mode in (("A", "x"), ("B", "y")))
    store = RunStore(tmp_path)
    assert [run.manifest.id for run in store.meant("latest")] == [a, b]
    assert [run.manifest.id for run in store.meant("latest~1")] == [a]
    assert [run.manifest.id for run in store.meant("e")] == [a, b]
    alone = save(tmp_path, [batch(1)], mode="z").id
    assert [run.manifest.id for run in store.meant("latest")] == [alone]


def test_any_run_and_any_two_are_exported(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = (i for i in RunStore(root).ids() if "bad" not in i)
    assert called(root, "export", a, capsys=capsys)[0] == 0
    assert "B relative to A" not in Path(f"{a}.html").read_text()
    assert called(root, "export", b, a, capsys=capsys)[0] == 0
    assert "B relative to A" in Path(f"{b}-vs-{a}.html").read_text()


def test_compare_takes_any_two_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (i for i in RunStore(root).ids() if "bad" not in i)
    code, out, _ = called(root, "compare", b, a, capsys=capsys)
    assert code == 0
    assert "misses at p50" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "20261123T120000Z-steady-asinc-abcdef0"],
        ["show", "../../etc"],
        ["compare", "latest", "nothing"],
        ["export", "nothing"],
    ],
)
def test_an_unknown_run_is_one_line_with_the_nearest_and_exit_2(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = called(root, *arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    if "asinc" in arguments[1]:
        assert "20261123T120000Z-steady-async-abcdef0" in err


def test_a_damaged_run_is_one_line_with_the_reason(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = next(i for i in RunStore(root).ids() if "bad" in i)
    code, out, err = called(root, "show", bad, capsys=capsys)
    assert (code, out) == (2, "")
    assert "run.json" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["shout"], ["show", "a", "b"], ["export", "--theme", "pink"]])
def test_wrong_usage_is_exit_2(root: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--runs", str(root), *arguments])
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_export_is_one_file_that_asks_the_network_for_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report.html"
    code, _, _ = called(root, "export", "exp-1", "--output", str(output), "--theme", "light", capsys=capsys)
    assert code == 0
    text = output.read_text(encoding="utf-8")
    outside_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=|url\(|@import", outside_scripts)
    assert not re.findall(r"<script[^>]+src", text)
    assert "default-src 'none'" in text
    assert text.count('class="plotly-graph-div"') == 9  # four figures a run, and B relative to A
    assert "B is faster for misses at p50, p90 and p99." in text
    s = RunStore(root).experiment("exp-1")[1].summary()
    assert latency(s.latency["miss"]["intended"].percentiles["p50"]) in outside_scripts


def test_an_export_escapes_what_a_run_says_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, [mixed()], label="<img src=x onerror=alert(1)>")
    output = tmp_path / "report.html"
    assert called(tmp_path, "export", "-o", str(output), capsys=capsys)[0] == 0
    assert "<img" not in re.sub(r"<script.*?</script>", "", output.read_text(encoding="utf-8"), flags=re.DOTALL)
    code, _, err = called(tmp_path, "export", "-o", str(tmp_path / "no" / "where.html"), capsys=capsys)
    assert code == 2
    assert "--output" in err


def test_a_pipe_that_closes_early_is_no_error(root: Path) -> None:
    command = f"{sys.executable} -m reports --runs {root} list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
