"""The capacity page in a real Chromium: the numbers of `python -m reports capacity`, at any SLO that is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from reports import readable
from reports.__main__ import main as reports_main
from reports.capacity.assess import assess, level_of
from reports.capacity.saved import runs_of_search
from reports.judge.slo import parse_slo
from reports.store.store import RunStore
from tests.capacity_runs import LOADS, save_search
from tests.closed_system import ClosedSystem
from tests.dash_browser import Watched, watching
from tests.dash_looks import drawn, look_faults, rows
from tests.dash_process import serving

pytestmark = pytest.mark.browser

ASYNC, SYNC, SHORT = (f"20261123T1{n}0000Z-steady-capacity-{n}{n}{n}{n}" for n in range(3))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("searches")
    save_search(root, ASYNC)
    slow = ClosedSystem(servers=6, rate=20.0, think_s=1.0)
    save_search(root, SYNC, loads=(25, 50, 100, 150, 300), system=slow, generator_bound=(300,), mode="sync", minutes=30)
    save_search(root, SHORT, loads=(50, 100), mode="blocking", minutes=60)
    return root


@pytest.fixture(scope="module")
def base(root: Path) -> Iterator[str]:
    with serving(root) as (address, _):
        yield f"http://{address}"


@pytest.fixture
def wide(tab: Page, base: str) -> Iterator[Watched]:
    with watching(tab, base) as watched:
        yield watched


def printed(root: Path, slo: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command says of the async search, in one line."""
    monkeypatch.setenv("COLUMNS", "400")
    capsys.readouterr()
    reports_main(["--runs", str(root), "capacity", ASYNC, "--slo", slo])
    return flat(capsys.readouterr().out)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("path", "looks"),
    [
        (f"/capacity/{ASYNC}", [("dark", 390), ("light", 820), ("light", 1600)]),
        (f"/capacity/{SYNC}?b={ASYNC}", [("dark", 1600), ("dark", 820), ("light", 390)]),
        (f"/capacity/{SHORT}", [("dark", 390), ("light", 1600)]),
        ("/capacity/nowhere", [("light", 390), ("dark", 1600)]),
    ],
)
def test_the_page_is_clean_accessible_and_legible(wide: Watched, path: str, looks: list[tuple[str, int]]) -> None:
    wide.go(path)
    faults = look_faults(wide, looks)
    assert not faults, "\n".join(faults)


