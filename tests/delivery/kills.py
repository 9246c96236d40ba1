"""kill -9 of delivery processes at random moments, and what must be true afterwards."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from pytest_nbci.delivery import Follower
from tests.delivery.conftest import Desk, Runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.servers import Minio

RESULTS = 3


def pid_of(follower: Follower) -> int:
    """The process id of its delivery process."""
    assert follower._child is not None
    return follower._child._process.pid


def kill_followers(desk: Desk, moments_s: Iterable[float]) -> None:
    """Begin a session for each moment, kill its delivery process then; publish what is left."""
    for number, moment_s in enumerate(moments_s):
        session = desk.new_session()
        records = []
        follower = desk.follow(session)
        end = time.monotonic() + moment_s
        for count in range(RESULTS):
            records.append(desk.write_result(session, f"{number} {count}.ipynb"))
            follower.result_written(records[-1].notebook)
        time.sleep(max(0.0, end - time.monotonic()))
        os.kill(pid_of(follower), signal.SIGKILL)
        desk.write_session(session, records, complete=True)
        follower.finish(lambda _: None)
    report = desk.publish()
    assert (report.waiting, report.reasons) == (0, ())
    assert desk.publish().published == 0


def check_exactly_once(desk: Desk, minio: Minio, bucket: str, runs: Runs, sessions: int) -> None:
    """Every result is in the bucket and in MLflow, whole, and nothing is there twice."""
    found = runs.of(desk.destination.experiment)
    names = [run["tags"]["nbci.result"] for run in found]
    assert len(names) == len(set(names)) == RESULTS * sessions
    for run in found:
        assert run["status"] == "FINISHED"
        assert run["params"].keys() >= {"nbci.notebook", "nbci.kernel", "nbci.param.alpha"}
        assert run["metrics"].keys() >= {"nbci.duration_s", "nbci.cells"}
    objects = minio.objects(bucket)
    # Of each result notebook, page, record, MLflow; and the session.
    assert len(objects) == sessions * (RESULTS * 4 + 1)
    for path in desk.destination.results.rglob("*"):
        if path.is_file() and path.suffix != ".nbci-part":  # of a write that was killed
            assert f"ci/{path.relative_to(desk.destination.results)}" in objects
