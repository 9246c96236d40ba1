"""The pytest plugin: options, and whether this run is ours. Everything else is imported then."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_nbci import settings

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the flags, from the table of settings."""
    group = parser.getgroup("nbci", "notebooks as tests (pytest-nbci)")
    group.addoption(
        "--nbci",
        action="store_true",
        default=False,
        help="run every notebook in git, publish results to the store and to MLflow",
    )
    group.addoption(
        "--no-nbci",
        action="store_true",
        default=False,
        help="run no notebooks, whatever pyproject.toml says",
    )
    for setting in settings.SETTINGS:
        if setting.flag is None:
            continue
        variable = f" (variable: {setting.variable})" if setting.variable else ""
        if setting.kind is settings.SWITCH:
            group.addoption(
                setting.flag,
                dest=_destination(setting),
                action="store_true",
                default=None,
                help=setting.help + variable,
            )
            continue
        kind: Callable[[str], object] = str
        if setting.kind is settings.SECONDS:
            kind = _seconds
        group.addoption(
            setting.flag,
            dest=_destination(setting),
            type=kind,
            default=None,
            metavar=setting.name.upper(),
            help=setting.help.replace("%", "%%") + variable,
        )


def pytest_configure(config: pytest.Config) -> None:
    """Switch on where ``--nbci`` or a ``[tool.nbci]`` table says so.

    Raises:
        pytest.UsageError: What was asked for cannot be done.
    """
    from pytest_nbci.errors import NbciError

    if config.getoption("no_nbci") or config.getoption("help"):
        return
    worker_input: dict[str, object] | None = getattr(config, "workerinput", None)
    if worker_input is not None and "nbci" not in worker_input:
        return
    try:
        if worker_input is not None:
            from pytest_nbci.activation import activate_worker

            activate_worker(config, worker_input)
            return
        folder = settings.find_table_folder(_start(config))
        if folder is None and not config.getoption("nbci"):
            return
        from pytest_nbci.importing import uncollected

        with uncollected():
            from pytest_nbci.activation import activate

        activate(config, folder, _start(config))
    except NbciError as error:
        from pytest_nbci.scrub import find_secrets, scrub_text

        # A wrong value is named, and may be a URL with a password.
        said = scrub_text(str(error), find_secrets(os.environ))
        raise pytest.UsageError(said) from error


def _start(config: pytest.Config) -> Path:
    """The common ancestor of the path arguments; the invocation folder without any."""
    here = config.invocation_params.dir
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return here
    paths = [Path(os.path.abspath(here / argument.split("::")[0])) for argument in config.args]  # noqa: PTH100 - links stay
    existing = [path if path.is_dir() else path.parent for path in paths if path.exists()]
    return Path(os.path.commonpath(existing)) if existing else here


def _seconds(text: str) -> float:
    try:
        return settings.parse_seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {settings.SECONDS.name}") from None


def _destination(setting: settings.Setting) -> str:
    return str(setting.flag).removeprefix("--").replace("-", "_")
