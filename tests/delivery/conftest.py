from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_nbci.delivery import Destination, Follower, publish
from pytest_nbci.records import (
    Cell,
    Commit,
    Record,
    Session,
    new_session_name,
    session_prefix,
    summary_of,
)
from pytest_nbci.store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_nbci.delivery import Report
    from tests.servers import Minio

PROJECT = "group/project"
COMMIT = Commit(
    id="0123456789abcdef0123456789abcdef01234567",
    author="Ada Lovelace",
    email="ada@example.org",
    message="Train on the new data\n\nWith a body.",
    branch="feature/new-data",
    time="2026-01-01T10:00:00+00:00",
)


@dataclass
class Desk:
    """A project's results folder, filled by hand, and where it goes."""

    destination: Destination

    @property
    def folder(self) -> FolderStore:
        return FolderStore(self.destination.results)

    def to(self, **changes: Any) -> Desk:
        return Desk(replace(self.destination, **changes))

    def new_session(self) -> str:
        name = new_session_name(datetime.now(UTC), COMMIT.id)
        self.write_session(name)
        return name

    def write_session(self, name: str, records: Sequence[Record] = (), *, complete: bool = False):
        session = Session(
            name,
            PROJECT,
            complete=complete,
            commit=COMMIT,
            results=tuple(summary_of(record) for record in records),
        )
        self.put(name, "_session.json", session.to_json())

    def put(self, session: str, name: str, content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        self.folder.put(f"{session_prefix(PROJECT, session)}/{name}", data)

    def write_result(self, session: str, notebook: str, **fields: Any) -> Record:
        record = Record(
            **{
                "session": session,
                "project": PROJECT,
                "notebook": notebook,
                "outcome": "passed",
                "started_at": (datetime.now(UTC) - timedelta(seconds=5)).isoformat(),
                "duration_s": 1.25,
                "cells": (Cell("a", 1, 1, 0.5, "passed"), Cell("b", 2, 2, 0.5, "passed")),
                "commit": COMMIT,
                "parameters": {"alpha": 0.5, "names": ["a", "b"]},
                "environment": {"kernel": "python3", "python": "3.11.2"},
                "peak_memory_bytes": 1000,
                "reproduce": f"pytest {notebook}",
                **fields,
            }
        )
        self.put(session, notebook, b'{"cells": []}')
        self.put(session, f"{notebook}.html", b"<!doctype html>")
        self.put(session, f"{notebook}.json", record.to_json())
        return record

    def key(self, session: str, name: str) -> str:
        return f"{session_prefix(PROJECT, session)}/{name}"

    def follow(self, session: str) -> Follower:
        follower = Follower.prepare(self.destination, session)
        follower.begin()
        return follower

    def publish(self, **options: Any) -> Report:
        return publish(self.destination, lambda _: None, **options)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty results folder, no store, no tracking, and none of the developer's credentials."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    state = tmp_path / ".nbci"
    return Desk(Destination(state / "results", state, None, "--nbci-store", None, "project"))


@pytest.fixture
def bucket(minio: Minio, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket, and boto3's environment for it."""
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    name = f"results-{uuid.uuid4().hex[:12]}"
    minio.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_desk(desk: Desk, bucket: str) -> Desk:
    return desk.to(store_url=f"s3://{bucket}/ci")


@dataclass
class Runs:
    """What an MLflow server holds, asked over HTTP."""

    url: str

    def call(self, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=None if data is None else json.dumps(data).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.load(answer))

    def experiment(self, name: str) -> str:
        try:
            return str(self.call("experiments/create", {"name": name})["experiment_id"])
        except urllib.error.HTTPError:
            path = f"experiments/get-by-name?experiment_name={urllib.parse.quote(name)}"
            return str(self.call(path)["experiment"]["experiment_id"])

    def new_run(self, experiment: str, **tags: str) -> str:
        data = {
            "experiment_id": self.experiment(experiment),
            "start_time": 1,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        return str(self.call("runs/create", data)["run"]["info"]["run_id"])

    def of(self, experiment: str) -> list[dict[str, Any]]:
        """Runs of an experiment: info, and tags, params, metrics as dictionaries."""
        data = {"experiment_ids": [self.experiment(experiment)], "max_results": 1000}
        return [
            {
                **run["info"],
                **{
                    kind: {item["key"]: item["value"] for item in run["data"].get(kind, ())}
                    for kind in ("tags", "params", "metrics")
                },
                "inputs": run.get("inputs", {}).get("dataset_inputs", []),
            }
            for run in self.call("runs/search", data).get("runs", ())
        ]


@pytest.fixture
def experiment() -> str:
    return f"project-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def sqlite_runs(desk: Desk) -> Any:
    """Rows of the embedded database: call with SQL."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(desk.destination.state / "mlflow.db") as connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows

    return ask
