"""Where notebooks run: the results that a worker writes, and what it tells the controller."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import gc
import hashlib
import json
import os
import platform
import sys
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any

from pytest_nbci import records
from pytest_nbci.context import Context
from pytest_nbci.delivery import Destination, stand_in
from pytest_nbci.ending import uninterrupted
from pytest_nbci.errors import NbciError
from pytest_nbci.execution.checkout import Snapshot
from pytest_nbci.execution.run import Bench, Rules, SetupProblem
from pytest_nbci.execution.verdict import Verdict
from pytest_nbci.importing import uncollected
from pytest_nbci.notebook import Notebook
from pytest_nbci.records import Record
from pytest_nbci.repository import Repository, printable
from pytest_nbci.scrub import Secrets, find_secrets
from pytest_nbci.settings import BY_NAME, matches, output_limit_bytes
from pytest_nbci.trees import mentions
from pytest_nbci.witness import Witness

_ENVIRONMENTS_KEPT = 4  # pytest's, a kernel's, and those of a fixture
# A thread that waits for this one has to wait so long each time, 5 ms by default:
# https://docs.python.org/3/library/sys.html#sys.setswitchinterval
_SWITCH_S = 0.0005
_FORK_S = 5.0
_SELECTED = "selected"
_BEGUN = "begun"
_MLFLOW = "mlflow"

_LOCK_FILES = (
    "*.lock",
    "requirements*.txt",
    "constraints*.txt",
    "environment.y*ml",
    "pyproject.toml",
    "package-lock.json",
    "renv.lock",
)


@dataclass(frozen=True)
class Announced:
    """A notebook that an xdist worker collected.

    Args:
        nodeid: pytest's.
        path: The notebook relative to the project root.
        unit: The same for notebooks that one worker runs one after the other.
    """

    nodeid: str
    path: str
    unit: str

    @property
    def name(self) -> str:
        """The notebook as records call it."""
        return printable(self.path)


class Worker:
    """Where notebooks run: the one process of a serial session, or one xdist worker.

    Args:
        context: The session.
        take_snapshot: Gives what is tested, asked when that is needed.
        folder: Its scratch folder, made if need be; its owner removes it.
    """

    def __init__(
        self, context: Context, take_snapshot: Callable[[], Snapshot], folder: Path
    ) -> None:
        self.context = context
        self._take_snapshot = take_snapshot
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._tracking = context.destination
        self._secrets = Secrets()
        self._searched: deque[frozenset[tuple[str, str]]] = deque(maxlen=_ENVIRONMENTS_KEPT)
        self._is_to_watch = False

    def note_begun(self, name: str) -> None:
        """A notebook begins: should its result never come, the controller knows it is lost."""
        # Of a full disk the checkout tells, which comes next.
        with contextlib.suppress(OSError), (self._folder / _BEGUN).open("ab") as file:
            file.write(name.encode() + b"\0")

    def announce(self, selected: Sequence[Announced]) -> None:
        """Tell the controller what was collected: node ids alone do not name files safely."""
        fields = (os.fsencode(value) for one in selected for value in astuple(one))
        (self._folder / _SELECTED).write_bytes(b"\0".join(fields))

    @cached_property
    def snapshot(self) -> Snapshot:
        """What is tested."""
        return self._take_snapshot()

    @cached_property
    def witness(self) -> Witness:
        """What is known of the snapshot's notebooks."""
        return Witness(self.context.ground, self.snapshot, self.context.destination.state)

    def look_ahead(self) -> None:
        """Read now what is read of the working tree, before the first worker watches fixtures."""
        self.environment  # noqa: B018 - made when it is asked for
        self.witness.look_ahead()

    def watch_fixtures(self) -> None:
        """Note from now on what fixtures read, where notebooks are expected."""
        if self._is_to_watch:
            self._is_to_watch = False
            self.witness.watch_fixtures(self._folder)

    def close(self) -> None:
        """End what is open."""
        if "witness" in self.__dict__:
            self.witness.close()

    @cached_property
    def bench(self) -> Bench:
        """Made when a notebook is expected.

        Raises:
            SetupProblem: The scratch folder cannot be written.
        """
        try:
            rules = Rules(
                output_limit_bytes(self.context.table),
                self.secrets_in,
                is_warm=bool(self.context.table.values.get("warm", BY_NAME["warm"].default)),
            )
            prefix = self.context.repository.prefix
            return Bench(lambda: self.snapshot, prefix, self._folder, rules)
        except OSError as error:
            message = f"The temporary folder {self._folder} could not be written: {error.strerror}."
            cure = "Free space there, or set TMPDIR to another disk."
            raise SetupProblem(Verdict("error", "checkout_error", message, cure)) from error

    def start_ahead(self) -> None:
        """Start a server of warm kernels, another one where the environment has changed since."""
        with contextlib.suppress(SetupProblem, OSError):  # said when a notebook is set up
            self.bench.start_servers()

    def import_client(self, meanwhile: Callable[[], None]) -> None:
        """Import what starts the first kernel, while something else is done in a thread."""
        with _imports_beside(meanwhile):
            import jupyter_client.manager  # noqa: F401

    def expect_notebooks(self, *meanwhile: Callable[[], None]) -> None:
        """Get ready for them: imports, while the checkout is made.

        Args:
            meanwhile: What else is done at the same time, each in a thread.
        """
        self._is_to_watch = True
        # At its end the interpreter would go once more through all that was imported, which takes a
        # tenth of a session with one notebook: https://docs.python.org/3/library/gc.html#gc.freeze
        atexit.register(gc.freeze)
        with (
            contextlib.suppress(SetupProblem),
            _imports_beside(
                self.bench.make_checkout, self._look_for_logging, self._look_around, *meanwhile
            ),
        ):
            import pytest_nbci.execution.engine  # noqa: F401
        # While the first kernel has the word: not needed before its notebook is through.
        pages = Thread(target=_get_pages_ready, name="nbci-pages", daemon=True)
        pages.start()
        # In a process that a test forks meanwhile, what this thread imports would stay locked.
        os.register_at_fork(before=lambda: pages.join(_FORK_S))

    @property
    def has_bench(self) -> bool:
        """Whether a notebook ran, or was about to."""
        return "bench" in self.__dict__

    def secrets_in(self, environment: Mapping[str, str]) -> Secrets:
        """What no result may hold: the secrets of ``environment`` and of those before.

        A fixture sets a variable for one notebook, and what it said is written when it is unset.
        """
        searched = frozenset(environment.items())
        if searched not in self._searched:
            self._searched.append(searched)
            self._secrets |= find_secrets(environment, self.context.destination.scrub)
        return self._secrets

    def tracking_for(self, read: Notebook) -> Destination:
        """Where the notebook's own MLflow runs go, ready before its kernel starts.

        The embedded database is made here, since kernels would race to make it. It stands in for
        a server that does not answer, for the rest of the session; and at the desk, where nothing
        is published: a later ``nbci publish`` brings the runs with the result.
        """
        if self._tracking.tracking_uri is None or not self._may_log(read):
            return self._tracking
        if self.context.publishes:
            self._tracking = stand_in(self._tracking)
        else:
            self._tracking = self._tracking.embedded()
        from pytest_nbci.delivery import prepare_tracking

        # What is wrong there, the notebook's own logging and the delivery say.
        with contextlib.suppress(NbciError):
            prepare_tracking(self._tracking)
        return self._tracking

    def _may_log(self, read: Notebook) -> bool:
        """Whether the notebook, or any module that it could import, names MLflow."""
        named = any(_MLFLOW in cell["source"] for cell in read.content["cells"])
        return named or self._modules_log

    def _look_for_logging(self) -> None:
        if self._tracking.tracking_uri is not None:
            with contextlib.suppress(NbciError):  # said when it is asked for
                self._modules_log  # noqa: B018 - made when it is asked for

    def _look_around(self) -> None:
        self.environment  # noqa: B018 - made when it is asked for, by a run of uname

    @cached_property
    def _modules_log(self) -> bool:
        # Not in the working tree, where it would seem that a fixture read all of it.
        return mentions(self.snapshot.parts()[0], _MLFLOW, "*.py")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the record says of this machine and interpreter."""
        return {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "image": os.environ.get("CI_JOB_IMAGE"),
            "lock_sha256": _lock_sha256(self.context.repository),
            "executable": sys.executable,
        }

    def write(
        self,
        record: Record,
        content: Mapping[str, Any] | None,
        kept: Mapping[str, Path],
    ) -> None:
        """Write one notebook's results, the record last: where it is, the rest is.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        folder = self._folder_of(record.notebook)
        for name, path in kept.items():
            self.context.store.put(f"{folder}/{name}", path)
        key = f"{self.context.prefix}/{record.notebook}"
        self._write_result(key, key, record, content)

    def write_attempt(self, record: Record, content: Mapping[str, Any] | None) -> None:
        """Write what an attempt came to that another one followed.

        Its record ends in no ``.ipynb.json``: such a file is the result of a notebook.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        base = f"{self._folder_of(record.notebook)}/attempt-{record.attempts}"
        alone = dataclasses.replace(record, earlier=(), kept=())  # what a result's page links
        self._write_result(f"{base}.ipynb", base, alone, content)

    def set_aside(self, notebook: str) -> None:
        """Keep the written result of ``notebook`` as that of an attempt: it is run again.

        Raises:
            NbciError: The results folder cannot be read or written.
        """
        key = f"{self.context.prefix}/{notebook}"
        record, content = self.context.store.get(f"{key}.json"), self.context.store.get(key)
        if record is not None:
            read = None if content is None else json.loads(content)
            self.write_attempt(Record.from_json(record), read)

    def _folder_of(self, notebook: str) -> str:
        """Where kept files and earlier attempts lie."""
        return f"{self.context.prefix}/{notebook.removesuffix('.ipynb')}.files"

    def _write_result(
        self, key: str, base: str, record: Record, content: Mapping[str, Any] | None
    ) -> None:
        """Write the executed notebook at ``key``, its page and record as ``base`` and a suffix."""
        if content is not None:
            # A lone surrogate is no UTF-8, but its escape is valid JSON.
            data = records.dump_json(content).encode("utf-8", "backslashreplace")
            self.context.store.put(key, data)
        record = self._write_page(f"{base}.html", content or {}, record)
        data = record.to_json().encode("utf-8", "backslashreplace")
        self.context.store.put(f"{base}.json", data)

    def _write_page(self, key: str, content: Mapping[str, Any], record: Record) -> Record:
        """Write the page; where it cannot be drawn the record says so, the verdict stays."""
        from pytest_nbci.pages import render_page

        try:
            page = render_page(content, record)
        except Exception as error:  # noqa: BLE001 - half a dozen libraries draw what users made
            said = f"The page could not be drawn: {type(error).__name__}: {error}"
            return dataclasses.replace(record, warnings=(*record.warnings, said))
        self.context.store.put(key, page.encode("utf-8", "xmlcharrefreplace"))
        return record


def _get_pages_ready() -> None:
    from pytest_nbci.pages import get_ready

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        with contextlib.suppress(Exception):  # told when a page is drawn
            get_ready()
    finally:
        sys.setswitchinterval(interval_s)


@contextlib.contextmanager
def _imports_beside(*functions: Callable[[], None]) -> Generator[None]:
    """For imports while functions that mostly wait for other programs run, each in a thread.

    A Ctrl-C while two threads import would leave the interpreter's import lock locked, and the
    other one waiting for it (importlib._bootstrap, _get_module_lock): it comes afterwards.
    """
    threads = [Thread(target=function, name="nbci-ahead") for function in functions]
    with uncollected(), uninterrupted():
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()


def begun_in(folder: Path) -> list[str]:
    """The notebooks that began in the worker with this folder, in order."""
    try:
        data = (folder / _BEGUN).read_bytes()
    except OSError:
        return []
    return [name.decode() for name in data.split(b"\0")[:-1]]


def read_selected(folder: Path) -> list[Announced]:
    """What the worker with this folder announced."""
    data = (folder / _SELECTED).read_bytes()
    values = iter([os.fsdecode(value) for value in data.split(b"\0")] if data else [])
    return [Announced(*found) for found in zip(values, values, values, strict=True)]


def begun_below(scratch: Path) -> set[str]:
    """The notebooks that began in any worker of the session."""
    return {name for path in scratch.glob(f"*/{_BEGUN}") for name in begun_in(path.parent)}


def _lock_sha256(repository: Repository) -> str | None:
    digest = hashlib.sha256()
    found = sorted(entry.path for entry in repository.index if matches(entry.path, _LOCK_FILES))
    for path in found:
        try:
            content = (repository.top / path).read_bytes()
        except OSError:
            continue
        digest.update(os.fsencode(path) + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest() if found else None
