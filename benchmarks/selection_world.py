"""A generated repository whose author knows what each notebook depends on."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

FOLDERS = 10
# What some notebooks do, each in a folder of its own; PROBED may be there or not.
EXTRAS = ("probe", "alias0", "alias1", "cat0", "ls0", "plugins", "config0", "config1")
PROBED = ("a", "b", "c", "d")
FIXTURE = "notebooks/g3/conftest.py"
FIXTURE_TEXT = """\
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "data/fixtures"
AT_IMPORT = (DATA / "at_import.txt").read_text()


@pytest.fixture(autouse=True)
def parts():
    return [path.read_text() for path in sorted(DATA.glob("*.csv"))]
"""
OFTEN, SELDOM = 0.3, 0.1

T = TypeVar("T", int, str)


@dataclass
class Module:
    """A module: its number, where it is, what it imports, its version, and a file it reads."""

    number: int
    layout: str
    path: str
    uses: list[int]
    version: int = 0
    config: str | None = None


@dataclass
class Notebook:
    """A notebook: what it imports, runs and reads; ``noise`` is what no verdict depends on."""

    name: str
    modules: list[tuple[int, str]]
    files: list[tuple[str, str]]
    globs: list[str]
    optional: bool
    extras: list[str] = field(default_factory=list)
    version: int = 0
    noise: int = 0
    text: int = 0


@dataclass
class World:
    """The repository as its author knows it."""

    random: random.Random
    modules: dict[int, Module] = field(default_factory=dict)
    notebooks: dict[str, Notebook] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    counter: int = 0

    def next(self) -> int:
        """A number that was not there yet."""
        self.counter += 1
        return self.counter

    def build(self, notebooks: int, modules: int) -> None:
        pick = self.random
        self.files["pyproject.toml"] = b'[project]\nname = "app"\n\n[tool.nbci]\n'
        for name in ("requirements.lock", "Makefile", ".gitlab-ci.yml", "scripts/deploy.sh"):
            self.files[name] = f"{name} 0\n".encode()
        for name in ("README.md", "docs/guide.md", "tests/test_app.py"):
            self.files[name] = b"# 0\n"
        self.files["src/app/__init__.py"] = b""
        self.files["notebooks/conftest.py"] = b"# 0\n"
        for number in range(40):
            self.files[f"data/d{number}.csv"] = f"{number}\n".encode()
        for number in range(10):
            self.files[f"data/computed/c{number}.csv"] = f"{number}\n".encode()
            self.files[f"data/text/s{number}.txt"] = f"{number}\n".encode()
            self.files[f"data/tables/p{number}.parquet"] = parquet(number)
        for number in range(8):
            for part in range(4):
                self.files[f"data/parts{number}/x{part}.csv"] = b"1\n"
        self.build_extras()
        for number in range(modules):
            layout = pick.choices(("src", "local", "tools", "ns"), (5, 2, 2, 2))[0]
            self.add_module(number, layout)
        for _ in range(notebooks):
            self.add_notebook()
        self.use_all()

    def build_extras(self) -> None:
        for folder in ("alias0", "alias1", "cat0", "ls0", "fixtures"):
            for part in range(3):
                self.files[f"data/{folder}/x{part}.csv"] = b"1\n"
        self.files["data/fixtures/at_import.txt"] = b"0\n"
        self.files[FIXTURE] = FIXTURE_TEXT.encode()
        self.files["data/probe/a.csv"] = b"1\n"
        self.files["plugins/__init__.py"] = b""
        for number in range(3):
            self.files[f"plugins/p{number}.py"] = b"VALUE = 0\n"
        for number in range(6):
            self.files[f"data/set{number}/v0.csv"] = b"1\n"
        for number in range(2):
            self.write_config(number)

    def write_config(self, number: int) -> None:
        """Which folders the notebooks read that go by this file."""
        folders = [f"data/set{one}" for one in sorted(self.random.sample(range(6), 2))]
        self.files[f"config/config{number}.json"] = json.dumps({"folders": folders}).encode()

    def use_all(self) -> None:
        """Give what nobody uses to some notebook: a change of it would make everything due."""
        used = {number for one in self.notebooks.values() for number, _ in one.modules}
        used |= {number for one in self.modules.values() for number in one.uses}
        for number in sorted(set(self.modules) - used):
            folder = str(Path(self.modules[number].path).parent)
            is_local = self.modules[number].layout == "local"
            near = [name for name in self.notebooks if not is_local or name.startswith(folder)]
            if near:
                self.notebooks[self._any(near)].modules.append((number, "from"))
        read = {path for one in self.notebooks.values() for path, _ in one.files}
        for kind in ("open", "computed", "subprocess", "parquet"):
            for path in self.of_kind(kind):
                if path not in read:
                    self.notebooks[self._any(self.notebooks)].files.append((path, kind))
        for number in range(8):
            self.notebooks[self._any(self.notebooks)].globs.append(f"data/parts{number}")
        for extra in EXTRAS:
            self.notebooks[self._any(self.notebooks)].extras.append(extra)

    def add_module(self, number: int, layout: str) -> None:
        pick = self.random
        path = {
            "src": f"src/app/m{number}.py",
            "local": f"notebooks/g{number % FOLDERS}/local{number}.py",
            "tools": f"tools/t{number}.py",
            "ns": f"vendor/ns/part{number}/mod{number}.py",
        }[layout]
        below = [one.number for one in self.modules.values() if one.layout == "src"]
        uses = pick.sample(below, min(len(below), pick.randrange(3)))
        module = Module(number, layout, path, uses)
        if layout == "src" and pick.random() < OFTEN:
            module.config = f"src/app/m{number}.json"
            self.files[module.config] = b'{"x": 1}'
        self.modules[number] = module

    def add_notebook(self) -> str:
        pick, number = self.random, self.next()
        folder = number % FOLDERS
        usable = [
            one
            for one in self.modules.values()
            if one.layout != "local" or one.path.startswith(f"notebooks/g{folder}/")
        ]
        modules = [
            (one.number, pick.choice(("from", "import", "importlib", "path")))
            for one in pick.sample(usable, min(len(usable), pick.randrange(3)))
        ]
        kinds = ("open", "computed", "subprocess", "parquet")
        files = [
            (pick.choice(self.of_kind(kind)), kind)
            for kind in pick.choices(kinds, (6, 2, 2, 1), k=pick.randrange(3))
        ]
        globs = [f"data/parts{pick.randrange(8)}"] if pick.random() < SELDOM else []
        name = f"notebooks/g{folder}/nb{number}.ipynb"
        extras = [pick.choice(EXTRAS)] if pick.random() < SELDOM else []
        optional = pick.random() < SELDOM
        self.notebooks[name] = Notebook(name, modules, files, globs, optional, extras)
        return name

    def of_kind(self, kind: str) -> list[str]:
        folder = {
            "open": "data/d",
            "computed": "data/computed/",
            "subprocess": "data/text/",
            "parquet": "data/tables/",
        }[kind]
        return sorted(path for path in self.files if path.startswith(folder))

    def module_text(self, module: Module) -> bytes:
        lines = [f"VALUE = {module.version}"]
        for number in module.uses:
            name = Path(self.modules[number].path).stem if number in self.modules else f"m{number}"
            how = (module.number + number) % 3 if module.layout == "src" else 0
            lines.append(
                (
                    f"from app.{name} import VALUE as v{number}",
                    f"from .{name} import VALUE as v{number}",
                    f"from . import {name} as v{number}",
                )[how]
            )
        if module.config:
            name = Path(module.config).name
            lines += ["import json", "from pathlib import Path"]
            lines.append(f"CONFIG = json.loads((Path(__file__).parent / {name!r}).read_text())")
        return ("\n".join(lines) + "\n").encode()

    def notebook_text(self, notebook: Notebook) -> bytes:
        cells = [
            code(f"version = {notebook.version}\nimport sys, importlib\nfrom pathlib import Path")
        ]
        cells.append({"cell_type": "markdown", "metadata": {}, "source": f"text {notebook.text}"})
        for number, how in notebook.modules:
            cells.append(code(self.import_text(self.modules[number], how)))
        for path, kind in notebook.files:
            cells.append(code(read_text(path, kind)))
        cells += [
            code(
                "import glob\n"
                f"print(sum(len(open(p).read()) for p in glob.glob('../../{folder}/*.csv')))"
            )
            for folder in notebook.globs
        ]
        cells += [code(extra_text(extra)) for extra in notebook.extras]
        if notebook.optional:
            cells.append(
                code(
                    "try:\n    import local_settings\nexcept ImportError:\n    pass\n"
                    "found = Path('../../data/override.json').exists()"
                )
            )
        for cell in cells:
            if cell["cell_type"] == "code":
                cell["outputs"] = [
                    {"output_type": "stream", "name": "stdout", "text": str(notebook.noise)}
                ]
                cell["execution_count"] = notebook.noise
        kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
        content = {
            "nbformat": 4,
            "nbformat_minor": 4,
            "metadata": {"kernelspec": kernel},
            "cells": cells,
        }
        return json.dumps(content, indent=1).encode()

    def import_text(self, module: Module, how: str) -> str:
        stem = Path(module.path).stem
        if module.layout == "tools":
            return f"{'%run' if how in ('from', 'path') else '!python'} ../../{module.path}"
        lines = []
        dotted = stem
        if module.layout == "src":
            dotted = f"app.{stem}"
            if how == "path":
                lines.append("sys.path.insert(0, str(Path('..') / '..' / 'src'))")
        elif module.layout == "ns":
            dotted = ".".join(Path(module.path).with_suffix("").parts[1:])
            lines.append("sys.path.append(str(Path.cwd().parent.parent / 'vendor'))")
        lines.append(
            {
                "from": f"from {dotted} import VALUE",
                "importlib": f"importlib.import_module({dotted!r})",
            }.get(how, f"import {dotted}")
        )
        return "\n".join(lines)

    def contents(self) -> dict[str, bytes]:
        found = dict(self.files)
        found |= {one.path: self.module_text(one) for one in self.modules.values()}
        found |= {name: self.notebook_text(one) for name, one in self.notebooks.items()}
        return found

    def truth(self, name: str, contents: dict[str, bytes]) -> str:
        """Hash of everything that what the notebook comes to depends on."""
        notebook = self.notebooks[name]
        cells = json.loads(contents[name])["cells"]
        parts: list[object] = [one["source"] for one in cells if one["cell_type"] == "code"]
        reached, pending = set(), [number for number, _ in notebook.modules]
        while pending:
            number = pending.pop()
            if number in reached or number not in self.modules:
                continue
            reached.add(number)
            module = self.modules[number]
            pending += module.uses
            parts += [module.path, contents[module.path]]
            if module.layout == "src" or module.uses:
                parts.append(contents.get("src/app/__init__.py"))
            if module.config:
                parts.append(contents.get(module.config))
        parts += [contents.get(path) for path, _ in notebook.files]
        for folder in notebook.globs:
            parts += [
                (path, contents[path]) for path in sorted(contents) if path.startswith(f"{folder}/")
            ]
        for extra in notebook.extras:
            parts += extra_truth(extra, contents)
        folder = str(Path(name).parent)
        if f"{folder}/conftest.py" == FIXTURE:
            parts += below("data/fixtures/", contents)
        if notebook.optional:
            parts.append(contents.get(f"{folder}/local_settings.py"))
            parts.append("data/override.json" in contents)
        parts += [contents["notebooks/conftest.py"], contents.get(f"{folder}/conftest.py")]
        parts += [contents["requirements.lock"], contents["pyproject.toml"]]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def read_by_fixtures(self, name: str) -> tuple[set[str], set[str]]:
        """Files that fixtures open and folders that they list when the notebook runs."""
        if f"{Path(name).parent}/conftest.py" != FIXTURE:
            return set(), set()
        opened = {path for path in self.files if path.startswith("data/fixtures/")}
        return {path for path in opened if path.endswith(".csv")}, {"data/fixtures"}

    def change(self) -> str:
        """One random commit; what it was."""
        ops = {
            self.edit_module: 24,
            self.edit_data: 24,
            self.edit_source: 16,
            self.edit_outputs: 10,
            self.edit_markdown: 8,
            self.edit_listed: 5,
            self.add_listed: 5,
            self.add_both: 8,
            self.add_unused: 3,
            self.rename_notebook: 4,
            self.rename_module: 5,
            self.rename_data: 5,
            self.delete_data: 3,
            self.delete_notebook: 4,
            self.edit_conftest: 2,
            self.edit_lock: 2,
            self.edit_docs: 4,
            self.edit_unknown: 2,
            self.add_optional: 3,
            self.edit_config: 5,
            self.edit_folders: 3,
            self.add_or_delete_part: 6,
            self.edit_part: 4,
            self.add_or_delete_probed: 4,
            self.add_or_delete_plugin: 3,
            self.edit_plugin: 2,
            self.add_or_delete_of_set: 4,
        }
        kind = self.random.choices(list(ops), list(ops.values()))[0]
        return f"{kind.__name__}: {kind()}"

    def _any(self, values: Iterable[T]) -> T:
        return self.random.choice(sorted(values))

    def edit_module(self) -> str:
        module = self.modules[self._any(self.modules)]
        module.version = self.next()
        return module.path

    def edit_data(self) -> str:
        kind = self.random.choice(("open", "computed", "subprocess", "parquet"))
        path = self._any(self.of_kind(kind))
        number = self.next()
        self.files[path] = parquet(number) if kind == "parquet" else f"{number}\n".encode()
        return path

    def edit_source(self) -> str:
        name = self._any(self.notebooks)
        self.notebooks[name].version = self.next()
        return name

    def edit_outputs(self) -> str:
        for name in self.random.sample(sorted(self.notebooks), 3):
            self.notebooks[name].noise = self.next()
        return "3 notebooks"

    def edit_markdown(self) -> str:
        name = self._any(self.notebooks)
        self.notebooks[name].text = self.next()
        return name

    def edit_listed(self) -> str:
        path = self._any(path for path in self.files if path.startswith("data/parts"))
        self.files[path] = f"{self.next()}\n".encode()
        return path

    def add_listed(self) -> str:
        path = f"data/parts{self.random.randrange(8)}/y{self.next()}.csv"
        self.files[path] = b"1\n"
        return path

    def add_both(self) -> str:
        """A new notebook with data of its own."""
        name, path = self.add_notebook(), f"data/d{self.next() + 1000}.csv"
        self.files[path] = b"1\n"
        self.notebooks[name].files.append((path, "open"))
        return name

    def add_unused(self) -> str:
        """A module that a notebook begins to import in the same commit."""
        number = self.next() + 1000
        self.add_module(number, self.random.choice(("src", "ns")))
        name = self._any(self.notebooks)
        self.notebooks[name].modules.append((number, "from"))
        return f"{self.modules[number].path} for {name}"

    def rename_notebook(self) -> str:
        old = self._any(self.notebooks)
        notebook = self.notebooks.pop(old)
        notebook.name = str(Path(old).with_name(f"nb{self.next()}r.ipynb"))
        self.notebooks[notebook.name] = notebook
        return f"{old} to {notebook.name}"

    def rename_module(self) -> str:
        """With everybody who imports it."""
        module = self.modules[self._any(self.modules)]
        old = module.path
        module.path = str(Path(old).with_name(f"r{self.next()}.py"))
        return f"{old} to {module.path}"

    def rename_data(self) -> str:
        old = self._any(self.of_kind("open"))
        new = f"data/d{self.next()}r.csv"
        self.files[new] = self.files.pop(old)
        for notebook in self.notebooks.values():
            notebook.files = [(new if path == old else path, how) for path, how in notebook.files]
        return f"{old} to {new}"

    def delete_data(self) -> str:
        """Who reads it fails from now on."""
        path = self._any(self.of_kind("open"))
        del self.files[path]
        return path

    def delete_notebook(self) -> str:
        name = self._any(self.notebooks)
        del self.notebooks[name]
        return name

    def edit_conftest(self) -> str:
        path = self.random.choice(
            ["notebooks/conftest.py", f"notebooks/g{self.random.randrange(FOLDERS)}/conftest.py"]
        )
        text = FIXTURE_TEXT if path == FIXTURE else ""
        self.files[path] = f"{text}# {self.next()}\n".encode()
        return path

    def edit_folders(self) -> str:
        number = self.random.randrange(2)
        self.write_config(number)
        return f"config/config{number}.json"

    def part(self) -> str:
        return self.random.choice(("alias0", "alias1", "cat0", "ls0", "fixtures"))

    def add_or_delete_part(self) -> str:
        """A file in a folder that is listed in a roundabout way."""
        folder = f"data/{self.part()}"
        there = [path for path in self.files if path.startswith(f"{folder}/x")]
        if len(there) > 1 and self.random.random() < OFTEN:
            path = self._any(there)
            del self.files[path]
            return f"{path} removed"
        path = f"{folder}/x{self.next()}.csv"
        self.files[path] = b"1\n"
        return path

    def edit_part(self) -> str:
        folder = self.part()
        path = self._any(path for path in self.files if path.startswith(f"data/{folder}/"))
        self.files[path] = f"{self.next()}\n".encode()
        return path

    def toggle(self, path: str) -> str:
        """Add a file that is not there, or remove it."""
        if path in self.files:
            del self.files[path]
            return f"{path} removed"
        self.files[path] = f"{self.next()}\n".encode()
        return path

    def add_or_delete_probed(self) -> str:
        return self.toggle(f"data/probe/{self.random.choice(PROBED)}.csv")

    def add_or_delete_plugin(self) -> str:
        path = self.toggle(f"plugins/p{self.random.randrange(6)}.py")
        if path in self.files:
            self.files[path] = f"VALUE = {self.next()}\n".encode()
        return path

    def edit_plugin(self) -> str:
        path = self._any(path for path in self.files if path.startswith("plugins/p"))
        self.files[path] = f"VALUE = {self.next()}\n".encode()
        return path

    def add_or_delete_of_set(self) -> str:
        """A file in a folder that only a configuration may name."""
        return self.toggle(f"data/set{self.random.randrange(6)}/v{self.random.randrange(3)}.csv")

    def edit_lock(self) -> str:
        self.files["requirements.lock"] = f"x=={self.next()}\n".encode()
        return "requirements.lock"

    def edit_docs(self) -> str:
        path = self.random.choice(["README.md", "docs/guide.md", "tests/test_app.py"])
        self.files[path] = f"# {self.next()}\n".encode()
        return path

    def edit_unknown(self) -> str:
        path = self.random.choice(["Makefile", ".gitlab-ci.yml", "scripts/deploy.sh"])
        self.files[path] = f"{self.next()}\n".encode()
        return path

    def add_optional(self) -> str:
        """What some notebooks use if it is there."""
        path = self.random.choice(
            ["data/override.json", f"notebooks/g{self.random.randrange(FOLDERS)}/local_settings.py"]
        )
        if path in self.files:
            del self.files[path]
            return f"{path} removed"
        self.files[path] = b"1\n"
        return path

    def edit_config(self) -> str:
        paths = [one.config for one in self.modules.values() if one.config]
        if not paths:
            return "nothing"
        path = self._any(paths)
        self.files[path] = json.dumps({"x": self.next()}).encode()
        return path


def code(source: str) -> dict[str, object]:
    return {"cell_type": "code", "metadata": {}, "source": source}


def read_text(path: str, kind: str) -> str:
    if kind == "open":
        return f"print(open('../../{path}').read())"
    stem = Path(path).stem
    if kind == "computed":
        return (
            f"name = ''.join({list(stem)!r})\n"
            "print(open(f'../../data/computed/{name}.csv').read())"
        )
    if kind == "subprocess":
        return (
            "import subprocess\n"
            f"subprocess.run(['cat', '../../data/text/' + {stem!r} + '.txt'], check=True)"
        )
    return (
        "import pyarrow.parquet\n"
        f"print(pyarrow.parquet.read_table('../../data/tables/' + {stem!r} + '.parquet').num_rows)"
    )


def extra_text(extra: str) -> str:
    """The code of what is not told by plain names."""
    if extra == "probe":
        return (
            "import os\n"
            f"for n in {list(PROBED)!r}:\n"
            "    path = os.path.join('../../data/probe', n + '.csv')\n"
            "    print(open(path).read() if os.path.exists(path) else None)"
        )
    if extra.startswith("alias"):
        return (
            "from glob import glob as find\n"
            f"print([open(path).read() for path in sorted(find('../../data/{extra}/*.csv'))])"
        )
    if extra.startswith("cat"):
        return f"!cat ../../data/{extra}/*.csv"
    if extra.startswith("ls"):
        return f"!ls ../../data/{extra}"
    if extra == "plugins":
        return (
            "sys.path.append('../..')\n"
            "import pkgutil, plugins\n"
            "for one in pkgutil.iter_modules(plugins.__path__):\n"
            "    print(importlib.import_module(f'plugins.{one.name}').VALUE)"
        )
    return (
        "import json\n"
        f"for folder in json.load(open('../../config/{extra}.json'))['folders']:\n"
        "    for n in range(3):\n"
        "        path = Path('../..') / folder / f'v{n}.csv'\n"
        "        print(path.read_text() if path.exists() else None)"
    )


def extra_truth(extra: str, contents: dict[str, bytes]) -> list[object]:
    """What that depends on."""
    if extra == "probe":
        return [contents.get(f"data/probe/{name}.csv") for name in PROBED]
    if extra == "plugins":
        return below("plugins/", contents)
    if extra.startswith("config"):
        config = contents[f"config/{extra}.json"]
        folders = json.loads(config)["folders"]
        read = [contents.get(f"{folder}/v{n}.csv") for folder in folders for n in range(3)]
        return [config, *read]
    found = below(f"data/{extra}/", contents)
    return [path for path, _ in found] if extra.startswith("ls") else list(found)


def below(folder: str, contents: dict[str, bytes]) -> list[tuple[str, bytes]]:
    return [(path, contents[path]) for path in sorted(contents) if path.startswith(folder)]


def parquet(number: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [number]}), sink)
    return sink.getvalue().to_pybytes()
