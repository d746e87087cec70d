"""The running task, found without asking the system: after another loop, in another thread, in a forked child."""

import asyncio
import os
import threading

import pytest

from server.policies.running_task import running_task


async def agree() -> bool:
    await asyncio.sleep(0)
    return running_task() is asyncio.current_task()


def test_each_loop_has_its_own_one_after_another() -> None:
    assert asyncio.run(agree())
    assert asyncio.run(agree())


async def test_child_tasks_are_told_apart() -> None:
    assert all(await asyncio.gather(*(agree() for _ in range(3))))
    assert await agree()


def test_outside_a_loop_there_is_none() -> None:
    asyncio.run(agree())
    with pytest.raises(RuntimeError):
        running_task()


def test_a_thread_sees_its_own_while_another_thread_is_inside_a_task() -> None:
    async def run_a_thread_inside_this_task() -> list[bool]:
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(asyncio.run(agree())))
        running_task()
        thread.start()
        thread.join()  # holding up this loop: its task stays the current one
        return [*seen, await agree()]

    assert asyncio.run(run_a_thread_inside_this_task()) == [True, True]


def test_a_child_forked_inside_a_task_sees_its_own() -> None:
    async def fork_inside_this_task() -> int:
        running_task()
        child = os.fork()
        if child == 0:
            agreed = False
            try:
                agreed = asyncio.run(agree())
            finally:
                os._exit(0 if agreed else 1)
        return child

    _, status = os.waitpid(asyncio.run(fork_inside_this_task()), 0)
    assert os.waitstatus_to_exitcode(status) == 0
