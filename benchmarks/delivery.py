"""Delivery: what publishing costs a session, and uploads against boto3 with 16 threads.

Both parts compare within one run, on real servers of this machine: MinIO and MLflow.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from machine import describe_machine

sys.path.insert(0, str(Path(__file__).parent.parent))
from pytest_nbci.delivery import Destination, publish
from pytest_nbci.records import Record, Session, new_session_name, session_prefix, summary_of
from pytest_nbci.store import FolderStore
from tests.project import Project
from tests.servers import Minio, Server, new_minio, new_mlflow_server, running

NOTEBOOKS, SECONDS = 20, 2
RESULTS, RESULT_BYTES, THREADS = 1_000, 200_000, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["session", "uploads"])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="nbci-bench-"))
    try:
        (folder / "minio").mkdir()
        (folder / "mlflow").mkdir()
        with contextlib.ExitStack() as stack:
            minio = stack.enter_context(running(new_minio(folder / "minio")))
            print(describe_machine("boto3", "mlflow-skinny"))
            if options.part != "session":
                uploads(folder, minio, options.rounds)
            if options.part != "uploads":
                mlflow = stack.enter_context(running(new_mlflow_server(folder / "mlflow")))
                session(folder, minio, mlflow, options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def session(folder: Path, minio: Minio, mlflow: Server, rounds: int) -> None:
    """Sessions with and without publishing in turns."""
    project = Project.create(folder / "project")
    for number in range(NOTEBOOKS):
        project.notebook(f"n{number:02}.ipynb", f"import time; time.sleep({SECONDS})", "1 + 1")
    project.commit()
    bucket = new_bucket(minio)
    publishing = {
        **minio.environment,
        "NBCI_STORE": f"s3://{bucket}",
        "MLFLOW_TRACKING_URI": mlflow.url,
    }
    without = ["-q"]
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(rounds):
        seconds["without"].append(timed_session(project, without, {"MLFLOW_TRACKING_URI": "off"}))
        seconds["with"].append(timed_session(project, ["-q", "--nbci"], publishing))
    alone, both = (statistics.median(seconds[kind]) for kind in ("without", "with"))
    print(f"session of {NOTEBOOKS} notebooks of {SECONDS} s, median of {rounds}:")
    print(f"  without publishing          {alone:7.2f} s")
    print(f"  with MinIO and MLflow       {both:7.2f} s")
    print(f"  with / without              {both / alone:7.3f}")


def timed_session(project: Project, arguments: list[str], environment: dict[str, str]) -> float:
    shutil.rmtree(project.root / ".nbci", ignore_errors=True)
    begun = time.perf_counter()
    ran = project.pytest(*arguments, **environment)
    seconds = time.perf_counter() - begun
    assert ran.outcomes == {"passed": NOTEBOOKS}, ran.out
    assert "--nbci" not in arguments or f"published {NOTEBOOKS} notebooks" in ran.out, ran.out
    return seconds


def uploads(folder: Path, minio: Minio, rounds: int) -> None:
    """The same files by ``nbci publish`` and by boto3 in turns."""
    destination = results_of(folder)
    os.environ.update(minio.environment)
    files = [path for path in destination.results.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    seconds: dict[str, list[float]] = {"nbci": [], "boto3": []}
    for _ in range(rounds):
        seconds["boto3"].append(timed_boto3(minio, destination.results, files))
        shutil.rmtree(destination.journals, ignore_errors=True)
        url = f"s3://{new_bucket(minio)}"
        begun = time.perf_counter()
        report = publish(replace(destination, store_url=url), lambda _: None)
        seconds["nbci"].append(time.perf_counter() - begun)
        assert (report.published, report.waiting) == (RESULTS, 0), report
    ours, theirs = (statistics.median(seconds[kind]) for kind in ("nbci", "boto3"))
    print(f"{len(files)} files of {RESULTS} results, {size / 1e6:.0f} MB, median of {rounds}:")
    print(f"  boto3, {THREADS} threads           {theirs:7.2f} s")
    print(f"  nbci publish                {ours:7.2f} s")
    print(f"  nbci / boto3                {ours / theirs:7.2f}")


def timed_boto3(minio: Minio, root: Path, files: list[Path]) -> float:
    """A process of its own, as ours is: starting Python and importing boto3 counts for both."""
    code = f"""
import json, sys, boto3
from concurrent.futures import ThreadPoolExecutor
from botocore.config import Config
root, bucket, files = json.load(sys.stdin)
client = boto3.client("s3", config=Config(max_pool_connections={THREADS}))
def upload(name):
    with open(f"{{root}}/{{name}}", "rb") as file:
        client.put_object(Bucket=bucket, Key=name, Body=file)
with ThreadPoolExecutor({THREADS}) as pool:
    list(pool.map(upload, files))
"""
    names = [path.relative_to(root).as_posix() for path in files]
    data = json.dumps([str(root), new_bucket(minio), names])
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], input=data, text=True, check=True)
    return time.perf_counter() - begun


def results_of(folder: Path) -> Destination:
    """A session of results of 200 KB: executed notebook, page and record."""
    state = folder / ".nbci"
    name = new_session_name(datetime.now(UTC), "0" * 40)
    store, prefix = FolderStore(state / "results"), session_prefix("group/project", name)
    records = [Record(name, "group/project", f"n{n}.ipynb", "passed") for n in range(RESULTS)]
    half = os.urandom(RESULT_BYTES // 4).hex().encode()

    def write(record: Record) -> None:
        store.put(f"{prefix}/{record.notebook}", half)
        store.put(f"{prefix}/{record.notebook}.html", half)
        store.put(f"{prefix}/{record.notebook}.json", record.to_json().encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, records))
    whole = Session(name, "group/project", complete=True, results=tuple(map(summary_of, records)))
    store.put(f"{prefix}/_session.json", whole.to_json().encode())
    return Destination(state / "results", state, None, "a benchmark", None, "bench")


def new_bucket(minio: Minio) -> str:
    name = f"b{uuid.uuid4().hex}"
    minio.client().create_bucket(Bucket=name)
    return name


if __name__ == "__main__":
    main()
