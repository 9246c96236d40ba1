"""All settings: one table that defines them, and the four places they are read from.

Session settings: flag, environment variable, ``[tool.nbci]`` of pyproject.toml, default. Notebook
settings: the notebook's own metadata ``nbci``, ``[[tool.nbci.notebook]]`` (later entries win),
``[tool.nbci]``, default. This module is read at plugin load, so it imports nothing heavy.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pytest_nbci.errors import NotebookError, UsageError

Scope = Literal["session", "table", "notebook"]
Value = str | int | float | bool | tuple[str, ...] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Kind:
    """A type of value: what it is called, and how a TOML/JSON value of it is recognised."""

    name: str
    accepts: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value < math.inf


def is_plain(value: object) -> bool:
    """Whether ``value`` has a JSON form that reads back as the same, as parameters must."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


TEXT = Kind("a string", lambda value: isinstance(value, str))
SECONDS = Kind("a number of seconds above 0", lambda value: _is_number(value) and value > 0)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
COUNT = Kind(
    "a whole number, 0 or more",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
)
MEGABYTES = Kind("a number of MB above 0", SECONDS.accepts)
TEXTS = Kind(
    "a list of strings",
    lambda value: isinstance(value, list | tuple) and all(isinstance(item, str) for item in value),
)
VALUES = Kind(
    "a table of names and JSON values (a date is written as a string)",
    lambda value: isinstance(value, Mapping) and is_plain(value),
)
FILES = Kind(
    "a table of file names",
    lambda value: (
        isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values())
    ),
)


@dataclass(frozen=True)
class Setting:
    """One setting.

    ``scope`` says where it may stand: ``session`` (flag, variable, table), ``table`` (table only)
    or ``notebook`` (table, ``[[tool.nbci.notebook]]``, the notebook's metadata).
    """

    name: str
    scope: Scope
    kind: Kind
    default: Value
    help: str
    flag: str | None = None
    variable: str | None = None


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "store",
        "session",
        TEXT,
        None,
        'where results are published: "s3://bucket/prefix"; without it the results folder is all',
        "--nbci-store",
        "NBCI_STORE",
    ),
    Setting(
        "mlflow",
        "session",
        TEXT,
        None,
        'MLflow tracking URI, or "off"; without it a SQLite file in .nbci',
        "--nbci-mlflow",
        "MLFLOW_TRACKING_URI",
    ),
    Setting(
        "experiment",
        "session",
        TEXT,
        None,
        "MLflow experiment; without it the project's name",
        None,
        "MLFLOW_EXPERIMENT_NAME",
    ),
    Setting(
        "project",
        "session",
        TEXT,
        None,
        "the project's name; without it the remote's path, else the folder's name",
        None,
        "CI_PROJECT_PATH",
    ),
    Setting(
        "profile",
        "session",
        TEXT,
        "test",
        "profile of test data, a table [tool.nbci.data.PROFILE]",
        "--nbci-profile",
        "NBCI_PROFILE",
    ),
    Setting(
        "site_url",
        "session",
        TEXT,
        None,
        "where a web server shows the store; links in the summary and in MLflow go there",
        None,
        "NBCI_SITE_URL",
    ),
    Setting(
        "keep_days",
        "table",
        COUNT,
        30,
        "days that results stay in the results folder after the store has all of them",
    ),
    Setting(
        "changed",
        "session",
        SWITCH,
        None,
        "run only the notebooks that did not pass before with the same inputs",
        "--nbci-changed",
        "NBCI_CHANGED",
    ),
    Setting(
        "base",
        "session",
        TEXT,
        None,
        "a commit; with changed, what has no result yet and is the same there is left out too",
        "--nbci-base",
        "NBCI_BASE",
    ),
    Setting(
        "run_all_on",
        "table",
        TEXTS,
        ("schedule",),
        "pipeline sources (CI_PIPELINE_SOURCE) that run every notebook, whatever changed says",
    ),
    Setting(
        "ignore",
        "table",
        TEXTS,
        (
            *("*.md", "*.rst", "docs/", "tests/", "test_*.py", "*_test.py", "LICENSE*", "LICENCE*"),
            *("CHANGELOG*", "CITATION.cff", "CODEOWNERS", "AUTHORS*", ".gitignore", ".mailmap"),
            *(".editorconfig", ".pre-commit-config.yaml", ".github/", ".vscode/", ".idea/"),
        ),
        "globs of files that make nothing due unless something reads them",
    ),
    Setting(
        "exclude",
        "table",
        TEXTS,
        ("**/.ipynb_checkpoints/**",),
        "globs of notebooks that are no tests",
    ),
    Setting(
        "warm",
        "table",
        SWITCH,
        True,  # noqa: FBT003 - a default
        "whether kernels are forked from a process that has imported what they need",
    ),
    Setting(
        "scrub",
        "table",
        TEXTS,
        (),
        "globs of further environment variables whose values no result may hold; with a leading "
        '"!" of such whose values are no secrets',
    ),
    Setting(
        "output_limit",
        "table",
        MEGABYTES,
        8,
        "MB (1,000,000 bytes) of output that are kept of each cell, its beginning and its end; "
        "an output counts 1 KB more than it holds; a notebook may have five times as much",
    ),
    Setting(
        "timeout",
        "notebook",
        SECONDS,
        600,
        "seconds a whole notebook may take; the flag overrides every notebook's own",
        "--nbci-timeout",
    ),
    Setting("cell_timeout", "notebook", SECONDS, None, "seconds a single cell may take"),
    Setting("start_timeout", "notebook", SECONDS, 60, "seconds a kernel may take to start"),
    Setting(
        "kernel",
        "notebook",
        TEXT,
        None,
        "name of the kernel; without it the notebook's, else one of its language",
    ),
    Setting("parameters", "notebook", VALUES, {}, "values for the cell tagged parameters"),
    Setting(
        "keep", "notebook", TEXTS, (), "globs of files the notebook writes that are kept as results"
    ),
    Setting(
        "needs",
        "notebook",
        TEXTS,
        (),
        "notebooks that run before this one in the same checkout, in this order",
    ),
    Setting(
        "retries",
        "notebook",
        COUNT,
        0,
        "how often a notebook that fails is run again; one that passes then is marked flaky",
    ),
    Setting("skip", "notebook", TEXT, None, "a reason not to run the notebook"),
    Setting("marks", "notebook", TEXTS, (), "pytest marks, for -m"),
)

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
_NOTEBOOK_NAMES = tuple(item.name for item in SETTINGS if item.scope == "notebook")
_DATA_KINDS = {"root": TEXT, "files": FILES, "parameters": VALUES}


