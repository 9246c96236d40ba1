"""What of selection concerns a session: what it is asked for by arguments, ``-k`` and ``-m``.

Notebooks that are left out are not collected, so pytest cannot tell which of them were meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pytest

from pytest_nbci.collection import argument_paths
from pytest_nbci.repository import printable
from pytest_nbci.session import Session


@dataclass(frozen=True)
class Asked:
    """The command line of a session."""

    config: pytest.Config
    session: Session

    @property
    def due(self) -> list[str]:
        """Notebooks that run; without selection also those that no argument means."""
        names = [printable(path) for path in self.session.context.notebooks]
        return [name for name in names if self.session.selector.choice is None or self.means(name)]

    @property
    def left_out(self) -> list[str]:
        """Notebooks that were meant and need not run."""
        names = [one.notebook for one in self.session.selector.left_out]
        return [name for name in names if self.means(name)]

    @property
    def is_nothing_due(self) -> bool:
        """Whether all that was meant need not run."""
        return bool(self.left_out) and not self.due

    def means(self, notebook: str) -> bool:
        """Whether the arguments name a notebook or a folder that it is in; without any, it is."""
        if self.config.args_source is not pytest.Config.ArgsSource.ARGS:
            return True
        path = PurePath(printable(str(self.session.context.repository.root)), notebook)
        return any(path.is_relative_to(printable(str(one))) for one in argument_paths(self.config))

    def is_left_out(self) -> bool:
        """Where no test was chosen: whether that is since what was meant need not run."""
        return self.is_nothing_due or any(map(self._chooses, self.left_out))

    def _chooses(self, notebook: str) -> bool:
        """Whether ``-k`` and ``-m`` would choose a notebook."""
        from _pytest.mark.expression import Expression

        marks = self.session.marks_of(notebook)
        words = [text.lower() for text in (notebook, *marks)]
        matchers: Mapping[str, Callable[..., Any]] = {
            "keyword": lambda name, **_: any(name.lower() in word for word in words),
            "markexpr": lambda name, **_: name in marks,
        }
        given = {option: self.config.getoption(option, default="") for option in matchers}
        return all(
            Expression.compile(text).evaluate(matchers[option])
            for option, text in given.items()
            if text
        )
