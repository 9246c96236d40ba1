"""What shell commands depend on: every word that may name a file, modules run by ``python -m``."""

from __future__ import annotations

import itertools
import posixpath
import re
import shlex
from collections.abc import Sequence

from pytest_nbci.selection.facts import CWD, UNKNOWN, Facts, Import, Place
from pytest_nbci.selection.nodes import fixed_part, has_wildcard

_SPLITS = re.compile(r"[\s;|&<>()`=,]+")
_ENDS = re.compile(r"[;|&()`\n]+")
_RECURSIVE = re.compile(r"-\w*[rRa]\w*")

# Words before the name of a program, programs that list no folder, and those that run what only
# their own files tell.
_LEADING = (
    *("if", "then", "elif", "else", "fi", "do", "done", "while", "until", "!", "{", "}"),
    *("time", "sudo", "exec", "env", "nohup", "command"),
)
_QUIET = (
    *("cat", "head", "tail", "wc", "echo", "printf", "cp", "mv", "rm", "mkdir", "rmdir", "touch"),
    *("sort", "uniq", "cut", "grep", "sed", "awk", "diff", "cmp", "test", "true", "false", "cd"),
    *("export", "set", "sleep", "date", "which", "pwd", "chmod", "tee", "curl", "wget", "pip"),
    "for",
)
_LISTERS = ("ls", "dir", "find", "du", "tree")
_RUNNERS = (
    *("make", "tox", "nox", "pytest", "py.test", "snakemake", "dvc", "doit", "invoke", "nextflow"),
    *("Rscript", "R", "julia", "node", "npm", "papermill", "jupyter", "quarto", "xargs", "eval"),
)
_RUNNING_MODULES = ("pytest", "unittest", "nose2", "doctest", "papermill", "jupyter", "nbconvert")
FILE_MAGICS = ("run", "load", "loadpy", "pycat", "pfile", "edit")
_PYTHON = re.compile(r"(python|pypy)[\d.]*")


def add_shell(text: str, facts: Facts) -> None:
    """Add what lines of a shell tell to ``facts``."""
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"\{[^{}]*executable[^{}]*\}", "python", text)
    text = re.sub(r"\d?>&\d?|&>", " ", text)
    for command in _ENDS.split(text):
        add_command(command.split(), facts)
    add_words(text, facts)


def add_words(text: str, facts: Facts) -> None:
    """Add what may name files, and changes of the working folder."""
    for line in text.splitlines():
        words = shell_words(line)
        for word in words:
            facts.add_word(word)
        for first, second in itertools.pairwise(words):
            if first == "-m":
                add_module(second, facts)
            elif first in ("cd", "pushd", "-C"):
                facts.folders.setdefault(Place(CWD, posixpath.normpath(second)))


def add_file_magic(arguments: str, facts: Facts) -> None:
    """Add the file that a magic runs or loads, of which IPython completes the suffix."""
    add_words(arguments, facts)
    for word in shell_words(arguments):
        if not posixpath.splitext(word)[1]:
            facts.add_word(f"{word}.py")
    facts.computes = facts.computes or bool(re.search(r"[${]", arguments))


def add_command(words: Sequence[str], facts: Facts) -> None:
    """Add what running a program tells: does it list folders, or run what only a run knows?

    Args:
        words: The program and its arguments; UNKNOWN where only a run knows one.
        facts: Gets it.
    """
    left = list(words)
    while left and (left[0] in _LEADING or re.match(r"\w+=", left[0])):
        del left[0]
    if not left or left[0].startswith("#"):
        return
    program = posixpath.basename(left[0].strip("\"'"))
    for word in left[1:]:
        if has_wildcard(word):
            _add_pattern(word.strip("\"'"), facts)
    if _PYTHON.fullmatch(program) or "sys.executable" in left[0]:
        _add_interpreter(left[1:], facts)
    elif program in _RUNNERS:
        facts.computes = facts.lists = True
    elif program in _LISTERS:
        folders = [word for word in left[1:] if not word.startswith("-")]
        is_deep = program not in ("ls", "dir") or any(map(_RECURSIVE.fullmatch, left[1:]))
        for folder in folders or ["."]:
            _add_pattern(f"{folder}/**" if is_deep else f"{folder}/*", facts)
    elif program not in _QUIET or any(map(_RECURSIVE.fullmatch, left[1:])):
        facts.lists = True


def _add_pattern(pattern: str, facts: Facts) -> None:
    """Add the folder that a shell lists to find what matches."""
    if re.search(r"[$`~{]", pattern) or pattern.startswith(UNKNOWN):
        facts.lists = True
    else:
        folder, is_deep = fixed_part(pattern), has_wildcard(posixpath.dirname(pattern))
        is_deep = is_deep or pattern.endswith("**")
        facts.listings.setdefault(Place(CWD, f"{folder}/**" if is_deep else folder))


def add_module(name: str, facts: Facts) -> bool:
    """Add a module that is run; whether ``name`` is one."""
    is_module = re.fullmatch(r"[\w.]+", name) is not None
    if is_module:
        facts.imports.setdefault(Import(0, name))
        facts.imports.setdefault(Import(0, f"{name}.__main__"))
    return is_module


def _add_interpreter(arguments: Sequence[str], facts: Facts) -> None:
    for at, argument in enumerate(arguments):
        if argument == "-m":
            module = arguments[at + 1].strip("\"'") if at + 1 < len(arguments) else UNKNOWN
            if add_module(module, facts) and module not in _RUNNING_MODULES:
                return
            break
        if argument.startswith("-") and argument != "-c":
            continue
        if re.fullmatch(r"[^*$%{]+", argument) and argument != "-c":
            return  # a script, whose text is followed
        break
    else:
        return
    facts.computes = facts.lists = True


def shell_words(line: str) -> list[str]:
    """Words as the shell sees them, and what they hold between its signs."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError:  # a quote without its end
        words = line.split()
    found = dict.fromkeys(words)
    for word in words:
        parts = (part.strip("\"'") for part in _SPLITS.split(word))
        found.update(dict.fromkeys(part for part in parts if part))
    return list(found)
