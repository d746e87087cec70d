"""The house's one-way imports: an arrow that DESIGN.md's table does not have fails here."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"server", "loadtests", "reports", "dash_app"}
ALLOWED = {"server": set(), "loadtests": {"reports"}, "reports": set(), "dash_app": {"reports"}}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant, and fail under locust"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_rooms(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)} & ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_the_design_allows(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    strange = {str(f.relative_to(ROOT)): found for f in files if (found := imported_rooms(f) - {room} - ALLOWED[room])}
    assert strange == {}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_folders_of_a_room_import_each_other_one_way_only(room: str) -> None:
    folders = sorted(path for path in (ROOT / room).iterdir() if (path / "__init__.py").exists())
    arrows = {
        folder.name: {name.split(".")[1] for file in folder.rglob("*.py") for name in imported(file)
                      if name.startswith(f"{room}.")} & {each.name for each in folders} - {folder.name}
        for folder in folders
    }  # fmt: skip
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the folders
