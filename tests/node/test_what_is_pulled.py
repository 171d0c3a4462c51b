"""What others may make a node pull: no more than the method can use (rule 5 of `peers.reception`), and documents in batches."""

from __future__ import annotations

import os

import pytest

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.identity.envelopes import Envelope
from cloister.node.messages import ATTACHED, MESSAGE, MessageHeader, pack
from cloister.node.peers import documents
from cloister.node.peers.documents import MAX_PUSHED
from cloister.node.peers.reception import INSTANCE, _before_message
from cloister.node.tasks.admitting import WITHDRAWN
from cloister.node.tasks.parts import CONTENT
from cloister.transport.interface import Attachment, Call
from cloister.transport.tuning import Tuning
from node.town import LAB, PAIR, USER, town

SIZE = 5 << 20


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("pulled"), names={**PAIR, USER: ["user"]}) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        made.plan_there = made.plan(made.agreement)
        made[LAB].tasks.submit(made.plan_there)
        made.approve(made.plan_there.digest)
        made.ended(made.plan_there.digest, LAB, "Ash")
        yield made


def sent(here, by, method, body, attached=None):
    """How many bytes came to Ash, and what it said."""
    ash, transport = here["Ash"].link.transport, here[by].link.transport
    before = ash.traffic()[here.party[by]].received_bytes
    try:
        said = transport.call(here.party["Ash"], method, body, deadline=20, attached=attached)
    except CloisterError as error:
        said = error
    return ash.traffic()[here.party[by]].received_bytes - before, said


@pytest.mark.parametrize("method", [INSTANCE, CONTENT, WITHDRAWN])
def test_rule_5_a_small_question_has_no_large_body(here, method):
    came, said = sent(here, LAB, method, os.urandom(SIZE))
    assert isinstance(said, BadInput)
    assert "limit" in said.why
    assert came < SIZE // 10


def test_rule_5_a_large_message_is_pulled_only_for_a_task_that_is_known(here):
    attached = os.urandom(SIZE)
    for task, pulled in ((digest(b"no task"), False), (here.plan_there.digest, True)):
        header = MessageHeader(task=task, phase="nowhere", kind="nothing", sequence=1000)
        came, said = sent(here, LAB, MESSAGE, pack(header, b""), Attachment(attached, digest(attached)))
        assert isinstance(said, Refused)
        assert (came > SIZE) == pulled == (said.clause != "unknown-task")


def test_rule_5_a_large_message_is_pulled_only_from_somebody_who_has_part_in_the_task(here):
    header = MessageHeader(task=here.plan_there.digest, phase="nowhere", kind="nothing", sequence=1)
    _before_message(here["Ash"], Call(here.party[LAB], MESSAGE, pack(header, b""), "key"))
    with pytest.raises(Refused) as caught:
        _before_message(here["Ash"], Call("a" * 52, MESSAGE, pack(header, b""), "key"))
    assert caught.value.clause == "unknown-task"


def test_rule_5_a_message_whose_header_would_have_to_be_pulled_is_refused(here):
    header = MessageHeader(task=here.plan_there.digest, phase="nowhere", kind="nothing", sequence=1000)
    came, said = sent(here, LAB, MESSAGE, pack(header, os.urandom(SIZE)))
    assert isinstance(said, BadInput)
    assert came < SIZE // 10


def test_every_message_that_is_not_attached_fits_into_one_of_the_transport():
    header = MessageHeader(task=digest(b""), phase="p" * 80, kind="k" * 80, sequence=2**48)
    assert len(pack(header, bytes(ATTACHED))) < Tuning().inline


@pytest.mark.parametrize("room", [None, 5000, 10])
def test_documents_go_in_batches_that_the_other_side_takes(here, monkeypatch, room):
    if room is not None:
        monkeypatch.setattr(documents, "_ROOM", room)
    due = [
        Envelope(payloadType="application/vnd.cloister.test+json", payload="e30=", signatures=())
        for _ in range(MAX_PUSHED * 2 + 1)
    ]
    batches = list(documents._batches(due))
    assert [item for batch in batches for item in batch] == due
    assert max(len(batch) for batch in batches) <= MAX_PUSHED
    most = max(sum(len(item.encode()) + 1 for item in batch) for batch in batches)
    assert most <= (room or documents.MAX_PUSH) or max(len(batch) for batch in batches) == 1
