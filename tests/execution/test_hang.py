"""A notebook that hangs: where, also in C code, in a module of the repository, or stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import Project, Ran

LIMIT = {"metadata": {"nbci": {"timeout": 2}}}


@pytest.fixture(scope="module")
def ran(shared_project: Project) -> Ran:
    project = shared_project
    project.write("lib/slow.py", "import time\n\n\ndef wait():\n    time.sleep(60)\n")
    project.notebook(
        "module.ipynb",
        "import sys; sys.path.insert(0, 'lib')",
        "import slow\n\nslow.wait()",
        **LIMIT,
    )
    project.notebook(
        "threads.ipynb",
        "import threading, queue\ndef consume(q):\n    q.get()",
        "thread = threading.Thread(target=consume, args=(queue.Queue(),), daemon=True)\n"
        "thread.start()\n"
        "thread.join()",
        **LIMIT,
    )
    # ctypes.PyDLL holds the interpreter's lock, as many a C extension does.
    project.notebook("lock.ipynb", "import ctypes", "1\nctypes.PyDLL(None).sleep(60)", **LIMIT)
    project.notebook("busy.ipynb", "n = 0\nwhile True:\n    n += 1", **LIMIT)
    project.notebook(
        "stopped.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", **LIMIT
    )
    project.commit()
    return project.pytest()


def test_every_one_of_them_is_a_timeout(ran: Ran):
    assert ran.outcomes == {"failed": 5}
    for name in ("module", "threads", "lock", "busy", "stopped"):
        record = ran.record(f"{name}.ipynb")
        assert record.cause == "timeout"
        assert record.duration_s < 12


def test_the_sentence_says_where_the_kernel_hung(ran: Ran):
    record = ran.record("module.ipynb")
    assert "cell 2 (slow.wait())" in record.message
    assert record.message.endswith("it was waiting at lib/slow.py, line 5 in wait.")
    assert [(frame.file, frame.line) for frame in record.error.frames] == [
        ("cell 2", 3),
        ("lib/slow.py", 5),
    ]
    assert "it was waiting at lib/slow.py, line 5 in wait" in ran.out
    assert "it was computing at cell 1, line " in ran.record("busy.ipynb").message


def test_all_threads_of_the_notebook_are_told_and_none_of_the_kernels(ran: Ran):
    stack = ran.record("threads.ipynb").stack
    assert stack.startswith("main thread, innermost call first:\n")
    assert stack.count("thread, innermost call first:") == 2
    assert "cell 1, line 3 in consume" in stack
    assert "  cell 2, line 3 in <module>" in stack
    assert "iostream" not in stack
    assert "runpy" not in stack


def test_a_hang_in_c_code_that_holds_the_lock_is_told_too(ran: Ran):
    assert "at cell 2, line 2 in <module>" in ran.record("lock.ipynb").message


def test_a_stopped_kernel_is_said_to_be_stopped(ran: Ran):
    record = ran.record("stopped.ipynb")
    assert record.message.endswith("this cell was running; it was stopped by a signal.")
    assert record.stack == ""


def test_the_page_shows_the_stack(ran: Ran):
    page = Path(ran.session_folder, "module.ipynb.html").read_text()
    assert "Where the kernel hung" in page
    assert "lib/slow.py, line 5 in wait" in page
