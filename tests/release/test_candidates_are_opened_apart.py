"""A candidate's own bytes reach no worker that reads records (rules of `release.inspection`)."""

from __future__ import annotations

import numpy as np
import pytest
from release_world import HOLDERS, World, f

from cloister.foundation.errors import TaskFailed
from cloister.journal.program import Message
from cloister.release import messages


class Watched(f.FakeEngine):
    """Remembers the models it was given."""

    def __init__(self):
        super().__init__()
        self.given: list[tuple[str, bytes]] = []

    def call(self, method, arguments, arrays=None, deadline=600.0):
        if arrays and "model" in arrays:
            self.given.append((method, np.asarray(arrays["model"], np.uint8).tobytes()))
        return super().call(method, arguments, arrays, deadline)


def world(tamper=None, **settings):
    worker, examiner = Watched(), Watched()
    made = World(worker=worker, tamper=tamper, **settings)
    for node in made.loop.nodes.values():
        node.examiner = examiner
    return made, worker, examiner


def shown(content):
    def lie(_node, message):
        if message.kind != messages.CANDIDATE:
            return message
        header, _ = messages.read(messages.CandidateHeader, message.body, max_content=1 << 20)
        return Message(message.to, message.kind, messages.write(header, content))

    return lie


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_1_the_worker_that_reads_records_is_never_given_a_candidate(holder):
    made, worker, examiner = world(holder=holder)
    made.run()
    assert made.contexts[f.USER].shelf
    assert {model for _, model in worker.given} == {f.MODEL}
    assert {method for method, _ in examiner.given} == {"initial"}
    assert len(examiner.given) == len(made.owners)


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_1_nor_when_it_is_something_that_nobody_approved(holder):
    evil = b"EVIL" + bytes(1000)
    if holder == "owner":
        made, worker, examiner = world(holder=holder, held=dict.fromkeys(f.OWNERS, evil))
    else:
        made, worker, examiner = world(shown(evil))
    made.run()
    assert isinstance(made.error(f.LAB), TaskFailed)
    assert evil not in {model for _, model in worker.given}
    assert {model for _, model in examiner.given} == {evil}


def test_rule_2_what_is_over_the_agreed_size_is_not_opened_at_all():
    made, worker, examiner = world()
    large = f.MODEL + bytes(made.terms.release.max_bytes)
    made, worker, examiner = world(shown(large))
    made.run()
    assert made.error(f.LAB).what.endswith("owners: size.")
    assert examiner.given == []
    assert large not in {model for _, model in worker.given}


def test_rule_2_nor_one_of_another_kind():
    def lie(_node, message):
        if message.kind != messages.CANDIDATE:
            return message
        header, content = messages.read(messages.CandidateHeader, message.body, max_content=1 << 20)
        return Message(
            message.to, message.kind, messages.write(header.model_copy(update={"kind": "table"}), content)
        )

    made, _worker, examiner = world(lie)
    made.run()
    assert made.error(f.LAB).what.endswith("owners: kind.")
    assert examiner.given == []
