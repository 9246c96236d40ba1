"""Which notebooks are due in a session, and why."""

from __future__ import annotations

from pytest_nbci.selection.plan import plan_notebooks

__all__ = ["plan_notebooks"]
