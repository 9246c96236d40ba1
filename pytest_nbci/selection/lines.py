"""What the lines of Python code tell that does not parse: imports, and strings."""

from __future__ import annotations

import re

from pytest_nbci.selection.facts import Facts, Import

_IMPORT_LINE = re.compile(r"^\s*(?:from\s+(\.*)([\w.]*)\s+import\s+(.+)|import\s+(.+))$")
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\\n])*)\1""")


def add_lines(source: str, facts: Facts) -> None:
    """Add what each line of ``source`` tells by itself."""
    for line in source.splitlines():
        found = _IMPORT_LINE.match(line)
        if found and found[4]:
            for name in found[4].split("#")[0].split(","):
                module = name.split(" as ")[0].strip()
                if re.fullmatch(r"[\w.]+", module):
                    facts.imports.setdefault(Import(0, module))
        elif found:
            names = re.findall(r"\w+", found[3].split("#")[0])
            facts.imports.setdefault(Import(len(found[1]), found[2], tuple(names)))
        for quoted in _QUOTED.finditer(line):
            facts.add_word(quoted[2])
