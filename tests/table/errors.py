"""Errors of every kind: raised, shown, left to a magic, asked of a person, and diagnosed."""

from __future__ import annotations

from tests.table.row import Row, fails, passes, raising, skipped

BAD_REPR = "class A:\n    def __repr__(self): raise RuntimeError('not shown')"

RAISED: dict[str, Row] = {
    "raises": fails("cell_error", 2, "ZeroDivisionError", "x = 1", "1 / 0", "print(3)"),
    "raises_in_function": fails("cell_error", 2, "f(0)", "def f(a):\n    return 1 / a", "f(0)"),
    "raises_in_module": fails("cell_error", 1, "in helper.py line 2", "import helper\nhelper.f(0)"),
    "raises_in_script": fails("cell_error", 1, "in raises.py line 1", "%run raises.py", "1"),
    "raises_in_capture": fails("cell_error", 1, "ZeroDivision", "%%capture\n1 / 0", "1"),
    "raises_in_time": fails("cell_error", 1, "ZeroDivision", "%%time\n1 / 0", "1"),
    "syntax_error": fails("cell_error", 1, "incomplete input (line 1)", "x = ("),
    "syntax_error_in_module": fails(
        "cell_error", 1, "(broken_module.py, line 2).", "import broken_module", "1"
    ),
    "indentation": fails("cell_error", 1, "unexpected indent (line 1)", "  x = 1\n y = 2", "1"),
    "nul_in_source": fails("cell_error", 1, "null bytes", "x = '\0'", "1"),
    "return_outside": fails("cell_error", 1, "outside function (line 1)", "return 1", "1"),
    "python_2": fails(
        "cell_error",
        1,
        "written for Python 2",
        "print 'hello'",
        kernel="python2",
        language="python2",
    ),
    "empty_message": fails("cell_error", 1, "ValueError.", "raise ValueError"),
    "assertion": fails("cell_error", 1, "one is not", "assert 1 == 2, 'one is not two'"),
    "keyboard_interrupt": fails("cell_error", 1, "KeyboardInterrupt", "raise KeyboardInterrupt"),
    "interrupt_signal": fails(
        "cell_error",
        1,
        "KeyboardInterrupt",
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(1)",
        "1",
    ),
    "base_exception": fails("cell_error", 1, "BaseException: base", "raise BaseException('base')"),
    "exception_group": fails(
        "cell_error",
        1,
        "several (2 sub-",
        "raise ExceptionGroup('several', [OSError(), OSError()])",
    ),
    "caused_by_another": fails(
        "cell_error",
        1,
        "RuntimeError: second",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n"
        "    raise RuntimeError('second') from error",
    ),
    "recursion": fails(
        "cell_error",
        2,
        "RecursionError",
        "import sys\nsys.setrecursionlimit(400)\ndef f(): return f()",
        "f()",
        "1",
    ),
    "memory_error": fails(
        "cell_error",
        2,
        "less test data",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))",
        "x = bytearray(2**33)",
        "1",
    ),
    "warning_as_error": fails(
        "cell_error",
        1,
        "UserWarning: old",
        "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('old')",
        "1",
    ),
    "text_of_error_raises": fails(
        "cell_error",
        2,
        "in str",
        "class E(Exception):\n    def __str__(self): raise RuntimeError('in str')",
        "raise E()",
        "1",
    ),
    "text_of_error_is_odd": fails(
        "cell_error",
        1,
        "ValueError: red nul xxx",
        "raise ValueError('\\x1b[31mred\\x1b[0m \\x00nul ' + 'x' * 1_000_000)",
        "1",
    ),
    "text_of_error_is_no_utf8": fails(
        "cell_error", 1, "ValueError: lone", "raise ValueError('lone \\udc80 surrogate')", "1"
    ),
    "asyncio_run": fails(
        "cell_error",
        1,
        "write await instead",
        "import asyncio\ndef f(): return asyncio.run(asyncio.sleep(0))\nf()",
        "1",
    ),
    "own_class": fails("cell_error", 2, "nix", "class A: pass", "A().nix"),
}

TAGGED: dict[str, Row] = {
    "did_raise": passes(raising("1 / 0"), "print('on')"),
    "did_raise_syntax_error": passes(raising("x = ("), "1"),
    "did_raise_in_magic": passes(raising("%nosuchmagic"), "1"),
    "did_raise_while_shown": passes(BAD_REPR, raising("A()"), "1"),
    "did_not_raise": fails("did_not_raise", 1, "raised nothing", raising("1"), "2"),
    "skipped_cell": passes("x = 1", skipped("1 / 0"), "x"),
}

SHOWN: dict[str, Row] = {
    "error_in_repr": fails("cell_error", 2, "not shown", BAD_REPR, "A()", "1"),
    "error_in_repr_html": fails(
        "cell_error",
        2,
        "no html",
        BAD_REPR.replace("__repr__", "_repr_html_").replace("not shown", "no html"),
        "A()",
        "1",
    ),
    "error_in_ipython_display": fails(
        "cell_error", 2, "not shown", BAD_REPR.replace("__repr__", "_ipython_display_"), "A()", "1"
    ),
    "error_in_display": fails("cell_error", 2, "not shown", BAD_REPR, "display(A())", "1"),
    "error_in_figure": fails(
        "cell_error",
        1,
        "ValueError",
        "import matplotlib.pyplot as plt\nplt.figure(); plt.title('$\\\\frac{$');",
        "1",
    ),
    # Whoever prints a traceback as an error says that there was one.
    "error_shown_by_the_cell": fails(
        "cell_error",
        1,
        "ZeroDivision",
        "try:\n    1 / 0\nexcept Exception:\n    get_ipython().showtraceback()",
        "1",
    ),
    "error_in_nested_cell": fails(
        "cell_error", 1, "ZeroDivision", "get_ipython().run_cell('1 / 0')", "1"
    ),
    "error_not_shown": fails(
        "cell_error",
        2,
        "ZeroDivision",
        "get_ipython().showtraceback = lambda *a, **k: None",
        "1 / 0",
        "1",
    ),
    "error_in_hook": fails(
        "cell_error",
        1,
        "in hook",
        "def f(*_): raise RuntimeError('in hook')\nget_ipython().events.register('post_run_cell', f)",
        "1",
    ),
    "error_in_transformer": fails(
        "cell_error",
        2,
        "SyntaxError: odd",
        "def f(lines): raise SyntaxError('odd')\n"
        "get_ipython().input_transformers_cleanup.append(f)",
        "1",
    ),
    "error_printed_only": passes(
        "import traceback\ntry:\n    1 / 0\nexcept Exception:\n    traceback.print_exc()", "1"
    ),
}

