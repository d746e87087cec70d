"""Two revisions of the server against each other: named as git names them, checked out beside the user's own files.

A revision lives in a git worktree of its own under the temporary directory while it is measured. The directory holds a
locked file, whose lock the kernel gives up with the process, so that what a crash leaves behind can be told from what
another bench still uses; it is removed at the next start.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.checks import BenchError

WORKING_TREE = ""
"""The name of the files as they are now, committed or not."""

_PROJECT = Path(__file__).resolve().parent.parent.parent
_LOCK_FILE = "requirements.lock"
_SERVER = Path("server", "__main__.py")
_PREFIX = "tailgate-revision-"
_IN_USE = "in-use"
_GIT_S = 60.0


@dataclass(frozen=True)
class Revision:
    """A state of the code: its `name` as the user gave it, the commit's full hash, whether files differ from that.

    `root` is where it is checked out; None for the files that this program itself runs from.
    """

    name: str
    commit: str
    dirty: bool
    root: Path | None = None


def two_revisions(text: str) -> tuple[str, str]:
    """The names in `A..B`, of which one may be left out: it stands for the working tree. As argparse wants a type."""
    a, dots, b = text.partition("..")
    if not dots or not (a or b) or b.startswith("."):
        raise argparse.ArgumentTypeError(f"{text!r} is not A..B, such as main~3..main")
    return a, b


def working_tree(project: Path = _PROJECT) -> Revision:
    """The files of this checkout as they are; commit `""` where there is no git to ask."""
    try:
        commit = _git(project, "rev-parse", "HEAD").strip()
        dirty = bool(_git(project, "status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.SubprocessError):
        return Revision(WORKING_TREE, "", dirty=False)
    return Revision(WORKING_TREE, commit, dirty)


def resolve(names: Sequence[str], project: Path = _PROJECT) -> list[Revision]:
    """What some names stand for. Raises BenchError, in one line, without git or for a name that it does not know."""
    try:
        shallow = _git(project, "rev-parse", "--is-shallow-repository").strip() == "true"
    except FileNotFoundError:
        raise BenchError("revisions need git, which is not installed", exit_code=2) from None
    except subprocess.CalledProcessError as error:
        raise BenchError(f"revisions need a git repository: {_last_line(error)}", exit_code=2) from None
    return [working_tree(project) if name == WORKING_TREE else _known(name, project, shallow=shallow) for name in names]


def _known(name: str, project: Path, *, shallow: bool) -> Revision:
    try:
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        commit = _git(project, *asked).strip()
    except subprocess.CalledProcessError:
        why = "; this clone is shallow and may lack it: git fetch --unshallow" if shallow else ""
        raise BenchError(f"git knows no revision {name!r} here{why}", exit_code=2) from None
    return Revision(name, commit, dirty=False)


def locked_otherwise(revisions: Sequence[Revision], project: Path = _PROJECT) -> list[Revision]:
    """Those whose lock file is not that of the working tree, by which the packages here were installed."""
    return [revision for revision in revisions if not _same_lock(revision, project)]


def _same_lock(revision: Revision, project: Path) -> bool:
    if revision.name == WORKING_TREE:
        return True
    try:
        _git(project, "diff", "--quiet", revision.commit, "--", _LOCK_FILE)
    except subprocess.CalledProcessError:
        return False
    return True


@contextlib.contextmanager
def checked_out(revisions: Sequence[Revision], project: Path = _PROJECT) -> Iterator[list[Revision]]:
    """The same revisions with a `root`, each commit checked out once; all is removed at the end, however it comes.

    Raises BenchError where git cannot check one out.
    """
    _remove_left_overs(project)
    with contextlib.ExitStack() as stack:
        roots: dict[str, Path] = {}
        found = []
        for revision in revisions:
            if revision.name != WORKING_TREE:
                if revision.commit not in roots:
                    roots[revision.commit] = stack.enter_context(_worktree(revision, project))
                revision = Revision(revision.name, revision.commit, dirty=False, root=roots[revision.commit])
            found.append(revision)
        yield found


@contextlib.contextmanager
def _worktree(revision: Revision, project: Path) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    tree = home / "tree"
    try:
        with (home / _IN_USE).open("w") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX)
            try:
                _git(project, "worktree", "add", "--detach", str(tree), revision.commit)
            except subprocess.CalledProcessError as error:
                raise BenchError(f"git cannot check out {revision.name}: {_last_line(error)}") from None
            root = tree / _inside_repository(project)
            if not (root / _SERVER).exists():
                # else Python would go on to look for it, and find the one that is installed
                raise BenchError(f"there is no server at revision {revision.name}", exit_code=2)
            yield root
    finally:
        _remove(home, project)


def _inside_repository(project: Path) -> str:
    """Where the project lies in its repository, as a path; `""` at the top."""
    return _git(project, "rev-parse", "--show-prefix").strip()


def _remove_left_overs(project: Path) -> None:
    """Remove what benches of this repository that are no more have left."""
    for line in _git(project, "worktree", "list", "--porcelain").splitlines():
        home = Path(line.removeprefix("worktree ")).parent
        if line.startswith("worktree ") and home.name.startswith(_PREFIX) and not _in_use(home):
            _remove(home, project)


def _in_use(home: Path) -> bool:
    try:
        with (home / _IN_USE).open("r+") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove(home: Path, project: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        _git(project, "worktree", "prune")


def _last_line(error: subprocess.CalledProcessError) -> str:
    return str(error.stderr or error).strip().splitlines()[-1]


def _git(project: Path, *arguments: str) -> str:
    # Variables that git sets for its hooks would name another repository than the one we mean.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(project), *arguments]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=True, timeout=_GIT_S, env=environment
    )
    return done.stdout
