"""Every rule of `node.messages`, by name, and the layout of a task message."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace

import pytest

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Unreachable
from cloister.identity.keys import SecretKeys, party_id
from cloister.journal.ports import Taken
from cloister.node.messages import ATTACHED, LEAST_PACE, MESSAGE, Courier, MessageHeader, pack, read
from cloister.node.peers.reception import _on_message
from cloister.transport.interface import Attachment, Call
from cloister.transport.memory import MemoryHub

TASK = "sha256:" + "7" * 64
SMALL, LARGE = b"small", b"x" * (ATTACHED + 1)


class Line:
    """A transport whose recipient answers as told."""

    def __init__(self, *answers: Taken | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, object]] = []

    def call(self, to, method, body, *, deadline, key=None, attached=None):
        self.calls.append({"to": to, "method": method, "body": body, "deadline": deadline, "key": key})
        self.calls[-1]["attached"] = attached
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return canonical({"taken": answer.value})

    @property
    def keys(self):
        return [call["key"] for call in self.calls]


def send(courier, body=SMALL, to="bert", task=TASK, sequence=1):
    return courier.send(to, task, "round-1", "update-1", sequence, body, digest(body))


@pytest.mark.parametrize("body", [SMALL, LARGE, b""])
def test_the_same_message_sent_again_is_the_same_call(body):
    line = Line(Unreachable("No answer."), Taken.ACCEPTED, Taken.ACCEPTED)
    courier = Courier(line)
    with pytest.raises(Unreachable):
        send(courier, body)
    assert send(courier, body) is Taken.ACCEPTED
    # Another process, after a crash, knows nothing of what was sent before.
    assert send(Courier(line), body) is Taken.ACCEPTED
    assert len(set(line.keys)) == 1
    assert line.calls[0] == line.calls[2]


def test_another_message_is_another_call():
    line = Line(*[Taken.ACCEPTED] * 4)
    courier = Courier(line)
    send(courier)
    send(courier, sequence=2)
    send(courier, task="sha256:" + "8" * 64)
    # After a node was restored from a backup: the recipient's journal decides, not the transport's memory.
    send(courier, body=b"other")
    assert len(set(line.keys)) == 4


def test_a_recipient_that_answered_later_is_asked_anew():
    line = Line(Taken.LATER, Unreachable("No answer."), Taken.LATER, Taken.ACCEPTED)
    courier = Courier(line)
    assert send(courier) is Taken.LATER
    with pytest.raises(Unreachable):
        send(courier)
    assert send(courier) is Taken.LATER
    assert send(courier) is Taken.ACCEPTED
    first, second, third, fourth = line.keys
    assert second == third
    assert len({first, second, fourth}) == 3


def test_how_often_a_recipient_was_not_there_is_remembered_for_a_bounded_number_of_messages(monkeypatch):
    monkeypatch.setattr("cloister.node.messages._REMEMBERED", 2)
    line = Line(*[Taken.LATER] * 4)
    courier = Courier(line)
    for sequence in (1, 2, 3, 1):
        send(courier, sequence=sequence)
    assert len(courier._laters) == 2
    assert line.keys[3] == line.keys[0]


def test_a_large_body_is_attached_and_has_time_on_a_slow_line():
    line = Line(Taken.ACCEPTED, Taken.ACCEPTED)
    courier = Courier(line)
    send(courier)
    send(courier, LARGE)
    small, large = line.calls
    assert (small["attached"], large["attached"]) == (None, Attachment(LARGE, digest(LARGE)))
    assert large["deadline"] - small["deadline"] == pytest.approx(
        (len(LARGE) - len(SMALL)) / LEAST_PACE, rel=1e-6
    )
    for call, body in zip(line.calls, (SMALL, LARGE), strict=True):
        came = Call("anna", MESSAGE, call["body"], call["key"], call["attached"])
        header = MessageHeader(task=TASK, phase="round-1", kind="update-1", sequence=1)
        assert read(came) == (header, body, digest(LARGE) if body is LARGE else None)


def test_a_message_with_two_bodies_is_refused():
    header = MessageHeader(task=TASK, phase="round-1", kind="update-1", sequence=1)
    attached = Attachment(LARGE, digest(LARGE))
    with pytest.raises(BadInput):
        read(Call("anna", MESSAGE, pack(header, b"x"), "k", attached))


@pytest.fixture
def pair():
    hub, people = MemoryHub(), {}

    class Book:
        def keys_for(self, party):
            return people[party].public

    for name in ("anna", "bert"):
        keys = SecretKeys.generate()
        people[party_id(keys.public, digest(name.encode()))] = keys
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(hub.transport(name, keys, Book())) for name, keys in people.items()]


def test_a_large_message_passes_whole_and_is_pulled_once_however_often_it_is_sent(pair):
    anna, bert = pair
    delivered, told = [], [Taken.LATER, Taken.ACCEPTED]

    def deliver(*message):
        delivered.append(message)
        return told[len(delivered) - 1]

    node = SimpleNamespace(runner=SimpleNamespace(deliver=deliver))
    bert.serve(MESSAGE, lambda call: _on_message(node, call))
    body = os.urandom(3 << 20)
    courier = Courier(anna)
    assert send(courier, body, bert.party) is Taken.LATER
    assert send(courier, body, bert.party) is Taken.ACCEPTED
    pulled = bert.traffic()[anna.party].received_bytes
    assert (
        send(Courier(anna), body, bert.party) is Taken.LATER
    )  # from memory: another process begins to count anew
    assert send(courier, body, bert.party) is Taken.LATER
    assert send(courier, body, bert.party) is Taken.ACCEPTED
    assert bert.traffic()[anna.party].received_bytes < pulled + (1 << 20)
    expected = (TASK, anna.party, "round-1", "update-1", 1, body, digest(body))
    assert delivered == [expected, expected]
