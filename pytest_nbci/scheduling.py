"""Which xdist worker runs which notebook: what needs each other together, the longest first.

Ordinary tests are scheduled one by one. Other choices of ``--dist`` than xdist's default stay.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest

    from pytest_nbci.worker import Announced


_NEEDED = 2


class NotebookScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's scheduling by scope, where a scope is a test, or notebooks that follow each other.

    Args:
        config: pytest's.
        log: xdist's.
        announced: The notebooks, by node id; complete when the first worker has collected.
        durations_s: How long notebooks took when they ran last, by name. One that is not known
            may take long, so it comes first.
    """

    workqueue: OrderedDict[str, dict[str, bool]]

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        announced: Mapping[str, Announced],
        durations_s: Mapping[str, float],
    ) -> None:
        super().__init__(config, log)
        self._announced = announced
        self._durations_s = durations_s
        self._is_sorted = False

    def _split_scope(self, nodeid: str) -> str:
        notebook = self._announced.get(nodeid)
        return nodeid if notebook is None else notebook.unit

    def _assign_work_unit(self, node: Any) -> None:
        if not self._is_sorted:
            longest_first = sorted(self.workqueue.items(), key=lambda item: -self._seconds(item[1]))
            self.workqueue = OrderedDict(longest_first)
            self._is_sorted = True
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        super()._reschedule(node)
        # A worker runs a test when it knows the next one, or that nothing follows.
        while self._pending_of(self.assigned_work[node]) < _NEEDED and not node.shutting_down:
            if self.workqueue:
                self._assign_work_unit(node)
            else:
                node.shutdown()

    def _seconds(self, unit: Mapping[str, bool]) -> float:
        notebooks = [self._announced[nodeid] for nodeid in unit if nodeid in self._announced]
        return sum(self._durations_s.get(one.name, math.inf) for one in notebooks)

    def remove_node(self, node: Any) -> str | None:
        """Take a worker away; if it died, what it was running is lost, the rest goes to others.

        xdist's own way would run the lost test again, with the whole unit that it is in.
        """
        workload = self.assigned_work.pop(node)
        waiting: list[str] = [
            nodeid for unit in workload.values() for nodeid, is_done in unit.items() if not is_done
        ]
        if not waiting:
            return None
        lost = waiting[0]
        for scope, unit in workload.items():
            if lost in unit:
                unit[lost] = True
            if not all(unit.values()):
                self.workqueue[scope] = unit
                self.workqueue.move_to_end(scope, last=False)
        for other in self.assigned_work:
            self._reschedule(other)
        return lost