@dataclass(frozen=True)
class NotebookSettings:
    """The settings of one notebook, resolved. Times in seconds; None means no limit."""

    timeout: float = 600
    cell_timeout: float | None = None
    start_timeout: float = 60
    kernel: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    retries: int = 0
    skip: str | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataProfile:
    """``[tool.nbci.data.<name>]``: a folder and files laid over the checkout, and parameters."""

    name: str
    root: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """The checked ``[tool.nbci]`` table of one pyproject.toml."""

    path: Path
    values: Mapping[str, Any]
    rules: tuple[tuple[str, Mapping[str, Any]], ...]
    profiles: Mapping[str, DataProfile]


def has_table(folder: Path) -> bool:
    """Whether ``folder`` holds a pyproject.toml with a ``[tool.nbci]`` table.

    Bytes are scanned before anything is parsed: a parse costs a hundred times as much.
    """
    try:
        data = (folder / "pyproject.toml").read_bytes()
    except OSError:
        return False
    if b"nbci" not in data:
        return False
    return "nbci" in _parse(folder / "pyproject.toml", data).get("tool", {})


def find_table_folder(start: Path) -> Path | None:
    """The nearest folder from ``start`` upward whose pyproject.toml has a ``[tool.nbci]`` table."""
    return next((folder for folder in (start, *start.parents) if has_table(folder)), None)


def read_table(folder: Path) -> Table:
    """The table of ``folder``/pyproject.toml; an empty one where there is none.

    Raises:
        UsageError: Broken TOML, an unknown key, or a value of the wrong type.
    """
    path = folder / "pyproject.toml"
    if not has_table(folder):
        return Table(path, {}, (), {})
    raw = _parse(path, path.read_bytes())["tool"]["nbci"]
    if not isinstance(raw, dict):
        raise UsageError(f"[tool.nbci] in {path} is {raw!r}, not a table.")
    values = {key: value for key, value in raw.items() if key not in ("data", "notebook")}
    _check(values, BY_NAME, f"[tool.nbci] in {path}", UsageError)
    return Table(path, values, _rules(raw, path), _profiles(raw, path))


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error


def _rules(raw: Mapping[str, Any], path: Path) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    entries = raw.get("notebook", [])
    origin = f"[[tool.nbci.notebook]] in {path}"
    if not isinstance(entries, list):
        raise UsageError(f"{origin} must be an array of tables, with two brackets on each side.")
    known = {name: BY_NAME[name] for name in _NOTEBOOK_NAMES}
    rules = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise UsageError(f"{origin}: {entry!r} has no path.", 'Add path = "a glob".')
        values = {key: value for key, value in entry.items() if key != "path"}
        _check(values, known, f"{origin} with path {entry['path']!r}", UsageError)
        rules.append((entry["path"], values))
    return tuple(rules)


def _profiles(raw: Mapping[str, Any], path: Path) -> dict[str, DataProfile]:
    data = raw.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(item, dict) for item in data.values()):
        raise UsageError(
            f"[tool.nbci.data] in {path} is {data!r:.80}, not a table of profiles.",
            "Write [tool.nbci.data.test].",
        )
    for name, values in data.items():
        known = {key: Setting(key, "table", kind, None, "") for key, kind in _DATA_KINDS.items()}
        _check(values, known, f"[tool.nbci.data.{name}] in {path}", UsageError)
    return {name: DataProfile(name, **values) for name, values in data.items()}


