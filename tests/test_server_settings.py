import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.settings import Settings
from server.settings_sources import UsageError, _leaves, load_settings
from server.versions import effective_config
from tests.server_process import clean_environment

TOML = 'mode = "sync"\nport = 1001\n[cache]\nttl_s = 7\nmax_entries = 5\n'


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.environ", clean_environment())


def test_without_any_source_the_defaults_hold():
    loaded, api_key = load_settings([])

    assert loaded == Settings()
    assert api_key is None


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(monkeypatch, tmp_path: Path):
    file = tmp_path / "tailgate.toml"
    file.write_text(TOML)
    monkeypatch.setenv("TAILGATE_PORT", "1002")
    monkeypatch.setenv("TAILGATE_CACHE__TTL_S", "8")
    monkeypatch.setenv("TAILGATE_CONFIG", str(file))

    settings, _ = load_settings(["--cache.ttl_s", "9", "--retry.attempts=1"])

    assert settings.cache.ttl_s == 9
    assert settings.port == 1002
    assert settings.cache.max_entries == 5
    assert settings.mode == "sync"
    assert settings.retry.attempts == 1
    assert settings.retry.base_s == Settings().retry.base_s


def test_the_flag_for_the_file_beats_its_variable(monkeypatch, tmp_path: Path):
    (tmp_path / "a.toml").write_text("port = 1")
    (tmp_path / "b.toml").write_text("port = 2")
    monkeypatch.setenv("TAILGATE_CONFIG", str(tmp_path / "a.toml"))

    assert load_settings([])[0].port == 1
    assert load_settings(["--config", str(tmp_path / "b.toml")])[0].port == 2


def test_dashes_do_for_underscores_in_the_names_of_flags_but_not_in_values():
    flags = ["--cache.max-entries", "5", "--default-model=gemini-2.5-flash-lite", "--gemini-client", "google-genai"]
    settings, _ = load_settings(flags)
    assert settings.cache.max_entries == 5
    assert settings.default_model == "gemini-2.5-flash-lite"
    assert settings.gemini_client == "google-genai"


def test_lists_are_taken_with_commas_and_again_and_again():
    once = load_settings(["--cors_origins", "http://a,https://b:1"])[0]
    twice = load_settings(["--cors_origins", "http://a", "--cors_origins", "https://b:1"])[0]

    assert once.cors_origins == twice.cors_origins == ("http://a", "https://b:1")


FLAG_MISTAKES = {
    "unknown flag": (["--cache.enabld", "false"], "--cache.enabled"),
    "unknown name in a group": (["--cache.nope", "1"], "ttl_s"),
    "unknown mode": (["--mode", "sink"], "mode"),
    "word for a number": (["--port", "http"], "port"),
    "port out of range": (["--port", "65536"], "port"),
    "negative": (["--cache.ttl_s", "-1"], "cache.ttl_s"),
    "infinite": (["--cache.ttl_s", "inf"], "cache.ttl_s"),
    "no value": (["--port"], "--port"),
    "a stray word": (["async"], "async"),
    "no such file": (["--config", "/nowhere/at/all.toml"], "/nowhere/at/all.toml"),
    "open to the world": (["--host", "0.0.0.0"], "api_keys_sha256"),
    "short digest": (["--api_keys_sha256", "abc"], "api_keys_sha256"),
    "origin with a path": (["--cors_origins", "http://a/b"], "cors_origins"),
    "fallback to nothing": (["--fallback.enabled", "true", "--fallback.stale", "false"], "fallback"),
}


@pytest.mark.parametrize(("flags", "named"), FLAG_MISTAKES.values(), ids=FLAG_MISTAKES.keys())
def test_a_mistake_in_a_flag_is_one_line_that_names_it(flags: list[str], named: str):
    with pytest.raises(UsageError) as mistake:
        load_settings(flags)

    assert named in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_setting_of_another_group_is_not_what_was_meant():
    with pytest.raises(UsageError) as mistake:
        load_settings(["--nope.enabled", "false"])

    assert "--nope.enabled" in str(mistake.value)
    assert "otel" not in str(mistake.value)

    with pytest.raises(UsageError, match=r"--cache\.enabled"):
        load_settings(["--cash.enabled", "false"])


