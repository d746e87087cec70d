"""What is wrong with a fault script, in one line: the place, what is wanted there, and what stands there."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final

from pydantic_core import ErrorDetails

_A_WINDOW: Final = "a window is a table under a [[fault]] line, in double brackets"


def mistake(error: ErrorDetails, script_names: Collection[str], window_names: Collection[str]) -> str:
    """``error`` as ``place: what is wrong``, windows counted from 1.

    The names are those that may stand at the top of a script and in a window: an unknown one gets the nearest of them.
    """
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            known = script_names if len(error["loc"]) == 1 else window_names
            return f"{place}: unknown name{_nearest(str(error['loc'][-1]), known)}"
        case "missing":
            return f"{place}: needed, and not there"
        case "tuple_type" | "model_type":
            return f"{place}: {_A_WINDOW}, not {error['input']!r:.60}"
        case "value_error":
            return f"{place}: {error['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{place}: {error['msg']}, not {error['input']!r:.60}"


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; there is {', '.join(known)}"
