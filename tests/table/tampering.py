"""Notebooks that spoil their own process or checkout; what follows must not notice."""

from __future__ import annotations

from tests.table.row import Row, fails, passes

UNTOUCHED = "assert 'nbci' in open('pyproject.toml').read()"

ROWS: dict[str, Row] = {
    "stdout_closed": fails(
        "cell_error", 2, "closed file", "import sys\nsys.stdout.close()", "print(1)", "1"
    ),
    "stderr_closed": passes("import sys\nsys.stderr.close()", "1"),
    "descriptor_1_closed": passes("import os\nos.close(1)", "print(1)", "1"),
    "descriptor_2_closed": passes("import os\nos.close(2)", "print(1)", "1"),
    "stdout_replaced": passes("import io, sys\nsys.stdout = io.StringIO()", "print(1)", "1"),
    "get_ipython_replaced": passes("get_ipython = None", "1"),
    "print_replaced": passes("import builtins\nbuiltins.print = None", "1"),
    "open_removed": passes("import builtins\ndel builtins.open", "1"),
    "excepthook_removed": fails(
        "cell_error", 2, "ZeroDivision", "import sys\nsys.excepthook = None", "1 / 0"
    ),
    "trace_set": passes("import sys\nsys.settrace(lambda *_: None)", "1"),
    "session_begun": fails("cell_error", 1, "not permitted", "import os\nos.setsid()", "1"),
    "umask_set": passes("import os\nos.umask(0o777)", "open('x.txt', 'w').close()", "1"),
    "file_size_limited": fails(
        "cell_error",
        2,
        "File too large",
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
        "f = open('big', 'w'); f.write('x'); f.flush()",
        "1",
    ),
    "files_limited": fails(
        "cell_error",
        2,
        "Too many open files",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
        "open('pyproject.toml')",
        "1",
    ),
    "folder_left_and_removed": passes(
        "import os, tempfile\nd = tempfile.mkdtemp()\nos.chdir(d); os.rmdir(d)", "1"
    ),
    "sub/own_folder_removed": passes("import os, shutil\nshutil.rmtree(os.getcwd())", "1"),
    "sub/own_folder_removed_after": passes("import os\nassert os.listdir()"),
    "checkout_removed": passes("import os, shutil\nshutil.rmtree(os.getcwd())", "1"),
    "checkout_removed_after": passes(UNTOUCHED),
    "folder_locked": passes(
        "import os\nos.makedirs('a/b'); open('a/b/c', 'w').close()\nos.chmod('a/b', 0); os.chmod('a', 0)"
    ),
    "folder_locked_after": passes("import os\nassert not os.path.exists('a')"),
    "git_spoiled": passes(
        "import subprocess\n"
        "git = subprocess.check_output(['git', 'rev-parse', '--git-dir'], text=True).strip()\n"
        "open(git + '/index.lock', 'w').close()\nopen(git + '/HEAD', 'w').close()"
    ),
    "git_spoiled_after": passes(UNTOUCHED),
    "many_lines": passes("for i in range(20_000): print(i, flush=True)", nbci={"timeout": 120}),
    "outputs_cut_off": passes("get_ipython().kernel.iopub_thread.stop()", nbci={"timeout": 3}),
}
