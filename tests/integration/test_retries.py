"""``retries``: what fails is run again from clean; a later pass is a pass, and is called flaky."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_nbci.delivery.outbox import files_of, find, notebooks
from pytest_nbci.records import Record
from tests.project import Cell, Project, Ran, notebook_json

# pytest-rerunfailures runs what has the mark flaky again, once.
RERUNS = ("-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cov")
TABLE = """
retries = 2
[[tool.nbci.notebook]]
path = "broken.ipynb"
retries = 1
[[tool.nbci.notebook]]
path = "rerun.ipynb"
marks = ["flaky"]
retries = 0
[[tool.nbci.notebook]]
path = "both.ipynb"
marks = ["flaky"]
retries = 1
[[tool.nbci.notebook]]
path = "needs.ipynb"
needs = ["data.ipynb"]
[[tool.nbci.notebook]]
path = "stops.ipynb"
retries = 1
[[tool.nbci.notebook]]
path = "unknown.ipynb"
parameters = {nothing = 1}
[tool.nbci.data.test]
files = {"rows.txt" = "small.txt"}
"""
FAILS = """
import os, pathlib
seen = pathlib.Path(os.environ["MARKS"], {name!r})
with seen.open("a") as file:
    file.write("x")
times = len(seen.read_text())
print("this is time", times)
if times <= {failures}:
    raise ConnectionError(f"no answer the {{times}}. time")
"""
# What an attempt leaves must not be there in the next.
CLEAN = """
import pathlib
assert pathlib.Path("rows.txt").read_text() == "three rows"
assert not pathlib.Path("left.txt").exists()
pathlib.Path("rows.txt").write_text("spoilt")
pathlib.Path("left.txt").write_text("left")
"""
LOGS = "import mlflow\nwith mlflow.start_run(run_name='mine'): pass"
# A kernel that does not start the given time.
LIMPS = """
import os, pathlib, sys
seen = pathlib.Path(os.environ["MARKS"], sys.argv[1])
with seen.open("a") as file:
    file.write("x")
if len(seen.read_text()) == int(sys.argv[2]):
    sys.exit("no licence this time")
sys.argv[1:] = sys.argv[3:]
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""
RETRIED = {"nbci": {"retries": 1}}
# What was tried: attempts, outcome, cause.
EXPECTED = {
    "flaky.ipynb": (2, "passed", None),
    "broken.ipynb": (2, "failed", "cell_error"),
    "fine.ipynb": (1, "passed", None),
    "rerun.ipynb": (2, "passed", None),
    "both.ipynb": (4, "passed", None),
    "data.ipynb": (1, "passed", None),
    "needs.ipynb": (2, "passed", None),
    "starts.ipynb": (2, "passed", None),
    "stops.ipynb": (2, "failed", "kernel_start"),
    "unknown.ipynb": (1, "error", "unknown_parameter"),
}
FLAKY = {
    name
    for name, (attempts, outcome, _) in EXPECTED.items()
    if (attempts > 1) and outcome == "passed"
}


