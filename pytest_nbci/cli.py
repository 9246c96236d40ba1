"""The ``nbci`` command: what is done with results after a session."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_nbci import __version__, settings
from pytest_nbci.errors import NbciError, UsageError

_USAGE_ERROR = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 not all of it, 4 usage error)."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as error:
        return _USAGE_ERROR if error.code else 0
    try:
        code: int = options.run(options)
    except UsageError as error:
        print(f"nbci: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except NbciError as error:
        print(f"nbci: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbci",
        description="Results of notebooks that ran as tests (pytest --nbci).",
        epilog="Settings come from flags, variables and [tool.nbci] in pyproject.toml.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-nbci {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    publish = commands.add_parser(
        "publish",
        help="deliver the results that wait in the results folder to the store and to MLflow",
        description="Deliver what waits in .nbci/results; nothing is delivered twice.",
    )
    for name in ("store", "mlflow"):
        setting = settings.BY_NAME[name]
        publish.add_argument(f"--{name}", help=f"{setting.help} (variable: {setting.variable})")
    publish.set_defaults(run=_publish)
    return parser


def _publish(options: argparse.Namespace) -> int:
    from pytest_nbci.configuration import configure
    from pytest_nbci.delivery import publish
    from pytest_nbci.repository import at_top, find_repository
    from pytest_nbci.session import make_state_folder

    here = Path.cwd()
    folder = settings.find_table_folder(here)
    repository = find_repository(folder or here)
    if folder is None:
        repository = at_top(repository)
    table = settings.read_table(repository.root)
    flags = {"store": options.store, "mlflow": options.mlflow}
    found = configure(repository, table, flags, os.environ)
    state, note = make_state_folder(repository.root, os.environ)
    if note:
        raise UsageError(f"There is nothing to publish: {note}.")
    report = publish(found.destination(state), _show_progress)
    _show_progress("")
    print(report.sentence())
    return 1 if report.waiting else 0


def _show_progress(text: str) -> None:
    """One line that is written over, for a person who waits; nothing into a file."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
