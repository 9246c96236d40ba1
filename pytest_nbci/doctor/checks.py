"""The checks of this machine, each a finding; those of the servers are delivery's own."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pytest_nbci import notebook as notebooks
from pytest_nbci.delivery import Destination, Finding, count_waiting, try_out
from pytest_nbci.errors import NbciError
from pytest_nbci.execution.checkout import Checkout, make_snapshot
from pytest_nbci.execution.kernel import KernelChoice, choose_kernel, kernel_environment
from pytest_nbci.execution.launcher import Launcher, Start
from pytest_nbci.execution.scratch import make_scratch, remove_scratch
from pytest_nbci.repository import Repository, printable, run_git
from pytest_nbci.scrub import Secrets
from pytest_nbci.selection import plan_notebooks
from pytest_nbci.settings import Table, describe, resolve_notebook
from pytest_nbci.store import FolderStore

_LITTLE_BYTES = 1_000_000_000
_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Need:
    """A kernel that notebooks ask for: setting, own name, language; and who asks."""

    wanted: str | None
    own: str | None
    language: str
    start_timeout_s: float


def examine(repository: Repository, table: Table, destination: Destination) -> Iterator[Finding]:
    """Check everything; each finding as it comes. Bounded in time, whatever does not answer.

    Args:
        repository: The repository, its project root set.
        table: The project's table.
        destination: Where results would go.
    """
    paths = plan_notebooks(repository, table, ())
    yield _git(repository, paths)
    scratch, descriptor = make_scratch(repository.top)
    try:
        yield _checkout(repository, scratch)
        yield from _kernels(repository, table, paths, scratch)
    finally:
        remove_scratch(scratch, descriptor)
    yield _results(destination)
    yield from try_out(destination)


def _git(repository: Repository, paths: tuple[str, ...]) -> Finding:
    version = run_git(repository.top, ["--version"]).decode().strip()
    count = f"{len(paths)} notebook{'s' * (len(paths) != 1)}"
    where = f"{version}, {count} below {describe(repository.root)}"
    if repository.head is None:
        return Finding("note", "git", f"{where}, no commit yet.", "Commit something.")
    if not paths:
        cure = "git add the notebooks; the setting exclude leaves some out."
        return Finding("note", "git", f"{where}: there is nothing to run.", cure)
    commit = repository.author_commit(os.environ)
    by = f" by {commit.author}" if commit is not None else ""
    return Finding("ok", "git", f"{where}, commit {repository.head[:8]}{by}.")


def _checkout(repository: Repository, scratch: Path) -> Finding:
    begun = time.monotonic()
    try:
        Checkout(make_snapshot(repository, scratch / "snapshot"), scratch / "c").restore()
    except NbciError as error:
        return Finding("bad", "checkout", error.message, error.cure)
    seconds = time.monotonic() - begun
    return Finding("ok", "checkout", f"a private checkout was made in {seconds:.1f} s.")


def _kernels(
    repository: Repository, table: Table, paths: tuple[str, ...], scratch: Path
) -> Iterator[Finding]:
    needs: dict[Need, list[str]] = {}
    for path in paths:
        name = printable(path)
        try:
            own = notebooks.read_metadata(repository.root / path)
            found = resolve_notebook(table, name, own, None)
            read = notebooks.load(repository.root / path, name)
        except NbciError as error:
            yield Finding("note", "notebook", error.message, error.cure)
            continue
        need = Need(found.kernel, read.kernel_name, read.language, found.start_timeout)
        needs.setdefault(need, []).append(name)
    started: set[str] = set()
    for need, names in needs.items():
        asked = ", ".join(names[:_NAMED_AT_MOST]) + ", …" * (len(names) > _NAMED_AT_MOST)
        try:
            choice = choose_kernel(need.wanted, need.own, need.language)
            if choice.name not in started:
                yield _start(choice, need, asked, scratch)
            elif choice.note:
                yield Finding("note", "kernel", f"{choice.note} ({asked}).")
            started.add(choice.name)
        except NbciError as error:
            yield Finding("bad", "kernel", f"{error.message} Needed by {asked}.", error.cure)


def _start(choice: KernelChoice, need: Need, asked: str, scratch: Path) -> Finding:
    begun = time.monotonic()
    with closing(Launcher(scratch, is_warm=False)) as launcher:
        start = Start(choice, kernel_environment({}))
        kernel, _ = launcher.start(start, scratch, {}, Secrets(), need.start_timeout_s)
        kernel.stop(at_once=True)
    said = f"{choice.name} started and answered in {time.monotonic() - begun:.1f} s"
    if choice.note:
        return Finding("note", "kernel", f"{said}; {choice.note} ({asked}).")
    return Finding("ok", "kernel", f"{said} ({asked}).")


def _results(destination: Destination) -> Finding:
    store, key = FolderStore(destination.results), f"_doctor/{uuid.uuid4().hex}.txt"
    try:
        store.put(key, b"written by nbci doctor")
        store.path(key).unlink()
        store.path(key).parent.rmdir()
    except NbciError as error:
        return Finding("bad", "results", error.message, error.cure)
    free = shutil.disk_usage(destination.results).free
    said = f"{describe(destination.results)} can be written, {free / 1e9:.1f} GB are free"
    waiting = count_waiting(destination)
    if waiting:
        verb = "notebook waits" if waiting == 1 else "notebooks wait"
        return Finding("note", "results", f"{said}; {waiting} {verb}.", 'Run "nbci publish".')
    if free < _LITTLE_BYTES:
        return Finding("note", "results", f"{said}.", "Make room there.")
    return Finding("ok", "results", f"{said}.")