MAGICS: dict[str, Row] = {
    "only_magic": passes("%time 1", "1"),
    "magic_fails": fails("cell_error", 1, "nothing.py", "%run nothing.py"),
    "magic_without_output": fails("cell_error", 1, "UsageError: option -z", "%timeit -z 1", "1"),
    "magic_missing": fails("cell_error", 1, "%load_ext", "%nosuchmagic 1", "1"),
    "cell_magic_missing": fails("cell_error", 1, "%load_ext", "%%nosuchmagic\n1", "1"),
    "extension_missing": fails("missing_module", 1, "nosuchext", "%load_ext nosuchext", "1"),
    "bash_fails": fails("cell_error", 1, "CalledProcessError", "%%bash\nexit 3"),
    # As in any shell without set -e, the last command decides.
    "bash_fails_in_between": passes("%%bash\nfalse\necho on"),
    "script_passes": passes("%%script bash\necho hello"),
    "script_fails": fails("cell_error", 1, "exit status 4", "%%script bash\nexit 4", "1"),
    "script_that_may_fail": passes("%%script --no-raise-error bash\nexit 4", "1"),
    # Jupyter goes on after a failed shell command, and so does the author's own run.
    "shell_fails": passes("!false", "1"),
    "shell_program_missing": passes("!no-such-program", "1"),
    "reset": passes("x = 1", "%reset -f", "1"),
    "reset_loses_names": fails("cell_error", 3, "'x' is not defined", "x = 1", "%reset -f", "x"),
    "javascript": passes("%%javascript\n1", "1"),
    "matplotlib_widget": fails(
        "cell_error", 1, "There is no display here", "%matplotlib widget", "1"
    ),
    "matplotlib_qt": fails("cell_error", 1, "There is no display here", "%matplotlib qt", "1"),
    "matplotlib_tk": fails(
        "cell_error",
        1,
        "There is no display here",
        "%matplotlib tk\nimport matplotlib.pyplot as plt\nplt.plot([1]); plt.show()",
        "1",
    ),
}

ASKED: dict[str, Row] = {
    "input": fails("cell_error", 1, "Nobody can answer", "name = input('who? ')", "1"),
    "getpass": fails("cell_error", 1, "Nobody can answer", "import getpass; getpass.getpass()"),
    "debugger": fails("cell_error", 1, "remove a debugger", "import pdb; pdb.set_trace()\n1", "1"),
    # ipykernel's own breakpoint() waits for a debugger's window, and without one does nothing.
    "breakpoint": passes("breakpoint()\n1", "1"),
    "debug_magic": passes("%debug", "1"),
    "pdb_magic": fails("cell_error", 2, "ZeroDivision", "%pdb on", "1 / 0", "1"),
}

DIAGNOSED: dict[str, Row] = {
    "hidden_order": fails("hidden_order", 1, "cell 2", "print(later)", "later = 1"),
    "undefined": fails("hidden_order", 1, "no cell defines", "print(nowhere)"),
    "deleted_name": fails("cell_error", 3, "'x' is not defined", "x = 1", "del x", "print(x)"),
    "defined_in_skipped": fails("hidden_order", 2, "tagged", skipped("df = 1"), "df"),
    "missing_module": fails("missing_module", 1, "pip install", "import no_such_module_1"),
    "missing_module_of_a_module": fails(
        "missing_module", 1, "in inner_module.py line 1", "import outer_module", "1"
    ),
    "missing_data": fails("missing_data", 1, "no/data.csv", "open('no/data.csv')"),
    "laptop_path": fails("missing_data", 1, "one machine", "open('/home/ada/x.csv')"),
    "no_output_folder": fails("cell_error", 1, "no empty folders", "open('figures/a.png', 'wb')"),
    "missing_program": fails(
        "cell_error", 1, "not installed", "import subprocess\nsubprocess.run(['no-such-program'])"
    ),
    "changed_library": fails("changed_library", 1, "pytest 9", "import pytest\npytest.nix()"),
    "changed_ipython": fails(
        "changed_library",
        1,
        "ipython 9",
        "from IPython.core.display import display",
        "1",
    ),
    "service": fails(
        "service_unavailable",
        1,
        "127.0.0.1",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')",
    ),
    "words_of_a_service": fails(
        "cell_error", 1, "Max", "raise RuntimeError('Max retries exceeded while fitting')"
    ),
    "column_is_no_api": fails(
        "cell_error", 2, "price", "import pandas\ndf = pandas.DataFrame({'a': [1]})", "df.price"
    ),
    "own_function": fails(
        "cell_error",
        2,
        "limt",
        "import pandas\ndef f(x): return x",
        "pandas.Series([1]).apply(f, limt=3)",
    ),
}

ROWS = {**RAISED, **TAGGED, **SHOWN, **MAGICS, **ASKED, **DIAGNOSED}
