"""A gate's verdict as JUnit XML, which build servers show beside their tests: a suite a run, a case a check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from reports.judge.gate import Check, Verdict

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2), however they are escaped."""


def junit_xml(verdict: Verdict) -> str:
    """The document. A check that could not be judged is an error, one that did not pass a failure."""
    root = ElementTree.Element("testsuites", _counts(f"tailgate gate {verdict.name}", verdict.checks))
    for run in dict.fromkeys(check.run for check in verdict.checks):
        mine = [check for check in verdict.checks if check.run == run]
        suite = ElementTree.SubElement(root, "testsuite", _counts(run, mine))
        for check in mine:
            _add_case(suite, check)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_case(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"tailgate.{check.group}", name=_clean(check.name), time="0"
    )
    outcome = {True: "system-out", False: "failure", None: "error"}[check.passed]
    element = ElementTree.SubElement(case, outcome)
    element.text = _clean(check.detail)
    if outcome != "system-out":
        element.set("message", _clean(f"{check.name}: {check.detail}"))
        element.set("type", check.group)


def _counts(name: str, checks: Sequence[Check]) -> dict[str, str]:
    return {
        "name": _clean(name),
        "tests": str(len(checks)),
        "failures": str(sum(check.passed is False for check in checks)),
        "errors": str(sum(check.passed is None for check in checks)),
        "time": "0",
    }


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
