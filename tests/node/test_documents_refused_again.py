"""Documents that are refused cost a node few looks, and others nothing (the rules of `peers.refusals`)."""

from __future__ import annotations

import pytest

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import NotFound, NotTrusted, OutOfSpace, Refused
from cloister.foundation.quotas import Quota
from cloister.identity.envelopes import Envelope, EnvelopeSignature
from cloister.identity.keys import b64
from cloister.node.datasets_service import CATALOGUE_TYPE
from cloister.node.peers.refusals import FIRST, LONGEST, Refusals
from node.town import LAB, PAIR, town

FORGED = NotTrusted("A signature does not hold.", "It is somebody else's.")
ANNA, BERT = "a" * 52, "b" * 52


def looked(refusals, document, now, sender=ANNA, generation=0):
    try:
        refusals.look(sender, document, generation, now)
    except Refused as error:
        return error.clause
    return "looked"


def test_rule_1_pauses_double_up_to_the_longest_and_say_the_same():
    refusals, now, pauses = Refusals(), 1000.0, []
    for _ in range(10):
        refusals.refused(ANNA, "d", FORGED, 0, now)
        start = now
        while looked(refusals, "d", now) == "refused-before":
            now += 1.0
        pauses.append(now - start)
    assert pauses == [*(FIRST * 2**n for n in range(8)), LONGEST, LONGEST]
    refusals.refused(ANNA, "d", FORGED, 0, now)
    with pytest.raises(Refused) as caught:
        refusals.look(ANNA, "d", 0, now)
    assert (caught.value.what, caught.value.why) == (FORGED.what, FORGED.why)


def test_rule_1_a_card_that_changed_ends_the_pause_and_so_does_holding():
    refusals = Refusals()
    refusals.refused(ANNA, "d", FORGED, 0, 10.0)
    assert looked(refusals, "d", 10.0, generation=1) == "looked"
    refusals.taken(ANNA, "d")
    assert looked(refusals, "d", 10.0) == "looked"


def test_rule_1_what_was_refused_for_want_of_room_is_looked_at_again():
    refusals = Refusals()
    refusals.refused(ANNA, "d", Refused("Too many drafts.", "", "", clause="quota"), 0, 10.0)
    assert looked(refusals, "d", 10.0) == "looked"


def test_rule_2_who_offers_ever_new_ones_waits_and_nobody_else_does():
    refusals = Refusals(Quota(1, 1, burst=5, per_hour=3600))
    looks = 0
    for number in range(50):
        if looked(refusals, str(number), 10.0) == "looked":
            looks += 1
            refusals.refused(ANNA, str(number), FORGED, 0, 10.0)
    assert looks == 5
    assert looked(refusals, "new", 10.0) == "quota"
    assert looked(refusals, "new", 10.0, sender=BERT) == "looked"
    assert looked(refusals, "new", 12.0) == "looked"


def test_rule_2_what_holds_and_a_nodes_own_trouble_cost_nothing():
    refusals = Refusals(Quota(1, 1, burst=2, per_hour=3600))
    for number in range(10):
        assert looked(refusals, str(number), 10.0) == "looked"
        refusals.taken(ANNA, str(number))
        refusals.refused(ANNA, "mine", OutOfSpace("The disk is full.", "", ""), 0, 10.0)
    assert looked(refusals, "mine", 10.0) == "looked"


def test_rule_2_nobody_is_silenced_by_what_this_node_has_no_room_for():
    """A member fills its own quota here and gives the rest to Anna, whose node offers all of it again and again."""
    refusals = Refusals(Quota(1, 1, burst=5, per_hour=3600))
    for second in range(100):
        for number in range(60):
            assert looked(refusals, f"act {number}", float(second)) == "looked"
            for error in (Refused("The party's quota is full.", clause="quota"), NotFound("Not here yet.")):
                refusals.refused(ANNA, f"act {number}", error, 0, float(second))
    assert looked(refusals, "the agreement ends", 100.0) == "looked"


def test_rule_3_the_oldest_refusals_are_forgotten():
    refusals = Refusals(kept=3)
    for number in range(5):
        refusals.refused(ANNA, str(number), FORGED, 0, 10.0)
    clauses = [looked(refusals, str(number), 10.0) for number in range(5)]
    assert clauses == ["looked", "looked", "refused-before", "refused-before", "refused-before"]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("refused"), names=PAIR) as made:
        made.start()
        made.meet()
        yield made


def forged(here, number):
    entry = EnvelopeSignature(keyid=f"{here.party[LAB]}/ed25519", sig="AAAA")
    payload = b64(canonical({"type": "cloister/dataset@1", "number": number}))
    return Envelope(payloadType=CATALOGUE_TYPE, payload=payload, signatures=(entry,))


def push(here, *envelopes):
    body = canonical([item.model_dump(mode="json") for item in envelopes])
    return parse(here["Ash"].sync.take(here.party[LAB], body))


def test_a_flood_of_forged_documents_is_looked_at_so_often_and_no_more(here, monkeypatch):
    ash, looks = here["Ash"], []
    check = ash.datasets.check
    monkeypatch.setattr(ash.datasets, "check", lambda envelope: looks.append(1) or check(envelope))
    monkeypatch.setattr(ash.sync, "_refusals", Refusals(Quota(1, 1, burst=20, per_hour=1)))
    for first in range(0, 100, 10):
        batch = [forged(here, number) for number in range(first, first + 10)]
        assert len(push(here, *batch)["refused"]) == 10
        assert len(push(here, *batch)["refused"]) == 10
    assert len(looks) == 20
    monkeypatch.setattr(ash.sync, "_refusals", Refusals())
    push(here, *here[LAB].parties.chain(here.party[LAB]))
    assert push(here, *here[LAB].parties.chain(here.party[LAB]))["refused"] == []
