"""Children are pinned, supervised, named when they die, and never outlive whoever started them."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from loadtests.bench.processes import Child, ChildError, Children, divide_cores

OBEDIENT = (
    "import signal, sys, time; print('up', flush=True); signal.sigwait([signal.SIGTERM]); print('bye'); sys.exit(0)"
)
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    group = Children(tmp_path)
    yield group
    group.kill_all()
    await group.stop_all(1)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def up(children: Children, code: str, name: str = "child") -> Child:
    child = await children.spawn(name, python(code))
    assert await child.first_line(10) == "up"
    return child


def gone(pid: int, within_s: float = 5) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


async def test_a_stopped_child_ends_in_order_and_is_no_death(children: Children) -> None:
    child = await up(children, "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15]);" + OBEDIENT)
    assert await child.stop(10) == 0
    assert [line async for line in child.lines()] == ["bye"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(children.death(), 0.1)


async def test_a_child_that_ignores_sigterm_is_killed(children: Children) -> None:
    child = await up(children, STUBBORN)
    assert await child.stop(0.2) == -signal.SIGKILL


async def test_a_kill_takes_what_the_child_started_along(children: Children) -> None:
    grandchild = f"import subprocess, time; p = subprocess.Popen({python('import time; time.sleep(60)')!r})"
    child = await children.spawn("parent", python(f"{grandchild}; print(p.pid, flush=True); time.sleep(60)"))
    pid = int(await child.first_line(10))
    child.kill()
    assert gone(pid)


async def test_death_names_the_child_and_shows_its_last_words(children: Children) -> None:
    await up(children, OBEDIENT, "server")
    code = "import sys; print('\\n'.join(f'line {i}' for i in range(5000)), file=sys.stderr); sys.exit(7)"
    await children.spawn("generator of block 2", python(code))
    death = await asyncio.wait_for(children.death(), 10)
    assert (death.name, death.exit_code) == ("generator of block 2", 7)
    assert death.log_tail.splitlines()[-2:] == ["line 4998", "line 4999"]
    assert len(death.log_tail.splitlines()) < 30


async def test_death_by_signal_is_told_by_the_signals_name(children: Children) -> None:
    child = await up(children, STUBBORN)
    os.kill(child.pid, signal.SIGSEGV)
    assert "SIGSEGV" in str(await asyncio.wait_for(children.death(), 10))


async def test_a_death_before_anyone_waits_is_not_missed(children: Children) -> None:
    child = await children.spawn("quick", python("raise SystemExit(3)"))
    assert await child.ended() == 3
    await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(children.death(), 1)).exit_code == 3


async def test_no_ready_line_in_time_is_an_error(children: Children) -> None:
    child = await children.spawn("mute", python("import time; time.sleep(60)"))
    with pytest.raises(ChildError) as error:
        await child.first_line(0.3)
    assert error.value.exit_code is None
    assert error.value.name == "mute"


async def test_an_end_before_the_ready_line_is_an_error(children: Children) -> None:
    child = await children.spawn("server", python("import sys; sys.exit('address in use')"))
    with pytest.raises(ChildError) as error:
        await child.first_line(10)
    assert error.value.exit_code == 1
    assert error.value.log_tail == "address in use"


async def test_a_program_that_does_not_exist_is_a_death(children: Children) -> None:
    child = await children.spawn("ghost", ["/nonexistent/program"])
    with pytest.raises(ChildError) as error:
        await child.first_line(10)
    assert "/nonexistent/program" in error.value.log_tail or "No such file" in error.value.log_tail


async def test_a_child_has_a_session_of_its_own_and_the_cores_it_was_given(children: Children) -> None:
    core = max(os.sched_getaffinity(0))
    code = "import os; print(os.getsid(0) == os.getpid(), sorted(os.sched_getaffinity(0)), flush=True)"
    child = await children.spawn("pinned", [*python(code + "; import time; time.sleep(60)")], [core])
    assert await child.first_line(10) == f"True [{core}]"


async def test_a_child_without_cores_keeps_all(children: Children) -> None:
    child = await children.spawn("free", python("import os; print(len(os.sched_getaffinity(0))); input()"))
    assert await child.first_line(10) == str(len(os.sched_getaffinity(0)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ties child to parent on Linux only")
def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent_code = textwrap.dedent(f"""
        import asyncio, pathlib
        from loadtests.bench.processes import Children
        async def main():
            children = Children(pathlib.Path({str(tmp_path)!r}))
            child = await children.spawn("stubborn", [{sys.executable!r}, "-c", {STUBBORN!r}])
            await child.first_line(10)
            print(child.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    with subprocess.Popen(python(parent_code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        assert psutil.pid_exists(child_pid)
        parent.kill()
    assert gone(child_pid)


def test_cores_are_divided_between_server_and_generator(tmp_path: Path) -> None:
    assert divide_cores([3], tmp_path) == ((), ())
    assert divide_cores([5, 1], tmp_path) == ((1,), (5,))


@pytest.mark.parametrize(
    ("siblings", "generators"), [("0-1", (2, 3, 1)), ("0,2", (1, 3, 2)), ("0-3", (1, 2, 3)), ("0", (1, 2, 3))]
)
def test_generators_get_other_physical_cores_while_there_are_any(
    tmp_path: Path, siblings: str, generators: tuple[int, ...]
) -> None:
    topology = tmp_path / "cpu0" / "topology"
    topology.mkdir(parents=True)
    (topology / "thread_siblings_list").write_text(siblings + "\n")
    assert divide_cores([0, 1, 2, 3], tmp_path) == ((0,), generators)
