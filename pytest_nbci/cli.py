"""The ``nbci`` command: what is done with results after a session."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_nbci import __version__, settings
from pytest_nbci.errors import NbciError, UsageError
from pytest_nbci.records import OUTCOMES
from pytest_nbci.scrub import find_secrets, scrub_text

if TYPE_CHECKING:
    from pytest_nbci.delivery import Destination
    from pytest_nbci.pages.history import Result
    from pytest_nbci.repository import Repository
    from pytest_nbci.settings import Table
    from pytest_nbci.store import Store

_USAGE_ERROR = 4
_SHOWN = 50
# A person waits: less patience than boto3 has.
_PATIENCE_S, _TRIES = 10.0, 2

_EPILOG = """\
a day with it:
  pytest -k train             run one notebook at the desk
  nbci show train             what came of it, and where its page is
  pytest --nbci               run all, publish to the store and to MLflow (CI does it)
  nbci why                    which notebooks are due now, and why
  nbci runs --outcome failed  what failed lately, from the folder or the bucket
  nbci publish                deliver later what could not be delivered
  nbci doctor                 try git, kernels, store and MLflow, see every setting

Settings come from flags, variables and [tool.nbci] in pyproject.toml: docs/settings.md.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 not all of it, 4 usage error."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as error:
        return _USAGE_ERROR if error.code else 0
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except NbciError as error:
        # A wrong value is named, and may be a URL with a password.
        print(f"nbci: {scrub_text(str(error), find_secrets(os.environ))}", file=sys.stderr)
        return _USAGE_ERROR if isinstance(error, UsageError) else 1
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbci",
        description="Results of notebooks that ran as tests (pytest --nbci).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pytest-nbci {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    publish = commands.add_parser(
        "publish",
        help="deliver the results that wait to the store and to MLflow",
        description="Deliver what waits in .nbci/results; nothing is delivered twice.",
    )
    _add_setting(publish, "store")
    _add_setting(publish, "mlflow")
    publish.set_defaults(run=_publish)

    doctor = commands.add_parser(
        "doctor",
        help="try git, kernels, store and MLflow for real; show every setting",
        description="Print every setting and where it came from, then try git, the kernels that "
        "notebooks need, the store and MLflow. Exit code 1 if something does not work.",
    )
    _add_setting(doctor, "store")
    _add_setting(doctor, "mlflow")
    doctor.set_defaults(run=_doctor)

    runs = commands.add_parser(
        "runs",
        help="list past results, newest first",
        description="List past results, newest first, from the store or else the results folder.",
    )
    runs.add_argument("notebook", nargs="?", help="a name, stem or glob")
    runs.add_argument("--outcome", choices=OUTCOMES, help="only these")
    runs.add_argument("--branch", help="only of this branch")
    runs.add_argument("--author", help="only of authors whose name or e-mail contains this")
    runs.add_argument("--commit", help="only of the commit that begins with this")
    runs.add_argument(
        "--since", metavar="YYYY-MM-DD", type=_day, help="only from this day (UTC) on"
    )
    runs.add_argument("-n", "--limit", type=_count, default=_SHOWN, help="at most (%(default)s)")
    runs.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_setting(runs, "store")
    runs.set_defaults(run=_runs)

    show = commands.add_parser(
        "show",
        help="the newest result of a notebook: its sentence and its page",
        description="The newest result of a notebook: its sentence and its page.",
    )
    show.add_argument("notebook", help="a name, stem or glob")
    show.add_argument("--open", action="store_true", help="open the page in the browser")
    _add_setting(show, "store")
    show.set_defaults(run=_show)

    why = commands.add_parser(
        "why",
        help="which notebooks are due now, and why",
        description="Which notebooks pytest --nbci --nbci-changed would run now, and why.",
    )
    why.add_argument("notebook", nargs="?", help="a name, stem or glob; without it all")
    _add_setting(why, "store")
    _add_setting(why, "base")
    _add_setting(why, "profile")
    why.set_defaults(run=_why)
    return parser


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day like 2026-01-31") from None


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _add_setting(parser: argparse.ArgumentParser, name: str) -> None:
    setting = settings.BY_NAME[name]
    parser.add_argument(f"--{name}", help=f"{setting.help} (variable: {setting.variable})")


@dataclass(frozen=True)
class _Here:
    """The project that the present folder belongs to."""

    repository: Repository
    table: Table
    flags: dict[str, str | None]
    project: str
    destination: Destination


def _find_project(options: argparse.Namespace) -> _Here:
    """The project, and where its results go, from the present folder upward.

    Raises:
        UsageError: No repository, or a setting that cannot be worked with.
    """
    from pytest_nbci.configuration import configure
    from pytest_nbci.repository import at_top, find_repository
    from pytest_nbci.state import ensure_home, state_folder

    ensure_home()
    here = Path.cwd()
    folder = settings.find_table_folder(here)
    repository = find_repository(folder or here)
    if folder is None:
        repository = at_top(repository)
    table = settings.read_table(repository.root)
    flags = {"store": options.store, "mlflow": getattr(options, "mlflow", None)}
    found = configure(repository, table, flags, os.environ)
    destination = found.destination(state_folder(repository.root, os.environ))
    return _Here(repository, table, flags, found.project, destination)


