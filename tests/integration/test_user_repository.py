"""The user's repository is read and never written; a notebook sees what git knows, as it is now."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project, Ran

QUIET = {"PYTHONDONTWRITEBYTECODE": "1"}
NO_CACHE = ("-p", "no:cacheprovider")

# Prints every file below the repository's top: mode and bytes, or where a link points.
LIST = """
import json, os, pathlib, subprocess
top = os.getcwd()
while not os.path.exists(os.path.join(top, '.git')): top = os.path.dirname(top)
found = {}
for folder, folders, names in os.walk(os.fsencode(top)):
    if b'.git' in folders: folders.remove(b'.git')
    links = [f for f in folders if os.path.islink(os.path.join(folder, f))]
    if not folders and not names: names = [b'']
    for name in names + links:
        path = os.path.join(folder, name)
        key = os.path.relpath(path, os.fsencode(top)).decode('latin-1')
        if os.path.islink(path): found[key] = ['link', os.readlink(path).decode('latin-1')]
        elif os.path.isdir(path): found[key] = ['empty', '']
        else: found[key] = [oct(os.stat(path).st_mode & 0o111), open(path, 'rb').read().decode('latin-1')]
print(json.dumps(found))
"""


def listed(ran: Ran, name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(ran.text_of(name))
    return found


def as_tracked(project: Project) -> dict[str, list[str]]:
    """What LIST must print: the working tree's tracked files that exist."""
    found = {}
    for raw in project.git("ls-files", "-z").split("\0")[:-1]:
        path = project.root / raw
        key = os.fsencode(raw).decode("latin-1")
        if path.is_symlink():
            found[key] = ["link", os.fsencode(path.readlink()).decode("latin-1")]
        elif path.exists():
            executable = oct(0o111) if path.stat().st_mode & 0o100 else oct(0)
            found[key] = [executable, path.read_bytes().decode("latin-1")]
    return found


HOSTILE: Mapping[str, str] = {
    "a_files": """
import os, pathlib, shutil
st = os.stat('data/train.csv')
with open('data/train.csv', 'r+b') as f: f.write(b'X')
os.utime('data/train.csv', ns=(st.st_atime_ns, st.st_mtime_ns))
os.chmod('data/mode.sh', 0o777)
os.remove('data/gone.txt')
shutil.rmtree('package')
os.mkdir('package'); os.mkdir('package/__init__.py')
pathlib.Path('new.txt').write_text('new')
pathlib.Path('out').mkdir(); pathlib.Path('out/ignored.log').write_text('ignored')
pathlib.Path('.gitignore').write_text('*')
pathlib.Path('.gitattributes').write_text('* text eol=crlf')
os.mkdir('closed'); pathlib.Path('closed/x').write_text('x'); os.chmod('closed', 0)
os.chmod('data', 0)
pathlib.Path('link_to_data').unlink(); os.symlink('/etc', 'link_to_data')
pathlib.Path('b_witness.ipynb').write_text('{}')
here = os.getcwd()
for _ in range(600):
    os.mkdir('d' * 100); os.chdir('d' * 100)
os.chdir(here)
""",
    "c_git": """
import os, pathlib, subprocess
def git(*a): return subprocess.run(['git', '-c', 'user.name=E', '-c', 'user.email=e@x', *a], check=True, capture_output=True, text=True).stdout
pathlib.Path('data/train.csv').write_text('committed')
git('add', '-A'); git('commit', '-qm', 'evil')
git('branch', 'evil'); git('tag', 'evil-tag')
git('config', 'user.name', 'Evil'); git('config', 'core.autocrlf', 'true')
git('update-index', '--assume-unchanged', 'data/mode.sh')
pathlib.Path('data/mode.sh').write_text('changed')
git('gc', '-q', '--prune=now')
git('reflog', 'expire', '--expire=now', '--all')
hook = pathlib.Path('.git/hooks/post-checkout'); hook.parent.mkdir(exist_ok=True)
hook.write_text('#!/bin/sh\\ntouch ' + os.environ['HOOKED']); hook.chmod(0o755)
pathlib.Path('.git/info').mkdir(exist_ok=True); pathlib.Path('.git/info/exclude').write_text('*')
""",
    "e_nested": """
import os, pathlib, shutil, subprocess
subprocess.run(['git', 'init', '-q', 'inner'], check=True)
pathlib.Path('inner/file').write_text('x')
shutil.rmtree('.git')
os.symlink('/nowhere', '.git')
""",
    "g_lock": """
import os, pathlib
for name in ('index.lock', 'HEAD.lock', 'config.lock'): pathlib.Path('.git', name).touch()
pathlib.Path('.git/index').write_text('broken')
pathlib.Path('.git/HEAD').write_text('broken')
""",
}
WITNESS_GIT = """
import subprocess
def git(*a): return subprocess.run(['git', *a], check=True, capture_output=True, text=True).stdout
print([git('log', '--format=%s', '--all'), git('status', '--porcelain'), git('branch', '--list'), git('tag'), git('config', 'user.name'), git('remote')])
"""