FILE_MISTAKES = {
    "not TOML": ("port = = 1", "TOML"),
    "not text": (b"\xff\xfe", "TOML"),
    "unknown name": ("[cache]\nenable = true", "cache.enabled"),
    "unknown table": ("[cash]\nttl_s = 1", "cash.ttl_s"),
    "wrong type": ('port = "high"', "port"),
    "value for a table": ("cache = 3", "cache"),
}


@pytest.mark.parametrize(("content", "named"), FILE_MISTAKES.values(), ids=FILE_MISTAKES.keys())
def test_a_mistake_in_the_file_is_one_line_that_names_it(content: str | bytes, named: str, tmp_path: Path):
    file = tmp_path / "x.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(UsageError) as mistake:
        load_settings(["--config", str(file)])

    assert named in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize("name", ["TAILGATE_CACHE__TTL", "TAILGATE_CASH__TTL_S", "TAILGATE_MODES"])
def test_a_misspelt_variable_is_not_ignored(name: str, monkeypatch):
    monkeypatch.setenv(name, "1")

    with pytest.raises(UsageError, match=name):
        load_settings([])


def test_a_wrong_value_in_a_variable_is_named(monkeypatch):
    monkeypatch.setenv("TAILGATE_RETRY__ATTEMPTS", "none")

    with pytest.raises(UsageError, match=r"retry\.attempts"):
        load_settings([])
    monkeypatch.setenv("TAILGATE_RETRY", "{attempts")
    with pytest.raises(UsageError, match=r"^TAILGATE_RETRY: "):
        load_settings([])


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.text(min_size=1, max_size=12), max_size=4))
def test_no_command_line_gets_past_with_anything_but_settings_or_one_line(words: list[str]):
    with suppress(UsageError, SystemExit):  # -h ends it
        assert isinstance(load_settings(words)[0], Settings)


def test_the_api_key_comes_from_its_variable_and_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "s3cr3t-key")

    settings, api_key = load_settings(["--gemini_client", "aiohttp"])

    assert api_key is not None
    assert api_key.get_secret_value() == "s3cr3t-key"
    assert "s3cr3t" not in repr((settings, api_key, effective_config(settings)))


def test_config_shows_no_digest_of_a_key():
    digest = "ab" * 32

    shown = effective_config(Settings(api_keys_sha256=(digest,)))

    assert digest not in repr(shown)
    assert shown["settings"]["api_keys_sha256"] == 1


def test_settings_cannot_be_changed_once_read():
    settings = Settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.cache.enabled = False


def _run(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean_environment(**variables))


def test_help_explains_each_setting():
    shown = _run("--help")

    assert shown.returncode == 0
    words = " ".join(shown.stdout.split())
    for name, _ in _leaves(Settings):
        assert f"--{name} " in words, name
    described = [line for line in shown.stdout.splitlines() if line.strip().startswith("--")]
    assert len(described) == len(list(_leaves(Settings))) + 1  # and --config
    for field in _fields(Settings):
        assert " ".join(field.description.split()) in words


def _fields(model):
    for field in model.model_fields.values():
        if hasattr(field.annotation, "model_fields"):
            yield from _fields(field.annotation)
        else:
            yield field


MISTAKES_AT_START = {
    "flag": (["--port", "x"], {}),
    "profile": (["--mock.profile", "warp"], {}),
    "fault script": (["--mock.faults", "/nowhere.toml"], {}),
    "live client without a key": (["--gemini_client", "builtin"], {}),
    "variable": ([], {"TAILGATE_MODE": "sink"}),
}


@pytest.mark.parametrize(("flags", "variables"), MISTAKES_AT_START.values(), ids=MISTAKES_AT_START.keys())
def test_a_mistake_ends_the_server_with_one_line_and_exit_2(flags: list[str], variables: dict[str, str]):
    ended = _run(*flags, **variables)

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
