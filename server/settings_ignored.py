"""Settings that do nothing because of another one. A user who measures should know that they do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from server.settings import Settings


def ignored_settings(settings: Settings) -> tuple[str, ...]:
    """The dotted names of those that are not at their default and are not looked at, each with why not, in words."""
    return tuple(f"{name} ({why})" for name, why in _ignored(settings))


def _ignored(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.gemini_client == "mock":
        for name in _changed(settings.live):
            yield f"live.{name}", "gemini_client is mock"
    else:
        for name in _changed(settings.mock):
            yield f"mock.{name}", f"gemini_client is {settings.gemini_client}"
    if settings.mode != "sync" and settings.sync_threads != Settings.model_fields["sync_threads"].default:
        yield "sync_threads", f"mode is {settings.mode}"
    fallback = settings.fallback
    if fallback.enabled and not settings.cache.enabled and not (fallback.model or fallback.text):
        # Not refused: to switch the cache off beside it is what an ablation does.
        yield "fallback.enabled", "cache.enabled is false: nothing is stale; no other model or text is given"
    for group in Settings.model_fields:
        chosen = getattr(settings, group)
        if isinstance(chosen, BaseModel) and not getattr(chosen, "enabled", True):
            for name in _changed(chosen):
                if name != "enabled":
                    yield f"{group}.{name}", f"{group}.enabled is false"


def _changed(group: BaseModel) -> list[str]:
    return [name for name, field in type(group).model_fields.items() if getattr(group, name) != field.default]
