"""Heavy imports: without collections meanwhile, and with nothing changed afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pytest_nbci.importing import uncollected


class Node:
    """Something that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_meanwhile_and_garbage_is_afterwards():
    with uncollected():
        node = Node()
        found = weakref.ref(node)
        del node
        for _ in range(100_000):
            _ = []
        assert found() is not None
    assert gc.isenabled()
    gc.collect()
    assert found() is None


def test_what_was_made_meanwhile_is_not_searched_by_the_next_young_collection():
    with uncollected():
        made = [[] for _ in range(1_000)]
    young = {id(one) for generation in (0, 1) for one in gc.get_objects(generation)}
    assert not young & set(map(id, made))


def test_what_somebody_froze_stays_frozen():
    gc.freeze()
    frozen = gc.get_freeze_count()
    with uncollected():
        pass
    assert gc.get_freeze_count() >= frozen - 10  # some objects have ended meanwhile


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
