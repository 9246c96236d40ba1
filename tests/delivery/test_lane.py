"""A destination's queue, with destinations that fail as told."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery import lane as lane_module
from pytest_nbci.delivery.lane import AwayError, Lane
from pytest_nbci.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(lane_module, "_LAST_PAUSE_S", 0.02)


def new_lane(deliver: Callable[[str], None], threads: int = 4) -> Lane[str]:
    return Lane("test", deliver, threads, lambda: None)


def test_everything_offered_is_delivered_in_parallel():
    together = threading.Barrier(3)

    def deliver(item: str) -> None:
        if item != "first":
            together.wait(5)

    lane = new_lane(deliver, threads=3)
    for item in ("first", "a", "b", "c"):
        lane.offer(item)
    lane.finish()
    assert lane.waiting() == set()
    assert lane.reasons() == []


def test_a_destination_that_is_away_is_asked_with_one_item_at_a_time_and_ever_less():
    asked: list[float] = []

    def deliver(_: str) -> None:
        asked.append(time.monotonic())
        raise AwayError("The server is away.")

    lane = new_lane(deliver)
    for number in range(100):
        lane.offer(f"item {number}")
    time.sleep(0.5)
    before = len(asked)
    lane.finish()
    assert 2 <= before <= 8
    assert len(asked) - before <= 4
    assert len(lane.waiting()) == 100
    assert lane.reasons() == ["The server is away."]
    assert lane.given_up() is not None


def test_when_it_comes_back_everything_goes_through():
    away = threading.Event()
    away.set()
    delivered: list[str] = []

    def deliver(item: str) -> None:
        if away.is_set():
            raise AwayError("The server is away.")
        delivered.append(item)

    lane = new_lane(deliver)
    for number in range(20):
        lane.offer(f"item {number}")
    time.sleep(0.1)
    assert lane.reasons() == ["The server is away."]
    away.clear()
    lane.finish()
    assert sorted(delivered) == sorted(f"item {number}" for number in range(20))
    assert lane.reasons() == []


def test_a_refusal_is_final_at_the_end():
    asked: list[str] = []

    def deliver(item: str) -> None:
        asked.append(item)
        raise AwayError("Access is denied.", final=True)

    lane = new_lane(deliver)
    lane.offer("item")
    lane.finish()
    assert len(asked) <= 2
    assert lane.waiting() == {"item"}


def test_an_item_that_is_refused_does_not_stop_the_others():
    def deliver(item: str) -> None:
        if item == "bad":
            raise DeliveryError("This one is too long.")
        if item == "odd":
            raise RuntimeError("who knows")

    lane = new_lane(deliver)
    for item in ("bad", "good", "odd", "also good"):
        lane.offer(item)
    lane.finish()
    assert lane.waiting() == {"bad", "odd"}
    assert sorted(lane.reasons()) == ["RuntimeError: who knows", "This one is too long."]


def test_an_item_that_is_refused_once_is_tried_again_after_the_others():
    asked: list[str] = []

    def deliver(item: str) -> None:
        asked.append(item)
        if asked.count("contested") == 1 and item == "contested":
            raise DeliveryError("Another machine is at it.")

    lane = new_lane(deliver, threads=1)
    for item in ("contested", "a", "b"):
        lane.offer(item)
    lane.finish()
    assert asked == ["contested", "a", "b", "contested"]
    assert (lane.waiting(), lane.reasons()) == (set(), [])


def test_an_item_offered_again_while_under_way_is_delivered_once_more():
    started, go = threading.Event(), threading.Event()
    delivered: list[str] = []

    def deliver(item: str) -> None:
        started.set()
        go.wait(5)
        delivered.append(item)

    lane = new_lane(deliver)
    lane.offer("item")
    started.wait(5)
    lane.offer("item")
    lane.offer("item")
    go.set()
    lane.finish()
    assert delivered == ["item", "item"]
    assert lane.waiting() == set()
