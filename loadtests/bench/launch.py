"""The first thing that runs in a child: tie its life to its parent and its CPU time to a core, then become the program.

A program of its own, run by path (`python -I -S launch.py PARENT CORES PROGRAM ARG...`), because what Python offers for
this between fork and exec (`preexec_fn`) is not safe once the parent has threads. It costs one bare interpreter start,
about 15 ms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel SIGKILL this process when its parent dies (Linux only; it survives exec).

    SIGKILL, not SIGTERM: whoever killed the runner wants the load gone now, and a graceful stop may wait a minute for
    requests in flight. Samples lose at most their last second. Exits at once if the parent is dead already.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        os._exit(1)


def main(arguments: list[str]) -> None:
    """Replace this process by a program.

    `arguments` are the parent's pid, the cores ("0,1", or "-" for any), the program and its own arguments.
    """
    parent_pid, cores, *command = arguments
    die_with_parent(int(parent_pid))
    if cores != "-":
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