def _doctor(options: argparse.Namespace) -> int:
    from pytest_nbci.doctor import examine, settings_lines

    here = _find_project(options)
    print(f"project {here.project} in {here.repository.root}\n")
    for line in settings_lines(here.table, here.flags, os.environ):
        print(f"  {line}")
    print(flush=True)
    code = 0
    for finding in examine(here.repository, here.table, here.destination):
        said = "".join(char if char.isprintable() else "?" for char in finding.said)
        print(f"{finding.status:<4}  {finding.subject}: {said}", flush=True)
        if finding.cure:
            print(f"      cure: {finding.cure}", flush=True)
        code = 1 if finding.status == "bad" else code
    return code


def _why(options: argparse.Namespace) -> int:
    from pytest_nbci.why import explain

    flags = {name: getattr(options, name) for name in ("store", "base", "profile")}
    for line in explain(Path.cwd(), options.notebook, flags):
        print(line)
    return 0


def _publish(options: argparse.Namespace) -> int:
    from pytest_nbci.delivery import publish

    report = publish(_find_project(options).destination, _show_progress)
    _show_progress("")
    print(report.sentence())
    return 1 if report.waiting else 0


def _runs(options: argparse.Namespace) -> int:
    here, store, found = _past_results(options)
    number = 0
    for result in found if options.json or options.notebook else _without_reused(found):
        number += 1
        if options.json:
            print(json.dumps(result.to_plain(store.url)), flush=number == 1)
        else:
            print(_line(result, _place(here.destination, store, result)), flush=number == 1)
        if number == options.limit:
            break
    if number == 0 and not options.json:
        print(f"no such result in {store.url}", file=sys.stderr)
    return 0


def _without_reused(found: Iterator[Result]) -> Iterator[Result]:
    """The results, and one line for all notebooks of a session that were not due."""
    for _, group in itertools.groupby(found, key=lambda one: one.session.session):
        reused = 0
        for result in group:
            if result.reused_from is None:
                yield result
            elif reused == 0:
                reused, first = 1, result
            else:
                reused += 1
        if reused:
            name = first.summary.notebook if reused == 1 else f"{reused} notebooks"
            yield dataclasses.replace(
                first, summary=dataclasses.replace(first.summary, notebook=name)
            )


def _show(options: argparse.Namespace) -> int:
    import webbrowser

    from pytest_nbci.records import Record

    here, store, found = _past_results(options)
    result = next(found, None)
    if result is None:
        raise UsageError(
            f"There is no result of {options.notebook!r} in {store.url}.",
            "nbci runs lists what there is.",
        )
    content = store.get(f"{result.key}.json")
    record = Record.from_json(content) if content is not None else None
    print(_line(result, _place(here.destination, store, result)))
    if result.summary.message:
        print(f"\n{result.summary.message}")
    if record is not None and record.cure:
        print(f"cure: {record.cure}")
    if record is not None and record.reproduce:
        print(f"reproduce: {record.reproduce}")
    page = store.get(f"{result.key}.html")
    if page is None:
        print("page: none was made")
        return 0
    link = here.destination.link(f"{result.key}.html")
    place = link or _page_place(store, result.key, page, fetch=options.open)
    print(f"page: {place}")
    if options.open:
        webbrowser.open(place if "://" in place else Path(place).resolve().as_uri())
    return 0


def _page_place(store: Store, key: str, page: bytes, *, fetch: bool) -> str:
    """A path that a browser opens; an S3 object is fetched for that."""
    import tempfile

    if not fetch or "://" not in store.url:
        return f"{store.url}/{key}.html"
    folder = Path(tempfile.mkdtemp(prefix="nbci-page-"))
    path = folder / f"{Path(key).stem}.html"
    path.write_bytes(page)
    return str(path)


def _past_results(options: argparse.Namespace) -> tuple[_Here, Store, Iterator[Result]]:
    from pytest_nbci.pages.history import Filters, find_results
    from pytest_nbci.store import FolderStore, open_s3_store

    here = _find_project(options)
    destination = here.destination
    store: Store = FolderStore(destination.results)
    if destination.store_url is not None:
        store = open_s3_store(
            destination.store_url, destination.store_origin, patience_s=_PATIENCE_S, tries=_TRIES
        )
    wanted = {item.name: getattr(options, item.name, None) for item in dataclasses.fields(Filters)}
    return here, store, find_results(store, here.project, Filters(**wanted))


def _place(destination: Destination, store: Store, result: Result) -> str:
    """Where a reader finds a result: the page on the site, else the executed notebook."""
    link = destination.link(f"{result.key}.html")
    if link is not None or "://" in store.url:
        return link or f"{store.url}/{result.key}"
    return settings.describe(Path(store.url, result.key))


def _line(result: Result, place: str) -> str:
    summary, commit = result.summary, result.session.commit
    message = commit.message.strip().splitlines()[0] if commit and commit.message.strip() else ""
    cause = summary.cause if summary.cause != summary.outcome else None
    said = f"{result.word} {cause}" if cause else result.word
    said += " (flaky)" if summary.flaky else ""
    parts = [
        f"{result.session.started_at[:16].replace('T', ' ')}Z",
        f"{said:<20}",
        f"{summary.duration_s:7.1f} s",
        f"{summary.notebook}",
        f"{commit.id[:8]} {commit.author}: {message}" if commit else "no commit",
        place,
    ]
    return "  ".join("".join(c if c.isprintable() else "?" for c in part) for part in parts)


def _show_progress(text: str) -> None:
    """One line that is written over, for a person who waits; nothing into a file."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
