"""The gate's exit codes, its baseline that holds on another machine, and what it writes for a pull request."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.__main__ import main as reports_main
from reports.judge import gate
from reports.judge.baseline import Baseline, BaselineError, check_same_workload, measure_baseline, read_baseline
from reports.judge.gate import Check, GateError, Verdict, hold_gate, read_gate_file
from reports.judge.junit import junit_xml
from reports.judge.markdown import gate_markdown
from reports.judge.slo import parse_slo
from reports.store.run import Run
from tests.measured_runs import Stretch, minutes_later, save_measured

SLO = parse_slo("p99<1s,failed<1%")


def steady(*, miss_ms: float = 300.0, failed: int = 0, cpu_s: float = 1.0, hit_ms: float = 1.0) -> list[Stretch]:
    """Four blocks of 3000 requests, 30 s apart; CPU seconds a block."""
    return [
        Stretch(
            hit_ms=[hit_ms] * 1500, miss_ms=[miss_ms] * 1500, failed=failed, server_cpu_s=cpu_s * factor, at_s=30.0 * n
        )
        for n, factor in enumerate((1.0, 1.02, 0.98, 1.0))
    ]


def experiment(root: Path, server_cpu_s: float, *, machine: float = 1.0, hit_ms: float = 2.0) -> list[Run]:
    """A server and the bare handler on a machine that is ``machine`` times slower, two arms of one experiment."""
    server = save_measured(
        root, steady(cpu_s=server_cpu_s * machine, hit_ms=hit_ms * machine), experiment="e", arm="A", mode="async"
    )
    bare = save_measured(
        root,
        [
            Stretch(hit_ms=[machine] * 3000, server_cpu_s=0.3 * machine * factor, at_s=15.0 + 30.0 * n)
            for n, factor in enumerate((0.99, 1.0, 1.01, 1.0))
        ],
        experiment="e",
        arm="B",
        mode="bare",
    )
    return [server, bare]


def code(runs: Sequence[Run], slo: object = SLO, **more: object) -> int:
    return hold_gate("it", runs, slo, **more).exit_code  # type: ignore[arg-type]


def test_a_run_within_its_slo_passes(tmp_path: Path) -> None:
    assert code([save_measured(tmp_path, steady())]) == gate.EXIT_PASS == 0


def test_a_missed_slo_is_3(tmp_path: Path) -> None:
    assert code([save_measured(tmp_path / "a", steady(miss_ms=1500.0))]) == gate.EXIT_SLO_MISSED == 3
    assert code([save_measured(tmp_path / "b", steady(failed=40))]) == 3


def test_an_invalid_measurement_is_5_whatever_else_it_says(tmp_path: Path) -> None:
    bound = [Stretch(miss_ms=[1500.0] * 2000, generator_cpu=0.97)]
    assert code([save_measured(tmp_path / "a", bound)]) == gate.EXIT_INVALID == 5
    assert code([save_measured(tmp_path / "b", steady(), status="aborted")]) == 5
    too_few = [Stretch(miss_ms=[300.0] * 150)]
    assert code([save_measured(tmp_path / "c", too_few)]) == 5
    assert code([save_measured(tmp_path / "d", too_few)], parse_slo("p50<1s")) == 0


def test_of_a_run_that_is_not_valid_nothing_is_judged(tmp_path: Path) -> None:
    bound = save_measured(tmp_path / "a", [Stretch(miss_ms=[300.0] * 2000, generator_cpu=0.97)])
    fine = save_measured(tmp_path / "a", steady(), started_at=minutes_later(9))
    verdict = hold_gate("it", [bound, fine], SLO)
    by_run = {run.manifest.id: [c.passed for c in verdict.checks if c.run == run.manifest.id] for run in (bound, fine)}
    assert by_run[bound.manifest.id] == [False, None, None]
    assert by_run[fine.manifest.id] == [True] * 4
    server, bare = experiment(tmp_path / "c", 1.0)
    spoiled = save_measured(
        tmp_path / "c", [Stretch(hit_ms=[1.0] * 3000, generator_cpu=0.97, at_s=30.0 * n) for n in range(4)],
        experiment="e", arm="B", mode="bare",
    )  # fmt: skip
    ratios = [c.passed for c in hold_gate("it", [server, spoiled], SLO, measure_baseline(server, bare)).checks]
    assert True not in ratios[2:]


def test_a_regression_against_the_baseline_is_4_and_slow_machines_are_none(tmp_path: Path) -> None:
    then = measure_baseline(*experiment(tmp_path / "then", 1.0))
    assert then.ratios["server_cpu"].value == pytest.approx(1.0 / 0.3, rel=0.02)
    assert then.ratios["hit_p50"].value == pytest.approx(2.0)

    same = experiment(tmp_path / "same", 1.0, machine=2.1)
    assert code(same, baseline=then) == 0
    worse = experiment(tmp_path / "worse", 1.5, machine=0.6)
    assert code(worse, baseline=then) == gate.EXIT_REGRESSION == 4
    better = experiment(tmp_path / "better", 0.5, machine=2.1)
    assert code(better, baseline=then) == 0
    slower_hits = experiment(tmp_path / "hits", 1.0, hit_ms=3.0)
    assert code(slower_hits, baseline=then) == 4
    assert code(worse, baseline=then, tolerance=0.8) == 0
    assert code(worse, parse_slo("p99<200ms"), baseline=then) == 3  # both: the SLO is told first


def test_a_regression_within_the_runs_own_uncertainty_is_none(tmp_path: Path) -> None:
    then = measure_baseline(*experiment(tmp_path / "then", 1.0))
    slightly = experiment(tmp_path / "now", 1.15)
    measured = measure_baseline(*slightly).ratios["server_cpu"]
    assert measured.low < then.ratios["server_cpu"].value * 1.1 < measured.value
    assert code(slightly, baseline=then) == 0


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    then = measure_baseline(*experiment(tmp_path / "runs", 1.0))
    path = tmp_path / "baseline.json"
    path.write_text(then.model_dump_json(indent=1))
    assert read_baseline(path) == then


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"schema_version": 2}', "nonsense"])
def test_a_baseline_that_cannot_be_read_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(damage)
    with pytest.raises(BaselineError, match=r"baseline\.json") as error:
        read_baseline(path)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(BaselineError, match="nowhere"):
        read_baseline(tmp_path / "nowhere.json")


def test_a_baseline_of_something_else_is_refused_with_what_differs(tmp_path: Path) -> None:
    then = measure_baseline(*experiment(tmp_path, 1.0))
    for field, value in (("mode", "sync"), ("scenario", "spike"), ("workload", "0123456789abcdef")):
        with pytest.raises(BaselineError, match=field):
            check_same_workload(then, then.model_copy(update={field: value}))


def test_what_does_not_pair_up_makes_no_baseline(tmp_path: Path) -> None:
    server, bare = experiment(tmp_path / "a", 1.0)
    with pytest.raises(BaselineError, match="mode"):
        measure_baseline(server, server)
    with pytest.raises(BaselineError, match="mode"):
        measure_baseline(bare, server)
    alone = save_measured(tmp_path / "b", steady(), mode="async")
    with pytest.raises(BaselineError, match="experiment"):
        measure_baseline(alone, bare)
    busier = save_measured(tmp_path / "c", steady(), mode="async", users=99, experiment="e")
    with pytest.raises(BaselineError, match="workload"):
        measure_baseline(busier, bare)
    unread = save_measured(
        tmp_path / "d", [Stretch(hit_ms=[1.0] * 500, server_cpu_s=None)], mode="async", experiment="e"
    )
    with pytest.raises(BaselineError, match="CPU"):
        measure_baseline(unread, bare)


def test_a_gate_without_anything_to_judge_or_by_is_refused(tmp_path: Path) -> None:
    server, bare = experiment(tmp_path, 1.0)
    with pytest.raises(GateError):
        hold_gate("it", [server], ())
    with pytest.raises(GateError):
        hold_gate("it", [bare], SLO)
    with pytest.raises(GateError, match="bare handler"):
        hold_gate("it", [server], SLO, measure_baseline(server, bare))


def test_thresholds_are_read_from_a_file_with_its_baseline_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ci" / "gate.toml"
    path.parent.mkdir()
    path.write_text('slo = "p99<1s"\nbaseline = "baseline.json"\ntolerance = 0.2\n')
    found = read_gate_file(path)
    assert (found.slo, found.baseline, found.tolerance) == ("p99<1s", path.parent / "baseline.json", 0.2)
    path.write_text("")
    assert read_gate_file(path).baseline is None


@pytest.mark.parametrize(
    "text", ["slo = 1", 'sloo = "p99<1s"', "tolerance = -1", "tolerance = nan", "slo = ", "\xff", 'tolerance = "10%"']
)
def test_a_gate_file_that_cannot_be_used_is_one_line_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gate.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(GateError, match=r"gate\.toml") as error:
        read_gate_file(path)
    assert len(str(error.value).splitlines()) == 1


NASTY = "a|b <script>&amp; `x` \x00\x1b[31m ]]> \ud800 @someone #1 *b* [l](u)\nnew line"


def test_junit_is_xml_whose_counts_are_those_of_its_cases(tmp_path: Path) -> None:
    checks = [
        Check("slo", "run-1", "p99<1s", True, "300 ms"),
        Check("slo", "run-1", NASTY, False, NASTY),
        Check("validity", "run-2", "VALID", None, "nothing"),
    ]
    root = ElementTree.fromstring(junit_xml(Verdict(NASTY, tuple(checks))).encode())
    cases = list(root.iter("testcase"))
    assert root.tag == "testsuites"
    assert [len(list(suite)) for suite in root] == [2, 1]
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    for suite in root:
        inside = list(suite)
        assert suite.get("tests") == str(len(inside))
        assert suite.get("failures") == str(sum(case.find("failure") is not None for case in inside))
        assert suite.get("errors") == str(sum(case.find("error") is not None for case in inside))
    assert cases[0].find("system-out").text == "300 ms"
    assert "<script>&amp;" in cases[1].find("failure").text
    assert "p99<1s" in {case.get("name") for case in cases}


JUNIT_ATTRIBUTES = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
    ),
    "testcase": ({"name"}, {"time", "classname", "group"}),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}
"""What junit-10.xsd of Jenkins' xunit-plugin demands and allows of each element that we write: required, optional."""

