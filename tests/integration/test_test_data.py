"""Test data: the profile of the table, the fixture ``nbci_test_data``, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.project import Cell, Project, Ran

READ = "print(open('data/train.csv').read())"
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def laid(shared_project: Project) -> Ran:
    project = shared_project
    project.table(
        "[tool.nbci.data.test]\n"
        'root = "testdata"\n'
        'files = {"data/train.csv" = "small/train small.csv", "models" = "small/models", "a/../b.txt" = "small/b.txt"}\n'
        "parameters = {rows = 7, unused = true}\n"
    )
    project.write(".gitignore", "/data/\n")
    project.write("small/train small.csv", "small")
    project.write("small/models/one/weights.bin", b"\x00\x01")
    project.write("small/models/two.txt", "two")
    project.write("small/b.txt", "b")
    project.write("testdata/config/settings.toml", "laid")
    project.write("testdata/data/extra.csv", "extra")
    project.write("config/settings.toml", "committed")
    project.write("small/run.sh", "#!/bin/sh\n").chmod(0o755)
    project.notebook("read.ipynb", READ)
    project.notebook(
        "more.ipynb",
        "print(open('config/settings.toml').read(), open('data/extra.csv').read(), open('b.txt').read())",
        "print(open('models/one/weights.bin', 'rb').read(), open('models/two.txt').read())",
        "open('data/train.csv', 'w').write('changed'); open('testdata/data/extra.csv', 'w').write('changed')",
    )
    project.notebook("z_after.ipynb", READ, "print(open('data/extra.csv').read())")
    project.notebook("declares.ipynb", Cell("rows = 1000", tags=["parameters"]), "print(rows)")
    project.notebook("silent.ipynb", "rows = 1000", "print(rows)")
    project.notebook(
        "own.ipynb",
        Cell("rows = 1000\ncols: int = 2", tags=["parameters"]),
        "print(rows, cols)",
        metadata={"nbci": {"parameters": {"rows": 3}}},
    )
    project.notebook(
        "unknown.ipynb",
        Cell("rows = 1000\ncols: int = 2", tags=["parameters"]),
        "print(rows)",
        metadata={"nbci": {"parameters": {"row": 3}}},
    )
    project.notebook("none.ipynb", "print(1)", metadata={"nbci": {"parameters": {"row": 3}}})
    project.commit()
    project.write("data/train.csv", "the user's full file")
    return project.pytest()


def test_notebooks_read_the_small_file_at_the_place_of_the_full_one(laid: Ran):
    assert laid.outcomes == {"passed": 6, "error": 2}, laid.out
    assert laid.text_of("read.ipynb") == "small\n"


def test_root_and_files_are_laid_over_the_checkout_and_over_committed_files(laid: Ran):
    assert laid.text_of("more.ipynb") == "laid extra b\nb'\\x00\\x01' two\n"


def test_data_are_laid_anew_for_each_notebook_and_the_originals_stay(laid: Ran):
    assert laid.text_of("z_after.ipynb") == "small\nextra\n"
    assert (laid.root / "small/train small.csv").read_text() == "small"
    assert (laid.root / "testdata/data/extra.csv").read_text() == "extra"
    assert (laid.root / "data/train.csv").read_text() == "the user's full file"


def test_profile_parameters_apply_where_declared(laid: Ran):
    assert laid.text_of("declares.ipynb") == "7\n"
    assert laid.text_of("silent.ipynb") == "1000\n"
    assert laid.record("declares.ipynb").parameters == {"rows": 7}
    assert laid.record("silent.ipynb").parameters == {}


def test_the_notebooks_own_parameters_win(laid: Ran):
    assert laid.text_of("own.ipynb") == "3 2\n"
    assert laid.record("own.ipynb").parameters == {"rows": 3}


def test_an_own_parameter_that_is_not_declared_is_an_error_naming_the_declared(laid: Ran):
    record = laid.record("unknown.ipynb")

    assert (record.outcome, record.cause) == ("error", "unknown_parameter")
    assert record.message == "unknown.ipynb has no parameter 'row'; known: rows, cols."
    assert "it declares none" in laid.record("none.ipynb").message
    assert "unknown.ipynb has no parameter 'row'" in laid.out


OVERRIDES = """
import pytest
from pytest_nbci import NotebookData

