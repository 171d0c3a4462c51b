"""What is kept of the signatures on an agreement, and what one that cannot be read may hold up (`agreements_service`)."""

from __future__ import annotations

import pytest

from cloister.agreements.lifecycle import ACT_TYPE, State, act, sign_act
from cloister.agreements.signing import AGREEMENT_TYPE, sign_terms
from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput
from cloister.foundation.quotas import Quota
from cloister.identity.envelopes import Envelope, EnvelopeSignature, cosign, with_signatures
from cloister.node.diagnosis import running
from cloister.node.peers.documents import PUSH
from cloister.node.peers.quotas import LIMITS
from cloister.storage.documents import Documents
from node.town import LAB, town

OTHER = "Other lab"
NAMES = {LAB: ["researcher"], OTHER: ["researcher"], "Ash": ["owner"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("signatures"), names=NAMES) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


def draft(here, by, number):
    document = here.terms(template="one-researcher-one-owner", title=f"Draft {number}", quality=None)
    return sign_terms(Terms.from_odrl(document), here.party[by], here[by].keys)


def junk(party, number, start=0):
    return tuple(
        EnvelopeSignature(keyid=f"{party}/{n:032x}", sig="AAAA") for n in range(start, start + number)
    )


def push(here, by, *envelopes):
    body = canonical([item.model_dump(mode="json") for item in envelopes])
    return parse(here[by].call(here.party["Ash"], PUSH, body, 20))


def held(here, digest):
    return here["Ash"].agreements.envelope(digest)


def test_entries_that_do_not_hold_are_not_kept_though_they_name_a_party_that_signed(here):
    """Rule 1."""
    made, party = draft(here, OTHER, 1), here.party[OTHER]
    push(here, OTHER, with_signatures(made, (*junk(party, 63), *made.signatures)))
    assert held(here, made.digest).signatures == made.signatures
    push(here, OTHER, with_signatures(made, (*made.signatures, *junk(party, 63, 500))))
    assert held(here, made.digest).signatures == made.signatures
    # Nothing of it is in another's way: the lab's signature comes with as much as an envelope takes.
    both = cosign(made, here.party[LAB], here[LAB].keys)
    push(here, LAB, with_signatures(both, (*junk(party, 62, 900), *both.signatures)))
    assert set(held(here, made.digest).signatures) == set(both.signatures)


def test_a_second_signature_by_the_same_keys_changes_nothing(here):
    """Rule 1: signing anew makes other bytes every time, so it would grow what is held for ever."""
    made = draft(here, OTHER, 2)
    push(here, OTHER, made)
    again = sign_terms(Terms.from_odrl(made.document()), here.party[OTHER], here[OTHER].keys)
    assert again.signatures != made.signatures
    with here["Ash"].durable.database.read() as tx:
        before = Documents(tx).get(made.digest)
    push(here, OTHER, again)
    with here["Ash"].durable.database.read() as tx:
        assert Documents(tx).get(made.digest) == before


def test_signatures_added_to_a_held_agreement_count_against_their_signers(here):
    """Rule 5: one that is over its quota keeps no other's signature out."""
    ash, made = here["Ash"], draft(here, OTHER, 3)
    push(here, OTHER, made)
    limits = ash.quotas.limits
    ash.quotas.limits = {**LIMITS, "signatures on an agreement": Quota(1, 10, 10, 60)}
    both = cosign(made, here.party[LAB], here[LAB].keys)
    try:
        push(here, LAB, both)
        assert held(here, made.digest).signatures == made.signatures
    finally:
        ash.quotas.limits = limits
    push(here, LAB, both)
    assert len(held(here, made.digest).signatures) == 2


def test_an_act_is_kept_with_its_signers_signature_only(here):
    made = draft(here, OTHER, 4)
    push(here, OTHER, made)
    found = here["Ash"].agreements.get(made.digest)
    item = act(found, State.NONE, State.REQUESTED, here.party[OTHER], here.clock.now() - 5, None)
    signed = sign_act(item, here[OTHER].keys)
    push(here, OTHER, with_signatures(signed, (*junk(here.party[OTHER], 60), *signed.signatures)))
    (kept,) = here["Ash"].agreements.act_envelopes(made.digest)
    assert kept == signed


def test_a_row_that_cannot_be_read_is_told_and_holds_up_no_other_agreement(here):
    """Rule 7."""
    # Only the row at Ash: what another node holds it would offer as Ash comes back, and so mend it too early.
    ash, made = here["Ash"], draft(here, OTHER, 5)
    document = made.model_dump(mode="json")
    document["signatures"] *= 65
    with ash.durable.database.transaction() as tx:
        Documents(tx).put(made.digest, AGREEMENT_TYPE, canonical(document), 1)
        # One of an act, too, on the agreement that is in force.
        Documents(tx).put("sha256:" + "0" * 64, ACT_TYPE, canonical(document), 1, agreement=here.agreement)
    with pytest.raises(BadInput):
        ash.agreements.get(made.digest)

    def nothing_is_held_up():
        node = here["Ash"]
        assert made.digest not in node.agreements.digests()
        (told,) = node.status()["agreements_not_readable"]
        assert told["agreement"] == made.digest
        assert told["reason"]
        findings = running(node.status(), [], [], [], "its address")
        assert [
            (item.state, "cannot be read" in item.what) for item in findings if item.about == "Agreement"
        ] == [("wrong", True)]
        node.agreements.settle()
        node.duties.carry_out()
        node.chores.stop_what_ended()
        node.chores.witnesses()
        assert node.agreements.state(here.agreement) is State.FINALIZED
        assert node.sync.offer(here.party[LAB]) >= 0

    nothing_is_held_up()
    new = draft(here, LAB, 6)
    assert push(here, LAB, new)["refused"] == []
    here.stop("Ash")
    here.start("Ash")
    nothing_is_held_up()
    # A member offers it again: it is replaced.
    assert push(here, OTHER, made)["refused"] == []
    assert here["Ash"].agreements.unreadable() == []
    assert Envelope.decode(held(here, made.digest).encode()) == made
