"""The house's one-way imports: an arrow that DESIGN.md's table does not have fails here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"server", "loadtests", "reports", "dash_app"}
ALLOWED = {"server": set(), "loadtests": {"reports"}, "reports": set(), "dash_app": {"reports"}}


def imported_rooms(path: Path) -> set[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant, and fail under locust"
            names.append(node.module or "")
    return {name.split(".")[0] for name in names} & ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_the_design_allows(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    strange = {str(f.relative_to(ROOT)): found for f in files if (found := imported_rooms(f) - {room} - ALLOWED[room])}
    assert strange == {}
