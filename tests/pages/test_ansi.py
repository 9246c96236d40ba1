"""Terminal text keeps its colours and its characters, whatever was printed."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nbci.pages import ansi
from pytest_nbci.pages.text import printable
from tests.pages.builders import Parsed, budget


def text_of(lines: list[str]) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", "\n".join(lines)))


def test_sixteen_colours_are_classes_and_end_with_reset():
    assert ansi.to_lines("a \x1b[31mred\x1b[0m b \x1b[1;92mbold\x1b[m") == [
        'a <span class="a-fg-red">red</span> b <span class="a-fg-bgreen a-bold">bold</span>'
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("38;5;9", 'class="a-fg-bred"'),
        ("38;5;208", 'style="color:#ff8700"'),
        ("48;5;16", 'style="background-color:#000000"'),
        ("38;5;231", 'style="color:#ffffff"'),
        ("38;5;232", 'style="color:#080808"'),
        ("38;5;255", 'style="color:#eeeeee"'),
        ("38;2;1;2;3", 'style="color:#010203"'),
        ("38:2:1:2:3", 'style="color:#010203"'),
        ("38;2;1;2;3;48;2;255;0;0", 'style="color:#010203;background-color:#ff0000"'),
        ("1;2;3;4;8;9", 'class="a-bold a-dim a-italic a-underline a-hidden a-struck"'),
        ("7", 'class="a-fg-paper a-bg-ink"'),
        ("31;7", 'class="a-fg-paper a-bg-red"'),
        ("31;46;7", 'class="a-fg-cyan a-bg-red"'),
        ("107", 'class="a-bg-bwhite"'),
    ],
)
def test_a_style_is_drawn(parameters: str, expected: str):
    assert ansi.to_lines(f"\x1b[{parameters}mx") == [f"<span {expected}>x</span>"]


@pytest.mark.parametrize(
    "parameters",
    [
        "22",
        "39",
        "49",
        "24",
        "38",
        "38;5",
        "38;5;256",
        "38;2;1;2",
        "38;2;256;0;0",
        "38;9",
        "99",
        "123456",
        ";;",
        "31;0",
    ],
)
def test_what_changes_nothing_makes_no_element(parameters: str):
    assert ansi.to_lines(f"\x1b[{parameters}mx") == ["x"]


def test_switching_one_thing_off_leaves_the_others():
    assert ansi.to_lines("\x1b[1;31;44mx\x1b[22;49my") == [
        '<span class="a-fg-red a-bg-blue a-bold">x</span><span class="a-fg-red">y</span>'
    ]


def test_a_style_goes_on_in_the_next_line():
    assert ansi.to_lines("\x1b[31ma\n\nb\x1b[0m") == [
        '<span class="a-fg-red">a</span>',
        "",
        '<span class="a-fg-red">b</span>',
    ]


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[2K",
        "\x1b[?25l",
        "\x1b[>4;2m",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bPq\x1b\\",
        "\x1bM",
        "\x1b(B",
        "\x1b[10;20H",
        "\x1b[",
        "\x1b",
    ],
)
def test_other_sequences_are_dropped(sequence: str):
    assert ansi.to_lines(f"a\x1b[0m{sequence}\nb") == ["a", "b"]
    assert ansi.strip(f"a{sequence}\nb") == "a\nb"


def test_an_unfinished_title_does_not_swallow_the_next_line():
    assert ansi.to_lines("a\x1b]0;title\nb") == ["a", "b"]


def test_a_progress_bar_shows_its_last_state():
    assert ansi.to_lines(" 10%|#\r 50%|##\r100%|###\n") == ["100%|###", ""]
    assert ansi.to_lines("10%\r\x1b[32m20%\x1b[0m") == ['<span class="a-fg-green">20%</span>']


def test_windows_line_ends_erase_nothing():
    assert ansi.to_lines("a\r\nb\r\n") == ["a", "b", ""]


def test_backspace_takes_the_character_before():
    assert ansi.to_lines("ab\bc\b\b\b\bd") == ["d"]


def test_markup_and_control_characters_are_shown():
    assert ansi.to_lines('<b>&"\x00\x7f\x85\ud800') == ['&lt;b&gt;&amp;"␀␡��']


def test_a_long_line_is_broken_and_keeps_its_style():
    lines = ansi.to_lines("a\x1b[31m" + "b" * 25, longest=10)
    assert [len(text_of([line])) for line in lines] == [10, 10, 6]
    assert lines[1] == '<span class="a-fg-red">bbbbbbbbbb</span>'


PIECES = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="\x1b\r\b"), max_size=20),
    st.sampled_from(
        [
            "\x1b[0m",
            "\x1b[31m",
            "\x1b[1;44m",
            "\x1b[38;5;99m",
            "\x1b[7m",
            "\x1b[2K",
            "\x1b]8;;u\x1b\\",
            "\x1b[38;2;1;2;3m",
            "\n",
        ]
    ),
)


@given(st.lists(PIECES, max_size=30))
def test_no_character_is_lost_or_added(pieces: list[str]):
    text = "".join(pieces)
    plain = "".join(piece for piece in pieces if not piece.startswith("\x1b"))
    assert ansi.strip(text) == plain
    assert text_of(ansi.to_lines(text)) == printable(plain)


@given(
    st.text(alphabet=st.sampled_from("\x1b[]0123456789;:?mKabc \r\n\b<&\\\x07\x00"), max_size=200)
)
def test_any_text_gives_whole_lines_of_valid_html(text: str):
    lines = ansi.to_lines(text, longest=7)
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    for line in lines:
        assert Parsed(line).problems == []


DENSE = "\x1b[31mx\x1b[0my"
TRUE_COLOURS = [f"\x1b[38;2;{i % 256};{i // 256 % 256};{i % 7}mz" for i in range(60_000)]


@pytest.mark.parametrize(
    "unit",
    [
        DENSE,
        "\x1b[32mok\x1b[0m a line of a log\n",
        "\x1b",
        "\x1b]",
        "\x1b[1",
        "x\r",
        "x\b",
        "\x00",
        "\x1b[31m\r",
    ],
    ids=["dense", "log", "esc", "osc", "csi", "returns", "backspaces", "nul", "mixed"],
)
def test_time_is_linear_in_the_length(unit: str):
    def seconds(count: int) -> float:
        text = unit * (count // len(unit))
        start = time.process_time()
        ansi.to_lines(text)
        return time.process_time() - start

    # A hundred times the text: 100 times the time if linear, 10,000 times if quadratic.
    small, large = 20_000, 2_000_000
    shortest = max(min(seconds(small) for _ in range(5)), 0.001)
    longest = seconds(large)
    assert longest < 1_000 * shortest, f"{shortest:.4f} s for 20 KB, {longest:.3f} s for 2 MB"


def test_five_megabytes_take_less_than_two_seconds():
    text = "\x1b[32mINFO\x1b[0m step 1 of 100: loss=0.123\n" * (5_000_000 // 41)
    start = time.process_time()
    ansi.to_lines(text)
    assert time.process_time() - start < budget(2)
