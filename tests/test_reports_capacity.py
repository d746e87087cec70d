"""The capacity search finds a known limit within its stated interval, in few levels, through noise."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.__main__ import main as reports_main
from reports.capacity.assess import Capacity, assess, level_of, load_of, process_load, unit_of
from reports.capacity.levels import Level, Repeat, judge_level, tried
from reports.capacity.search import Bracket, LevelVerdict, SearchPlan, Tried, bracket, next_load
from reports.capacity.sizing import Host, ProcessLoad, assumptions, planned_load, processes_per_host, size_for
from reports.judge.attainment import Observation
from reports.judge.slo import parse_slo
from reports.records.schema import Workload
from reports.statistics.knee import find_knee
from reports.statistics.replicates import interval_of_mean
from tests.closed_system import ClosedSystem
from tests.measured_runs import Stretch, save_measured

SLO = parse_slo("p99<1s,failed<1%")


def misses(latency_ms: object, *, failed: int = 0, seconds: float = 10.0) -> Observation:
    values = np.asarray(latency_ms, dtype=float)
    return Observation(seconds, values.size + failed, {"miss": values} if values.size else {})


def search(plan: SearchPlan, measure: Callable[[int], Repeat], slo: object = SLO) -> tuple[Bracket, dict[int, Level]]:
    """Run a whole search against something that can be measured."""
    levels: dict[int, Level] = {}
    while True:
        known_so_far = {load: tried(slo, level) for load, level in levels.items()}
        load = next_load(plan, known_so_far)
        if load is None:
            return bracket({n: level.verdict for n, level in known_so_far.items()}), levels
        known = levels[load].repeats if load in levels else ()
        levels[load] = Level(load, (*known, measure(load)))


@given(
    st.integers(1, 20_000),
    st.integers(1, 500),
    st.floats(1.2, 4.0),
    st.floats(0.02, 0.5),
)
def test_without_noise_any_limit_is_bracketed_to_the_tolerance_in_few_levels(
    limit: int, start: int, factor: float, tolerance: float
) -> None:
    plan = SearchPlan(start=start, most=5000, factor=factor, tolerance=tolerance, repeats=1)
    verdicts: dict[int, LevelVerdict] = {}
    while (load := next_load(plan, {n: Tried(v, 1) for n, v in verdicts.items()})) is not None:
        assert load not in verdicts
        assert 1 <= load <= plan.most
        verdicts[load] = "holds" if load <= limit else "misses"
    found = bracket(verdicts)
    if limit >= 5000:
        assert found == Bracket(5000, None, "search")
    else:
        assert found.limited_by == "server"
        assert found.low is not None
        assert found.high is not None
        assert found.low <= limit < found.high
        assert found.high - found.low == 1 or found.high / found.low <= (1 + tolerance) * (1 + 1e-9)
    steps = abs(math.log(max(start, min(limit, 5000)) / min(start, limit)) / math.log(factor))
    halvings = max(0.0, math.log2(math.log(factor) / math.log1p(tolerance)))
    assert len(verdicts) <= steps + halvings + 15  # whole numbers add some steps at the low end


def test_a_level_that_holds_above_one_that_misses_counts_for_nothing() -> None:
    assert bracket({100: "holds", 200: "misses", 400: "holds", 800: "misses"}) == Bracket(100, 200, "server")


def test_both_sides_of_what_stays_undecided_are_closed_in() -> None:
    def measure(load: int) -> Repeat:
        value = 5.0 if load <= 250 else 5000.0 if load >= 350 else 990.0  # 1% below the limit: nobody can tell
        return Repeat(misses([value] * 2000))

    found, levels = search(SearchPlan(start=300, most=1200, tolerance=0.1), measure)
    undecided = sorted(load for load, level in levels.items() if judge_level(SLO, level) == "undecided")
    assert undecided
    assert found.low is not None
    assert found.high is not None
    assert undecided[0] / found.low <= 1.1
    assert found.high / undecided[-1] <= 1.1


def test_a_level_that_no_load_holds_is_said() -> None:
    found, levels = search(SearchPlan(start=8), lambda load: Repeat(misses([5000.0] * 2000)))
    assert found == Bracket(None, 1, "slo")
    assert sorted(levels) == [1, 2, 4, 8]


def test_levels_with_too_few_samples_are_passed_upwards_and_named() -> None:
    found, levels = search(SearchPlan(start=10, most=40), lambda load: Repeat(misses([5.0] * load)))
    assert found == Bracket(None, None, "samples")
    assert sorted(levels) == [10, 20, 40]
    found, _ = search(SearchPlan(start=10, most=80), lambda load: Repeat(misses([5.0] * load * 10)))
    assert found.limited_by == "search"
    assert found.low == 80


def test_a_generator_that_cannot_keep_up_ends_the_search_and_is_named() -> None:
    def measure(load: int) -> Repeat:
        return Repeat(misses([5.0] * 2000), "GENERATOR-BOUND" if load >= 700 else "VALID")

    found, levels = search(SearchPlan(start=100), measure)
    assert found.limited_by == "generator"
    assert found.low is not None
    assert found.high is not None
    assert found.low < 700 <= found.high
    capacity = assess(SLO, list(levels.values()), "users")
    assert capacity.generator_limit == found.high
    assert not capacity.conclusive


def test_one_spoiled_repeat_is_measured_again_and_not_believed() -> None:
    seen: list[int] = []

    def measure(load: int) -> Repeat:
        seen.append(load)
        if seen == [100]:
            return Repeat(misses([9000.0] * 2000), "NOISY")
        return Repeat(misses([5.0 if load <= 300 else 5000.0] * 2000))

    found, levels = search(SearchPlan(start=100, tolerance=0.2), measure)
    assert len(levels[100].repeats) == 3
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 300 < found.high


def test_a_machine_on_which_nothing_is_valid_ends_the_search_at_its_first_level() -> None:
    found, levels = search(SearchPlan(start=100), lambda load: Repeat(misses([5.0] * 2000), "NOISY"))
    assert found == Bracket(None, None, "machine")
    assert [len(level.repeats) for level in levels.values()] == [4]


def test_a_machine_that_fails_inside_the_bracket_leaves_the_bracket() -> None:
    def measure(load: int) -> Repeat:
        return Repeat(misses([5.0 if load <= 300 else 5000.0] * 2000), "VALID" if load in (100, 200, 400) else "NOISY")

    found, _ = search(SearchPlan(start=100), measure)
    assert found == Bracket(200, 400, "server")


SYSTEM = ClosedSystem(servers=4, rate=10.0, think_s=2.0)


def test_the_simulated_system_is_the_one_that_was_solved() -> None:
    latencies = SYSTEM.latencies_ms(80, 600.0, np.random.default_rng(1))
    assert (latencies > 500).mean() == pytest.approx(SYSTEM.tail(80, 0.5), rel=0.35)
    assert latencies.size / 600.0 == pytest.approx(80 / (2.0 + latencies.mean() / 1e3), rel=0.03)  # Little's law


@pytest.mark.slow
def test_the_limit_of_a_simulated_server_lies_in_the_stated_interval() -> None:
    slo = parse_slo("p99<800ms")
    limit = SYSTEM.most_users(0.8, 0.01)
    inside, repeats, levels_tried = 0, [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)

        def measure(load: int, rng: np.random.Generator = rng) -> Repeat:
            noisy = math.exp(rng.normal(0.0, 0.02))  # runs differ as wholes, too
            return Repeat(misses(SYSTEM.latencies_ms(load, 40.0, rng, speed=noisy), seconds=40.0))

        found, levels = search(SearchPlan(start=10, most=1000), measure, slo)
        assert found.limited_by == "server"
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= limit < found.high
        repeats.append(sum(len(level.repeats) for level in levels.values()))
        levels_tried.append(len(levels))
    assert inside >= 9  # promised is about 19 of 20; 8 or fewer of 12 would happen once in 4,500
    assert np.mean(levels_tried) <= 11
    assert np.mean(repeats) <= 32


def test_the_knee_of_a_simulated_server_lies_in_its_interval() -> None:
    inside = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        goodput = {
            load: [
                SYSTEM.latencies_ms(load, 30.0, rng, speed=math.exp(rng.normal(0.0, 0.02))).size / 30.0
                for _ in range(2)
            ]
            for load in (10, 20, 40, 80, 160)
        }
        knee = find_knee(goodput)
        assert knee is not None
        assert knee.load == pytest.approx(SYSTEM.saturation, rel=0.15)
        inside += knee.interval[0] <= SYSTEM.saturation <= knee.interval[1]
    assert inside >= 8


def test_a_level_is_decided_by_its_repeats_and_not_by_one() -> None:
    def verdict(*levels_ms: float, failed: int = 0) -> LevelVerdict:
        repeats = [Repeat(misses([value] * 2000, failed=failed)) for value in levels_ms]
        return judge_level(SLO, Level(1, tuple(repeats)))

    assert verdict(500.0) == "undecided"
    assert verdict(500.0, 510.0) == "holds"
    assert verdict(2000.0, 2100.0) == "misses"
    assert verdict(900.0, 1100.0) == "undecided"
    assert verdict(970.0, 980.0) == "undecided"  # 3% is less than runs differ by
    assert verdict(500.0, 510.0, failed=200) == "misses"
    assert verdict(500.0, 510.0, failed=19) == "undecided"  # 0.94% of 4038
    assert judge_level(SLO, Level(1, ())) == "invalid"


def test_the_interval_of_few_repeats_covers_their_mean_as_often_as_promised() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        low, high = interval_of_mean(rng.normal(0.5, 0.1, 2).tolist())
        covered += low <= 0.5 <= high
    assert 0.93 <= covered / 400 <= 1.0
    assert interval_of_mean([0.3]) == (-math.inf, math.inf)


@given(
    st.integers(1, 10**6),
    st.integers(1, 5000),
    st.floats(0.01, 8.0),
    st.integers(10**6, 10**11),
    st.integers(1, 256),
    st.integers(10**9, 10**12),
)
def test_sizes_are_enough_and_one_less_is_not(
    target: int, capacity: int, cores: float, rss: int, host_cores: int, memory: int
) -> None:
    process, host = ProcessLoad(capacity, cores, rss, gemini_rps=capacity * 0.4), Host(host_cores, memory)
    size = size_for(target, process, host)
    assert size.processes * planned_load(process) >= target > (size.processes - 1) * planned_load(process)
    assert planned_load(process) < capacity or capacity == 1  # some is left free
    fits = processes_per_host(process, host)
    assert size.hosts * fits >= size.processes > (size.hosts - 1) * fits
    assert size.gemini_rps == pytest.approx(target * 0.4)
    if fits > 1:
        assert fits * rss <= memory
        assert fits * cores * planned_load(process) / capacity <= host_cores * 1.001 or cores < 0.02
    assert all(text.endswith(".") for text in assumptions(process, host, "users"))


def saved_capacity(root: Path, slo: str) -> Capacity:
    """Three levels of 200 requests/s and two repeats; p99 of misses 300, 900 and 4000 ms."""
    levels = []
    for users, p99 in ((100, 300.0), (200, 900.0), (400, 4000.0)):
        stretches = [Stretch(miss_ms=[p99] * 2000, at_s=20.0 * n, server_cpu_s=6.0) for n in range(2)]
        levels.append(level_of(save_measured(root, stretches, users=users, experiment="x")))
    return assess(parse_slo(slo), levels, "users")


def test_a_saved_search_is_judged_again_by_another_slo(tmp_path: Path) -> None:
    assert saved_capacity(tmp_path / "a", "p99<2s").most == Bracket(200, 400, "server")
    assert saved_capacity(tmp_path / "b", "p99<500ms").most == Bracket(100, 200, "server")
    assert saved_capacity(tmp_path / "c", "p99<100ms").most == Bracket(None, 100, "slo")
    assert saved_capacity(tmp_path / "d", "p99<9s").most == Bracket(400, None, "search")


def test_a_saved_level_tells_its_load_its_repeats_and_what_the_server_used(tmp_path: Path) -> None:
    stretches = [
        Stretch(hit_ms=[1.0] * 500, miss_ms=[300.0] * 1000, server_cpu_s=6.0),
        Stretch(hit_ms=[1.0] * 500, miss_ms=[300.0] * 1000, server_cpu_s=8.0, server_rss_bytes=2 * 10**8, at_s=20),
        Stretch(hit_ms=[1.0] * 500, miss_ms=[300.0] * 1000, generator_cpu=0.95, at_s=40),
        Stretch(hit_ms=[1.0] * 500, miss_ms=[300.0] * 1000, block={"generator_lag_ms": 30.0}, at_s=60),
    ]
    run = save_measured(tmp_path, stretches, users=150)
    level = level_of(run)
    assert (load_of(run.manifest), unit_of(run.manifest)) == (150, "users")
    assert [repeat.validity for repeat in level.repeats] == ["VALID", "VALID", "GENERATOR-BOUND", "NOISY"]
    assert level.goodput == (150.0, 150.0)
    assert process_load(level) == ProcessLoad(150, pytest.approx(0.7), 2 * 10**8, pytest.approx(100.0))


def test_the_load_of_an_open_loop_is_its_rate(tmp_path: Path) -> None:
    workload = Workload.of({"load": {"loop": "open", "rate_per_s": 250.0}})
    run = save_measured(tmp_path, [Stretch(miss_ms=[300.0] * 100)], workload=workload)
    assert (load_of(run.manifest), unit_of(run.manifest)) == (250, "arrivals/s")


def test_a_server_that_is_not_ours_has_no_size(tmp_path: Path) -> None:
    stretch = Stretch(miss_ms=[300.0] * 100, server_cpu_s=None, server_rss_bytes=None)
    assert process_load(level_of(save_measured(tmp_path, [stretch]))) is None


def test_the_command_prints_every_level_and_exits_with_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_capacity(tmp_path, "p99<2s")

    def code(slo: str) -> int:
        return reports_main(["--runs", str(tmp_path), "capacity", "latest", "--slo", slo])

    assert code("p99<2s") == 0
    shown = capsys.readouterr().out
    for figure in (" 100", " 200", " 400", "300 ms", "900 ms", "4.00 s", "10,000", "1,000,000"):
        assert figure in shown
    assert code("p99<100ms") == 3
    assert code("p99.99<9s") == 5
