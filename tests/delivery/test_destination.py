from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery import Destination, Report, embedded_uri, kernel_environment, result_id
from pytest_nbci.delivery.destination import database, without_password
from pytest_nbci.delivery.process import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.delivery.conftest import Desk


@pytest.mark.parametrize(
    ("published", "waiting", "reasons", "sentence"),
    [
        (12, 0, (), "published 12 notebooks to s3://b/p"),
        (1, 0, (), "published 1 notebook to s3://b/p"),
        (
            12,
            3,
            ("MLflow at http://m did not answer.",),
            'published 12 notebooks to s3://b/p (3 wait: MLflow at http://m did not answer; run "nbci publish")',
        ),
        (0, 1, (), 'published 0 notebooks to s3://b/p (1 waits: run "nbci publish")'),
        (2, 0, ("Odd.",), 'published 2 notebooks to s3://b/p (Odd; run "nbci publish")'),
    ],
)
def test_the_summary_says_what_waits_why_and_the_cure(published, waiting, reasons, sentence):
    assert Report(published, waiting, reasons, "s3://b/p", None).sentence() == sentence


def test_a_destination_survives_the_way_to_its_process(desk: Desk):
    destination = desk.to(store_url="s3://b", tracking_uri="http://m").destination
    assert Destination.from_dict(json.loads(json.dumps(destination.to_dict()))) == destination


def test_a_result_id_holds_nothing_that_ends_a_string_in_mlflows_filters():
    assert result_id("s", "a b/訓練 (1).ipynb") == "s/a b/訓練 (1).ipynb"
    assert result_id("s", 'it\'s "100%"`\\\n.ipynb') == "s/it%27s %22100%25%22%60%5C%0A.ipynb"


def test_a_password_is_not_shown():
    assert without_password("https://u:p@host:1/path?x=1") == "https://host:1/path?x=1"
    assert without_password("sqlite:////a@b/c.db") == "sqlite:////a@b/c.db"


def test_the_embedded_database_is_found_under_any_name_of_the_folder(tmp_path: Path):
    for name in ("plain", "a b", "100%", "what?", "#1", "ü"):
        assert database(embedded_uri(tmp_path / name)) == tmp_path / name / "mlflow.db"


def test_a_kernel_learns_where_to_log_and_under_which_result(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_RUN_ID", "x")
    desk = desk.to(tracking_uri=embedded_uri(desk.destination.state))
    variables = kernel_environment(desk.destination, "s", "a.ipynb")
    assert (
        variables.items()
        >= {
            "MLFLOW_TRACKING_URI": f"sqlite:///{desk.destination.state}/mlflow.db",
            "MLFLOW_EXPERIMENT_NAME": "project",
            "MLFLOW_RUN_ID": "",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": f"file://{desk.destination.state}/mlartifacts",
        }.items()
    )
    assert json.loads(variables["MLFLOW_RUN_CONTEXT"])["nbci.result"] == "s/a.ipynb"
    server = desk.to(tracking_uri="http://m").destination
    assert "_MLFLOW_SERVER_ARTIFACT_ROOT" not in kernel_environment(server, "s", "a.ipynb")


def test_a_kernel_gets_a_name_where_its_user_has_none(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def no_entry() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    destination = desk.to(tracking_uri="http://m").destination
    assert "LOGNAME" not in kernel_environment(destination, "s", "a.ipynb")
    monkeypatch.setattr("getpass.getuser", no_entry)
    assert kernel_environment(destination, "s", "a.ipynb")["LOGNAME"].isdigit()


def test_the_delivery_process_is_quiet_short_of_patience_and_has_no_run_chosen(desk: Desk):
    given = {"MLFLOW_RUN_ID": "x", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "HOME": "/root"}
    variables = child_environment(given, desk.to(tracking_uri="http://m").destination)
    assert variables["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"  # the user's own word stays
    assert variables["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert variables["HOME"] == "/root"
    assert "MLFLOW_RUN_ID" not in variables
