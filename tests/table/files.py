"""Files of older formats, damaged ones, and settings of the notebook that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.project import Cell, notebook_json
from tests.table.row import Row, cannot_start, fails, passes

OLD = (Path(__file__).parent.parent / "notebooks" / "format3.ipynb").read_bytes()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A notebook of two cells, the second of which fails, after ``change``."""
    content = notebook_json(["1", "1 / 0"])
    change(content)
    return json.dumps(content, indent=1).encode()


def older(minor: int) -> bytes:
    """The same as nbformat 4 with that minor, where cells had no ids."""
    content = notebook_json(["1", "1 / 0"])
    content["nbformat_minor"] = minor
    for cell in content["cells"]:
        del cell["id"]
    return json.dumps(content).encode()


def still_fails(data: bytes) -> Row:
    return fails("cell_error", 2, "ZeroDivisionError", file=data)


ODD: dict[str, Row] = {
    "no_cells": passes(),
    "only_markdown": passes(Cell("# Title", kind="markdown")),
    "only_comments": passes("# nothing\n# at all", "1"),
    "blank_cells": passes("", "   \n", "1"),
    "zen": passes("import this"),
    "passes": passes("x = 1", "print(x)"),
    "kernelspec_is_text": still_fails(
        changed(lambda c: c["metadata"].update(kernelspec="python3"))
    ),
    "language_info_is_null": still_fails(
        changed(lambda c: c.update(metadata={"language_info": None}))
    ),
    "kernelspec_without_name": still_fails(
        changed(lambda c: c["metadata"]["kernelspec"].pop("name"))
    ),
    "metadata_absent": still_fails(changed(lambda c: c.pop("metadata"))),
    "tags_are_null": still_fails(changed(lambda c: c["cells"][1]["metadata"].update(tags=None))),
    "ids_twice": still_fails(changed(lambda c: c["cells"][1].update(id="c1"))),
    "source_absent": still_fails(changed(lambda c: c["cells"][0].pop("source"))),
    "sources_are_lists": still_fails(changed(lambda c: c["cells"][1].update(source=["1 /", " 0"]))),
    "outputs_are_text": still_fails(changed(lambda c: c["cells"][0].update(outputs="junk"))),
    "keys_unknown": still_fails(changed(lambda c: c["cells"][0].update(weird=1, attachments={}))),
    "byte_order_mark": still_fails(b"\xef\xbb\xbf" + changed(dict)),
    "utf_16": still_fails(changed(dict).decode().encode("utf-16")),
    "format_4_0": still_fails(older(0)),
    "format_4_1": still_fails(older(1)),
    "format_4_2": still_fails(older(2)),
    "format_4_3": still_fails(older(3)),
    "format_4_4": still_fails(older(4)),
    "format_3": Row((), "passed", file=OLD),
    "tags_are_text": Row(
        (),
        "passed",
        file=changed(lambda c: c["cells"][1]["metadata"].update(tags="skip-execution")),
    ),
    "language_only": Row(
        (),
        "passed",
        file=json.dumps(
            notebook_json(['test -n "$BASH"'], {"language_info": {"name": "bash"}}, kernel=None)
        ).encode(),
    ),
}


def damaged(says: str, data: str | bytes) -> Row:
    return fails("bad_notebook", None, says, file=data)


DAMAGED: dict[str, Row] = {
    "conflict": damaged("line 2", '{"cells": [\n<<<<<<< HEAD\n'),
    "truncated": damaged("not valid JSON", '{"cells": ['),
    "html_page": damaged("not valid JSON", "<html></html>"),
    "empty": damaged("empty", ""),
    "only_blanks": damaged("empty", "\n"),
    "other_json": damaged("no nbformat", '{"a": 1}'),
    "json_list": damaged("no nbformat", "[]"),
    "lfs_pointer": damaged(
        "git lfs pull", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
    ),
    "latin_1": damaged("not UTF-8", '{"cells": ["é"]}'.encode("latin-1")),
    "too_new": damaged("nbformat 9", '{"nbformat": 9, "cells": []}'),
    "format_is_text": damaged("its nbformat is '4'", '{"nbformat": "4", "cells": []}'),
    "cells_absent": damaged("no list of cells", changed(lambda c: c.pop("cells"))),
    "cells_are_numbers": damaged("cell 1 of all", changed(lambda c: c.update(cells=[1]))),
    "cell_type_unknown": damaged(
        "the cell_type 'heading'", changed(lambda c: c["cells"][1].update(cell_type="heading"))
    ),
    "source_is_null": damaged(
        "the source None", changed(lambda c: c["cells"][1].update(source=None))
    ),
}

SETTINGS: dict[str, Row] = {
    "wrong_setting": fails("bad_notebook", None, "timeout", "1", nbci={"tiemout": 2}),
    "skipped": Row(("1 / 0",), "skipped", nbci={"skip": "needs a GPU"}),
    "needs_raises": cannot_start(
        "needs_failed", "raises.ipynb", "1", nbci={"needs": ["raises.ipynb"]}
    ),
    "data/fixture_fails": cannot_start("test_data_error", "no share is mounted", "1"),
}

ROWS = {**ODD, **DAMAGED, **SETTINGS}