def _check(
    values: Mapping[str, Any],
    known: Mapping[str, Setting],
    origin: str,
    error: type[UsageError | NotebookError],
) -> None:
    for key, value in values.items():
        if key not in known:
            raise error(f"{key!r} in {origin} is not a setting.", _did_you_mean(key, known))
        if not known[key].kind.accepts(value):
            raise error(f"{key} = {value!r} in {origin} is not {known[key].kind.name}.")


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    import difflib

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."


def resolve_session(
    name: str, flag: str | None, environment: Mapping[str, str], table: Table
) -> tuple[str | None, str]:
    """A session setting's value and where it came from, for sentences that name it.

    An empty variable counts as not set, as GitLab leaves it for an undefined one.
    """
    setting = BY_NAME[name]
    if flag is not None:
        return flag, str(setting.flag)
    if setting.variable and environment.get(setting.variable):
        return environment[setting.variable], setting.variable
    if name in table.values:
        return str(table.values[name]), f"{name} in [tool.nbci] of {table.path}"
    return (None if setting.default is None else str(setting.default)), "the default"


def resolve_profile(name: str, origin: str, table: Table) -> DataProfile:
    """The profile called ``name``; the default one may be undefined, and is empty then.

    Raises:
        UsageError: No profile of that name.
    """
    if name in table.profiles:
        return table.profiles[name]
    if name == BY_NAME["profile"].default:
        return DataProfile(name)
    known = ", ".join(sorted({*table.profiles, str(BY_NAME["profile"].default)}))
    raise UsageError(
        f"The profile {name!r} ({origin}) is not defined; known: {known}.",
        f"Add a table [tool.nbci.data.{name}] to {table.path}.",
    )


def resolve_notebook(
    table: Table, notebook: str, metadata: object, timeout_flag: float | None
) -> NotebookSettings:
    """The settings of ``notebook`` (its name relative to the project root).

    Args:
        table: The project's table.
        notebook: Name with forward slashes, matched against the globs of the rules.
        metadata: What the notebook's metadata hold under ``nbci``; None where nothing.
        timeout_flag: ``--nbci-timeout`` in seconds, which overrides the notebook's own.

    Raises:
        NotebookError: The metadata hold an unknown key or a value of the wrong type.
    """
    own = {} if metadata is None else metadata
    origin = f"the metadata of {notebook}"
    if not isinstance(own, Mapping):
        raise NotebookError(f"nbci in {origin} is {own!r}, not a table of settings.")
    _check(own, {name: BY_NAME[name] for name in _NOTEBOOK_NAMES}, origin, NotebookError)
    merged: dict[str, Any] = {
        name: table.values[name] for name in _NOTEBOOK_NAMES if name in table.values
    }
    for pattern, values in table.rules:
        if matches(notebook, (pattern,)):
            merged |= values
    merged |= own
    if timeout_flag is not None:
        merged["timeout"] = timeout_flag
    resolved: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in merged.items()
    }
    return NotebookSettings(**resolved)


def output_limit_bytes(table: Table) -> int:
    """How much of each cell's output is kept."""
    return int(table.values.get("output_limit", BY_NAME["output_limit"].default) * 1_000_000)


def resolve_switch(
    name: str, flag: str | None, environment: Mapping[str, str], table: Table
) -> bool:
    """A session setting that is on or off.

    Raises:
        UsageError: A variable says neither.
    """
    value, origin = resolve_session(name, flag, environment, table)
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", "none"):
        return False
    raise UsageError(f"{name} = {value!r} ({origin}) is not true or false.", "Write 1 or 0.")


def ignored(table: Table) -> tuple[str, ...]:
    """The globs of ``ignore``; an own list adds to the default one."""
    return (*BY_NAME["ignore"].default, *table.values.get("ignore", ()))  # type: ignore[misc]


def excluded(table: Table, notebook: str) -> bool:
    """Whether a glob of ``exclude`` matches; an own list adds to the default one."""
    patterns = (*BY_NAME["exclude"].default, *table.values.get("exclude", ()))  # type: ignore[misc]
    return matches(notebook, patterns)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether ``name`` matches one of the globs: ``*`` and ``?`` stay within a folder, ``**`` not.

    A pattern without a slash matches the file name in any folder, one that ends in a slash
    everything below that folder, as in .gitignore.
    """
    return any(_glob(pattern).fullmatch(name) for pattern in patterns)


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    if pattern.endswith("/"):
        pattern += "**"
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern.removeprefix("./"))
    translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(translated.get(part) or _literal(part) for part in parts)
    return re.compile(expression, re.DOTALL)


def _literal(part: str) -> str:
    """A part without wildcards, or a set of characters in brackets."""
    if not (part.startswith("[") and part.endswith("]") and len(part) > len("[]")):
        return re.escape(part)
    inner = part[1:-1].replace("\\", r"\\")
    return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"


def parse_seconds(text: str) -> float:
    """A flag's value as seconds.

    Raises:
        ValueError: Not a number above 0; argparse turns it into a usage error.
    """
    value = float(text)
    if not value > 0 or value == float("inf"):
        raise ValueError(text)
    return value


def describe(folder: Path) -> str:
    """``folder`` as a reader at the terminal knows it: relative where that is shorter."""
    relative = os.path.relpath(folder)
    return relative if len(relative) < len(str(folder)) else str(folder)
