"""What is due after a change: real repositories and commits, runs that only pretend."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_nbci.errors import UsageError
from pytest_nbci.selection import Readings
from tests.project import Project, notebook_json
from tests.selection.repositories import Analysed

READS = {
    "nb/a.ipynb": Readings({"data/x.csv", "src/mod.py"}, {"src"}),
    "nb/b.ipynb": Readings({"data/parts/1.csv"}, {"data/parts"}),
    "nb/c.ipynb": Readings((), ()),
}


@pytest.fixture
def passed(repo: Analysed) -> Analysed:
    """Three notebooks that passed: one reads a file and a module, one lists a folder."""
    project = repo.project
    project.notebook(
        "nb/a.ipynb",
        "import sys; sys.path.append('../src'); import mod; open('../data/x.csv')",
    )
    project.notebook("nb/b.ipynb", "1")
    project.notebook("nb/c.ipynb", "1")
    project.write("src/mod.py", "x = 1\n")
    project.write("data/x.csv", "1")
    project.write("data/parts/1.csv", "1")
    project.write("README.md", "1")
    project.write("Makefile", "1")
    project.commit()
    assert set(repo.due()) == set(READS)
    repo.passes(READS)
    assert repo.due() == {}
    return repo


def test_a_file_that_was_read_makes_its_readers_due_and_says_so(passed: Analysed):
    passed.project.write("data/x.csv", "2")
    passed.project.commit()

    assert passed.due() == {"nb/a.ipynb": "nb/a.ipynb ← data/x.csv changed"}


def test_a_changed_module_is_named_with_the_chain_that_leads_to_it(passed: Analysed):
    passed.project.write("src/mod.py", "import below\n")
    passed.project.write("src/below.py", "1")
    passed.project.commit()
    passed.passes(READS)
    passed.project.write("src/below.py", "2")
    passed.project.commit()

    assert passed.due() == {"nb/a.ipynb": "nb/a.ipynb ← src/mod.py ← src/below.py changed"}


@pytest.mark.parametrize("change", ["data/parts/2.csv", "data/parts/new/1.csv"])
def test_a_new_name_in_a_listed_folder_makes_who_lists_it_due(passed: Analysed, change: str):
    passed.project.write(change, "1")
    passed.project.commit()

    due = passed.due()

    if change.count("/") == 2:
        assert due == {"nb/b.ipynb": "nb/b.ipynb ← data/parts/ lists other files"}
    assert "nb/b.ipynb" in due


def test_a_module_beside_an_imported_one_is_no_listing(passed: Analysed):
    passed.project.write("src/other.py", "1")
    passed.project.notebook("nb/d.ipynb", "import sys; sys.path.append('../src'); import other")
    passed.project.commit()

    assert set(passed.due()) == {"nb/d.ipynb"}


def test_data_beside_an_imported_module_matter_to_nobody_who_opens_none_there(passed: Analysed):
    passed.project.notebook(
        "nb/d.ipynb", "import sys; sys.path.append('../src'); import other; open('../src/o.json')"
    )
    passed.project.write("src/other.py", "1")
    passed.project.write("src/o.json", "1")
    passed.project.commit()

    assert set(passed.due()) == {"nb/d.ipynb"}


def test_a_renamed_and_a_removed_input_make_their_readers_due(passed: Analysed):
    passed.project.git("mv", "data/x.csv", "data/z.csv")
    passed.project.commit()

    assert "nb/a.ipynb" in passed.due()

    passed.project.git("mv", "data/z.csv", "data/x.csv")
    passed.project.commit()
    assert passed.due() == {}


def test_outputs_alone_make_nothing_due(passed: Analysed):
    path = passed.project.root / "nb/a.ipynb"
    content = json.loads(path.read_text())
    content["cells"][0] |= {
        "execution_count": 3,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "new"}],
    }
    path.write_text(json.dumps(content))
    passed.project.commit()

    assert passed.due() == {}


def test_what_is_ignored_makes_nothing_due_unless_it_was_read(passed: Analysed):
    passed.project.write("README.md", "2")
    passed.project.write("tests/test_x.py", "2")
    passed.project.commit()
    assert passed.due() == {}
    passed.project.git("rm", "-q", "README.md", "nb/b.ipynb")
    passed.project.commit()
    assert passed.due() == {}
    passed.project.git("revert", "--no-edit", "HEAD")

    passed.passes()
    passed.project.write("nb/c.ipynb", json.dumps(notebook_json(["2"])))
    passed.project.commit()
    passed.passes({**READS, "nb/c.ipynb": Readings({"README.md"}, ())})
    passed.project.write("README.md", "3")
    passed.project.commit()
    assert passed.due() == {"nb/c.ipynb": "nb/c.ipynb ← README.md changed"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("Makefile", "2", "Makefile changed and belongs to nothing known"),
        ("new.cfg", "1", "new.cfg is new and belongs to nothing known"),
        ("Makefile", None, "a file is gone that belongs to nothing known"),
    ],
)
def test_a_file_that_belongs_to_nothing_known_makes_everything_due(
    passed: Analysed, name: str, text: str | None, said: str
):
    if text is None:
        passed.project.git("rm", "-q", name)
    else:
        passed.project.write(name, text)
    passed.project.commit()

    choice = passed.choose()

    assert choice.note == said
    assert all(one.due and one.why == said for one in choice.decisions)
    passed.passes(READS)
    assert passed.due() == {}


def test_new_data_that_a_new_notebook_names_makes_only_that_one_due(passed: Analysed):
    passed.project.notebook("nb/d.ipynb", "open('../data/new.csv')")
    passed.project.write("data/new.csv", "1")
    passed.project.commit()

    assert passed.due() == {"nb/d.ipynb": "it has no result yet"}


def test_what_failed_stays_due_until_it_passes(passed: Analysed):
    passed.project.write("data/x.csv", "2")
    passed.project.commit()
    passed.passes(READS, outcome="failed")
    assert passed.due()["nb/a.ipynb"].startswith("it failed on ")

    passed.project.write("README.md", "again")
    passed.project.commit()
    assert "nb/a.ipynb" in passed.due()

    passed.passes(READS)
    assert passed.due() == {}


def test_a_failure_with_the_same_inputs_makes_an_earlier_pass_worth_nothing(passed: Analysed):
    shutil.copytree(passed.project.root / ".nbci", passed.project.root.parent / "kept")
    shutil.rmtree(passed.project.root / ".nbci")
    passed.passes(READS, outcome="failed")  # a full run elsewhere
    shutil.copytree(
        passed.project.root.parent / "kept", passed.project.root / ".nbci", dirs_exist_ok=True
    )

    assert set(passed.due()) == set(READS)


def test_going_back_to_a_state_that_passed_makes_nothing_due(passed: Analysed):
    passed.project.write("src/mod.py", "x = 2\n")
    passed.project.commit()
    passed.passes(READS)
    passed.project.git("revert", "--no-edit", "HEAD")

    assert passed.due() == {}


def test_every_tracked_file_counts_where_it_is_not_known_what_was_read(passed: Analysed):
    passed.project.notebook("nb/c.ipynb", "2")
    passed.project.commit()
    passed.passes({**READS, "nb/c.ipynb": Readings((), (), is_complete=False)})
    passed.project.write("data/parts/1.csv", "2")
    passed.project.commit()

    assert passed.due()["nb/c.ipynb"] == "the repository changed, and what it reads is not known"


def test_without_observation_the_folder_of_the_notebook_counts(passed: Analysed):
    blind = Readings((), (), is_complete=False, is_possible=False)
    passed.project.notebook("nb/c.ipynb", "2")
    passed.project.write("nb/data.txt", "1")
    passed.project.commit()
    passed.passes({**READS, "nb/c.ipynb": blind})
    passed.project.write("data/x.csv", "2")
    passed.project.commit()
    assert "nb/c.ipynb" not in passed.due()

    passed.project.write("nb/data.txt", "2")
    passed.project.commit()
    assert passed.due()["nb/c.ipynb"] == "nb changed, and what it reads is not known"


def test_of_an_ignored_folder_what_a_notebook_in_it_may_list_counts(repo: Analysed):
    repo.project.notebook("docs/a.ipynb", "1")
    repo.project.write("docs/x.csv", "1")
    repo.project.commit()
    repo.passes({"docs/a.ipynb": Readings((), {"docs"})})
    repo.project.write("docs/y.csv", "1")
    repo.project.commit()

    assert repo.due() == {"docs/a.ipynb": "docs/a.ipynb ← docs/ lists other files"}


def test_data_of_the_profile_counts_by_the_name_that_was_read(repo: Analysed):
    repo.project.table('[tool.nbci.data.test]\nfiles = {"data/x.csv" = "samples/x.csv"}')
    repo.project.write("samples/x.csv", "1")
    repo.project.write(".gitignore", "big.csv")
    repo.project.write("big.csv", "1")
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    reads = {"a.ipynb": Readings({"data/x.csv"}, ())}
    repo.passes(reads)
    assert repo.due() == {}

    repo.project.write("samples/x.csv", "2")
    repo.project.commit()
    assert repo.due() == {"a.ipynb": "a.ipynb ← samples/x.csv changed"}

    repo.project.table('[tool.nbci.data.test]\nfiles = {"data/x.csv" = "big.csv"}')
    repo.project.commit()
    repo.passes(reads)
    assert repo.due() == {}
    repo.project.write("big.csv", "2")
    assert repo.due() == {"a.ipynb": "a.ipynb ← big.csv changed"}


def test_the_file_behind_a_link_and_the_link_itself_count(repo: Analysed):
    repo.project.write("v1.csv", "1")
    repo.project.write("v2.csv", "1")
    (repo.project.root / "latest.csv").symlink_to("v1.csv")
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes({"a.ipynb": Readings({"v1.csv"}, ())})

    (repo.project.root / "latest.csv").unlink()
    (repo.project.root / "latest.csv").symlink_to("v2.csv")
    repo.project.commit()

    assert repo.due()["a.ipynb"].startswith("a.ipynb ← latest.csv changed")


# -- branches, clones, bases ---------------------------------------------------------------------


def test_a_new_branch_begins_with_what_passed_on_the_default_one(passed: Analysed):
    passed.project.git("switch", "-q", "-c", "topic/x")
    assert passed.due() == {}

    passed.project.write("data/x.csv", "2")
    passed.project.commit()
    passed.passes(READS)
    assert passed.due() == {}
    passed.project.git("switch", "-q", "main")
    assert passed.due() == {}
    passed.project.git("merge", "-q", "topic/x")
    assert set(passed.due()) == {"nb/a.ipynb"}  # main's own record decides there


def test_detached_heads_force_pushes_and_rebases_need_nothing_special(passed: Analysed):
    passed.project.git("switch", "-q", "--detach")
    assert passed.due() == {}
    passed.project.git("switch", "-q", "main")
    passed.project.git("commit", "-q", "--amend", "-m", "other words")
    assert passed.due() == {}
    passed.project.git("switch", "-q", "--orphan", "new")
    passed.project.git("checkout", "main", "--", ".")
    passed.project.commit()
    assert passed.due() == {}


def test_the_merged_result_of_a_merge_request_begins_with_what_its_branch_passed(
    passed: Analysed, monkeypatch: pytest.MonkeyPatch
):
    project = passed.project
    project.git("switch", "-q", "-c", "topic")
    project.write("data/x.csv", "2")
    project.commit()
    passed.passes(READS)
    project.git("switch", "-q", "main")
    project.write("data/parts/1.csv", "2")
    project.commit()
    project.git("switch", "-q", "--detach")
    project.git("merge", "-q", "--no-edit", "topic")
    monkeypatch.setenv("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "topic")

    assert passed.due() == {"nb/b.ipynb": "nb/b.ipynb ← data/parts/1.csv changed"}


def test_a_renamed_notebook_is_new_and_the_others_do_not_care(passed: Analysed):
    passed.project.git("mv", "nb/c.ipynb", "nb/e.ipynb")
    passed.project.git("mv", "nb/a.ipynb", "a.ipynb")
    passed.project.commit()

    assert passed.due() == dict.fromkeys(("a.ipynb", "nb/e.ipynb"), "it has no result yet")


@pytest.mark.parametrize("folder", ["local", "tests/data"])
def test_a_folder_that_a_fixture_laid_counts_by_its_names_and_files(repo: Analysed, folder: str):
    """One that is not in git, in a repository below the temporary folder, and one that is."""
    laid = repo.project.write(f"{folder}/1.csv", "1")
    repo.project.notebook("a.ipynb", "import glob; glob.glob('E/data/*')")
    repo.project.notebook("b.ipynb", "1")
    repo.project.write(".gitignore", "local/\n")
    repo.project.commit()
    sources = {"E/data/1.csv": laid}
    read = Readings({"E/data/1.csv"}, {"E/data"}, laid=sources, laid_folders=[laid.parent])
    repo.passes({"a.ipynb": read})

    laid.write_text("changed")
    repo.project.commit()
    assert set(repo.due()) == {"a.ipynb"}
    laid.write_text("1")
    repo.project.commit()
    assert repo.due() == {}
    repo.project.write(f"{folder}/2.csv", "1")
    repo.project.commit()

    assert set(repo.due()) == {"a.ipynb"}


def test_data_with_names_that_are_no_utf_8_and_no_ascii_count(repo: Analysed):
    names = ["daten/größe.csv", "daten/na\udcefve.csv", "daten/日本\n.csv"]
    for number, name in enumerate(names):
        repo.project.write(name, "1")
        repo.project.notebook(f"{number}.ipynb", "import os; os.listdir('daten')")
    repo.project.commit()
    repo.passes(
        {f"{number}.ipynb": Readings({name}, {"daten"}) for number, name in enumerate(names)}
    )
    assert repo.due() == {}

    for number, name in enumerate(names):
        repo.project.write(name, "2")
        repo.project.commit()
        assert set(repo.due()) == {f"{one}.ipynb" for one in range(number + 1)}

    repo.project.write("daten/\udcff.csv", "1")
    repo.project.commit()
    assert len(repo.due()) == len(names)


@pytest.mark.parametrize("depth", [1, 20])
def test_a_shallow_clone_is_as_good_as_a_whole_one(passed: Analysed, tmp_path: Path, depth: int):
    passed.project.write("data/x.csv", "2")
    passed.project.commit()
    clone = tmp_path / "clone"
    passed.project.git(
        "clone", "-q", f"--depth={depth}", f"file://{passed.project.root}", str(clone)
    )
    shutil.copytree(passed.project.root / ".nbci", clone / ".nbci")

    assert Analysed(Project(clone)).due() == {"nb/a.ipynb": "nb/a.ipynb ← data/x.csv changed"}


def test_a_worktree_is_as_good_as_the_clone(passed: Analysed, tmp_path: Path):
    passed.project.git("worktree", "add", "-q", "-b", "w", str(tmp_path / "w"))
    shutil.copytree(passed.project.root / ".nbci", tmp_path / "w" / ".nbci")

    assert Analysed(Project(tmp_path / "w")).due() == {}


def test_with_a_base_what_is_the_same_there_is_left_out(repo: Analysed):
    for name in ("a", "b"):
        repo.project.notebook(f"nb/{name}.ipynb", f"import {name}")
        repo.project.write(f"nb/{name}.py", "x = 1")
    repo.project.commit()
    base = repo.project.git("rev-parse", "HEAD").strip()
    repo.project.write("nb/a.py", "x = 2")
    repo.project.write("README.md", "2")
    repo.project.commit()

    choice = repo.choose(reference=base)

    assert {one.notebook: (one.due, one.why) for one in choice.decisions} == {
        "nb/a.ipynb": (True, "it has no result yet"),
        "nb/b.ipynb": (False, f"unchanged since {base}"),
    }
    repo.project.write("docs/data.csv", "1")
    repo.project.commit()
    assert all(one.due for one in repo.choose(reference=base).decisions)


@pytest.mark.parametrize(
    "source",
    [
        *("exec(text)", "import os; os.listdir(where)", "!make all"),
        *("print(open(f'../src/{name}.py'))", "import joblib", "pd.read_pickle('x')"),
        "from hydra.utils import instantiate; instantiate(conf)",
    ],
)
def test_a_base_excuses_nobody_who_may_find_a_module_that_changed(repo: Analysed, source: str):
    repo.project.notebook("nb/a.ipynb", source)
    repo.project.notebook("nb/b.ipynb", "1")
    repo.project.write("src/mod.py", "x = 1")
    repo.project.commit()
    base = repo.project.git("rev-parse", "HEAD").strip()
    repo.project.write("src/mod.py", "x = 2")
    repo.project.commit()

    choice = repo.choose(reference=base)

    assert {one.notebook for one in choice.decisions if one.due} == {"nb/a.ipynb"}


@pytest.mark.parametrize("name", ["nope", "-x", "--all", "--since=2020"])
def test_a_base_that_is_no_commit_is_a_usage_error(repo: Analysed, name: str):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()

    with pytest.raises(UsageError, match=f"The base '{name}' is not a commit"):
        repo.choose(reference=name)


def test_a_base_that_a_shallow_clone_lacks_is_said_and_not_used(passed: Analysed, tmp_path: Path):
    old = passed.project.git("rev-parse", "HEAD").strip()
    passed.project.commit()
    clone = tmp_path / "clone"
    passed.project.git("clone", "-q", "--depth=1", f"file://{passed.project.root}", str(clone))
    there = Analysed(Project(clone))
    selector = there.selector()
    analysis = there.analysis()

    choice = selector.choose(analysis, there.repository.notebooks(), reference=old)

    analysis.sources.close()
    assert all(one.due for one in choice.decisions)
    assert f"the base {old} is not in this clone" in selector.problems


def test_a_submodule_counts_by_its_own_files(repo: Analysed, tmp_path: Path):
    inner = Project.create(tmp_path / "inner")
    inner.write("data.csv", "1")
    inner.commit()
    repo.project.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "sub"
    )
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    ran = subprocess.run(
        ["git", "-C", repo.project.root / "sub", "status"], check=True, capture_output=True
    )
    assert ran.returncode == 0
    first = repo.choose()

    assert [one.due for one in first.decisions] == [True]
    repo.passes({"a.ipynb": Readings({"sub"}, ())})
    assert repo.due() == {}
    inner.write("data.csv", "2")
    inner.commit()
    repo.project.git("-C", "sub", "pull", "-q")
    repo.project.commit()
    assert repo.due() == {"a.ipynb": "a.ipynb ← sub changed"}


# -- many sessions -------------------------------------------------------------------------------


def test_sessions_that_end_at_the_same_moment_lose_nothing(repo: Analysed):
    names = [f"n{number}.ipynb" for number in range(6)]
    for name in names:
        repo.project.notebook(name, name.removesuffix(".ipynb"))
    repo.project.commit()
    analysis = repo.analysis()
    from pytest_nbci.records import Record, utc_now
    from pytest_nbci.selection import gather
    from tests.selection.repositories import new_name

    selectors = [repo.selector() for _ in names]
    for selector in selectors:  # all read before the first one writes
        selector.choose(analysis, names)
    for selector, name in zip(selectors, names, strict=True):
        evidence = gather(analysis, name, Readings((), ()))
        record = Record("s", "p", name, "passed", started_at=utc_now())
        record = dataclasses.replace(
            record, fingerprint=evidence.basis.fingerprint, depends_on=evidence.to_plain()
        )
        selector.write(analysis, new_name(), [record])
    analysis.sources.close()

    assert repo.due() == {}


def test_old_files_of_the_results_folder_are_cleared_away(repo: Analysed):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    for number in range(30):
        repo.project.notebook("a.ipynb", str(number))
        repo.project.commit()
        repo.passes()

    assert repo.due() == {}
    kept = list((repo.project.root / ".nbci/results/p/_passed/main").iterdir())
    assert len(kept) <= 22


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": "9.0"}', b"[]"])
def test_a_file_that_cannot_be_read_is_as_if_it_were_not_there(passed: Analysed, content: bytes):
    for path in (passed.project.root / ".nbci/results/p/_passed/main").iterdir():
        path.write_bytes(content)

    assert set(passed.due()) == set(READS)


def test_a_store_that_is_away_leaves_what_is_here(passed: Analysed, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    selector = passed.selector()
    selector._destination = dataclasses.replace(
        selector._destination, store_url="s3://bucket", store_origin="here"
    )
    analysis = passed.analysis()

    choice = selector.choose(analysis, passed.repository.notebooks())

    analysis.sources.close()
    assert not any(one.due for one in choice.decisions)
    assert any("s3://bucket could not be" in problem for problem in selector.problems)


def test_an_environment_with_an_editable_install_of_the_repository_is_the_same_after_a_commit(
    tmp_path: Path,
):
    from pytest_nbci.selection.environment import installed_packages

    site = tmp_path / "site"
    top = tmp_path / "repo"

    def install(name: str, url: str | None) -> None:
        (site / name).mkdir(parents=True)
        if url is not None:
            (site / name / "direct_url.json").write_text(json.dumps({"url": url}))

    install("numpy-2.0.dist-info", None)
    install("app-0.1.dev1.dist-info", f"file://{top}")
    before = installed_packages(top, [str(site)])
    (site / "app-0.1.dev1.dist-info").rename(site / "app-0.1.dev2.dist-info")
    assert installed_packages(top, [str(site)]) == before
    (site / "numpy-2.0.dist-info").rename(site / "numpy-2.1.dist-info")
    assert installed_packages(top, [str(site)]) != before