@pytest.fixture(scope="module")
def dataset(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("made")
    (folder / "train.csv").write_text(f"made for {request.module.__name__}")
    return folder / "train.csv"

@pytest.fixture
def nbci_test_data(dataset):
    return NotebookData(parameters={"rows": 5}, files={"data/train.csv": dataset})
"""


def test_an_override_in_a_subfolder_with_fixtures_of_other_scopes_works(project: Project):
    project.table('[tool.nbci.data.test]\nfiles = {"data/train.csv" = "small.csv"}\n')
    project.write("small.csv", "small")
    project.write("sub/conftest.py", OVERRIDES)
    project.write(
        "sub/deeper/conftest.py",
        "import dataclasses, pytest\n\n@pytest.fixture\ndef nbci_test_data(nbci_test_data):\n"
        "    return dataclasses.replace(nbci_test_data, parameters={'rows': 6})\n",
    )
    project.notebook("top.ipynb", READ)
    read = "print(open('../data/train.csv').read())"
    project.notebook("sub/one.ipynb", Cell("rows = 1", tags=["parameters"]), read, "print(rows)")
    project.notebook(
        "sub/deeper/two.ipynb",
        Cell("rows = 1", tags=["parameters"]),
        read.replace("../", "../../"),
        "print(rows)",
    )
    project.commit()

    ran = project.pytest()

    assert ran.outcomes == {"passed": 3}, ran.out
    assert ran.text_of("top.ipynb") == "small\n"
    assert ran.text_of("sub/one.ipynb") == "made for one\n5\n"
    assert ran.text_of("sub/deeper/two.ipynb") == "made for two\n6\n"


CONFTEST = "import pytest, pathlib\nfrom pytest_nbci import NotebookData\n\n"
FAULTY = {
    "raises": "@pytest.fixture\ndef nbci_test_data():\n    rows = read_rows()\n\ndef read_rows():\n    raise RuntimeError('database away')\n",
    "wrong_type": "@pytest.fixture\ndef nbci_test_data():\n    return {'rows': 3}\n",
    "wrong_files": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files=['a.csv'])\n",
    "wrong_file": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'a.csv': 5})\n",
    "wrong_root": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(root='nowhere')\n",
    "parametrised": "@pytest.fixture(params=[1, 2])\ndef nbci_test_data(request):\n    return NotebookData()\n",
    "indirect": "@pytest.fixture(params=[1, 2])\ndef size(request):\n    return request.param\n\n@pytest.fixture\ndef nbci_test_data(size):\n    return NotebookData()\n",
    "missing": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'a.csv': 'nowhere.csv'})\n",
    "absolute": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'/tmp/nbci-escaped.csv': 'small.csv'})\n",
    "upward": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'../../escaped.csv': 'small.csv'})\n",
    "through_link": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'out/escaped.csv': 'small.csv'})\n",
    "through_deep_link": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'out/new/folder/escaped.csv': 'small.csv'})\n",
    "git_folder": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'.git/config': 'small.csv'})\n",
    "over_folder": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'raises': 'small.csv'})\n",
    "under_file": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(files={'small.csv/x': 'small.csv'})\n",
    "fifo": "@pytest.fixture\ndef nbci_test_data(tmp_path):\n    import os; os.mkfifo(tmp_path / 'pipe'); return NotebookData(root=tmp_path)\n",
    "scope": "@pytest.fixture(scope='session')\ndef nbci_test_data(tmp_path):\n    return NotebookData()\n",
    "unknown_fixture": "@pytest.fixture\ndef nbci_test_data(no_such_fixture):\n    return NotebookData()\n",
    "parameters_no_str": "@pytest.fixture\ndef nbci_test_data():\n    return NotebookData(parameters={'rows': object()})\n",
}
NOT_DATA = ("indirect",)


@pytest.fixture(scope="module")
def faulty(shared_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    project = Project.create(shared_project.root.parent / "faulty" / "project")
    outside = project.root.parent / "outside"
    outside.mkdir()
    (project.root / "out").symlink_to(outside)
    project.write("small.csv", "small")
    for name, text in FAULTY.items():
        project.write(f"{name}/conftest.py", CONFTEST + text)
        project.notebook(
            f"{name}/{name}.ipynb", Cell("rows = 1", tags=["parameters"]), "print('ran')"
        )
    project.notebook("fine.ipynb", "print('fine')")
    project.commit()
    ran = project.pytest()
    assert list(outside.iterdir()) == []
    assert not Path("/tmp/nbci-escaped.csv").exists()
    assert [path.name for path in project.root.parent.iterdir() if "escaped" in path.name] == []
    return ran


def test_faulty_data_stop_only_the_notebooks_that_use_them(faulty: Ran):
    assert faulty.code == 1, faulty.out
    assert faulty.outcomes == {"passed": 1, "error": len(FAULTY)}, faulty.out
    assert faulty.session.complete


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", ["RuntimeError: database away"]),
        ("wrong_type", ["nbci_test_data", "dict", "wrong_type/conftest.py:4"]),
        ("wrong_files", ["NotebookData.files", "['a.csv']"]),
        ("wrong_file", ["a.csv", "5"]),
        ("wrong_root", ["nowhere"]),
        ("parametrised", ["nbci_test_data", "parametrised"]),
        ("indirect", ["size", "parametrised"]),
        ("missing", ["nowhere.csv", "does not exist"]),
        ("absolute", ["'/tmp/nbci-escaped.csv'", "outside the checkout"]),
        ("upward", ["'../../escaped.csv'", "outside the checkout"]),
        ("through_link", ["out/escaped.csv", "outside the checkout"]),
        ("through_deep_link", ["out/new/folder/escaped.csv", "outside the checkout"]),
        ("git_folder", ["'.git/config'"]),
        ("over_folder", ["raises", "folder"]),
        ("under_file", ["small.csv/x"]),
        ("fifo", ["pipe"]),
        ("scope", ["ScopeMismatch"]),
        ("unknown_fixture", ["no_such_fixture"]),
        ("parameters_no_str", ["rows"]),
    ],
)
def test_faulty_data_are_an_error_with_a_sentence(faulty: Ran, name: str, words: Sequence[str]):
    record = faulty.record(f"{name}/{name}.ipynb")

    assert (record.outcome, record.cause) == ("error", "test_data_error")
    for word in words:
        assert word in record.message
    assert "nbci-" not in record.message.replace("nbci-escaped", "")


def test_the_users_own_traceback_is_shown_for_a_fixture_that_raises(faulty: Ran):
    assert "rows = read_rows()" in faulty.out
    assert "raises/conftest.py:9: RuntimeError" in faulty.out
    section = faulty.out.partition("ERROR at setup of raises")[2].partition("ERROR at setup of")[0]
    assert "pytest_nbci" not in section.replace("from pytest_nbci import", "")


def test_our_own_refusals_show_no_traceback(faulty: Ran):
    section = faulty.out.partition("ERROR at setup of upward")[2].partition("ERROR at setup of")[0]
    assert "outside the checkout" in section
    assert "pytest_nbci/" not in section


def test_the_profile_flag_chooses_another_profile(project: Project):
    project.table(
        '[tool.nbci.data.test]\nfiles = {"data/train.csv" = "small.csv"}\n'
        '[tool.nbci.data.full]\nfiles = {"data/train.csv" = "data/train.csv"}\n'
    )
    project.write("small.csv", "small")
    project.write(".gitignore", "data/\n")
    project.notebook("read.ipynb", READ)
    project.commit()
    project.write("data/train.csv", "full")

    ran = project.pytest("--nbci-profile", "full")

    assert ran.text_of("read.ipynb") == "full\n"
    assert ran.record("read.ipynb").profile == "full"
    assert ran.session.profile == "full"


def test_a_large_file_is_linked_and_an_error_if_the_notebook_changed_it(project: Project):
    project.table('[tool.nbci.data.test]\nfiles = {"data/full.bin" = "data/full.bin"}\n')
    project.write(".gitignore", "data/\n")
    project.notebook(
        "a_reads.ipynb",
        "import os\nprint(os.path.islink('data/full.bin'), os.path.getsize('data/full.bin'))",
    )
    project.notebook(
        "b_replaces.ipynb",
        "import os\nos.remove('data/full.bin')\nopen('data/full.bin', 'w').write('own')",
    )
    project.notebook(
        "c_changes.ipynb", "with open('data/full.bin', 'r+b') as f: f.write(b'changed')"
    )
    project.commit()
    large = project.write("data/full.bin", b"")
    with large.open("r+b") as file:
        file.truncate(65 * MEBIBYTE)

    ran = project.pytest()

    assert ran.code == 1
    assert ran.text_of("a_reads.ipynb") == f"True {65 * MEBIBYTE}\n"
    assert ran.record("a_reads.ipynb").outcome == "passed"
    assert ran.record("b_replaces.ipynb").outcome == "passed"
    record = ran.record("c_changes.ipynb")
    assert (record.outcome, record.cause) == ("error", "test_data_error")
    assert f"The notebook changed {large}" in record.message
    assert "restore the data" in record.cure
    assert "Traceback" not in ran.out
    assert "pytest_nbci/" not in ran.out


def test_a_linked_file_inside_the_checkout_does_not_survive_into_the_next_notebook(
    project: Project,
):
    project.table('[tool.nbci.data.test]\nroot = "big"\n')
    project.write(".gitignore", "/big/\n")
    project.write("place/data.bin", "tracked")
    project.notebook("read.ipynb", "import os; print(os.path.islink('place/data.bin'))")
    project.commit()
    large = project.write("big/place/data.bin", b"")
    with large.open("r+b") as file:
        file.truncate(65 * MEBIBYTE)
    before = large.stat()

    first = project.pytest()
    assert first.text_of("read.ipynb") == "True\n"
    assert large.stat().st_mtime_ns == before.st_mtime_ns
    assert (project.root / "place/data.bin").read_text() == "tracked"


def test_needed_notebooks_get_the_data_of_the_one_that_needs_them(project: Project):
    project.table('[[tool.nbci.notebook]]\npath = "sub/use.ipynb"\nneeds = ["sub/make.ipynb"]\n')
    project.write("sub/conftest.py", OVERRIDES)
    project.notebook(
        "sub/make.ipynb",
        "text = open('../data/train.csv').read(); open('made.txt', 'w').write(text)",
    )
    project.notebook("sub/use.ipynb", "print(open('made.txt').read())")
    project.commit()

    alone = project.pytest("-k", "use")

    assert alone.outcomes == {"passed": 1, "deselected": 1}, alone.out
