"""The scenarios are what they say, their schedules obey their laws, and a real process follows them to the end."""

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import expon, kstest

from loadtests import scenarios
from loadtests.generator.session import Session
from loadtests.target import parse_target
from loadtests.workload.catalogue import Catalogue
from loadtests.workload.load_models import (
    ClosedLoop,
    ConstantArrivals,
    OpenLoop,
    PoissonArrivals,
    Sessions,
    Think,
    Waves,
)
from loadtests.workload.profile import Stage, changes, users_at_start
from loadtests.workload.scenario import Scenario
from loadtests.workload.workload import Workload
from reports.store.store import RunStore
from server.gemini.faults import FaultScript
from server.settings import Settings
from tests.echo_server import EchoServer
from tests.generator_process import finish, generator, news, read, run_until

NAMED = ["agents", "brownout", "open", "ramp", "soak", "spike", "stairs", "stampede", "steady"]


def first(plan, n):
    return list(itertools.islice(plan, n))


def test_the_named_scenarios_are_there():
    assert set(scenarios.names()) >= set(NAMED)


@pytest.mark.parametrize("name", scenarios.names())
def test_a_scenario_has_its_files_name_settings_the_server_knows_and_a_repeatable_workload(name):
    scenario = scenarios.load(name)
    assert scenario.name == name
    assert scenario.summary
    settings = {}
    for path, value in scenario.server.items():
        *groups, key = path.split(".")
        place = settings
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = value
    accepted = Settings.model_validate(settings)
    if accepted.mock.faults is not None:
        assert FaultScript.load(accepted.mock.faults).fault
    assert isinstance(scenario.load, OpenLoop if scenario.is_open else ClosedLoop)
    workload = Workload(scenario, seed=5)
    assert workload.manifest() == Workload(scenario, seed=5).manifest()
    assert workload.digest() != Workload(scenario, seed=6).digest()
    json.dumps(workload.manifest())


