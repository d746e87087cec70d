import json
import logging
import warnings

import pytest

from server.logs import logging_to_stderr


def _logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_what_python_warns_of_is_a_line_of_the_log(capsys):
    with warnings.catch_warnings(), logging_to_stderr("warning"):
        warnings.simplefilter("always")
        warnings.warn("mind\nthe step", stacklevel=1)

    (line,) = _logged(capsys)
    assert line["level"] == "warning"
    assert "mind\nthe step" in line["message"]


@pytest.mark.parametrize("name", ["google_genai.models", "httpx", "httpx2"])
@pytest.mark.parametrize(("level", "seen"), [("info", ["warning", "error"]), ("error", ["error"])])
def test_libraries_write_no_line_a_call_and_still_warn(name: str, level: str, seen: list[str], capsys):
    with logging_to_stderr(level):
        logger = logging.getLogger(name)
        for each in (logger.info, logger.warning, logger.error):
            each("HTTP Request: POST")

    assert [line["level"] for line in _logged(capsys)] == seen


def test_loggers_are_left_as_they_were(capsys):
    logger = logging.getLogger("httpx")
    before = logging.getLogger().level, logger.level
    with logging_to_stderr("error"):
        pass

    assert (logging.getLogger().level, logger.level) == before
