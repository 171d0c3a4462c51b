"""Lost chunks are asked for again soon, slow ones not again and again; every rule of `transport.pace` by name."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.foundation.errors import NotFound, Tampered, Unreachable
from cloister.transport.blobs import CHUNK, GONE, Shelf
from cloister.transport.carrier import NoReply
from cloister.transport.pace import Pace
from cloister.transport.pulling import Puller
from cloister.transport.replies import hint, unreachable
from cloister.transport.tuning import Tuning

NOW = 1_800_000_000
DONE = 0xFFFFFFFF


class Line:
    """A carrier to one shelf. `fault(index, asking)` says what happens to the n-th asking for a chunk."""

    def __init__(self, shelf: Shelf, fault=lambda index, asking: None) -> None:
        self.shelf, self.fault = shelf, fault
        self.asked: Counter[int] = Counter()
        self.waits: list[float] = []
        self.under_way = self.most = 0
        self.lock = threading.Lock()

    def exchange(self, to, lane, data, timeout):
        index = int.from_bytes(data[32:], "big")
        if index == DONE:
            return self.shelf.answer("bert", data)
        with self.lock:
            self.asked[index] += 1
            asking = self.asked[index]
            self.waits.append(timeout)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            fault = self.fault(index, asking)
            if fault == "lost":
                raise NoReply(absent=False)  # as after the waiting time, without the waiting
            if fault == "absent":
                raise NoReply(absent=True)
            if isinstance(fault, bytes):
                return fault
            if isinstance(fault, float):  # takes so many seconds
                time.sleep(min(fault, timeout))
                if fault > timeout:
                    raise NoReply(absent=False)
            return self.shelf.answer("bert", data)
        finally:
            with self.lock:
                self.under_way -= 1


def pull(line: Line, body: bytes, *, seconds: float = 60.0, **tuning) -> bytes:
    offer = line.shelf.offer("bert", body, expires=NOW + 60, now=NOW)
    until = time.monotonic() + seconds

    def left() -> float:
        if time.monotonic() > until:
            raise unreachable("anna", "No answer came before the deadline.")
        return until - time.monotonic()

    puller = Puller(line, Tuning(**tuning), threading.Event(), lambda party, size: None)
    return puller.pull("anna", offer, left)


@pytest.fixture
def shelf():
    shelf = Shelf()
    yield shelf
    shelf.close()


BODY = os.urandom(9 * CHUNK + 5)


def test_a_lost_chunk_is_asked_for_again_after_the_pace_of_its_sender_and_the_body_arrives(shelf):
    line = Line(shelf, lambda index, asking: "lost" if (index, asking) == (6, 1) else None)
    assert pull(line, BODY) == BODY
    assert {index: times for index, times in line.asked.items() if times > 1} == {6: 2}
    # Once chunks have come, a lost one is not waited for as long as an unknown line would be.
    assert line.waits[0] == Tuning().chunk_first
    assert min(line.waits) == Tuning().chunk_least < Tuning().chunk_first


def test_a_body_arrives_when_every_chunk_is_lost_once(shelf):
    line = Line(shelf, lambda index, asking: "lost" if asking == 1 else None)
    assert pull(line, BODY) == BODY
    assert set(line.asked.values()) - {1} == {2}


def test_slow_chunks_are_not_asked_for_into_a_storm(shelf):
    """Each takes four times as long as is waited for at first."""
    line = Line(shelf, lambda index, asking: 0.4)
    tuning = {"chunk_first": 0.1, "chunk_least": 0.05}
    assert pull(line, BODY, **tuning) == BODY
    # The first window runs out while the waiting time doubles; what follows is asked for once.
    assert sum(line.asked.values()) <= 10 + 4 * 3
    assert all(line.asked[index] == 1 for index in range(5, 10))


def test_never_more_chunks_are_on_their_way_than_the_window(shelf):
    line = Line(shelf, lambda index, asking: 0.02)
    assert pull(line, BODY, window=3) == BODY
    assert line.most == 3


def test_a_sender_that_is_away_for_a_moment_is_asked_again(shelf):
    line = Line(shelf, lambda index, asking: "absent" if asking < 3 else None)
    assert pull(line, BODY[: 2 * CHUNK]) == BODY[: 2 * CHUNK]


def test_a_sender_with_too_much_to_do_is_asked_again(shelf):
    line = Line(shelf, lambda index, asking: hint("busy") if asking == 1 else None)
    assert pull(line, BODY[: 2 * CHUNK]) == BODY[: 2 * CHUNK]


def test_a_sender_that_stays_away_is_unreachable_at_the_deadline(shelf):
    line = Line(shelf, lambda index, asking: "absent")
    with pytest.raises(Unreachable):
        pull(line, BODY, seconds=0.5)


def test_a_chunk_changed_once_or_twice_fails_nothing_but_thrice_does(shelf):
    changed = b"\x00" + bytes(CHUNK + 16)
    line = Line(shelf, lambda index, asking: changed if asking < 3 and index == 1 else None)
    assert pull(line, BODY[: 3 * CHUNK]) == BODY[: 3 * CHUNK]
    with pytest.raises(Tampered):
        pull(Line(shelf, lambda index, asking: changed if index == 1 else None), BODY[: 3 * CHUNK])


def test_an_offer_that_ended_fails_the_pull(shelf):
    with pytest.raises(NotFound):
        pull(Line(shelf, lambda index, asking: GONE), BODY)


def test_an_unexpected_failure_in_one_thread_ends_the_pull(shelf):
    class Broken(Exception):
        pass

    def fault(index, asking):
        if index == 3:
            raise Broken

    with pytest.raises(Broken):
        pull(Line(shelf, fault), BODY)


def test_rule_1_the_waiting_time_follows_time_and_variation_within_bounds():
    pace = Pace(4.0, 0.5, 60.0, 4)
    assert pace.wait == 4.0
    pace.came(1.0)
    assert pace.wait == pytest.approx(1.0 + 4 * 0.5)
    for _ in range(60):
        pace.came(1.0)
    assert pace.wait == pytest.approx(1.0, abs=0.01)
    for _ in range(60):
        pace.came(0.01)
    assert pace.wait == 0.5
    for _ in range(60):
        pace.came(1000.0)
    assert pace.wait == 60.0


def test_rule_3_the_waiting_time_doubles_once_for_all_that_was_on_its_way():
    pace = Pace(4.0, 0.5, 60.0, 4)
    for asked in (1.0, 1.1, 1.2, 1.3):
        pace.ran_out(asked, now=asked + 4)
    assert pace.wait == 8.0
    pace.ran_out(5.5, now=13.5)
    assert pace.wait == 16.0
    pace.came(0.1)
    assert pace.wait == 0.5


def test_rule_4_what_is_on_its_way_halves_and_grows_again_by_whole_windows():
    pace = Pace(4.0, 0.5, 60.0, 4)
    pace.ran_out(1.0, now=5.0)
    assert pace.width == 2
    pace.ran_out(6.0, now=14.0)
    pace.ran_out(15.0, now=31.0)
    assert pace.width == 1
    widths = []
    for _ in range(12):
        pace.came(0.1)
        widths.append(pace.width)
    assert widths == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]


@given(st.lists(st.one_of(st.floats(0, 1e4), st.none()), max_size=50))
def test_waiting_time_and_width_stay_within_their_bounds(events):
    pace, now = Pace(4.0, 2.0, 60.0, 4), 0.0
    for event in events:
        now += 1.0
        if event is None:
            pace.ran_out(now - 0.5, now)
        else:
            pace.came(event)
        assert 2.0 <= pace.wait <= 60.0
        assert 1 <= pace.width <= 4
