"""Exits, deaths, hangs, and threads of control that leave the cell."""

from __future__ import annotations

from tests.table.row import Row, fails, passes, raising, skipped

HANG = {"timeout": 2}

EXITS: dict[str, Row] = {
    "exit_first": fails("exit", 1, "cells 2 to 3 never ran", "exit()", "1", "2"),
    "exit_zero_first": fails("exit", 1, "sys.exit(0) ended", "exit(0)", "1"),
    "exit_one_last": fails("exit", 2, "non-zero", "1", "exit(1)"),
    "exit_last": passes("1", "exit()"),
    "exit_before_blank": passes("1", "exit()", ""),
    "exit_before_skipped": passes("1", "exit()", skipped("2")),
    "exit_in_function": fails("exit", 1, "cell 2 never ran", "def f(): exit()\nf()", "1"),
    "exit_in_skipped": passes(skipped("exit()"), "1"),
    # exit() raises nothing in Jupyter, so the tag does not excuse that the rest never ran.
    "exit_tagged": fails("exit", 1, "cell 2 never ran", raising("exit()"), "1"),
    "error_after_exit": fails("cell_error", 1, "ZeroDivision", "exit()\n1 / 0"),
    "quit_first": fails("exit", 1, "cell 2 never ran", "quit()", "1"),
    "sys_exit_zero": fails("exit", 2, "sys.exit(0)", "import sys", "sys.exit(0)", "1"),
    "sys_exit_last": passes("import sys", "sys.exit()"),
    "sys_exit_false_last": passes("import sys; sys.exit(False)"),
    "sys_exit_text": fails(
        "exit", 1, "sys.exit('no data today') ended", "import sys; sys.exit('no data today')", "1"
    ),
    "sys_exit_text_last": fails("exit", 1, "non-zero", "import sys; sys.exit('no data today')"),
    "sys_exit_empty_text_last": fails(
        "exit",
        1,
        "sys.exit('') ended the notebook with a non-zero code",
        "import sys; sys.exit('')",
    ),
    "sys_exit_zero_as_text_last": fails("exit", 1, "sys.exit('0')", "import sys; sys.exit('0')"),
    "sys_exit_none_last": passes("import sys; sys.exit(None)"),
    "sys_exit_tagged": passes(raising("import sys; sys.exit(2)"), "1"),
    "system_exit_raised": fails("exit", 1, "cell 2 never ran", "raise SystemExit", "1"),
    "system_exit_three_last": fails("exit", 1, "sys.exit(3)", "raise SystemExit(3)"),
    "system_exit_in_thread": passes(
        "import sys, threading\nt = threading.Thread(target=sys.exit)\nt.start(); t.join()", "1"
    ),
    "argparse": fails(
        "exit",
        1,
        "argparse read the kernel's own arguments",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--n')\np.parse_args()",
        "1",
    ),
    "run_script_that_exits": fails("exit", 1, "sys.exit(3)", "%run exits.py", "1"),
    "kernel_shut_down": fails(
        "exit",
        2,
        "shutting down its own kernel ended the notebook, so cells 3 to 4",
        "x = 1",
        "import IPython\nIPython.Application.instance().kernel.do_shutdown(True)",
        "x",
        "1",
    ),
    # No browser, no restart: every cell ran, in order, in one kernel.
    "kernel_restart_by_javascript": passes(
        "x = 1",
        "from IPython.display import Javascript\n"
        "display(Javascript('IPython.notebook.kernel.restart()'))",
        "x",
    ),
}