def test_an_unknown_scenario_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="steady"):
        scenarios.load("../steady")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SCENARIO = 3", "SCENARIO"),
        ("SCENARI0 = 3", "SCENARIO"),
        ("import no_such_module", "no_such_module"),
        ("x = 1\ndef (", "line 2"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_somebody_s_own_file_that_is_no_scenario_is_told_in_one_line(tmp_path, monkeypatch, text, told):
    name = f"mine_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(scenarios, "__path__", [*scenarios.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=name) as refused:
        scenarios.load(name)
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_poisson_arrivals_have_independent_exponential_gaps_and_shares_add_up():
    workload = Workload(Scenario(name="p", summary="", load=PoissonArrivals(rate_per_s=400.0)), seed=1)
    times = [at for at, _ in first(workload.arrivals(0, 10, 1.0), 20_000)]
    gaps = np.diff([0.0, *times])
    assert kstest(gaps, expon(scale=1 / 400).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.03
    until = 20.0
    halves = [list(itertools.takewhile(lambda a: a[0] < until, workload.arrivals(u, 5, 0.5))) for u in (0, 5)]
    assert halves[0] != halves[1]
    assert sum(map(len, halves)) == pytest.approx(400 * until, abs=4 * (400 * until) ** 0.5)


def test_constant_arrivals_never_drift():
    workload = Workload(Scenario(name="c", summary="", load=ConstantArrivals(rate_per_s=300.0)), seed=1)
    times = [at for at, _ in first(workload.arrivals(0, 10, 1.0), 100_000)]
    assert times == [number / 300.0 for number in range(1, 100_001)]


def test_waves_are_one_cold_question_for_everybody():
    workload = Workload(scenarios.load("stampede"), seed=1)
    arrivals = first(workload.arrivals(0, 100, 1.0), 100 * 50)
    waves = [arrivals[start : start + 100] for start in range(0, len(arrivals), 100)]
    assert [len(set(wave)) for wave in waves] == [1] * 50
    assert [wave[0][0] for wave in waves] == [2.0 * number for number in range(1, 51)]
    assert len({wave[0][1] for wave in waves}) == 50


def test_agents_work_in_bursts_and_ask_some_things_again():
    load = Sessions(turns=5.0, turn_pause_s=0.3, idle_s=500.0, repeat=0.2)
    workload = Workload(Scenario(name="a", summary="", load=load, catalogue=Catalogue(exponent=0.0)), seed=1)
    requests = first(workload.user(0), 20_000)
    starts = [index for index, (pause, _) in enumerate(requests) if pause > 10]
    sessions = [[item for _, item in requests[a:b]] for a, b in itertools.pairwise(starts)]
    assert np.mean([len(session) for session in sessions]) == pytest.approx(5.0, rel=0.05)
    assert np.mean([pause for pause, _ in requests if pause < 10]) == pytest.approx(0.3, rel=0.1)
    later = sum(len(session) - 1 for session in sessions)
    again = sum(len(session) - len(set(session)) for session in sessions)
    assert again / later == pytest.approx(0.2, abs=0.02)


def test_a_rate_can_be_changed_where_there_is_one():
    assert scenarios.load("open").at_rate(50.0).load == PoissonArrivals(rate_per_s=50.0)
    for name in ("steady", "stampede"):
        with pytest.raises(ValueError, match=name):
            scenarios.load(name).at_rate(50.0)


def test_a_profile_belongs_to_a_closed_loop_and_begins_at_nought():
    with pytest.raises(ValueError, match="profile"):
        Scenario(name="x", summary="", load=Waves(1.0, 5), profile=(Stage(0.0, 1.0),))
    with pytest.raises(ValueError, match="first stage"):
        Scenario(name="x", summary="", load=Think(), profile=(Stage(0.5, 1.0),))


stages = st.lists(st.builds(Stage, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), max_size=5)


@given(stages, st.integers(1, 5000), st.floats(0.1, 1000))
def test_following_the_changes_gives_the_users_of_the_profile(later, users, duration_s):
    profile = (Stage(0.0, 0.3), *sorted(later, key=lambda stage: stage.at))
    now = users_at_start(profile, users)
    for change in changes(profile, users, duration_s):
        assert 0 <= change.at_s <= duration_s
        assert change.users != now
        assert change.rate_per_s > 0
        now = change.users
    assert now == max(1, round(users * profile[-1].users))


def test_ramp_spike_and_stairs_in_numbers():
    def told(name):
        return [(c.at_s, c.users, c.rate_per_s) for c in changes(scenarios.load(name).profile, 1000, 10.0)]

    assert told("ramp") == [(0.0, 1000, 90.0)]
    assert told("spike") == [(4.0, 1000, 800), (6.0, 200, 800)]
    assert told("stairs") == [(2.0, 400, 200), (4.0, 600, 200), (6.0, 800, 200), (8.0, 1000, 200)]
    assert [scenarios.load(name).users_at_start(1000) for name in ("ramp", "spike", "stairs", "steady")] == [
        100, 200, 200, 1000,
    ]  # fmt: skip


def test_a_user_who_comes_back_goes_on_where_the_user_stopped():
    workload = Workload(scenarios.load("steady"), seed=3)
    target = parse_target("http://127.0.0.1:1", "/process")
    session = Session(workload, target, recorder=SimpleNamespace(), alarm=None, users=3, first_user=10)
    assert [session.join() for _ in range(3)] == [10, 11, 12]
    plan = session.plan(11)
    before = [plan(0) for _ in range(4)]
    session.leave(12)
    session.leave(11)
    assert session.join() == 11
    after = [session.plan(11)(0) for _ in range(4)]
    assert [item for _, item in before + after] == [item for _, item in first(workload.user(11), 8)]


@pytest.mark.slow
def test_spike_in_a_real_process_brings_users_and_takes_them_away(tmp_path):
    with EchoServer() as server:
        flags = ("--scenario", "spike", "--duration", 8)
        with generator(tmp_path, server.url, *flags, users=50, stdin=subprocess.PIPE) as process:
            run_until(process, 0)
            time.sleep(1.5)  # no user comes before the time that is told
            assert news(process)["users"] == 10
            opens_ns = time.time_ns() + 500_000_000
            process.stdin.write(f"{opens_ns}\n")
            process.stdin.flush()
            seen = []
            while not (len(seen) > 2 and seen[-1] == 10 and 50 in seen):
                seen.append(news(process)["users"])
                assert len(seen) < 30
            finish(process)
        samples = read(tmp_path)
    assert len(samples) == server.answered
    assert {sample["error"] for sample in samples} == {""}
    assert {sample["user"] for sample in samples} <= set(range(50))
    crowd = [(sample["scheduled_at"] - opens_ns) / 1e9 for sample in samples if sample["user"] >= 10]
    assert 3.2 <= min(crowd) < 4.2  # two fifths of the time, at which they think for up to their first request
    assert max(crowd) < 5.5  # gone at three fifths; Locust stops them a batch a second


def test_a_stall_is_charged_to_every_arrival_that_fell_into_it_and_no_arrival_is_lost(tmp_path):
    rate, connections = 400.0, 4
    with EchoServer() as server:
        flags = ("--scenario", "open", "--rate", rate, "--seed", 11, "--stop-timeout", 0.3)
        with generator(tmp_path, server.url, *flags, users=connections) as process:
            run_until(process, 1)
            began_ns, ended_ns = server.stall(0.8)
            caught_up = server.answered + 1.2 * rate
            while server.answered < caught_up:
                time.sleep(0.02)
            server.delay_s = lambda: 60.0
            time.sleep(0.6)
            recorded = finish(process)[-1]["recorded"]
        samples = sorted(read(tmp_path), key=lambda sample: sample["scheduled_at"])

    intended_ns = np.array([s["sent_at"] - s["scheduled_at"] + s["latency_ns"] for s in samples])
    scheduled = np.array([s["scheduled_at"] for s in samples])
    from_send_ns = np.array([s["latency_ns"] for s in samples])
    stalled = (scheduled > began_ns + 20_000_000) & (scheduled < ended_ns)
    assert stalled.sum() == pytest.approx(0.78 * rate, rel=0.3)
    assert (intended_ns[stalled] >= ended_ns - scheduled[stalled]).all()
    assert (from_send_ns[stalled] > 200_000_000).sum() <= connections

    plan = first(Workload(scenarios.load("open").at_rate(rate), seed=11).arrivals(0, connections, 1.0), len(samples))
    offsets = np.array([at for at, _ in plan])
    np.testing.assert_allclose((scheduled - scheduled[0]) / 1e9, offsets - offsets[0], atol=1e-6)
    assert [sample["item"] for sample in samples] == [item for _, item in plan]
    errors = Counter(sample["error"] for sample in samples)
    assert errors["timeout"] == connections
    assert errors["unsent"] > rate / 2
    assert errors[""] == server.answered
    assert recorded == len(samples) == errors.total()


@pytest.mark.slow
def test_under_locusts_own_runner_with_workers_a_run_is_made_and_nothing_is_lost(tmp_path):
    command = [
        sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--json", "--loglevel=ERROR",
        "-u", "20", "-r", "20", "-t", "8s", "--processes", "2", "--warmup", "1", "--runs", str(tmp_path),
    ]  # fmt: skip
    with EchoServer(delay_s=lambda: 0.02) as server:
        ended = subprocess.run(
            [*command, "--host", server.url], capture_output=True, text=True, timeout=90, check=False,
            cwd=Path(__file__).parent.parent,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    store = RunStore(tmp_path)
    run = store.open("".join(store.ids()))
    samples = run.samples().to_pylist()
    assert run.manifest.status == "complete"
    assert len(run.manifest.load_pids) == 2
    assert len(samples) == server.answered == run.manifest.blocks[0].recorded
    assert len(server.ids) == len(set(server.ids))
    assert len({sample["user"] for sample in samples}) == 20
    assert sum(tick["users"] == 20 for tick in run.ticks()) >= 2
    assert sum(row[-1] for tick in run.ticks() for row in tick["cells"]) == len(samples)
    (shown,) = json.loads(ended.stdout[ended.stdout.index("[\n") :])  # the workers print an empty list each
    assert (shown["num_requests"], shown["num_failures"]) == (len(samples), 0)
    mean_ms = sum(sample["latency_ns"] for sample in samples) / len(samples) / 1e6
    assert shown["total_response_time"] / shown["num_requests"] == pytest.approx(mean_ms, rel=1e-3)


def test_locust_refuses_a_host_that_is_not_this_machine_in_one_line(tmp_path):
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "-u", "1", "-t", "1s"]
    ended = subprocess.run(
        [*command, "--loglevel=ERROR", "--runs", str(tmp_path), "--host", "http://192.0.2.1"],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert ended.returncode == 2
    assert [line for line in ended.stderr.splitlines() if "192.0.2.1" in line]
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