JUNIT_CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
}
"""Its elements within each, in any order."""


def test_junit_keeps_to_the_schema_that_build_servers_read_it_by() -> None:
    checks = [Check("slo", "run", f"check {passed}", passed, "300 ms") for passed in (True, False, None)]
    root = ElementTree.fromstring(junit_xml(Verdict("gate", tuple(checks))).encode())
    for element in root.iter():
        required, optional = JUNIT_ATTRIBUTES[element.tag]
        assert required <= set(element.keys()) <= required | optional
        assert {child.tag for child in element} <= JUNIT_CHILDREN.get(element.tag, set())
        for name in ("tests", "failures", "errors"):
            assert element.get(name, "0").isdecimal()
        assert float(element.get("time", "0")) >= 0
    assert all(len(list(case)) == 1 for case in root.iter("testcase"))


def test_markdown_holds_every_check_and_figure_and_what_comes_from_a_run_stays_text(tmp_path: Path) -> None:
    run = save_measured(tmp_path, steady(failed=40), label=NASTY.replace("\ud800", ""), started_at=minutes_later(1))
    verdict = hold_gate("it`s\n", [run], SLO)
    text = gate_markdown(verdict, [run])
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert sum("❌" in row for row in rows) == sum(check.passed is False for check in verdict.checks) == 1
    assert sum("✅" in row for row in rows) == 3
    columns = [row.replace("\\|", "").count("|") for row in rows]
    tables = [columns[: 2 + len(verdict.checks)], columns[2 + len(verdict.checks) :]]
    assert [len(set(table)) for table in tables] == [1, 1]  # a row per line, the same columns in each
    assert not re.search(r"(?<!\\)[<`]script|@someone|(?<!\\)\[l|[\x00\x1b]", text)
    assert "300 ms" in text


