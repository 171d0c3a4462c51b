"""The transport over a carrier that loses, repeats, delays and changes what it carries."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloister.foundation.errors import CloisterError, Unreachable
from cloister.identity.keys import SecretKeys
from cloister.transport.memory import Faults, MemoryHub
from cloister.transport.messenger import Tuning
from cloister.transport.replies import hint

QUICK = Tuning(attempt=0.1, chunk_first=0.1, chunk_least=0.1, patience=0.5)


@pytest.fixture
def hub():
    return MemoryHub(Faults(seed=7), record=True)


@pytest.fixture
def pair(hub, members, book):
    anna, bert = (
        hub.transport(members[name].id, members[name].keys, book, tuning=QUICK) for name in ("anna", "bert")
    )
    yield anna, bert
    anna.close()
    bert.close()


@pytest.fixture
def opened():
    """Transports that are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


def eventually(condition, seconds=15.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def counted(bert):
    runs: list[str] = []

    def handler(call):
        runs.append(call.key)
        return call.body

    bert.serve("echo", handler)
    return runs


def test_lost_messages_are_sent_again_and_run_once(hub, pair):
    anna, bert = pair
    runs = counted(bert)
    hub.faults.drop = 0.3
    for number in range(12):
        assert anna.call(bert.party, "echo", b"x", deadline=60, key=str(number)) == b"x"
    assert runs == [str(number) for number in range(12)]


def test_repeated_messages_run_once(hub, pair):
    anna, bert = pair
    runs = counted(bert)
    hub.faults.duplicate = 1.0
    for number in range(5):
        assert anna.call(bert.party, "echo", b"x", deadline=60, key=str(number)) == b"x"
    assert runs == [str(number) for number in range(5)]


def test_a_changed_message_is_never_taken_for_a_true_one(hub, pair):
    anna, bert = pair
    seen = []
    bert.serve("echo", lambda call: seen.append(call.body) or call.body)
    hub.faults.corrupt = 0.5
    outcomes = []
    for _ in range(30):
        try:
            outcomes.append(anna.call(bert.party, "echo", b"true", deadline=5))
        except CloisterError as error:
            outcomes.append(type(error))
    assert set(seen) <= {b"true"}
    assert b"true" in outcomes
    assert {outcome for outcome in outcomes if isinstance(outcome, bytes)} == {b"true"}
    assert len(set(outcomes)) > 1


def test_a_large_body_comes_through_losses(hub, pair):
    anna, bert = pair
    body = os.urandom(12 << 20)
    bert.serve("give", lambda call: body)
    hub.faults.drop = 0.2
    assert anna.call(bert.party, "give", b"", deadline=60, answer=len(body)) == body


def test_parties_cut_off_from_each_other_are_unreachable_until_healed(hub, pair, members, book):
    anna, bert = pair
    counted(bert)
    hub.faults.partition(anna.party, bert.party)
    with pytest.raises(Unreachable):
        anna.call(bert.party, "echo", b"x", deadline=5)
    hub.faults.heal()
    assert anna.call(bert.party, "echo", b"x", deadline=5) == b"x"


def test_a_late_message_is_still_answered(hub, pair):
    anna, bert = pair
    runs = counted(bert)
    hub.faults.delay = 0.15
    assert anna.call(bert.party, "echo", b"x", deadline=20, key="k") == b"x"
    assert runs == ["k"]


def test_a_call_made_again_while_its_body_is_pulled_brings_a_fresh_offer(pair, monkeypatch):
    """Rule 4 of `answering`: the offer of a call that was given up has ended; the pull goes on from the next call's."""
    anna, bert = pair
    runs = counted(bert)
    body = os.urandom(2 << 20)
    give, withheld = anna._shelf.answer, threading.Event()
    monkeypatch.setattr(
        anna._shelf, "answer", lambda *asked: give(*asked) if withheld.is_set() else hint("busy")
    )

    def offered():
        return [offer for offer, _ in bert._answering._pulling.get((anna.party, "k"), {}).values()]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(anna.call, bert.party, "echo", body, deadline=2, key="k")
        eventually(offered)
        (given_up,) = offered()
        again = pool.submit(anna.call, bert.party, "echo", body, deadline=60, key="k", answer=len(body))
        with pytest.raises(Unreachable):
            first.result(60)
        assert not anna._shelf.holds(given_up.id)
        withheld.set()
        assert again.result(60) == body
    assert runs == ["k"]
    assert not bert._answering._pulling


def test_the_hub_reads_neither_bodies_nor_methods(hub, pair):
    anna, bert = pair
    bert.serve("count.crystals", lambda call: b"nine hundred")
    anna.call(bert.party, "count.crystals", b"in this picture" * 40_000, deadline=20, key="a-telling-key")
    everything = b"".join(data for _, _, data in hub.seen)
    for hidden in (b"crystals", b"nine hundred", b"in this picture", b"a-telling-key"):
        assert hidden not in everything


def test_a_party_struck_from_the_book_is_refused_at_once(hub, pair, book):
    anna, bert = pair
    counted(bert)
    assert anna.call(bert.party, "echo", b"x", deadline=5) == b"x"
    del book.known[anna.party]
    with pytest.raises(Unreachable) as error:
        anna.call(bert.party, "echo", b"x", deadline=5)
    assert error.value.detail["refusal"] == "not-trusted"


def test_rotated_keys_speak_once_the_others_know_them(hub, pair, book, members):
    anna, bert = pair
    counted(bert)
    fresh = SecretKeys.generate()
    anna.rotate(fresh)
    with pytest.raises(Unreachable):
        anna.call(bert.party, "echo", b"x", deadline=5)
    book.known[anna.party] = fresh.public
    assert anna.call(bert.party, "echo", b"x", deadline=5) == b"x"


def test_keys_that_are_expected_open_before_they_sign(hub, members, book, opened):
    # Nothing is sent again here: a repetition after the card has changed is by keys that no longer speak.
    calm = Tuning(attempt=60.0)
    anna, bert = (
        opened(hub.transport(members[name].id, members[name].keys, book, tuning=calm))
        for name in ("anna", "bert")
    )
    counted(bert)
    fresh = SecretKeys.generate()
    anna.expect(fresh)
    seen = []

    def learn(call):
        book.known[anna.party] = fresh.public
        seen.append(call.sender)
        return b"sealed to the new keys"

    bert.serve("card", learn)
    assert anna.call(bert.party, "card", b"", deadline=60) == b"sealed to the new keys"
    anna.rotate(fresh)
    assert anna.call(bert.party, "echo", b"x", deadline=60) == b"x"


def test_handlers_never_run_in_the_carriers_thread(pair):
    anna, bert = pair
    names = []
    bert.serve("who", lambda call: names.append(threading.current_thread().name) or b"")
    anna.call(bert.party, "who", b"", deadline=5)
    anna.call(bert.party, "who", bytes(1 << 20), deadline=5)
    assert [name.split("_")[0] for name in names] == ["cloister-call", "cloister-pull"]