def test_the_numbers_are_those_of_the_command_at_any_slo(
    wide: Watched, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = wide.go(f"/capacity/{ASYNC}?slo=p99%3C400ms,failed%3C1%25")
    _agrees_with(printed(root, "p99<400ms,failed<1%", capsys, monkeypatch), page)
    page.locator("#capacity-slo").fill("p99<300ms")
    expect(page.locator("#capacity-said")).to_contain_text("p99<300ms")
    wide.settle()
    _agrees_with(printed(root, "p99<300ms", capsys, monkeypatch), page)


def _agrees_with(command: str, page: Page) -> None:
    said = flat(page.locator("#capacity-said").inner_text())
    for sentence in re.split(r"(?<=[.:]) (?=[A-Z])", said):
        assert sentence.lower() in command.lower()
    levels = rows(page, "#capacity-levels")
    assert [row[0] for row in levels] == [f"{load}" for load in LOADS]
    for row in levels:
        assert row[2].removesuffix(" req/s") in command
        miss_p99 = row[4].split("n =")[0].strip()
        assert miss_p99 in command
    sizes = rows(page, "#capacity-sizes")
    assert len(sizes) == 3
    for row in sizes:
        assert " ".join(row) in command


def test_the_figures_hold_the_levels(wide: Watched) -> None:
    page = wide.go(f"/capacity/{SYNC}?b={ASYNC}")
    figures = drawn(page)
    levels = rows(page, "#capacity-levels")[-len(LOADS) :]  # B's stand below A's
    most = levels[LOADS.index(240)]
    throughput, p99_ms = float(most[2].split()[0]), float(most[4].split()[0])
    knee = figures["capacity-knee"]["traces"]["B levels"]
    at = min(range(len(knee["x"])), key=lambda i: abs(knee["x"][i] - throughput))
    assert knee["x"][at] == pytest.approx(throughput, rel=0.005)
    assert 10 ** knee["y"][at] == pytest.approx(p99_ms, rel=0.005)
    growth = figures["capacity-growth"]["traces"]["B repeats"]
    assert sorted(set(growth["x"])) == list(LOADS)
    assert 300 not in figures["capacity-growth"]["traces"]["A repeats"]["x"]  # nobody believes these
    texts = figures["capacity-knee"]["texts"]
    assert any(text.endswith("ms") for text in texts)
    assert "successful requests / s" in texts


def most_users(root: Path, slo: str) -> str:
    """The most that surely holds an SLO, as the page words it."""
    levels = [level_of(run) for run in runs_of_search(RunStore(root), ASYNC)]
    return readable.count(assess(parse_slo(slo), levels, "users").most.low)


def test_the_slo_is_set_by_slider_and_by_text(wide: Watched, root: Path) -> None:
    page = wide.go(f"/capacity/{ASYNC}")
    most = page.locator(".kpi", has_text="Most within the SLO").locator(".kpi-value")
    wanted = {slo: most_users(root, slo) for slo in ("p99<400ms,failed<1%", "p99<260ms", "p99<1ms")}
    assert len(set(wanted.values())) == 3
    expect(most).to_have_text(wanted["p99<400ms,failed<1%"])
    text = page.locator("#capacity-slo")
    text.fill("p99<260ms")
    expect(most).to_have_text(wanted["p99<260ms"])
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuenow", re.compile(r"^2\.(39|4)"))
    slider.press("Home")
    expect(text).to_have_value("p99<1ms")
    expect(most).to_have_text(wanted["p99<1ms"])
    page.wait_for_function("new URLSearchParams(location.search).get('slo') === 'p99<1ms'")
    page.reload()
    wide.settle()
    expect(text).to_have_value("p99<1ms")
    text.fill("p99<soon")
    expect(page.locator(".slo-input .mantine-InputWrapper-error")).to_be_visible()
    expect(most).to_have_text(wanted["p99<1ms"])
    text.fill("failed<1%")
    expect(slider).to_have_count(0)  # no latency to bound


@pytest.mark.slow
def test_another_search_stands_beside(wide: Watched) -> None:
    page = wide.go(f"/capacity/{ASYNC}")
    page.locator("#capacity-beside").click()
    page.get_by_role("option", name=re.compile("^sync")).click()
    wide.arrive(f"/capacity/{ASYNC}?b={SYNC}")
    expect(page.locator(".header-context")).to_contain_text("sync")


def command_offered(page: Page) -> str:
    return page.locator(".command code").inner_text()


def test_too_few_levels_say_which_command_to_run(wide: Watched) -> None:
    page = wide.go(f"/capacity/{SHORT}")
    assert command_offered(page).startswith("make capacity SCENARIO=steady MODE=blocking")
    assert page.locator(".empty a").count() == 2


@pytest.mark.slow
def test_the_search_is_reached_from_its_runs(wide: Watched) -> None:
    page = wide.go("/runs")
    page.locator(f'a[href="/capacity/{ASYNC}"]').first.click()
    wide.arrive(f"/capacity/{ASYNC}")
    page.locator("#capacity-levels a").first.click()
    page.wait_for_url("**/run/*")
    wide.settle()
    page.locator(".header-actions a", has_text="Capacity").click()
    wide.arrive(f"/capacity/{ASYNC}")


def test_without_a_search_the_page_says_how_to_make_one(tab: Page, empty_app: str) -> None:
    with watching(tab, empty_app) as watched:
        page = watched.go("/")
        page.keyboard.press("k")
        watched.arrive("/capacity")
        expect(page.locator(".command code")).to_have_text("make capacity")
