"""Looks at foreign models are taken in turns (rules of `node.turns`, and rule 5 of `node.engines`)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import ClassVar

import pytest

from cloister.foundation.errors import Unreachable
from cloister.node import engines as module
from cloister.node.engines import EXAMINER, Engines
from cloister.node.folder import Folder
from cloister.node.turns import Turns
from node.town import until


@contextmanager
def asking(turns, account, order, name, seconds=30.0):
    """A thread that asks for a turn, and has asked when the `with` begins."""

    def ask():
        with turns.turn(account, seconds) as had:
            order.append(name if had else f"no {name}")

    before = sum(len(queue) for queue in turns._queues.values())
    thread = threading.Thread(target=ask)
    thread.start()
    until("it waits", lambda: sum(len(queue) for queue in turns._queues.values()) > before)
    yield
    thread.join(30)


def test_rule_1_who_asks_again_and_again_delays_another_by_one_turn():
    turns, order = Turns(), []
    with turns.turn("flood", 1) as had:
        assert had
        flood = [asking(turns, "flood", order, f"flood {number}") for number in range(4)]
        for one in flood:
            one.__enter__()
        others = [asking(turns, name, order, name) for name in ("honest", "other")]
        for one in others:
            one.__enter__()
    for one in (*flood, *others):
        one.__exit__(None, None, None)
    assert order[:2] == ["honest", "other"]
    assert order[2:] == [f"flood {number}" for number in range(4)]


def test_rule_2_only_so_many_wait_on_one_account_and_others_still_may():
    turns, order = Turns(waiting=1), []
    with (
        turns.turn("flood", 1),
        asking(turns, "flood", order, "first"),
        asking(turns, "honest", order, "honest"),
        turns.turn("flood", 30) as had,
    ):
        assert not had
        turns.close()


def test_rule_3_a_turn_that_does_not_come_in_time_is_none_and_leaves_nothing_behind():
    turns = Turns()
    with turns.turn("one", 1), turns.turn("two", 0.05) as had:
        assert not had
    with turns.turn("two", 1) as had:
        assert had
    assert turns._queues == {}


def test_what_fails_in_its_turn_ends_it():
    turns = Turns()
    with pytest.raises(KeyError), turns.turn("one", 1):
        raise KeyError
    with turns.turn("two", 1) as had:
        assert had


@pytest.fixture
def looks(tmp_path, monkeypatch):
    """Engines whose workers tell the deadline that they were given."""

    class Worker:
        given: ClassVar[list[float]] = []
        go = threading.Event()
        begun = threading.Event()

        def __init__(self, *_args, **_settings):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        close = __enter__

        def call(self, method, _arguments, _arrays, deadline):
            self.given.append(deadline)
            if method == "slow":
                self.begun.set()
                assert self.go.wait(30)
            return {}, {}

        def sandbox_report(self):
            return {}

    monkeypatch.setattr(module, "Worker", Worker)
    made = Engines(Folder(tmp_path), lambda _: [])
    made.worker = Worker
    yield made
    made.close()


def test_rule_5_the_deadline_of_a_look_begins_with_its_turn(looks):
    first = threading.Thread(target=lambda: looks.get(EXAMINER, "one").call("slow", {}, {}, 60))
    second = threading.Thread(target=lambda: looks.get(EXAMINER, "two").call("fit", {}, {}, 0.2))
    first.start()
    assert looks.worker.begun.wait(30)
    second.start()
    until("it waits", lambda: looks._looks._queues)
    assert not threading.Event().wait(0.4)  # longer than the second look may take
    looks.worker.go.set()
    first.join(30)
    second.join(30)
    assert len(looks.worker.given) == 2
    assert looks.worker.given[1] > 0.05


def test_rule_5_a_look_whose_turn_does_not_come_says_so_and_judges_nothing(looks, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    first = threading.Thread(target=lambda: looks.get(EXAMINER, "one").call("slow", {}, {}, 60))
    first.start()
    assert looks.worker.begun.wait(30)
    with pytest.raises(Unreachable):
        looks.get(EXAMINER, "two").call("fit", {}, {}, 60)
    looks.worker.go.set()
    first.join(30)
