"""MLflow imported ahead in a process that delivers: without what it can do without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import gc, sys, threading
from pytest_nbci.delivery.light import import_ahead
import_ahead(URI)
for thread in set(threading.enumerate()) - {threading.main_thread()}:
    thread.join()
print(sorted({"mlflow.store.tracking.sqlalchemy_store", "pandas", "numpy"} & set(sys.modules)))
import pandas
print(pandas.DataFrame({"a": [1, 2]}).a.sum(), gc.isenabled())
"""
STORE = "mlflow.store.tracking.sqlalchemy_store"


def printed(path: Path | str = "", uri: str | None = "sqlite:////nowhere/mlflow.db") -> list[str]:
    code = f"import sys; sys.path.append({str(path)!r}); URI = {uri!r}\n{CODE}"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_mlflow_is_imported_without_pandas_which_can_be_imported_afterwards():
    assert printed() == [f"['{STORE}']", "3 True"]


def test_a_plugin_of_mlflow_may_import_pandas(tmp_path: Path):
    (tmp_path / "a_plugin.py").write_text("import pandas\nclass Store: pass\n")
    about = tmp_path / "a_plugin-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: a-plugin\nVersion: 1\n")
    points = "[mlflow.tracking_store]\na-scheme = a_plugin:Store\n"
    (about / "entry_points.txt").write_text(points)
    assert printed(tmp_path) == [f"['{STORE}', 'numpy', 'pandas']", "3 True"]


@pytest.mark.parametrize("uri", [None, "http://127.0.0.1:9"])
def test_without_the_embedded_database_its_library_is_not_imported(uri: str | None):
    assert printed(uri=uri)[0] == "[]"
