"""What stands at the terminal and in JUnit, whatever a notebook prints."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest

from tests.project import Project

NOISE = (
    r"print('\x1b[31mred\x1b[0m \x00 nul \x07'); print('x' * 1_000_000)",
    r"raise ValueError('\x1b[31mbad\x00\x07 ' + 'y' * 100_000)",
)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("noisy") / "p")
    project.notebook("noisy.ipynb", *NOISE)
    project.notebook("fine.ipynb", "1")
    project.commit()
    return project


@pytest.mark.parametrize("style", ["short", "line", "no", "native", "long", "auto"])
def test_a_failure_is_a_short_section_with_any_traceback_style(noisy: Project, style: str):
    ran = noisy.pytest(f"--tb={style}", "--junitxml=junit.xml", COLUMNS="80")

    assert ran.code == 1
    assert len(ran.out) < 6_000
    for foreign in ("Traceback", "nbclient", "papermill", "\x00", "\x07", "\x1b"):
        assert foreign not in ran.out
    assert "noisy.ipynb, cell 2" in ran.out
    if style not in ("no", "line"):
        assert ">   1  raise ValueError" in ran.out
        assert "cure: " in ran.out
        assert "reproduce: pytest noisy.ipynb" in ran.out
    cases = {case.get("name"): case for case in ET.parse(noisy.root / "junit.xml").iter("testcase")}
    assert cases["noisy"].get("file") == "noisy.ipynb"
    assert cases["noisy"].get("classname") == "noisy.ipynb"
    failure = cases["noisy"].find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("noisy.ipynb, cell 2 (raise ValueError")
    assert str(cases["noisy"].findtext("system-out")).endswith("x" * 100)


def test_live_lines_leave_nothing_behind(noisy: Project):
    noisy.notebook("slow.ipynb", "import time; time.sleep(1)", "time.sleep(0.5)")
    noisy.git("add", "slow.ipynb")
    command = f"{sys.executable} -m pytest -p no:asyncio -p no:randomly slow.ipynb fine.ipynb"
    ran = noisy.run("script", "-qec", command, "/dev/null", COLUMNS="80", TERM="xterm")

    assert "slow.ipynb: cell 1/2" in ran.out  # it was shown
    shown = screen(ran.out)
    assert "cell 1/2" not in shown
    assert any(line.startswith("slow.ipynb .") for line in shown.splitlines())


def screen(text: str) -> str:
    """What is left on a terminal that knows save, restore, clear to end of line, and colours."""
    import re

    lines, row, column, saved = [[""] * 200 for _ in range(400)], 0, 0, (0, 0)
    for match in re.finditer(r"\x1b7|\x1b8|\x1b\[K|\x1b\[[0-9;?]*[a-zA-Z]|[\s\S]", text):
        token = match[0]
        if token == "\x1b7":
            saved = row, column
        elif token == "\x1b8":
            row, column = saved
        elif token == "\x1b[K":
            lines[row][column:] = [""] * (200 - column)
        elif token == "\n":
            row, column = row + 1, 0
        elif token == "\r":
            column = 0
        elif not token.startswith("\x1b"):
            lines[row][column] = token
            column += 1
    return "\n".join("".join(char or " " for char in line).rstrip() for line in lines)
