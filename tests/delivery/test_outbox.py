from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery.lost import write_lost
from pytest_nbci.delivery.outbox import (
    Folder,
    files_of,
    find,
    notebooks,
    session_files,
    sessions,
    undelivered,
)
from pytest_nbci.errors import DeliveryError
from pytest_nbci.host import host_of
from pytest_nbci.records import Planned, Record, Session
from tests.delivery.conftest import PROJECT

if TYPE_CHECKING:
    from tests.delivery.conftest import Desk


def folder_of(desk: Desk, session: str) -> Folder:
    folder = find(desk.destination.results, session)
    assert folder is not None
    return folder


def test_all_sessions_of_all_projects_are_found(desk: Desk):
    names = [desk.new_session() for _ in range(3)]
    desk.folder.put("other/2020-01-02/20200102T000000Z-00000000-abcdef/_session.json", b"{}")
    desk.folder.put(f"{PROJECT}/_passed/2020-01-01/20200102T000000Z-00000000-abcde0/x", b"")
    desk.folder.put("other/2020-01-02/no session/_session.json", b"{}")
    found = list(sessions(desk.destination.results))
    assert {(folder.project, folder.session) for folder in found} == {
        *((PROJECT, name) for name in names),
        ("other", "20200102T000000Z-00000000-abcdef"),
    }
    assert find(desk.destination.results, names[1]) in found
    assert find(desk.destination.results, "20300102T000000Z-00000000-abcdef") is None


def test_a_result_is_complete_with_its_record_which_comes_last(desk: Desk):
    session = desk.new_session()
    desk.put(session, "a/x.ipynb", b"{}")
    desk.put(session, "a/x.ipynb.html", b"")
    folder = folder_of(desk, session)
    assert notebooks(folder) == []
    with pytest.raises(DeliveryError, match="does not exist"):
        files_of(folder, "a/x.ipynb")
    desk.put(session, "a/x.files/kept/y.ipynb.json", b"{}")
    desk.put(session, "a/x.files/unfinished.nbci-part", b"{}")
    desk.put(session, "a/x.ipynb.json", b"{}")
    desk.put(session, "a/x.ipynb.mlflow.json", b"{}")
    assert notebooks(folder) == ["a/x.ipynb"]
    assert [key.removeprefix(folder.prefix) for key in files_of(folder, "a/x.ipynb")] == [
        "a/x.files/kept/y.ipynb.json",
        "a/x.ipynb",
        "a/x.ipynb.html",
        "a/x.ipynb.mlflow.json",
        "a/x.ipynb.json",
    ]


def test_a_sessions_own_files_end_with_its_summary(desk: Desk):
    session = desk.new_session()
    desk.folder.put(f"{PROJECT}/_passed/feature/x/{session}.json", b"{}")
    desk.folder.put(f"{PROJECT}/_passed/feature/x/another.json", b"{}")
    assert list(session_files(folder_of(desk, session))) == [
        f"{PROJECT}/_passed/feature/x/{session}.json",
        desk.key(session, "_session.json"),
    ]


def test_what_a_destination_lacks_depends_on_the_destination(desk: Desk):
    session = desk.new_session()
    desk.write_result(session, "a.ipynb")
    folder = folder_of(desk, session)
    assert undelivered(folder, desk.destination, {}) == (set(), set())
    desk = desk.to(store_url="s3://bucket//x/", tracking_uri="http://user:pw@host")
    assert undelivered(folder, desk.destination, {}) == ({"a.ipynb"}, {"a.ipynb"})
    assert desk.destination.store_mark == "s3://bucket/x"
    assert desk.destination.tracking_mark == "http://host project"


def test_only_a_session_that_was_killed_loses_what_was_due(desk: Desk):
    session = desk.new_session()
    folder = folder_of(desk, session)
    desk.write_result(session, "done.ipynb")
    plan = tuple(
        Planned(name, due=due)
        for name, due in (("done.ipynb", True), ("lost.ipynb", True), ("no.ipynb", False))
    )

    def write(complete: bool, pid: int) -> None:  # noqa: FBT001 - a table of cases
        host = {**host_of(os.getpid()), "pid": pid}
        session_ = Session(session, PROJECT, complete=complete, plan=plan, host=host)
        desk.put(session, "_session.json", session_.to_json())

    write(True, 2**22 + 1)
    assert write_lost(folder) == []
    write(False, os.getpid())
    assert write_lost(folder) == []
    write(False, 2**22 + 1)  # beyond the largest process id of Linux
    assert write_lost(folder) == ["lost.ipynb"]
    record = Record.from_json(folder.path("lost.ipynb.json").read_bytes())
    assert (record.outcome, record.cause) == ("lost", "lost")
    assert write_lost(folder) == []


@pytest.mark.parametrize("empty", ["a.ipynb", "a.ipynb.html", "a.ipynb.json"])
def test_a_result_that_a_power_failure_emptied_is_lost(desk: Desk, empty: str):
    session = desk.new_session()
    folder = folder_of(desk, session)
    for name in ("a.ipynb", "b.ipynb"):
        desk.write_result(session, name)
        desk.put(session, f"{name}.html", "page")
    desk.put(session, empty, "")
    host = {**host_of(os.getpid()), "boot": "an earlier one"}
    plan = tuple(Planned(name, due=True) for name in ("a.ipynb", "b.ipynb"))
    desk.put(session, "_session.json", Session(session, PROJECT, plan=plan, host=host).to_json())

    assert write_lost(folder) == ["a.ipynb"]
    assert Record.from_json(folder.path("a.ipynb.json").read_bytes()).outcome == "lost"


def test_a_killed_session_leaves_no_torn_files_and_no_page_without_a_record(desk: Desk):
    session = desk.new_session()
    folder = folder_of(desk, session)
    for name in ("lost.ipynb", "lost.ipynb.html", "tmpabc.nbci-part", "sub/tmpdef.nbci-part"):
        desk.put(session, name, "{}")
    host = {**host_of(os.getpid()), "pid": 2**22 + 1}
    plan = (Planned("lost.ipynb", due=True),)
    desk.put(session, "_session.json", Session(session, PROJECT, plan=plan, host=host).to_json())

    assert write_lost(folder) == ["lost.ipynb"]

    assert [path.name for path in files_of(folder, "lost.ipynb").values()] == [
        "lost.ipynb",
        "lost.ipynb.json",
    ]
    assert not list(folder.path("").rglob("*.nbci-part"))
