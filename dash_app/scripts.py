"""The large scripts: where they are, which pages start with them, and in what form a browser gets them.

Half of the time from an address to its first figure goes by in these, so a page starts with those it needs, browsers
keep them, and none is parsed twice.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import dash_ag_grid
from dash.fingerprint import build_fingerprint

SUITES: Final = "/_dash-component-suites/"

_TABLE: Final = "dash_ag_grid.min.js"
_PLOTLY: Final = "package_data/plotly.min.js"

_WRAPPED: Final = re.compile(
    rb"(?P<outer>\(\s*)?(?<![\w(])!?function\s*\(.{0,1000}?\}\s*"
    rb"\((?:typeof )?self\b[^,]{0,60},\s*(?=\([\w, ]*\)\s*=>)",
    re.DOTALL,
)
"""How a bundle begins that is, as a whole, an arrow function given to a function that is called at once."""


def plotly_address() -> str:
    """Where plotly.js is, by an address that changes with it: Dash's own lacks the version, so no browser keeps it."""
    return _address("plotly", _PLOTLY)


def table_address() -> str:
    """Where the table's component library is."""
    return _address("dash_ag_grid", _TABLE)


def leave_out_tables() -> None:
    """Take the table's library out of what every page starts with; `assets/tables.js` fetches it for a table."""
    for script in dash_ag_grid._js_dist:
        if script["relative_package_path"] == _TABLE:
            script["dynamic"] = True


def compiled_once(script: bytes) -> bytes:
    """The script in a form that V8 compiles as it comes in, off the main thread.

    A function in parentheses is taken for one that is called at once. Any other is skipped over and, when it is called
    after all, parsed a second time: plotly.js, all of which is one function, held the page for 0.2 s longer.
    """
    found = _WRAPPED.search(script, 0, 2_000)
    body = script.rstrip()
    closing = b"));" if found and found["outer"] else b");"
    if found is None or not body.endswith(closing):
        return script
    start, end = found.end(), len(body) - len(closing)
    return body[:start] + b"(" + body[start:end] + b")" + closing


def _address(package: str, path: str) -> str:
    module = import_module(package)
    assert module.__file__ is not None
    changed = int((Path(module.__file__).parent / path).stat().st_mtime)
    return f"{SUITES}{package}/{build_fingerprint(path, module.__version__, changed)}"
