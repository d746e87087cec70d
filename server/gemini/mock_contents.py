"""The contents of a Gemini request: turns of parts, each part one piece of data. What Google refuses in them, too."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from pydantic import BeforeValidator, ConfigDict, with_config
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict  # the standard one is not good enough for pydantic before Python 3.12

from server.gemini.mock_bad_call import BadCallError, unknown_name
from server.gemini.mock_bodies import bad_request

STRICT: Final = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
"""Google takes both spellings of a field, camelCase and snake_case, and refuses what it does not know."""

_Element = TypeVar("_Element")


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Repeated = Annotated[list[_Element], BeforeValidator(_listed)]
"""A list; Google takes a single value for a list of it, and its own examples write ``"contents": {"parts": {...}}``."""


# Which names a part may have is looked at below: as fields of the type, every part would be searched for all of them.
@with_config(ConfigDict(extra="allow"))
class Part(TypedDict, total=False):
    """One piece of a turn, of which the mock reads the text."""

    text: str


@with_config(STRICT)
class Content(TypedDict, total=False):
    """One turn, or the system instruction."""

    parts: Repeated[Part]
    role: str


def _both_spellings(*names: str) -> frozenset[str]:
    return frozenset(names) | frozenset(map(to_camel, names))


_DATA: Final = _both_spellings(
    "text",
    "inline_data",
    "file_data",
    "function_call",
    "function_response",
    "executable_code",
    "code_execution_result",
    "tool_call",
    "tool_response",
)
_ABOUT_DATA: Final = _both_spellings(
    "thought",
    "thought_signature",
    "video_metadata",
    "media_resolution",
    "media_processing",
    "part_metadata",
    "audio_metadata",
    "audio_transcription",
    "document_metadata",
    "speech_metadata",
    "spreadsheet_metadata",
)
_ROLES: Final = frozenset({"user", "model", ""})  # left out is empty, in protobuf's eyes


def prompt_of(contents: list[Content]) -> str:
    """The texts of all parts, a line each."""
    return "\n".join([part.get("text", "") for content in contents for part in content["parts"]])


def check(contents: list[Content], message: str) -> None:
    """Raise :class:`BadCallError` for turns of the right shape that Google refuses all the same.

    ``message`` is the path of what holds them, such as ``GenerateContentRequest``.
    """
    if _is_plain(contents):
        return
    _check_parts([(f"contents[{turn}]", content) for turn, content in enumerate(contents)], message)
    if any(content.get("role", "") not in _ROLES for content in contents):
        raise BadCallError(bad_request("Please use a valid role: user, model."))


def check_system(instruction: Content, message: str) -> None:
    """As :func:`check`, for the system instruction, whose role is nobody's."""
    _check_parts([("system_instruction", instruction)], message)


def _check_parts(placed: list[tuple[str, Content]], message: str) -> None:
    missing = ""
    for place, content in placed:
        parts = content.get("parts")
        if not parts:
            missing += f"* {message}.{place}.parts: contents.parts must not be empty.\n"
            continue
        for number, part in enumerate(parts):
            path = f"{place}.parts[{number}]"
            for name in part:
                if name not in _DATA and name not in _ABOUT_DATA:
                    raise unknown_name(name, path)
            match len(_DATA & part.keys()):
                case 0:
                    missing += f"* {message}.{path}.data: required oneof field 'data' must have one initialized field\n"
                case 1:
                    pass
                case _:
                    text = f"Invalid value at '{path}' (oneof), oneof field 'data' is already set."
                    raise BadCallError(bad_request(text, path))
    if missing:
        raise BadCallError(bad_request(missing))


def _is_plain(contents: list[Content]) -> bool:
    """Turns of nothing but text, in which nothing can be wrong: nearly every call, so it is known at a glance."""
    for content in contents:
        parts = content.get("parts")
        if not parts or content.get("role", "") not in _ROLES:
            return False
        for part in parts:
            if len(part) != 1 or "text" not in part:
                return False
    return True