DEATHS: dict[str, Row] = {
    "os_exit": fails("kernel_died", 2, "exit code 7", "import os", "os._exit(7)", "1"),
    "os_exit_zero_last": fails("kernel_died", 1, "exit code 0", "import os; os._exit(0)"),
    "segfault": fails("kernel_died", 2, "SIGSEGV", "import ctypes", "ctypes.string_at(0)"),
    "abort": fails("kernel_died", 2, "SIGABRT", "import os", "os.abort()"),
    "sigkill": fails("kernel_died", 1, "SIGKILL", "import os; os.kill(os.getpid(), 9)", "1"),
    "sigterm": fails(
        "kernel_died",
        1,
        "SIGTERM",
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        "1",
    ),
    "alarm": fails(
        "kernel_died",
        2,
        "SIGALRM",
        "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.3)",
        "time.sleep(9)",
        "1",
    ),
    "cpu_limit": fails(
        "kernel_died",
        2,
        "SIGXCPU",
        "import resource, time\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1, 60))",
        "while True: pass",
        "1",
    ),
    "c_stack_overflow": fails(
        "kernel_died",
        2,
        "SIGSEGV",
        "import sys\nsys.setrecursionlimit(10**9)\n"
        "class A:\n    def __repr__(self): return repr([self])",
        "repr(A())",
        "1",
    ),
    "kernel_replaced": fails(
        "kernel_died", 1, "exit code 0", "import os; os.execvp('true', ['true'])", "1"
    ),
    "descriptors_closed": fails(
        "kernel_died", 1, "cell 1", "import os; os.closerange(3, 256)", "1", nbci={"timeout": 4}
    ),
    "death_tagged": fails("kernel_died", 1, "SIGABRT", raising("import os; os.abort()"), "1"),
}

HANGS: dict[str, Row] = {
    "timeout": fails("timeout", 2, "after 2 s", "1", "import time\ntime.sleep(60)", "2", nbci=HANG),
    "timeout_tagged": fails(
        "timeout", 1, "after 2 s", raising("import time; time.sleep(60)"), "1", nbci=HANG
    ),
    "cell_timeout": fails(
        "cell_timeout", 2, "1.5 s", "1", "while True: pass", nbci={"cell_timeout": 1.5}
    ),
    "interrupts_swallowed": fails(
        "timeout",
        1,
        "cell 1, line 4",
        "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except BaseException: pass",
        nbci=HANG,
    ),
    "await_without_end": fails(
        "timeout", 1, "after 2 s", "import asyncio\nawait asyncio.Event().wait()", "1", nbci=HANG
    ),
    "kernel_replaced_by_sleep": fails(
        "timeout", 1, "after 2 s", "import os; os.execvp('sleep', ['sleep', '60'])", nbci=HANG
    ),
    # IPython catches a child's SystemExit, so the child goes on as a second kernel.
    "child_that_does_not_end": fails(
        "timeout",
        1,
        "cell 1, line 4",
        "import os, sys\npid = os.fork()\nif pid == 0: sys.exit()\nos.waitpid(pid, 0)",
        nbci=HANG,
    ),
}

BESIDE: dict[str, Row] = {
    "top_level_await": passes("import asyncio\nawait asyncio.sleep(0.01)", "1"),
    "error_in_thread_only": passes(
        "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()", "1"
    ),
    "error_in_task_only": passes(
        "import asyncio\nasync def f(): 1 / 0\nt = asyncio.create_task(f())\n"
        "await asyncio.sleep(0.05)",
        "del t; import gc; gc.collect()",
    ),
    "error_in_del_only": passes("class A:\n    def __del__(self): 1 / 0\na = A(); del a", "1"),
    "error_at_exit_only": passes("import atexit\natexit.register(lambda: 1 / 0)", "1"),
    "hang_at_exit": passes("import atexit, time\natexit.register(time.sleep, 100)", "1"),
    "child_that_ends": passes(
        "import os\npid = os.fork()\nif pid == 0: os._exit(3)\nos.waitpid(pid, 0)", "1"
    ),
    "daemon_left": passes(
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import os, time; "
        "os.setsid() if not os.fork() else os._exit(0); time.sleep(600)'])"
    ),
    "daemon_left_without_environment": passes(
        "import subprocess\nsubprocess.Popen(['sleep', '600'], env={}, start_new_session=True)"
    ),
    "worker_process_died": fails(
        "cell_error",
        1,
        "A worker process crashed",
        "import os\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(1) as pool:\n    pool.submit(os.abort).result()",
        "1",
    ),
}

ROWS = {**EXITS, **DEATHS, **HANGS, **BESIDE}
