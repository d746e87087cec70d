import json
import re
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.settings import Settings
from server.settings_ignored import ignored_settings
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
    "more than 64 bits": (["--bulkhead.max_in_flight", "1" + "0" * 30], "bulkhead.max_in_flight"),
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
    "a truth for an integer": ("port = true", "port"),
    "a text for an integer": ('[cache]\nmax_entries = "5"', "cache.max_entries"),
    "an integer for a truth": ("[cache]\nenabled = 1", "cache.enabled"),
    "a truth for a number": ("[cache]\nttl_s = true", "cache.ttl_s"),
}


@pytest.mark.parametrize(("content", "named"), FILE_MISTAKES.values(), ids=FILE_MISTAKES.keys())
def test_a_mistake_in_the_file_is_one_line_that_names_it(content: str | bytes, named: str, tmp_path: Path):
    file = tmp_path / "x.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(UsageError) as mistake:
        load_settings(["--config", str(file)])

    assert named in str(mistake.value)
    assert "\n" not in str(mistake.value)


def _integers(model, prefix=""):
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _integers(field.annotation, f"{prefix}{name}.")
        elif field.annotation is int:
            yield prefix + name


@pytest.mark.parametrize("name", list(_integers(Settings)))
def test_every_integer_has_a_bound_that_json_can_hold(name: str):
    with pytest.raises(UsageError, match=re.escape(name)):
        load_settings([f"--{name}", str(1 << 64)])


DIGEST = sha256(b"open sesame").hexdigest()


@pytest.mark.parametrize("given", [DIGEST, DIGEST.upper(), f"{DIGEST},{DIGEST}", json.dumps([DIGEST])])
def test_digests_are_taken_as_sha256sum_prints_them_and_in_upper_case(given: str, monkeypatch, tmp_path: Path):
    file = tmp_path / "keys.toml"
    file.write_text(f"api_keys_sha256 = {given if given.startswith('[') else json.dumps(given)}")

    by_flag = load_settings(["--api_keys_sha256", given])[0]
    by_file = load_settings(["--config", str(file)])[0]
    monkeypatch.setenv("TAILGATE_API_KEYS_SHA256", given)
    by_variable = load_settings([])[0]

    for loaded in (by_flag, by_file, by_variable):
        assert set(loaded.api_keys_sha256) == {DIGEST}


def test_a_key_in_place_of_its_digest_is_refused_and_not_shown(monkeypatch, tmp_path: Path):
    key = "s3cr3t-key"
    file = tmp_path / "keys.toml"
    file.write_text(f'api_keys_sha256 = "{key}"')
    for flags in (["--api_keys_sha256", key], ["--config", str(file)], []):
        if not flags:
            monkeypatch.setenv("TAILGATE_API_KEYS_SHA256", key)
        with pytest.raises(UsageError, match="api_keys_sha256") as mistake:
            load_settings(flags)
        assert key not in str(mistake.value)


@pytest.mark.parametrize("host", ["127.0.0.2", "::1", "0:0:0:0:0:0:0:1", "localhost"])
def test_all_of_loopback_needs_no_key(host: str):
    assert load_settings(["--host", host])[0].host == host


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "example.org"])
def test_what_others_can_reach_needs_a_key(host: str):
    with pytest.raises(UsageError, match="api_keys_sha256"):
        load_settings(["--host", host])


IGNORED = {
    "a live server for the mock": ({"live": {"base_url": "http://127.0.0.1:1"}}, ["live.base_url"]),
    "the mock's profile for a live client": (
        {"gemini_client": "builtin", "mock": {"profile": "zero"}},
        ["mock.profile"],
    ),
    "a fallback to a cache that is off": (
        {"fallback": {"enabled": True}, "cache": {"enabled": False}},
        ["fallback.enabled"],
    ),
    "a text for no fallback": ({"fallback": {"text": "Later."}}, ["fallback.text"]),
    "times of a cache that is off": (
        {"cache": {"enabled": False, "stale_if_error_s": 1, "ttl_s": 1}},
        ["cache.ttl_s", "cache.stale_if_error_s"],
    ),
    "threads of another mode": ({"sync_threads": 3}, ["sync_threads"]),
    "nothing": ({}, []),
    "what is looked at": (
        {"mode": "sync", "sync_threads": 3, "mock": {"profile": "zero"}, "cache": {"ttl_s": 1}},
        [],
    ),
}


@pytest.mark.parametrize(("given", "names"), IGNORED.values(), ids=IGNORED.keys())
def test_settings_without_effect_are_told(given: dict[str, object], names: list[str]):
    assert [each.split(" ")[0] for each in ignored_settings(Settings.model_validate(given))] == names


@pytest.mark.parametrize(
    "name", ["TAILGATE_CACHE__TTL", "TAILGATE_CASH__TTL_S", "TAILGATE_MODES", "tailgate_prot", "Tailgate_Cash__ttl_s"]
)
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
