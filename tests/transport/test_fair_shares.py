"""What one party does costs itself: no sender takes another's place, memory or room on the shelf."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, NotFound, OutOfSpace, Refused, Unreachable
from cloister.transport.memory import MemoryHub
from cloister.transport.replies import hint
from cloister.transport.tuning import Tuning
from cloister.transport.turns import Turns

LARGE = bytes(300_000)


class Fetched(Exception):
    """In place of pulling."""


def eventually(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def nodes(members, book):
    hub, opened = MemoryHub(), []

    def make(**tuning):
        for name in ("anna", "bert", "carl"):
            who = members[name]
            opened.append(hub.transport(who.id, who.keys, book, tuning=Tuning(**tuning)))
        return opened

    yield make
    for transport in opened:
        transport.close()


def never_served(transport, monkeypatch):
    """Its offers are answered by "busy", for ever."""
    asked = []
    monkeypatch.setattr(transport._shelf, "answer", lambda *ask: asked.append(ask) or hint("busy"))
    return asked


def test_rule_2_offers_that_are_never_served_stop_nobody_elses(nodes, monkeypatch):
    anna, bert, carl = nodes(stall=300.0)
    bert.serve("take", lambda call: b"%d" % len(call.body))
    asked = never_served(carl, monkeypatch)
    with ThreadPoolExecutor(6) as pool:
        held = [pool.submit(carl.call, bert.party, "take", LARGE, deadline=80_000) for _ in range(6)]
        eventually(lambda: asked and len(bert._answering._pulling) == 6)
        assert len({ask[1][:32] for ask in asked}) == 1, "one of them is pulled, the others hold no place"
        assert anna.call(bert.party, "take", LARGE, deadline=20) == b"300000"
        carl.close()
        bert.close()
        for call in held:
            with pytest.raises(Unreachable):
                call.result(20)


def test_rule_6_a_pull_that_stands_still_is_given_up_whatever_the_callers_deadline(nodes, monkeypatch):
    _, bert, carl = nodes(stall=0.3)
    runs = []
    bert.serve("take", lambda call: runs.append(call) or b"")
    never_served(carl, monkeypatch)
    with pytest.raises(Unreachable) as error:
        carl.call(bert.party, "take", LARGE, deadline=80_000)
    assert "No part of its large body came" in error.value.why
    eventually(lambda: not bert._answering._pulling)
    assert not runs


def test_rule_6_a_pull_that_trickles_is_given_up_by_its_size(nodes, monkeypatch):
    _, bert, carl = nodes(stall=0.4, slowest=1 << 40, window=1)
    bert.serve("take", lambda call: b"")
    give = carl._shelf.answer
    monkeypatch.setattr(carl._shelf, "answer", lambda *ask: time.sleep(0.25) or give(*ask))
    with pytest.raises(Unreachable):
        carl.call(bert.party, "take", bytes(4 << 20), deadline=80_000)


def test_rule_6_nothing_is_pulled_that_is_too_large_not_served_or_not_allowed(nodes, monkeypatch):
    _, bert, carl = nodes()
    asked = never_served(carl, monkeypatch)

    def nobody(call):
        assert call.body == b""
        raise Refused("No.", "", "", clause="right")

    bert.serve("small", lambda call: b"", largest=1000)
    bert.serve("mine", lambda call: b"", check=nobody)
    with pytest.raises(BadInput) as error:
        carl.call(bert.party, "small", LARGE, deadline=20)
    assert error.value.detail["clause"] == "size"
    with pytest.raises(BadInput):
        carl.call(bert.party, "small", bytes(1001), deadline=20)
    assert carl.call(bert.party, "small", bytes(1000), deadline=20) == b""
    with pytest.raises(Refused):
        carl.call(bert.party, "mine", LARGE, deadline=20)
    with pytest.raises(NotFound):
        carl.call(bert.party, "unknown", LARGE, deadline=20)
    assert not asked


def test_rule_7_an_answer_asked_for_again_and_again_and_never_fetched_takes_one_place(nodes, monkeypatch):
    _, bert, carl = nodes()
    bert.serve("content", lambda call: bytes(1 << 20))

    def no_pull(*_args, **_named):
        raise Fetched

    monkeypatch.setattr(carl._puller, "pull", no_pull)
    for _ in range(12):
        with pytest.raises(Fetched):
            carl.call(bert.party, "content", b"{}", deadline=80_000, answer=1 << 20)
    assert bert._shelf._held == 1 << 20
    (item,) = bert._shelf._items.values()
    tuning = Tuning()
    assert item.expires - bert._clock.now() <= 2 * tuning.stall + 32 + tuning.limits.drift + 1


def test_different_answers_never_fetched_fill_only_their_askers_share(nodes, monkeypatch):
    anna, bert, carl = nodes()
    bert._shelf._limit, bert._shelf._share = 4 << 20, 1 << 20
    bert.serve("content", lambda call: call.body * (300 << 10))
    anna.serve("take", lambda call: b"ok")

    def no_pull(*_args, **_named):
        raise Fetched

    monkeypatch.setattr(carl._puller, "pull", no_pull)
    for number in range(3):
        with pytest.raises(Fetched):
            carl.call(bert.party, "content", bytes([number]), deadline=80_000, answer=1 << 20)
    with pytest.raises(OutOfSpace):
        carl.call(bert.party, "content", b"z", deadline=80_000)
    assert bert.call(anna.party, "take", LARGE, deadline=20) == b"ok"


def test_rule_8_repetitions_of_a_running_call_hold_one_place_and_no_body(nodes):
    _, bert, carl = nodes()
    go, replies = threading.Event(), []
    bert.serve("slow", lambda call: go.wait(20) and b"done")
    due = int(time.time()) + 60
    for number in range(30):
        _, frame = carl._frames.pack(bert.party, "slow", "k", "body", bytes(200_000), due)
        bert._answering.arrived(carl.party, frame, lambda answer, number=number: replies.append(number))
        if number == 0:
            eventually(lambda: bert._answering._answers._entries.get(carl.party))
    eventually(lambda: bert._answering._small._room._value == 8 + 256 - 1)
    waiter = bert._answering._answers._entries[carl.party]["k"].waiter
    held = [cell.cell_contents for cell in waiter.__closure__ or ()]
    inner = [
        c.cell_contents for item in held if callable(item) for c in getattr(item, "__closure__", None) or ()
    ]
    assert not any(isinstance(item, bytes) and len(item) > 1000 for item in held + inner)
    assert not any(hasattr(item, "body") for item in held + inner)
    go.set()
    eventually(lambda: len(replies) == 30)


def test_calls_of_one_sender_over_its_bound_are_told_to_come_again(nodes):
    anna, bert, carl = nodes(running=2)
    go = threading.Event()
    bert.serve("slow", lambda call: go.wait(20) and b"done")
    bert.serve("quick", lambda call: b"ok")
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(carl.call, bert.party, "slow", b"", deadline=20) for _ in range(3)]
        eventually(lambda: bert._answering._answers._unanswered[carl.party] == 2)
        assert anna.call(bert.party, "quick", b"", deadline=20) == b"ok"
        assert bert._answering._answers._unanswered[carl.party] == 2
        go.set()
        assert [call.result(20) for call in calls] == [b"done"] * 3


def test_turns_a_partys_jobs_run_one_at_a_time_in_order_and_parties_take_turns():
    turns, done, go = Turns("t", 1, each=3, waiting=10), [], threading.Event()
    assert turns.submit("carl", lambda: go.wait(20) and done.append("c0"))
    assert all(turns.submit("carl", lambda number=n: done.append(f"c{number}")) for n in (1, 2, 3))
    assert not turns.submit("carl", lambda: None), "its queue is full"
    assert turns.submit("anna", lambda: done.append("a0"))
    go.set()
    eventually(lambda: len(done) == 5)
    assert done == ["c0", "a0", "c1", "c2", "c3"]
    eventually(lambda: not turns._queues)
    assert turns._count == 0
    turns.close()
    assert not turns.submit("anna", lambda: None)


def test_turns_a_job_that_fails_gives_its_place_back():
    turns, done = Turns("t", 1, each=1, waiting=2), []
    assert turns.submit("carl", lambda: 1 // 0)
    eventually(lambda: not turns._queues)
    assert turns.submit("carl", lambda: done.append(1))
    eventually(lambda: done)
    turns.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_turns_never_run_two_jobs_of_one_party_and_lose_none(parties, threads):
    turns, lock = Turns("t", threads, each=30, waiting=30), threading.Lock()
    running, clashes, done = set(), [], []

    def job(party):
        with lock:
            (clashes if party in running else done).append(party)
            running.add(party)
        with lock:
            running.discard(party)

    taken = [party for party in parties if turns.submit(party, lambda party=party: job(party))]
    eventually(lambda: len(done) + len(clashes) == len(taken))
    assert not clashes
    assert sorted(done) == sorted(taken)
    turns.close()