def fails(name: str, failures: int) -> str:
    return FAILS.format(name=name, failures=failures)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for JUPYTER_PATH with two kernels that limp."""
    folder = tmp_path_factory.mktemp("jupyter")
    script = folder / "limps.py"
    script.write_text(LIMPS)
    for name, time in (("limps1", "1"), ("limps2", "2")):
        spec = {
            "argv": [sys.executable, str(script), name, time, "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
        }
        path = folder / "kernels" / name / "kernel.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="module", params=["serial", "-n 2"])
def ran(
    request: pytest.FixtureRequest, kernels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    project = Project.create(tmp_path_factory.mktemp("retries") / "p")
    project.table(TABLE)
    project.write("small.txt", "three rows")
    project.notebook("flaky.ipynb", CLEAN, LOGS, fails("flaky", 1))
    project.notebook("broken.ipynb", fails("broken", 9))
    project.notebook("fine.ipynb", "pass")
    project.notebook("rerun.ipynb", fails("rerun", 1))
    project.notebook("both.ipynb", fails("both", 3))
    project.notebook("data.ipynb", fails("data", 0), "pathlib.Path('made').write_text('1')")
    project.notebook("needs.ipynb", "open('made')", fails("needs", 1))
    project.notebook("starts.ipynb", "print('started')", kernel="limps1")
    project.notebook("stops.ipynb", "1 / 0", kernel="limps2")
    project.write("unknown.ipynb", json.dumps(notebook_json([Cell("x = 1", ["parameters"])])))
    project.commit()
    parallel = () if request.param == "serial" else ("-n", "2", "--dist", "loadfile")
    return project.pytest(
        "--nbci",
        "--junitxml=junit.xml",
        *parallel,
        plugins=RERUNS,
        MARKS=str(tmp_path_factory.mktemp("marks")),
        JUPYTER_PATH=str(kernels),
    )


def test_records_count_the_attempts_and_call_a_late_pass_flaky(ran: Ran):
    records = {name: ran.record(name) for name in EXPECTED}

    assert {
        name: (record.attempts, record.outcome, record.cause) for name, record in records.items()
    } == EXPECTED, ran.out
    assert {name for name, record in records.items() if record.flaky} == FLAKY
    assert {one.notebook for one in ran.session.results if one.flaky} == FLAKY
    assert [one.message.split(": ", 1)[1] for one in records["both.ipynb"].earlier] == [
        f"ConnectionError: no answer the {time}. time." for time in (1, 2, 3)
    ]
    assert [one.cause for one in records["starts.ipynb"].earlier] == ["kernel_start"]
    assert [one.cause for one in records["stops.ipynb"].earlier] == ["cell_error"]


def test_each_attempt_begins_clean_and_what_it_needs_is_run_again(ran: Ran):
    assert ran.text_of("flaky.ipynb").endswith("this is time 2\n")  # cell 1 found all clean
    assert ran.record("needs.ipynb").outcome == "passed"  # of a file that only data.ipynb makes


def test_earlier_attempts_are_kept_and_belong_to_what_is_delivered(ran: Ran):
    folder = find(ran.root / ".nbci/results", ran.session.session)
    assert folder is not None
    for name, (attempts, _, _) in EXPECTED.items():
        kept = {
            f"{name.removesuffix('.ipynb')}.files/attempt-{number}{suffix}"
            for number in range(1, attempts)
            for suffix in (".ipynb", ".html", ".json")
        }
        if name == "starts.ipynb":
            kept -= {"starts.files/attempt-1.ipynb"}  # nothing was executed
        keys = {key.removeprefix(folder.prefix) for key in files_of(folder, name)}
        assert {key for key in keys if ".files/" in key} == kept
    assert set(notebooks(folder)) == set(EXPECTED)

    first = ran.session_folder / "both.files"
    for number in (1, 2, 3):
        record = Record.from_json((first / f"attempt-{number}.json").read_bytes())
        assert (record.attempts, record.outcome, record.flaky) == (number, "failed", False)
        assert record.duration_s > 0
        assert f"this is time {number}" in (first / f"attempt-{number}.ipynb").read_text()
        assert f"no answer the {number}. time" in (first / f"attempt-{number}.html").read_text()


def test_the_terminal_names_what_is_flaky_and_what_each_attempt_came_to(ran: Ran):
    last = ran.out.strip().splitlines()[-1]
    assert ran.code == 1
    assert "7 passed" in last
    assert f"{len(FLAKY)} flaky" in last
    for name in FLAKY:
        assert f"{name} is flaky: it passed on attempt {EXPECTED[name][0]}" in ran.out
    assert "ConnectionError: no answer the 1. time" in ran.out  # of broken.ipynb
    assert "ZeroDivisionError" in ran.out  # of stops.ipynb, whose kernel did not start again


def test_junit_passes_what_is_flaky_and_says_so_in_its_output(ran: Ran):
    cases = {case.get("name"): case for case in ET.parse(ran.root / "junit.xml").iter("testcase")}

    assert {name for name, case in cases.items() if case.find("failure") is not None} == {
        "broken",
        "stops",
    }
    assert {name for name, case in cases.items() if case.find("error") is not None} == {"unknown"}
    for name in FLAKY:
        said = str(cases[Path(name).stem].findtext("system-out"))
        assert f"{name}: passed on attempt {EXPECTED[name][0]}, flaky" in said
        assert "attempt 1 (" in said
    assert "this is time 2" in str(cases["flaky"].findtext("system-out"))
    assert "failed on attempt 2" in str(cases["broken"].findtext("system-out"))
    assert "attempt" not in str(cases["fine"].findtext("system-out"))


def test_the_page_and_the_index_say_so_too(ran: Ran):
    page = (ran.session_folder / "flaky.ipynb.html").read_text()
    assert ">Flaky<" in page
    assert 'href="flaky.files/attempt-1.html"' in page
    assert "no answer the 1. time" in page
    assert ">Flaky<" not in (ran.session_folder / "broken.ipynb.html").read_text()
    assert "Earlier attempts" not in (ran.session_folder / "fine.ipynb.html").read_text()
    attempt = (ran.session_folder / "both.files/attempt-3.html").read_text()
    assert "Earlier attempts" not in attempt  # their links would lead nowhere from there

    index = (ran.session_folder / "index.html").read_text()
    assert index.count(">Flaky<") == len(FLAKY)
    assert f"<b>{len(FLAKY)}</b> flaky" in index


def test_mlflow_counts_the_attempts_and_tells_their_runs_apart(ran: Ran):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{ran.root}/.nbci/mlflow.db")
    runs = runs_by_notebook(client)
    ours = {name: run for name, run in runs.items() if name in EXPECTED}
    assert {name: run.data.metrics["nbci.attempts"] for name, run in ours.items()} == {
        name: attempts for name, (attempts, _, _) in EXPECTED.items()
    }
    assert {name for name, run in ours.items() if run.data.tags.get("nbci.flaky")} == FLAKY
    assert ours["flaky.ipynb"].info.status == "FINISHED"
    own = json.loads((ran.session_folder / "flaky.ipynb.mlflow.json").read_text())["runs"]
    tags = [client.get_run(one["run_id"]).data.tags for one in own]
    assert [one.get("nbci.attempt") for one in tags] == [None, "2"]


def runs_by_notebook(client: Any) -> Mapping[str, Any]:
    experiments = [one.experiment_id for one in client.search_experiments()]
    return {run.info.run_name: run for run in client.search_runs(experiments)}


def test_a_number_that_is_none_is_a_usage_error(project: Project):
    project.table("retries = -1")
    project.notebook("fine.ipynb", "pass")
    project.commit()

    ran = project.pytest()

    assert ran.code == 4
    assert "retries = -1 in [tool.nbci]" in ran.err
    assert "a whole number, 0 or more" in ran.err


def test_the_live_line_says_which_attempt_runs(project: Project, tmp_path: Path):
    project.notebook(
        "flaky.ipynb", fails("flaky", 1), "import time; time.sleep(1)", metadata=RETRIED
    )
    project.commit()

    command = f"{sys.executable} -m pytest {' '.join(RERUNS)}"
    ran = project.run("script", "-qec", command, "/dev/null", TERM="xterm", MARKS=str(tmp_path))

    assert "flaky.ipynb: attempt 2, cell 2/2" in ran.out
    assert "attempt 1" not in ran.out