@pytest.fixture(scope="module")
def attacked(shared_project: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    project = shared_project
    for name, source in HOSTILE.items():
        project.notebook(f"{name}.ipynb", source)
    for name in ("b_witness", "d_witness", "f_witness", "h_witness"):
        project.notebook(f"{name}.ipynb", LIST, WITNESS_GIT)
    project.write("data/train.csv", "a,b\n1,2\n")
    project.write("data/mode.sh", "#!/bin/sh\n")
    project.write("data/gone.txt", "gone\n")
    project.write("package/__init__.py", "x = 1\n")
    project.write(".gitignore", "out/\n*.secret\n")
    (project.root / "link_to_data").symlink_to("data")
    project.commit("The only one")
    project.git("status")
    before = project.state()
    hooked = tmp_path_factory.mktemp("hook") / "ran"
    temporary = tmp_path_factory.mktemp("t")
    ran = project.pytest(*NO_CACHE, HOOKED=str(hooked), TMPDIR=str(temporary), **QUIET)
    after = project.state()
    return {
        "project": project,
        "ran": ran,
        "before": before,
        "after": after,
        "hooked": hooked,
        "left": list(temporary.iterdir()),
    }


def test_every_attack_and_every_witness_passes(attacked: dict[str, Any]):
    assert attacked["ran"].outcomes == {"passed": 8}, attacked["ran"].out


def test_the_users_files_and_git_folder_keep_their_bytes(attacked: dict[str, Any]):
    before, after = attacked["before"], attacked["after"]

    assert set(after) == set(before)
    assert [name for name in before if before[name] != after[name]] == []
    assert attacked["project"].git("status", "--porcelain", "--ignored") == "!! .nbci/\n"
    assert not attacked["hooked"].exists()


def test_nothing_is_left_in_the_temporary_folder(attacked: dict[str, Any]):
    assert [path.name for path in attacked["left"] if path.name.startswith("nbci-")] == []


@pytest.mark.parametrize("witness", ["b_witness", "d_witness", "f_witness", "h_witness"])
def test_what_a_notebook_did_is_not_seen_by_the_next(attacked: dict[str, Any], witness: str):
    ran: Ran = attacked["ran"]
    first, second = ran.executed(f"{witness}.ipynb")["cells"]

    files = json.loads("".join(first["outputs"][0]["text"]))
    assert files == as_tracked(attacked["project"])
    said = "".join(second["outputs"][0]["text"])
    assert said == str(["The only one\n", "", "* main\n", "", "Ada Lovelace\n", "origin\n"]) + "\n"


@pytest.fixture(scope="module")
def seen(shared_project: Project) -> dict[str, Any]:
    """A working tree in every state that git tells apart, and what a notebook saw of it."""
    project = Project.create(shared_project.root.parent / "states" / "project")
    project.notebook("sub/look.ipynb", LIST)
    for name in ("same", "edited", "deleted", "staged", "staged_then_edited", "uncached", "moved"):
        project.write(f"{name}.txt", f"{name} old\n")
    project.write(".gitignore", "*.secret\n/cache/\n")
    project.write(".gitattributes", "*.dos text eol=crlf\n*.bin binary\n*.unix text eol=lf\n")
    project.write("a.dos", "one\r\ntwo\r\n")
    project.write("a.bin", b"\x00\r\n\n\xff")
    project.write("a.unix", "one\ntwo\n")
    project.write("mixed.txt", "one\r\ntwo\n")
    project.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    project.write("line\nbreak.txt", "x")
    project.write("ünï çödé.txt", "x")
    (project.root / "linked").symlink_to("sub")
    (project.root / "dangling").symlink_to("/nowhere/at/all")
    project.write("kept.secret", "tracked though ignored")
    project.git("add", "-f", "kept.secret")
    project.commit()
    project.write("edited.txt", "edited new\n")
    (project.root / "deleted.txt").unlink()
    project.write("staged.txt", "staged new\n")
    project.write("added.txt", "added\n")
    project.write("staged_then_edited.txt", "staged\n")
    project.git("add", "staged.txt", "added.txt", "staged_then_edited.txt")
    project.write("staged_then_edited.txt", "edited after\n")
    project.git("rm", "-q", "--cached", "uncached.txt")
    project.git("mv", "moved.txt", "moved2.txt")
    project.write("intent.txt", "intent\n")
    project.git("add", "-N", "intent.txt")
    project.write("untracked.txt", "untracked\n")
    project.write("password.secret", "secret\n")
    project.write("cache/big.txt", "cache\n")
    (project.root / "run.sh").chmod(0o755)
    before, status = project.state(), project.git("status", "--porcelain")
    before = project.state()
    ran = project.pytest(*NO_CACHE, **QUIET)
    return {
        "project": project,
        "ran": ran,
        "before": before,
        "after": project.state(),
        "status": status,
    }


def test_the_notebook_sees_tracked_files_as_they_are_in_the_working_tree(seen: dict[str, Any]):
    assert seen["ran"].outcomes == {"passed": 1}
    files = listed(seen["ran"], "sub/look.ipynb")

    assert files == as_tracked(seen["project"])
    assert files["edited.txt"][1] == "edited new\n"
    assert files["staged.txt"][1] == "staged new\n"
    assert files["staged_then_edited.txt"][1] == "edited after\n"
    assert files["added.txt"][1] == "added\n"
    assert files["intent.txt"][1] == "intent\n"
    assert files["a.dos"][1] == "one\r\ntwo\r\n"
    assert files["mixed.txt"][1] == "one\r\ntwo\n"
    assert files["run.sh"][0] == "0o111"
    assert files["linked"] == ["link", "sub"]
    assert "line\nbreak.txt" in files
    assert files["kept.secret"][1] == "tracked though ignored"


@pytest.mark.parametrize(
    "name",
    [
        "deleted.txt",
        "uncached.txt",
        "moved.txt",
        "untracked.txt",
        "password.secret",
        "cache/big.txt",
    ],
)
def test_what_git_does_not_know_or_ignores_is_not_there(seen: dict[str, Any], name: str):
    assert name not in listed(seen["ran"], "sub/look.ipynb")


def test_the_index_and_the_status_stay(seen: dict[str, Any]):
    assert seen["before"] == seen["after"]
    assert seen["project"].git("status", "--porcelain") == seen["status"]
    assert seen["ran"].record("sub/look.ipynb").dirty


def test_a_line_ending_setting_of_the_clone_is_kept(project: Project):
    project.git("config", "core.autocrlf", "true")
    project.write("a.txt", "one\r\ntwo\r\n")
    project.notebook("look.ipynb", "print(repr(open('a.txt', newline='').read()))")
    project.commit()

    ran = project.pytest()

    assert ran.text_of("look.ipynb") == "'one\\r\\ntwo\\r\\n'\n"
    assert not ran.record("look.ipynb").dirty


IMPORT = """
import os, subprocess, sys
import mine
top = os.getcwd()
while not os.path.exists(os.path.join(top, '.git')): top = os.path.dirname(top)
inside = lambda path: os.path.realpath(path).startswith(os.path.realpath(top) + os.sep)
child = subprocess.run([sys.executable, '-c', 'import mine; print(mine.__file__)'], capture_output=True, text=True, check=True)
print(mine.VALUE, inside(mine.__file__), inside(child.stdout.strip()), repr(child.stderr))
"""


@pytest.mark.parametrize("kind", ["plain", "trailing slash", "through a link", "with a stranger"])
def test_an_editable_install_is_imported_from_the_checkout(project: Project, kind: str):
    project.write("src/mine.py", "VALUE = 'old'\n")
    project.notebook("sub/use.ipynb", IMPORT)
    project.commit()
    project.write("src/mine.py", "VALUE = 'edited'\n")
    link = project.root.parent / "link"
    link.symlink_to(project.root)
    stranger = project.root.parent / f"{project.root.name}-other"
    (stranger / "src").mkdir(parents=True)
    (stranger / "src/foreign.py").write_text("")
    src = project.root / "src"
    value = {
        "plain": str(src),
        "trailing slash": f"{src}/",
        "through a link": str(link / "src"),
        "with a stranger": f"{stranger / 'src'}{os.pathsep}{src}",
    }[kind]

    ran = project.pytest(PYTHONPATH=value, **QUIET)

    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("sub/use.ipynb") == "edited True True ''\n"


FINDER = """
import importlib.machinery, importlib.util, sys
MAPPING = {{'mine': {mine!r}}}

class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in MAPPING:
            return importlib.util.spec_from_file_location(name, MAPPING[name] + '.py')

def install():
    sys.meta_path.append(Finder)
"""


@pytest.mark.parametrize("kind", ["path", "import hook"])
def test_what_a_pth_file_installs_comes_from_the_checkout(
    project: Project, tmp_path: Path, kind: str
):
    """As ``pip install -e`` does it; a sitecustomize adds the folder, so no venv is needed."""
    project.write("src/mine.py", "VALUE = 'here'\n")
    project.notebook("use.ipynb", IMPORT)
    project.commit()
    site = tmp_path / "site"
    site.mkdir()
    src = project.root / "src"
    (site / "sitecustomize.py").write_text(
        "import os, site; site.addsitedir(os.path.dirname(__file__))\n"
    )
    line = f"{src}" if kind == "path" else "import __editable___mine_finder as f; f.install()"
    (site / "__editable__.mine.pth").write_text(f"{line}\n")
    (site / "__editable___mine_finder.py").write_text(FINDER.format(mine=str(src / "mine")))

    ran = project.pytest(PYTHONPATH=str(site), **QUIET)

    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("use.ipynb") == "here True True ''\n"


def test_a_notebook_named_twice_a_read_only_tree_and_a_deep_folder_are_no_trouble(project: Project):
    deep = "/".join(["folder" * 5] * 20)
    project.notebook(f"{deep}/train.ipynb", "print(1)")
    project.commit()

    ran = project.pytest(f"{deep}/train.ipynb", f"{deep}/train.ipynb")

    assert ran.outcomes == {"passed": 1}
    assert ran.record(f"{deep}/train.ipynb").outcome == "passed"


GIT_INSIDE = """
import os, pathlib, subprocess
pathlib.Path('made.txt').write_text('x')
def git(*a): return subprocess.run(['git', '-c', 'user.name=E', '-c', 'user.email=e@x', *a], check=True, capture_output=True, text=True).stdout
git('add', '-A'); git('commit', '-qm', 'evil')
print(git('rev-parse', '--show-toplevel').strip() == os.getcwd())
"""


def test_an_absolute_link_into_the_users_tree_leads_into_the_checkout(project: Project):
    project.write("real/data.txt", "old")
    project.write(".gitignore", "/secret/\n")
    project.write("secret/key.txt", "key")
    (project.root / "data").symlink_to(project.root / "real")
    (project.root / "file.txt").symlink_to(project.root / "real/data.txt")
    (project.root / "hidden").symlink_to(project.root / "secret")
    write = "import os\nprint(open('file.txt').read(), os.path.exists('hidden/key.txt'))\nopen('data/data.txt', 'w').write('CHANGED')"
    project.notebook("a.ipynb", write)
    project.notebook("b.ipynb", write)
    project.commit()
    before = project.state()

    ran = project.pytest(*NO_CACHE, **QUIET)

    assert ran.outcomes == {"passed": 2}, ran.out
    assert ran.text_of("a.ipynb") == ran.text_of("b.ipynb") == "old False\n"
    assert project.state() == before


def test_a_git_hooks_environment_leads_nobody_into_the_users_repository(project: Project):
    project.notebook("git.ipynb", GIT_INSIDE)
    project.commit("Mine")
    git = project.root / ".git"
    before = project.state()

    ran = project.pytest(
        *NO_CACHE,
        GIT_DIR=str(git),
        GIT_WORK_TREE=str(project.root),
        GIT_INDEX_FILE=str(git / "index"),
        **QUIET,
    )

    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("git.ipynb") == "True\n"
    assert project.state() == before
    commit = ran.record("git.ipynb").commit
    assert commit is not None
    assert commit.message == "Mine\n"


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away; run as root, as CI does"
)
def test_a_repository_of_another_owner_is_run(project: Project):
    """In containers the checkout often belongs to somebody else, which git refuses by default."""
    project.notebook("git.ipynb", "import subprocess; subprocess.run(['git', 'log'], check=True)")
    project.commit("Mine")
    for path in (project.root, *project.root.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)

    ran = project.pytest()

    assert ran.outcomes == {"passed": 1}, ran.out
    commit = ran.record("git.ipynb").commit
    assert commit is not None
    assert (commit.message, commit.author) == ("Mine\n", "Ada Lovelace")


