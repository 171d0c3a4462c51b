"""After a rotation not everybody holds the new card at once: work waits for it, and nothing is refused meanwhile."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import NotTrusted
from cloister.node.chores import Chores
from cloister.node.peers.hub_link import Link
from cloister.node.rotation import rotate_keys
from cloister.node.tasks import asking
from cloister.transport.replies import unreachable
from node.town import LAB, UNLOCK, USER, Town, town, until

pytestmark = pytest.mark.slow
ROLES = {LAB: ["researcher"], "Ash": ["owner"], USER: ["user"]}


def rotated(here: Town) -> str:
    """Ash has new keys; the lab holds their card, the user does not. Returns the agreement."""
    agreement = here.ready(template="one-researcher-one-owner")
    here.stop("Ash")
    rotate_keys(here.root / "Ash", UNLOCK, here.clock)
    here.start("Ash")
    here[LAB].parties.accept_chain(here["Ash"].parties.chain(here.party["Ash"]))
    return agreement


def begun(here: Town, agreement: str) -> str:
    """A task that Ash has admitted and of which the user was told in vain."""
    task = here.run(agreement)
    until("the user to be told", lambda: here.party[USER] in here[LAB].tasks.records.note(task)["waiting"])
    return task


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=ROLES) as made:
        yield made


def test_a_task_waits_for_a_card_that_is_on_its_way(here, monkeypatch):
    """Rule 5 of `asking`: the start was taken for refused for ever where one party lacked another's new card."""
    looked: list[Chores] = []

    def look(chores: Chores) -> None:
        looked.append(chores)

    monkeypatch.setattr(Chores, "look_for_cards", look)
    agreement = rotated(here)
    task = begun(here, agreement)
    assert not here[LAB].tasks.records.over(task)
    assert "signature" in here[LAB].tasks.records.note(task)["waiting"][here.party[USER]]
    assert here[USER].chores in looked  # rule 4 of `reception`
    here[USER].parties.accept_chain(here["Ash"].parties.chain(here.party["Ash"]))
    assert set(here.ended(task).values()) == {"done"}
    assert here[LAB].tasks.records.note(task)["waiting"] == {}


def test_a_signature_that_never_holds_is_a_refusal_in_the_end(here, monkeypatch):
    monkeypatch.setattr(asking, "_CARDS_SECONDS", 0.5)
    monkeypatch.setattr(asking, "_FIRST_PAUSE", 0.2)
    agreement = rotated(here)
    task = here.run(agreement)
    until("the refusal", lambda: here[LAB].tasks.records.over(task))
    with pytest.raises(NotTrusted):
        here[USER].parties.live().keys(here.party["Ash"], here["Ash"].keys.public.keyset)


class StrangeHub:
    """A hub that does not trust what it is sent: it could not be shown the new card when the node started."""

    def __init__(self, card_shown: list[bool]) -> None:
        self.card_shown = card_shown

    def call(self, to: str, *_: object, **__: object) -> bytes:
        raise unreachable(to, "", refusal="busy" if self.card_shown else "not-trusted")


def test_a_hub_that_does_not_know_the_present_card_is_shown_it(tmp_path):
    with town(tmp_path, names={LAB: ["researcher"]}) as here:
        here.start()
        node, shown = here[LAB], list[bool]()
        before, node.link = node.link, Link(StrangeHub(shown), "h" * 52, lambda: shown.append(True))
        try:
            node.chores.meet_hub()
            assert shown == [True]
            node.chores.meet_hub()
            assert shown == [True]
        finally:
            node.link = before
