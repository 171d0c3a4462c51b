"""An agreement that one organisation makes with itself: its one signature is everybody's, and it has every turn."""

from __future__ import annotations

import pytest

from cloister.agreements.lifecycle import State
from cloister.node.signing import Signer
from node.town import town

ADA = Signer(None, "the operator of this machine")
ALONE = {"Ash": ["owner", "researcher"]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with town(tmp_path_factory.mktemp("alone"), names=ALONE) as here:
        here.start()
        here.data("Ash")
        yield here


def proposed(here, title):
    document = here.terms(template="one-researcher-one-owner", quality=None, title=title)
    return here["Ash"].agreements.offer(document)


def test_the_last_signature_brings_it_into_force_by_itself(alone):
    told = proposed(alone, "Alone")
    assert told["complete"]
    assert told["state"] == State.FINALIZED


def test_it_can_be_suspended_and_ended(alone):
    ash, digest = alone["Ash"], proposed(alone, "Ended")["agreement"]
    assert ash.signing.move(digest, State.SUSPENDED, None, ADA)["state"] == State.SUSPENDED
    assert ash.signing.move(digest, State.REVOKED, None, ADA)["state"] == State.REVOKED
