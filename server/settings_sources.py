"""Where settings come from: flags, else the environment (``TAILGATE_...``), a TOML file (``--config``), defaults.

The only place in the server that reads the environment.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_origin

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from server.settings import Settings

_PREFIX = "TAILGATE_"
_NOT_SHOWN = "api_keys_sha256"
_EPILOG = """\
Each flag is also an environment variable (--cache.ttl_s is TAILGATE_CACHE__TTL_S) and a key of the --config file
(ttl_s in table [cache]). A flag beats the variable, which beats the file. A live client's key: GEMINI_API_KEY.
Dashes do for underscores: --cache.ttl-s is the same flag."""


class _Wanted(NamedTuple):
    name: str
    types: tuple[type, ...]


# A flag and a variable are text, and understood as what is wanted; TOML has types, and true is not 1 there.
_TOML_TYPES: dict[Any, _Wanted] = {
    int: _Wanted("an integer", (int,)),
    float: _Wanted("a number", (int, float)),
    bool: _Wanted("true or false", (bool,)),
}


class UsageError(Exception):
    """Settings that cannot be used; its text is one line for the user."""


def load_settings(argv: Sequence[str]) -> tuple[Settings, SecretStr | None]:
    """The effective settings and Gemini's API key, if there is one.

    Raises :class:`UsageError` for anything wrong in them, and ``SystemExit(0)`` after ``--help``.
    """
    api_key = SecretStr(key) if (key := os.environ.get("GEMINI_API_KEY")) else None
    _refuse_unknown_variables()
    try:
        settings = _from_sources(argv)
    except ValidationError as error:
        raise UsageError(_one_line(error)) from None
    except SettingsError as error:
        in_variable = re.fullmatch('error parsing value for field "(.*)" from source "_Environment"', str(error))
        if in_variable is not None:
            raise UsageError(f"{_PREFIX}{in_variable[1].upper()}: not JSON") from None
        raise UsageError(str(error).removeprefix("error parsing CLI: ")) from None
    return settings, api_key


def _as_settings_are_named(argument: str) -> str:
    """A flag with dashes in its name, as other commands spell theirs, in the spelling of the setting."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


class _Parser(argparse.ArgumentParser):
    """Reports a wrong flag by raising, and offers the nearest right one."""

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0].split("=")[0]
        if unknown:
            message = f"unknown flag {unknown}{_nearest(unknown, self._option_string_actions)}"
        raise UsageError(message)


class _Environment(EnvSettingsSource):
    """Takes a list with commas as well as in JSON, like a flag."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        if isinstance(value, str) and get_origin(field.annotation) is tuple and not value.lstrip().startswith("["):
            return value.split(",")
        return super().decode_complex_value(field_name, field, value)


def _from_sources(argv: Sequence[str]) -> Settings:
    class Loaded(Settings, BaseSettings):
        __doc__ = Settings.__doc__
        model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__")
        config: Path | None = Field(None, description="TOML file with settings")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            parser = _Parser(
                prog="python -m server",
                usage="python -m server [flags]",
                description=cls.__doc__,
                epilog=_EPILOG,
                allow_abbrev=False,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            flags: CliSettingsSource[Any] = CliSettingsSource(
                settings_cls,
                root_parser=parser,
                cli_parse_args=[_as_settings_are_named(argument) for argument in argv],
                cli_avoid_json=True,
                cli_hide_none_type=True,
                cli_use_class_docs_for_groups=True,
                cli_exit_on_error=False,
            )
            environment = _Environment(settings_cls)
            path = flags().get("config") or environment().get("config")
            file = InitSettingsSource(settings_cls, _read_toml(Path(path)) if path else {})
            return flags, environment, file

    loaded = Loaded()
    return Settings.model_validate(loaded.model_dump(exclude={"config"}))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML: {error}") from None
    known = dict(_leaves(Settings))
    for name, value in _flatten(values):
        if name in Settings.model_fields and name not in known:
            raise UsageError(f"--config {path}: {name} is a table: write [{name}] and its settings below")
        if name not in known:
            raise UsageError(f"--config {path}: unknown setting {name}{_nearest(name, known)}")
        wanted = _TOML_TYPES.get(known[name].annotation)
        if wanted is not None and type(value) not in wanted.types:
            raise UsageError(
                f"--config {path}: {name}: {wanted.name} is wanted, not {json.dumps(value, default=str):.80}"
            )
    return values


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored in silence, and the user would measure what was not set."""
    known = {_PREFIX + name.replace(".", "__").upper(): name for name, _ in _leaves(Settings)} | {
        _PREFIX + "CONFIG": ""
    }
    groups = {_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        name = variable.upper()  # how pydantic reads them
        if name.startswith(_PREFIX) and name not in known and name not in groups:
            raise UsageError(f"unknown variable {variable}{_nearest(name, known)}")


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Each setting's dotted name and field."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the one meant, or what there is in its group; empty where nothing comes near."""
    group, dot, leaf = name.rpartition(".")
    if not dot:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
        return f": did you mean {near[0]}?" if near else ""
    leaves: dict[str, list[str]] = {}
    for known_group, _, known_leaf in (known_name.rpartition(".") for known_name in known):
        leaves.setdefault(known_group, []).append(known_leaf)
    groups = difflib.get_close_matches(group, leaves.keys() - {""}, n=1, cutoff=0.7)
    if not groups:
        return ""
    near = difflib.get_close_matches(leaf, leaves[groups[0]], n=1, cutoff=0.7)
    if near:
        return f": did you mean {groups[0]}.{near[0]}?"
    return f": {groups[0].lstrip('-')} has {', '.join(leaves[groups[0]])}"


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return message
    # A key that was given where its digest belongs is not for the terminal or a log.
    got = "" if first["loc"][0] == _NOT_SHOWN else f", got {first['input']!r:.80}"
    return f"{name}: {message if message[:2].isupper() else message[0].lower() + message[1:]}{got}"
