"""Modules that a conftest.py imports are found as Python found them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest

import pytest_nbci.plugin
from pytest_nbci.loaded import Loaded, files_of
from tests.project import Project
from tests.selection.repositories import Analysed

Since = Callable[[Iterable[str]], frozenset[str]]


@pytest.fixture
def since(project: Project, monkeypatch: pytest.MonkeyPatch) -> Since:
    """A repository with modules in a folder that is on ``sys.path``, all of them loaded."""
    for name, text in {
        "conftest.py": "from nbci_t_helper import V\nimport nbci_t_pkg.sub\n",
        "computes/conftest.py": "import importlib\nimportlib.import_module(NAME)\n",
        "partly/conftest.py": "import importlib\nimportlib.import_module(f'nbci_t_pkg.{NAME}')\n",
        "odd/nbci_t_helper.py": "import nbci_t_deeper\nV = 1\n",
        "odd/nbci_t_deeper.py": "",
        "odd/nbci_t_pkg/__init__.py": "",
        "odd/nbci_t_pkg/sub.py": "from .beside import x\nfrom . import other\n",
        "odd/nbci_t_pkg/beside.py": "x = 1\n",
        "odd/nbci_t_pkg/other.py": "",
        "odd/nbci_t_alone.py": "",
        "odd/test_nbci_t.py": "",
    }.items():
        project.write(name, text)
    project.commit()
    project.write("odd/nbci_t_untracked.py", "")
    monkeypatch.syspath_prepend(str(project.root / "odd"))
    before = set(sys.modules)
    for name in ("helper", "pkg.sub", "alone", "untracked"):
        importlib.import_module(f"nbci_t_{name}")
    importlib.import_module("test_nbci_t")
    analysis = Analysed(project).analysis()
    yield Loaded(analysis).since
    analysis.sources.close()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_imports_are_followed_through_what_was_loaded(since: Since):
    names = ("helper", "deeper", "pkg/__init__", "pkg/sub", "pkg/beside", "pkg/other")

    assert since(["conftest.py"]) == {"conftest.py", *(f"odd/nbci_t_{one}.py" for one in names)}


def test_what_computes_its_imports_may_have_loaded_all_but_tests(since: Since):
    found = since(["computes/conftest.py"])

    assert "odd/nbci_t_alone.py" in found
    assert "odd/test_nbci_t.py" not in found


def test_of_a_package_of_which_modules_are_computed_all_count(since: Since):
    names = ("__init__", "sub", "beside", "other")

    assert since(["partly/conftest.py"]) >= {f"odd/nbci_t_pkg/{one}.py" for one in names}
    assert "odd/nbci_t_alone.py" not in since(["partly/conftest.py"])


def test_what_is_imported_later_is_found_too(since: Since, project: Project):
    since(["odd/nbci_t_alone.py"])
    module = sys.modules.pop("nbci_t_deeper")
    assert "odd/nbci_t_deeper.py" not in since(["conftest.py"])
    sys.modules["nbci_t_deeper"] = module

    assert "odd/nbci_t_deeper.py" in since(["conftest.py"])


def test_plugins_that_are_no_modules_or_lie_elsewhere_are_no_files_of_the_repository(
    project: Project,
):
    module = ModuleType("here")
    module.__file__ = str(project.root / "plug.py")

    assert set(files_of([module, pytest, object()], project.root)) == {"plug.py"}


def test_a_checkout_of_this_plugin_is_no_helper_of_the_repository():
    top = Path(pytest_nbci.__file__).parent.parent
    assert list(files_of([pytest_nbci.plugin, sys.modules[__name__]], top)) == [
        Path(__file__).relative_to(top).as_posix()
    ]
