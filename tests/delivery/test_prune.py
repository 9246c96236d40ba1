"""Old results leave the results folder, and nothing that no store has."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery.prune import prune
from pytest_nbci.host import host_of
from pytest_nbci.records import Session
from tests.delivery.conftest import PROJECT

if TYPE_CHECKING:
    from tests.delivery.conftest import Desk
    from tests.servers import Minio

LATER = datetime.now(UTC) + timedelta(days=31)


def ended_session(desk: Desk) -> str:
    session = desk.new_session()
    desk.write_session(session, [desk.write_result(session, "a.ipynb")], complete=True)
    desk.put(session, "a.files/kept.csv", b"1")
    desk.folder.put(f"{PROJECT}/_passed/main/{session}.json", b"{}")
    return session


@pytest.mark.server
def test_what_the_store_has_is_removed_after_its_days_and_nothing_else(
    s3_desk: Desk, minio: Minio, bucket: str
):
    delivered, changed, running = (ended_session(s3_desk) for _ in range(3))
    alive = Session(running, PROJECT, complete=False, host=host_of(os.getpid()))
    s3_desk.put(running, "_session.json", alive.to_json())
    assert s3_desk.publish().published == 3
    before = minio.objects(bucket)
    never = ended_session(s3_desk)
    s3_desk.put(changed, "a.ipynb.html", b"<!doctype html>drawn anew")

    assert prune(s3_desk.destination) == []
    assert prune(s3_desk.to(keep_days=60).destination, LATER) == []
    assert prune(s3_desk.to(tracking_uri="http://mlflow").destination, LATER) == []
    assert prune(s3_desk.destination, LATER) == [delivered]

    left = list(s3_desk.folder.keys())
    assert not [key for key in left if delivered in key]
    for session in (changed, running, never):
        assert len([key for key in left if session in key]) == 6
    assert not list(s3_desk.destination.journals.glob(f"{delivered}*"))
    assert minio.objects(bucket) == before
    assert s3_desk.publish().published == 2


def test_without_a_store_the_folder_is_the_only_copy(desk: Desk):
    session = ended_session(desk)
    assert prune(desk.to(keep_days=1).destination, LATER) == []
    assert desk.folder.get(desk.key(session, "a.ipynb")) is not None


def test_what_a_killed_process_was_writing_is_removed_when_nobody_can_be_at_it(desk: Desk):
    session = ended_session(desk)
    folder = desk.folder.path(desk.key(session, "a.ipynb")).parent
    old, new, half = folder / "x.nbci-part", folder / "y.nbci-part", folder / "s.nbci-part"
    half.mkdir()
    for path in (old, new, half / "a.ipynb"):
        path.write_text("half")
    an_hour_ago = time.time() - 3700
    for path in (old, half):
        os.utime(path, (an_hour_ago, an_hour_ago))
    prune(desk.destination)
    assert sorted(path.name for path in folder.iterdir() if "part" in path.name) == ["y.nbci-part"]
