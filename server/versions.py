"""What this server is: its settings as they are in force, and the versions of what it runs on. No secrets."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from server.settings import Settings

_PACKAGES = ("tailgate", "aiohttp", "uvloop", "orjson", "pydantic", "xxhash", "google-genai", "google-generativeai")


def effective_config(settings: Settings) -> dict[str, Any]:
    """The body of ``GET /config``: settings (the keys' digests as their number only) and versions."""
    shown = settings.model_dump(mode="json")
    shown["api_keys_sha256"] = len(settings.api_keys_sha256)
    return {"settings": shown, "versions": {"python": platform.python_version(), **_installed()}}


def server_version() -> str:
    """Tailgate's version; ``0`` where it runs without having been installed."""
    try:
        return version("tailgate")
    except PackageNotFoundError:
        return "0"


def _installed() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
