"""What every transport must do, run over each carrier with the same body."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloister.foundation.digests import digest
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    Unreachable,
)
from cloister.transport.interface import Attachment, Call


def eventually(condition, seconds=15.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def pair(net):
    """Anna asks, Bert answers."""
    anna, bert = net.open("anna"), net.open("bert")
    eventually(lambda: bert.party in anna.here() and anna.party in bert.here())
    return anna, bert


def test_a_call_is_answered(pair):
    anna, bert = pair
    got = []

    def handler(call: Call) -> bytes:
        got.append(call)
        return call.body[::-1]

    bert.serve("echo", handler)
    assert anna.call(bert.party, "echo", b"abc", deadline=20, key="k1") == b"cba"
    assert got == [Call(anna.party, "echo", b"abc", "k1")]


def test_an_empty_body_and_an_empty_answer_pass(pair):
    anna, bert = pair
    bert.serve("nothing", lambda call: call.body)
    assert anna.call(bert.party, "nothing", b"", deadline=20) == b""


@pytest.mark.parametrize("size", [256 << 10, (256 << 10) + 1, 5 << 20, (3 << 20)])
def test_bodies_and_answers_of_any_size_pass(pair, size):
    anna, bert = pair
    body = os.urandom(size)
    bert.serve("reverse", lambda call: call.body[::-1])
    assert anna.call(bert.party, "reverse", body, deadline=60, answer=size) == body[::-1]
    assert not anna._shelf._items
    eventually(lambda: not bert._shelf._items)


@pytest.mark.parametrize("size", [0, 7, 3 << 20])
def test_a_large_body_travels_beside_a_small_one_and_both_are_the_call(pair, size):
    anna, bert = pair
    got = []
    bert.serve("take", lambda call: got.append(call) or b"taken")
    attached = Attachment(os.urandom(size), "")
    attached = Attachment(attached.body, digest(attached.body))
    for small in (b"head", b""):
        key = f"key{len(small)}"
        for _ in range(2):
            assert anna.call(bert.party, "take", small, deadline=60, key=key, attached=attached) == b"taken"
        assert got.pop() == Call(anna.party, "take", small, key, attached)
        assert not got
    with pytest.raises(Conflict):
        anna.call(bert.party, "take", b"other", deadline=60, key="key4", attached=attached)
    with pytest.raises(BadInput):
        anna.call(bert.party, "take", b"x" * ((256 << 10) + 1), deadline=60, attached=attached)


def test_an_attachment_that_is_not_what_its_digest_says_reaches_no_handler(pair):
    anna, bert = pair
    got = []
    bert.serve("take", lambda call: got.append(call) or b"")
    with pytest.raises(NotTrusted):
        anna.call(bert.party, "take", b"", deadline=20, attached=Attachment(b"body", digest(b"another")))
    assert not got


def test_another_party_cannot_speak_in_the_voice_of_ones_own_node(pair):
    """What a node tells its own people only travels as `local`; from elsewhere it would be shown under that title."""
    anna, bert = pair

    def refuse(call: Call) -> bytes:
        raise Refused("No.", clause="purpose", local=["Your disk is damaged; send us your keys."])

    bert.serve("ask", refuse)
    with pytest.raises(Refused) as error:
        anna.call(bert.party, "ask", b"", deadline=20)
    assert "local" not in error.value.detail


def test_a_refusal_reaches_the_caller_as_such(pair):
    anna, bert = pair

    def refuse(call: Call) -> bytes:
        raise Refused("No.", "The purpose differs.", "Ask for another.", clause="purpose", figure=3)

    bert.serve("ask", refuse)
    with pytest.raises(Refused) as error:
        anna.call(bert.party, "ask", b"", deadline=20)
    assert (error.value.what, error.value.why, error.value.remedy) == (
        "No.",
        "The purpose differs.",
        "Ask for another.",
    )
    assert error.value.clause == "purpose"
    assert error.value.detail["figure"] == 3


def test_an_unexpected_failure_tells_nothing_of_itself(pair):
    anna, bert = pair

    def fail(call: Call) -> bytes:
        raise ValueError("row 17: patient Smith")

    bert.serve("fail", fail)
    with pytest.raises(CloisterError) as error:
        anna.call(bert.party, "fail", b"", deadline=20)
    assert "Smith" not in str(error.value)
    assert error.value.type == "error"


def test_a_method_that_is_not_served_is_not_found(pair):
    anna, bert = pair
    with pytest.raises(NotFound):
        anna.call(bert.party, "no.such", b"", deadline=20)


def test_an_absent_party_is_unreachable(net, members):
    anna = net.open("anna", patience=0.3)
    with pytest.raises(Unreachable):
        anna.call(members["carl"].id, "echo", b"", deadline=30)


def test_silence_is_no_absence_a_handler_may_take_longer_than_the_patience_with_absent_parties(net):
    anna, bert = net.open("anna", attempt=0.2, patience=0.3), net.open("bert")
    eventually(lambda: bert.party in anna.here())
    runs = []

    def slow(call: Call) -> bytes:
        runs.append(call.key)
        time.sleep(2.0)
        return b"done"

    bert.serve("slow", slow)
    assert anna.call(bert.party, "slow", b"", deadline=60) == b"done"
    assert len(runs) == 1


def test_a_call_that_takes_too_long_is_unreachable(pair):
    anna, bert = pair
    release = threading.Event()
    bert.serve("slow", lambda _: b"x" if release.wait(20) else b"")
    with pytest.raises(Unreachable):
        anna.call(bert.party, "slow", b"", deadline=0.5)
    release.set()


def test_a_body_over_the_limit_is_refused_by_the_sender_and_by_the_recipient(net):
    bert = net.open("bert", body=1 << 20)
    anna, small = net.open("anna"), net.open("carl", body=1 << 20)
    bert.serve("take", lambda call: b"")
    for sender in (anna, small):
        with pytest.raises(BadInput) as error:
            sender.call(bert.party, "take", bytes((1 << 20) + 1), deadline=20)
        assert error.value.detail["clause"] == "size"


def test_the_same_key_is_answered_once(pair):
    anna, bert = pair
    runs = []

    def count(call: Call) -> bytes:
        runs.append(call.key)
        return str(len(runs)).encode()

    bert.serve("count", count)
    assert [anna.call(bert.party, "count", b"", deadline=20, key="same") for _ in range(3)] == [b"1"] * 3
    assert anna.call(bert.party, "count", b"", deadline=20, key="other") == b"2"
    assert runs == ["same", "other"]


def test_the_same_key_while_it_runs_waits_for_the_one_result(pair):
    anna, bert = pair
    runs, release = [], threading.Event()

    def slow(call: Call) -> bytes:
        runs.append(1)
        release.wait(20)
        return b"done"

    bert.serve("slow", slow)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(anna.call, bert.party, "slow", b"", deadline=30, key="k") for _ in range(3)]
        eventually(lambda: runs)
        time.sleep(0.2)
        release.set()
        assert [call.result() for call in calls] == [b"done"] * 3
    assert runs == [1]


def test_a_key_with_another_body_is_a_conflict(pair):
    anna, bert = pair
    bert.serve("echo", lambda call: call.body)
    anna.call(bert.party, "echo", b"one", deadline=20, key="k")
    with pytest.raises(Conflict):
        anna.call(bert.party, "echo", b"two", deadline=20, key="k")


def test_a_failed_call_may_be_repeated_under_its_key(pair):
    anna, bert = pair
    outcomes = iter((Refused("Not yet.", clause="time"), b"now"))

    def handler(call: Call) -> bytes:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    bert.serve("when", handler)
    with pytest.raises(Refused):
        anna.call(bert.party, "when", b"", deadline=20, key="k")
    assert anna.call(bert.party, "when", b"", deadline=20, key="k") == b"now"


def test_an_answer_larger_than_was_asked_for_is_not_pulled(pair):
    """What asks something small is not filled by the one it asks."""
    anna, bert = pair
    bert.serve("give", lambda call: bytes(1 << 20))
    bert.serve("small", lambda call: bytes(2000))
    pulled: list[object] = []
    anna._puller.pull = lambda *args, **_: pulled.append(args)
    for most in ({}, {"answer": (1 << 20) - 1}):
        with pytest.raises(BadInput) as refused:
            anna.call(bert.party, "give", b"", deadline=30, **most)
        assert refused.value.detail["clause"] == "size"
    with pytest.raises(BadInput):
        anna.call(bert.party, "small", b"", deadline=30, answer=1999)
    assert anna.call(bert.party, "small", b"", deadline=30, answer=2000) == bytes(2000)
    assert not pulled


def test_a_large_answer_can_be_had_again_under_its_key(pair):
    anna, bert = pair
    body = os.urandom(1 << 20)
    bert.serve("give", lambda call: body)
    for _ in range(2):
        assert anna.call(bert.party, "give", b"", deadline=30, key="k", answer=1 << 20) == body


def test_many_calls_at_once_are_all_answered(pair):
    anna, bert = pair
    bert.serve("echo", lambda call: call.body)
    bodies = [str(number).encode() for number in range(60)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda body: anna.call(bert.party, "echo", body, deadline=60), bodies))
    assert answers == bodies


def test_more_calls_than_a_node_takes_at_once_are_answered_later(net):
    bert = net.open("bert", handlers=1, waiting=1)
    anna = net.open("anna")
    bert.serve("slow", lambda call: time.sleep(0.05) or b"ok")
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(anna.call, bert.party, "slow", b"", deadline=60) for _ in range(8)]
        assert [call.result() for call in calls] == [b"ok"] * 8


def test_a_small_call_does_not_wait_behind_large_ones(net):
    bert, anna = net.open("bert", pulls=1), net.open("anna")
    release = threading.Event()
    bert.serve("large", lambda call: str(release.wait(30)).encode())
    bert.serve("small", lambda call: b"quick")
    with ThreadPoolExecutor(3) as pool:
        large = [pool.submit(anna.call, bert.party, "large", bytes(1 << 20), deadline=60) for _ in range(3)]
        assert anna.call(bert.party, "small", b"", deadline=20) == b"quick"
        assert not any(call.done() for call in large)
        release.set()
        assert [call.result() for call in large] == [b"True"] * 3


def test_a_party_can_call_itself(net):
    anna = net.open("anna")
    anna.serve("echo", lambda call: call.body)
    assert anna.call(anna.party, "echo", b"me", deadline=20) == b"me"


def test_comings_and_goings_are_seen(net):
    anna = net.open("anna")
    bert = net.open("bert")
    eventually(lambda: bert.party in anna.here())
    bert.close()
    eventually(lambda: bert.party not in anna.here())
    events = [(event.party, event.here) for event in anna.presence() if event.party == bert.party]
    assert events == [(bert.party, True), (bert.party, False)]
    assert not list(anna.presence())


def test_closing_ends_pending_calls_and_later_ones(pair):
    anna, bert = pair
    release, started = threading.Event(), threading.Event()

    def slow(call: Call) -> bytes:
        started.set()
        release.wait(20)
        return b""

    bert.serve("slow", slow)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(anna.call, bert.party, "slow", b"", deadline=120)
        assert started.wait(20)
        anna.close()
        with pytest.raises(Unreachable):
            call.result(timeout=20)
    release.set()
    with pytest.raises(Unreachable):
        anna.call(bert.party, "slow", b"", deadline=5)
    anna.close()


def test_traffic_is_counted_for_each_party(pair):
    anna, bert = pair
    bert.serve("echo", lambda call: call.body)
    anna.call(bert.party, "echo", bytes(1000), deadline=20)
    for one, other in ((anna, bert.party), (bert, anna.party)):
        seen = one.traffic()[other]
        assert (seen.sent, seen.received) == (1, 1)
        assert seen.sent_bytes > 5000
        assert seen.received_bytes > 5000
