"""The papermill engine: runs cell after cell, stops at the first that decides, judges nothing.

papermill prepares the notebook (parameters cell, metadata) and calls this engine; nbclient speaks
to the kernel. What happened is kept in an ``Execution`` that ``verdict`` judges.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError

from pytest_nbci.execution.client import Client
from pytest_nbci.execution.on_use import on_use, put_off
from pytest_nbci.execution.quiet import quiet
from pytest_nbci.execution.trace import (
    CellRun,
    Execution,
    Stop,
    exit_payload,
    has_lost_its_shell,
)
from pytest_nbci.notebook import RAISES_EXCEPTION, SKIP_EXECUTION, Notebook, tags
from pytest_nbci.records import CellStatus

if TYPE_CHECKING:
    from nbformat import NotebookNode

with on_use(*put_off()):
    from papermill import __version__
    from papermill.engines import Engine, papermill_engines
    from papermill.execute import remove_error_markers
    from papermill.parameterize import parameterize_notebook

NAME = "nbci"

_ANSWER_S = 2


def run_notebook(
    notebook: Notebook, parameters: Mapping[str, Any], execution: Execution
) -> Execution:
    """Run ``notebook`` on the kernel of ``execution``, which is filled and returned.

    papermill's steps, but for those at whose ends it validates the notebook: it would write and
    read it once before and write it once after, to nowhere.
    """
    choice = execution.kernel.choice
    node = _as_node(notebook.content)
    with quiet():
        if parameters:
            node = parameterize_notebook(
                node,
                dict(parameters),
                engine_name=NAME,
                kernel_name=choice.name,
                language=choice.language,
            )
        papermill_engines.execute_notebook_with_engine(
            NAME, node, kernel_name=choice.name, progress_bar=False, execution=execution
        )
    return execution


class NbciEngine(Engine):  # type: ignore[misc]
    """papermill's engine called ``nbci``; see ``run_notebook``."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,  # noqa: ARG003 - papermill's protocol
        *,
        execution: Execution,
        **_: Any,
    ) -> None:
        """Run all cells of ``nb_man.nb``; the arguments are papermill's engine protocol."""
        execution.content = nb_man.nb
        execution.kernel.run(_run_cells(nb_man, execution))


papermill_engines.register(NAME, NbciEngine)


async def _run_cells(nb_man: Any, execution: Execution) -> None:
    client = Client(nb_man.nb, execution)
    for index, cell in enumerate(nb_man.nb.cells):
        if cell.cell_type != "code":
            nb_man.cell_start(cell, index)
            nb_man.cell_complete(cell, index)
            continue
        run = CellRun(index, _status_without_running(cell) or "not run")
        execution.cells.append(run)
        if run.status != "not run" or execution.stop is not None:
            continue
        execution.on_cell(sum(run.status != "blank" for run in execution.cells))
        nb_man.cell_start(cell, index)
        started = time.monotonic()
        execution.stop = await _run_cell(client, cell, index, execution)
        run.duration_s = time.monotonic() - started
        if execution.stop in (None, "exit"):
            run.status = "passed"
        else:
            run.status = "not run" if execution.stop == "aborted" else "failed"
            nb_man.cell_exception(cell, index)
        nb_man.cell_complete(cell, index)
        if execution.stop is not None:
            execution.stopped_at = index
    if execution.stop not in ("kernel_died", "timeout", "cell_timeout"):
        lost = client.end_notebook()
        if lost:
            execution.left_out.append((None, lost))


async def _run_cell(
    client: Client, cell: NotebookNode, index: int, execution: Execution
) -> Stop | None:
    limit_s, limit = client.limit()
    client.begin_cell(cell)
    try:
        await client.run_cell(cell.source)
    except CellTimeoutError:
        execution.limit_s = execution.timeout_s if limit == "timeout" else limit_s
        execution.hang = execution.kernel.hang()
        return limit
    except DeadKernelError:
        execution.exit = execution.kernel.exit()
        return "kernel_died"
    finally:
        lost = client.end_cell()
        if lost:
            execution.left_out.append((index, lost))
    if not client.is_idle:
        execution.doubts.append(index)
    execution.reply = client.reply
    stop = _stop_after(cell, client.reply)
    if execution.kernel.choice.language == "bash" and has_lost_its_shell(cell):
        stop = "exit"
    error = error_name(cell, client.reply)
    if stop == "error" and error == "AttributeError":
        execution.owner = await _ask(client, _OWNER)
    if stop == "exit" and error == "SystemExit":
        execution.exits_with_text = await _ask(client, _EXITS_WITH_TEXT) == "True"
    return stop


_LAST = "getattr(__import__('sys'), 'last_value', None)"
# ``obj`` of an AttributeError: https://docs.python.org/3/library/exceptions.html#AttributeError.obj
_OWNER = (
    f"(lambda o: (o if isinstance(o, type) else type(o)).__module__)(getattr({_LAST}, 'obj', None))"
)
# https://docs.python.org/3/library/sys.html#sys.exit
_EXITS_WITH_TEXT = f"isinstance(getattr({_LAST}, 'code', None), str)"


async def _ask(client: Client, expression: str) -> str:
    """What an expression comes to in a Python kernel after an error; "" where it is mute."""
    message = client.kc.execute(
        "", silent=True, store_history=False, user_expressions={"answer": expression}
    )
    with suppress(Exception):  # whatever a kernel of another language makes of it
        while True:
            reply = await client.kc.shell_channel.get_msg(timeout=_ANSWER_S)
            if reply["parent_header"].get("msg_id") == message:
                answer = reply["content"]["user_expressions"]["answer"]
                return str(answer["data"]["text/plain"]).strip("'\"")
    return ""


def _stop_after(cell: Mapping[str, Any], reply: Mapping[str, Any]) -> Stop | None:
    """What a cell that was answered means for the rest."""
    if reply.get("status") not in ("ok", "error"):
        return "aborted"  # which bash_kernel calls "abort"
    error = error_name(cell, reply)
    is_expected = RAISES_EXCEPTION in tags(cell)
    if error not in (None, "SystemExit") and not is_expected:
        return "error"
    if exit_payload(reply) is not None or (error == "SystemExit" and not is_expected):
        return "exit"
    return "did_not_raise" if is_expected and error is None else None


def _status_without_running(cell: NotebookNode) -> CellStatus | None:
    if not cell.source.strip():
        return "blank"
    return "skipped" if SKIP_EXECUTION in tags(cell) else None


def error_name(cell: Mapping[str, Any], reply: Mapping[str, Any]) -> str | None:
    """The name of the error; an output or a reply may each come without the other."""
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            return str(output["ename"])
    if reply.get("status") == "error":
        return str(reply.get("ename") or "error")
    return None


def _as_node(content: Mapping[str, Any]) -> NotebookNode:
    """A notebook with papermill's metadata, without what its earlier runs left in it."""
    import nbformat

    node: NotebookNode = nbformat.from_dict(dict(content))
    node.metadata["papermill"] = nbformat.from_dict(
        {
            "default_parameters": {},
            "parameters": {},
            "environment_variables": {},
            "version": __version__,
            "input_path": None,
            "output_path": None,
        }
    )
    for cell in node.cells:
        cell.metadata.setdefault("tags", [])
    return remove_error_markers(node)