def test_a_verdict_names_its_outcome_for_every_code() -> None:
    headlines = set()
    for passed, group in ((True, "slo"), (False, "slo"), (False, "baseline"), (False, "validity")):
        verdict = Verdict("it", (Check(group, "r", "c", passed, ""),))  # type: ignore[arg-type]
        headlines.add(verdict.headline)
    assert len(headlines) == 4


def test_a_baseline_without_a_metric_now_cannot_be_judged(tmp_path: Path) -> None:
    then = measure_baseline(*experiment(tmp_path / "then", 1.0))
    now = experiment(tmp_path / "now", 1.0, hit_ms=2.0)
    blind = Baseline.model_validate(then.model_dump() | {"ratios": {"hit_p99": then.ratios["hit_p99"].model_dump()}})
    assert code(now, baseline=blind) == 0
    few_hits = save_measured(
        tmp_path / "few", [Stretch(miss_ms=[300.0] * 1500, at_s=30.0 * n) for n in range(4)], experiment="e", arm="A"
    )
    assert code([few_hits, now[1]], baseline=blind) == 5


def command(root: Path, *arguments: object) -> int:
    return reports_main(["--runs", str(root), *map(str, arguments)])


def test_the_command_exits_with_what_it_found_and_writes_what_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, path = tmp_path / "runs", tmp_path / "baseline.json"
    experiment(runs, 1.0)
    assert command(runs, "gate", "e", "--write-baseline", path) == 0
    file = tmp_path / "gate.toml"
    file.write_text('slo = "p99<1s"\nbaseline = "baseline.json"\n')
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"
    assert command(runs, "gate", "e", "--file", file, "--junit", junit, "--markdown", markdown) == 0
    assert ElementTree.parse(junit).getroot().get("failures") == "0"
    assert markdown.read_text().count("✅") == 7
    assert command(runs, "gate", "e", "--file", file, "--slo", "p99<200ms") == 3  # the command line goes first

    worse = tmp_path / "worse"
    experiment(worse, 2.0)
    assert command(worse, "gate", "latest", "--file", file) == 4
    assert command(worse, "gate", "latest", "--file", file, "--tolerance", "2") == 0
    spoiled = tmp_path / "spoiled"
    save_measured(spoiled, [Stretch(miss_ms=[1.0] * 2000, generator_cpu=0.99)])
    assert command(spoiled, "gate", "--slo", "p99<1s") == 5
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["gate", "nonesuch", "--slo", "p99<1s"],
        ["gate", "--slo", "p99<0s"],
        ["gate"],
        ["gate", "--file", "nowhere.toml"],
        ["gate", "--slo", "p99<1s", "--baseline", "nowhere.json"],
        ["gate", "--write-baseline", "baseline.json"],
        ["gate", "--slo", "p99<1s", "--junit", "/nonesuch/gate.xml"],
        ["capacity", "nonesuch", "--slo", "p99<1s"],
        ["capacity", "--slo", "p99"],
        ["cost", "--prices", "nowhere.toml"],
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_measured(tmp_path / "runs", steady())
    monkeypatch.chdir(tmp_path)
    assert command(tmp_path / "runs", *arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "baseline.json").exists()


@pytest.mark.parametrize("arguments", [["gate", "--tolerance", "much"], ["gate", "--tolerance", "-1"], ["capacity"]])
def test_a_wrong_flag_is_one_line_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        reports_main(arguments)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_costs_are_printed_for_each_run_of_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(tmp_path, 1.0)
    assert command(tmp_path, "cost", "e") == 0
    shown = capsys.readouterr().out
    assert "gemini-2.5" in shown
    assert "100.0%" in shown  # the bare handler answers everything "from its cache"
    assert "50.0%" in shown
