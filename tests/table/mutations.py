"""For each cause and each cure of warm kernels, a line without which a test must turn red."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ENGINE, DIAGNOSIS, RUN = "execution/engine.py", "execution/diagnosis.py", "execution/run.py"


@dataclass(frozen=True)
class Mutation:
    """``instead`` stands for ``line`` of ``file``; ``rows`` or a ``test`` must turn red."""

    file: str
    line: str
    instead: str
    rows: tuple[str, ...] = ()
    test: str = ""


def returns(line: str, *rows: str) -> Mutation:
    """The engine does not say that the cell decides."""
    return Mutation(ENGINE, line, f"{line.partition('return')[0]}pass", rows)


def looks(name: str, *rows: str) -> Mutation:
    """One diagnosis is not looked for."""
    return Mutation(DIAGNOSIS, f"    {name},", "", rows)


MUTATIONS: Mapping[str, Mutation] = {
    "cell_error": returns('        return "error"', "raises", "error_in_repr"),
    "missing_data": looks("missing_data", "missing_data"),
    "missing_module": looks("missing_module", "missing_module"),
    "hidden_order": looks("_hidden_order", "hidden_order"),
    "changed_library": looks("_changed_library", "changed_library"),
    "service_unavailable": looks("_service_unavailable", "service"),
    "exit": returns('        return "exit"', "sys_exit_zero", "exit_first"),
    "kernel_died": returns('        return "kernel_died"', "segfault"),
    "timeout": returns("        return limit", "timeout"),
    "cell_timeout": returns("        return limit", "cell_timeout"),
    "not_run": returns(
        '        return "aborted"  # which bash_kernel calls "abort"', "own_answer_refused"
    ),
    "did_not_raise": returns(
        '    return "did_not_raise" if is_expected and error is None else None', "did_not_raise"
    ),
    "bad_notebook": Mutation(
        RUN,
        '            run.verdict = Verdict("failed", "bad_notebook", error.message, error.cure)',
        "            pass",
        ("truncated",),
    ),
    "test_data_error": Mutation(
        "results.py",
        "        attempt.verdict = _foreign(item, call.excinfo, str(report.when))",
        "        pass",
        ("data/fixture_fails",),
    ),
    "unknown_parameter": Mutation(
        RUN,
        "    unknown = [name for name in order.settings.parameters if name not in declared]",
        "    unknown = []",
        ("unknown_parameter",),
    ),
    "kernel_start": Mutation(RUN, '    (KernelError, "kernel_start"),', "", ("program_dies",)),
    "needs_failed": Mutation(
        RUN,
        '            if verdict.outcome != "passed":',
        "            if False:",
        ("needs_raises",),
    ),
    "checkout_error": Mutation(
        RUN,
        '    (CheckoutError, "checkout_error"),',
        "",
        test="tests/faults/test_vandal.py",
    ),
    "out_of_memory": Mutation(
        "execution/judges.py",
        "    if exit_ is not None and exit_.is_out_of_memory:",
        "    if False:",
        test="tests/faults/test_out_of_memory.py",
    ),
    "lost": Mutation(
        "records.py",
        '        outcome="lost",',
        '        outcome="failed",',
        test="tests/faults/test_interrupt.py",
    ),
}


SERVER, LAUNCHER, PRELOAD = (
    f"execution/{name}.py" for name in ("warm_server", "launcher", "preload")
)
SURROUNDINGS = (
    "    return tuple(map(str, (limits, folders, masks, affinity, "
    "os.getpriority(os.PRIO_PROCESS, 0))))"
)
NOTICED = "    if told or threading.active_count() > 1 or variables != dict(os.environ):"


def lacks(line: str, test: str, *, file: str = SERVER, instead: str | None = None) -> Mutation:
    """A warm kernel lacks one cure; ``test`` is one of test_warm.py."""
    indent = line[: len(line) - len(line.lstrip())]
    mutated = f"{indent}pass" if instead is None else instead
    return Mutation(file, line, mutated, test=f"tests/execution/test_warm.py::{test}")


def told(line: str, instead: str | None = None) -> Mutation:
    """What a notebook can tell of its kernel differs."""
    return lacks(line, "test_a_notebook_cannot_tell_a_warm_kernel_from_a_cold_one", instead=instead)


def left_open(line: str) -> Mutation:
    """What is left open is not written."""
    return lacks(line, "test_what_a_notebook_leaves_open_is_written_at_its_end[true]")


def ignores(what: str, changed: str) -> Mutation:
    """A server stays when a fixture changed something."""
    instead = SURROUNDINGS.replace(what, "None")
    test = f"test_what_a_fixture_changes_holds_for_its_kernel[{changed}-true]"
    return lacks(SURROUNDINGS, test, file=LAUNCHER, instead=instead)


def allows(condition: str, effect: str) -> Mutation:
    """A module stays imported ahead though the import did something besides."""
    test = f"test_what_an_import_does_besides_is_done_in_the_notebook[{effect}]"
    return lacks(NOTICED, test, instead=NOTICED.replace(condition, "False"))


def imports(line: str, instead: str, name: str) -> Mutation:
    """What a notebook imports later, or not at all, is imported ahead."""
    test = f"test_only_what_the_notebook_imports_first_is_imported_ahead[{name}]"
    return lacks(line, test, file=PRELOAD, instead=instead)


FIDELITY: Mapping[str, Mutation] = {
    "sys.path": told("        del sys.path[0]  # this file's folder"),
    "gc": told('    sys.modules.pop("gc", None)  # no cold kernel has imported it'),
    "session": told("        os.setsid()"),
    "SIGTERM": told("            signal.signal(number, signal.SIG_DFL)"),
    "JPY_PARENT_PID": told('    os.environ["JPY_PARENT_PID"] = str(os.getppid())'),
    "IPYTHONDIR": told('    os.environ["IPYTHONDIR"] = f"{message[\'folder\']}/ipython"'),
    "argv": told(
        '    sys.argv = [str(launcher.origin if launcher else ""), *message["arguments"]]'
    ),
    "orig_argv": told(
        '    sys.orig_argv = [sys.executable, "-m", "ipykernel_launcher", *message["arguments"]]'
    ),
    "parent": told(
        "    app = kernelapp.IPKernelApp.instance(parent_handle=os.getppid())",
        "    app = kernelapp.IPKernelApp.instance()",
    ),
    "history": told('        HistoryManager={"hist_file": ":memory:"},', ""),
    "folder": told('    os.chdir(order["cwd"])'),
    "folders": lacks(
        "    importlib.invalidate_caches()  # of folders as the server saw them",
        "test_a_folder_of_modules_may_come_after_the_servers[true]",
    ),
    "numpy.random": lacks(
        '        sys.modules["numpy.random"].seed()  # every fork would draw the same numbers',
        "test_kernels_draw_other_random_numbers",
    ),
    "MPLBACKEND": lacks(
        '        os.environ.setdefault("MPLBACKEND", _INLINE)', "test_pictures_are_the_same"
    ),
    "showwarning": lacks(
        "    warnings.showwarning = show", "test_modules_and_warnings_are_the_same_after_an_import"
    ),
    "warning": allows("told or", "warning"),
    "thread": allows("threading.active_count() > 1", "thread"),
    "variable": allows("variables != dict(os.environ)", "variable"),
    "threads at the end": left_open(
        "    library._shutdown()  # noqa: SLF001 - the interpreter calls it the same way"
    ),
    "exit handlers": left_open("    atexit._run_exitfuncs()  # noqa: SLF001 - the same"),
    "modules at the end": left_open("        del sys.modules[name]"),
    "cycles": left_open("    gc.collect()  # closes what only a cycle holds"),
    "streams": left_open("                stream.flush()"),
    "limits": ignores("limits", "limit"),
    "packages": ignores("folders", "package"),
    "umask": ignores("masks", "umask"),
    "affinity": ignores("affinity", "processors"),
    "priority": ignores("os.getpriority(os.PRIO_PROCESS, 0)", "priority"),
    "environment": lacks(
        "        if servers is None or (servers.environment, self._surroundings) != (environment, now):",
        "test_what_a_fixture_changes_holds_for_its_kernel[variable-true]",
        file=LAUNCHER,
        instead="        if servers is None or self._surroundings != now:",
    ),
    "PYTHONPATH": lacks(
        '    return is_relative or "PYTHONSTARTUP" in environment',
        "test_what_an_interpreter_reads_in_its_folder_is_read_there[true]",
        file=LAUNCHER,
        instead='    return "PYTHONSTARTUP" in environment',
    ),
    "PYTHONSTARTUP": lacks(
        '    return is_relative or "PYTHONSTARTUP" in environment',
        "test_a_startup_file_runs_where_the_notebook_does[true]",
        file=LAUNCHER,
        instead="    return is_relative",
    ),
    "matplotlibrc": lacks(
        "    kept_out = _DRAWING if _RC_FILE in own_names else frozenset()",
        "test_matplotlib_reads_the_settings_beside_the_notebook[true]",
        file=PRELOAD,
        instead="    kept_out: frozenset[str] = frozenset()",
    ),
    "own module": lacks(
        "            if top in _KNOWN - kept_out and top not in own_names:",
        "test_a_module_of_the_repository_wins_over_a_library_of_its_name",
        file=PRELOAD,
        instead="            if top in _KNOWN - kept_out:",
    ),
    "known": imports(
        "            if top in _KNOWN - kept_out and top not in own_names:",
        "            if top not in own_names:",
        "unknown",
    ),
    "relative": imports(
        "            if node.module and not node.level:", "            if node.module:", "relative"
    ),
    "call": imports("        elif not _is_constant(node):", "        elif False:", "call"),
    "later cell": imports("        if not is_all:", "        if False:", "magic"),
    "magic": imports(
        '        if line.lstrip().startswith(("%", "!")):', "        if False:", "magic"
    ),
    "skipped": imports(
        '        if cell["id"] not in notebook.numbers or SKIP_EXECUTION in tags(cell):',
        '        if cell["id"] not in notebook.numbers:',
        "skipped",
    ),
}
