"""JUnit as GitLab reads it: ``file``, one name for one notebook, the end of the output.

What GitLab reads: https://docs.gitlab.com/ci/testing/unit_test_reports/ (classname, name, file,
time, failure, error, skipped, system-out). pytest's default family drops ``file``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from _pytest.junitxml import bin_xml_escape, xml_key

from pytest_nbci.execution.text import plain_text

_TAIL_LINES = 40
_TAIL_CHARACTERS = 8_000


class JUnit:
    """Registered where a JUnit file is written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_sessionstart(self) -> None:
        """Write the family that has ``file``, unless the user chose one."""
        xml = self._config.stash.get(xml_key, None)
        if xml is not None and not _is_set(self._config, "junit_family"):
            xml.family = "xunit1"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before pytest closes the test case, add what the notebook printed last."""
        xml = self._config.stash.get(xml_key, None)
        text = getattr(report, "nbci_output", "")
        if xml is not None and text and report.when == "teardown":
            element = ET.Element("system-out")
            element.text = bin_xml_escape(text)
            xml.node_reporter(report).append(element)


def _is_set(config: pytest.Config, name: str) -> bool:
    """Whether the user's configuration names the option; pytest has no public question for it."""
    return name in getattr(config, "_inicfg", {})


def output_tail(content: Mapping[str, Any] | None) -> str:
    """The last lines that the notebook printed, plain."""
    tail: list[str] = []
    left = _TAIL_CHARACTERS
    cells = content["cells"] if content else ()
    for cell in reversed(cells):
        for output in reversed(cell.get("outputs", ())):
            if left <= 0 or len(tail) >= _TAIL_LINES:
                return "\n".join(reversed(tail))
            text = plain_text(_text(output)[-left:])
            lines = text.splitlines()[-(_TAIL_LINES - len(tail)) :]
            tail += reversed(lines)
            left -= len(text)
    return "\n".join(reversed(tail))


def _text(output: Mapping[str, Any]) -> str:
    """What an output says in plain text; errors stand in the failure already."""
    found = output.get("text") or output.get("data", {}).get("text/plain") or ""
    # A notebook may display whatever JSON can hold.
    return "".join(map(str, found)) if isinstance(found, list) else str(found)