def test_a_filter_of_the_clone_is_applied_and_a_shallow_clone_is_enough(project: Project):
    """nbstripout and Git LFS are such filters."""
    origin = Project.create(project.root.parent / "origin")
    origin.write(".gitattributes", "*.up filter=up\n")
    origin.write("a.up", "HELLO\n")
    origin.notebook("read.ipynb", "print(open('a.up').read(), open('b.up').read())")
    origin.write("b.up", "WORLD\n")
    origin.commit("one")
    origin.commit("two")
    clone = Project(project.root.parent / "clone")
    project.git(
        "clone", "-q", "--depth=1", "--no-checkout", f"file://{origin.root}", str(clone.root)
    )
    for name, command in (("clean", "tr a-z A-Z"), ("smudge", "tr A-Z a-z"), ("required", "true")):
        clone.git("config", f"filter.up.{name}", command)
    clone.git("checkout", "-q", "main")
    clone.write("b.up", "edited\n")

    ran = clone.pytest()

    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("read.ipynb") == "hello\n edited\n\n"


def test_a_temporary_folder_inside_the_repository_is_not_used(project: Project):
    project.notebook("where.ipynb", "import os; print(os.getcwd())")
    project.commit()
    (project.root / "tmp").mkdir()

    ran = project.pytest(TMPDIR=str(project.root / "tmp"))

    assert not ran.text_of("where.ipynb").startswith(str(project.root))
    assert list((project.root / "tmp").iterdir()) == []
