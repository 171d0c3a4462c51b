"""A party that floods a node costs itself its turn, and nobody else (`node.quotas`)."""

from __future__ import annotations

import threading

import pytest

from cloister.agreements.lifecycle import State, act, sign_act
from cloister.agreements.signing import AGREEMENT_TYPE, sign_terms, view
from cloister.agreements.terms import Terms
from cloister.claims.offers import PLAN_TYPE, Plan
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import Refused
from cloister.foundation.quotas import Quota
from cloister.identity.envelopes import sign
from cloister.node.datasets_service import CATALOGUE_TYPE
from cloister.node.peers.documents import PUSH
from cloister.node.peers.quotas import LIMITS
from cloister.node.tasks.service import PROPOSE
from cloister.storage.documents import Documents
from cloister.storage.settings import Settings
from node.town import LAB, model, town, until

OTHER = "Other lab"
NAMES = {LAB: ["researcher"], OTHER: ["researcher"], "Ash": ["owner"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("quotas"), names=NAMES) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        ash = made["Ash"]
        ash.quotas.limits = {
            **LIMITS,
            "plans": Quota(4, 1 << 20, 100, 3600),
            "drafts of agreements": Quota(3, 1 << 20, 100, 3600),
            "acts on an agreement": Quota(20, 1 << 20, 100, 3600),
            "catalogue entries": Quota(5, 1 << 20, 100, 3600),
        }
        yield made


def variant(here, by, number, **request):
    """A signed plan that differs from others in its nonce only, kept at its requester."""
    base = getattr(here, f"plan_of_{by}", None)
    if base is None:
        asked = here.asked(here.agreement)
        here[by].computations.add_model(model())
        base = here[by].computations.plan(asked)[0]
        setattr(here, f"plan_of_{by}", base)
    document = base.model_dump(mode="json") | {"nonce": f"{number:032x}"}
    document["request"] = {**document["request"], **request}
    plan = Plan.model_validate_json(canonical(document))
    envelope = sign(PLAN_TYPE, plan.model_dump(mode="json"), here.party[by], here[by].keys)
    here[by].tasks.records.keep_plan(envelope, plan)
    return envelope


def propose(here, by, number, **request):
    return here[by].call(here.party["Ash"], PROPOSE, variant(here, by, number, **request).encode(), 20)


def push(here, by, *envelopes):
    body = canonical([item.model_dump(mode="json") for item in envelopes])
    return here[by].call(here.party["Ash"], PUSH, body, 20)


def held(here, kind):
    with here["Ash"].durable.database.read() as tx:
        return Documents(tx).find(kind)


def test_plans_that_wait_are_limited_for_each_requester_alone(here):
    """Rule 1."""
    here["Ash"].engines.before = lambda *_: None
    for number in range(4):
        propose(here, LAB, number)
    with pytest.raises(Refused) as caught:
        propose(here, LAB, 99)
    assert caught.value.clause == "quota"
    assert "4 of 4" in caught.value.why
    assert caught.value.remedy
    assert b"pending" in propose(here, LAB, 2)  # the same one again is no new one
    # Another party is served; what it sends is refused by its own faults only.
    with pytest.raises(Refused) as other:
        propose(here, OTHER, 1, purpose="Sell it")
    assert other.value.clause == "purpose"


def test_refused_plans_make_room_for_new_ones_and_are_forgotten(here):
    for number in range(10):
        with pytest.raises(Refused) as caught:
            propose(here, OTHER, 1000 + number, purpose="Sell it")
        assert caught.value.clause == "purpose"
    mine = [
        name for name, _ in held(here, PLAN_TYPE)
        if here["Ash"].tasks.plan(name).request.requester == here.party[OTHER]
    ]  # fmt: skip
    assert len(mine) <= 4


def test_a_forged_sender_counts_against_nobody(here):
    """Rule 1."""
    forged = variant(here, OTHER, 7)
    forged = forged.model_copy(update={"signatures": ()})
    with pytest.raises(Refused):
        here[LAB].call(here.party["Ash"], PROPOSE, forged.encode(), 20)
    stolen = variant(here, OTHER, 8)  # really signed by the other lab, brought by the first
    with pytest.raises(Refused) as caught:
        here[LAB].call(here.party["Ash"], PROPOSE, stolen.encode(), 20)
    assert "another party" in caught.value.what
    assert not here["Ash"].tasks.records.known(stolen.digest)


def draft(here, by, number):
    terms = Terms.from_odrl(
        here.terms(template="one-researcher-one-owner", quality=None, title=f"Draft {number} of {by}")
    )
    return sign_terms(terms, here.party[by], here[by].keys)


def test_drafts_of_agreements_are_limited_for_each_party_alone(here):
    before = len(held(here, AGREEMENT_TYPE))
    for number in range(6):
        push(here, LAB, draft(here, LAB, number))
    assert len(held(here, AGREEMENT_TYPE)) == before + 3
    assert b"Too many drafts" in push(here, LAB, draft(here, LAB, 77))
    push(here, OTHER, draft(here, OTHER, 1))
    assert len(held(here, AGREEMENT_TYPE)) == before + 4


def requested(here, by, envelope):
    found = view(envelope, here["Ash"].parties.directory)
    item = act(found, State.NONE, State.REQUESTED, here.party[by], here.clock.now() - 5, None)
    return sign_act(item, here[by].keys)


def counted(here, about):
    with here["Ash"].durable.database.read() as tx:
        return [name for name in Settings(tx).names("quota/") if name.endswith(about)]


def test_a_draft_that_was_ended_makes_room(here):
    """Also rule 5: what was counted of its signatures and acts goes with it."""
    last = draft(here, OTHER, 50)
    push(here, OTHER, last, requested(here, OTHER, last))
    for number in (51, 52):
        push(here, OTHER, draft(here, OTHER, number))
    new = draft(here, OTHER, 60)
    assert b"Too many drafts" in push(here, OTHER, new)
    assert counted(here, last.digest)
    here["Ash"].agreements.move(last.digest, State.TERMINATED, None)
    push(here, OTHER, new)
    assert here["Ash"].agreements.find(new.digest) is not None
    assert here["Ash"].agreements.find(last.digest) is None
    assert not counted(here, last.digest)


def test_acts_are_limited_for_their_signer_and_the_final_one_is_always_taken(here):
    """Rule 4."""
    ash, found = here["Ash"], here["Ash"].agreements.get(here.agreement)
    now = here.clock.now()

    def made(by, number, before=State.FINALIZED, to=State.SUSPENDED):
        item = act(found, before, to, here.party[by], now - 30, f"for the {number}th time")
        return sign_act(item, here[by].keys)

    push(here, LAB, *[made(OTHER, number) for number in range(40)])
    by_other = [
        item
        for item in ash.agreements.act_envelopes(here.agreement)
        if item.document()["by"] == here.party[OTHER]
    ]
    assert len(by_other) <= 20
    # The one that brought them has its own room still.
    assert b'"refused":[]' in push(here, LAB, made(LAB, 1))
    assert b'"refused":[]' in push(here, OTHER, made(OTHER, 1, State.SUSPENDED, State.REVOKED))
    assert ash.agreements.state(here.agreement) is State.REVOKED


def test_catalogue_entries_are_limited_for_their_owner(here):
    entry = here["Ash"].datasets.own()[0]["catalogue"]
    for number in range(9):
        document = {**entry, "owner": here.party[LAB], "name": f"n{number}"}
        push(here, LAB, sign(CATALOGUE_TYPE, document, here.party[LAB], here[LAB].keys))
    owners = [item.owner for item in here["Ash"].datasets.entries()]
    assert owners.count(here.party[LAB]) == 5
    document = {**entry, "owner": here.party[OTHER]}
    push(here, OTHER, sign(CATALOGUE_TYPE, document, here.party[OTHER], here[OTHER].keys))
    assert here.party[OTHER] in {item.owner for item in here["Ash"].datasets.entries()}


def test_a_party_whose_fingerprint_nobody_compared_gets_a_tenth(here):
    """Rule 2."""
    ash = here["Ash"]
    ash.parties.unpin(here.party[LAB])
    try:
        with pytest.raises(Refused):
            ash.quotas.take("revocations", here.party[LAB], "r", 2 << 20)
    finally:
        ash.parties.pin(here.party[LAB], here.party[LAB])
    assert ash.quotas.take("revocations", here.party[LAB], "r", 2 << 20) == ()


def test_one_plan_of_a_requester_is_checked_at_a_time_and_others_are_served_meanwhile(tmp_path):
    """Rule 6 of `admitting`."""
    with town(tmp_path, names=NAMES) as here:
        here.agreement = here.ready(template="one-researcher-one-owner", quality=None)
        ash, going, go_on = here["Ash"], threading.Event(), threading.Event()

        variant(here, LAB, 0)
        variant(here, OTHER, 0)

        def slow(method, _arguments):
            if method == "fit" and not going.is_set():
                going.set()
                go_on.wait(30)

        ash.engines.before = slow
        first = threading.Thread(target=lambda: propose(here, LAB, 1))
        first.start()
        try:
            assert going.wait(20)
            answer = propose(here, LAB, 2)
            assert b"is looking at it" in answer
            other = propose(here, OTHER, 3)
            assert b"person at this server" in other
        finally:
            go_on.set()
            first.join(30)
        until("the second plan's turn", lambda: b"person at this server" in propose(here, LAB, 2))


class Later(SystemClock):
    """A clock that may be put forward."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


def test_counts_that_say_nothing_any_more_are_removed(here, monkeypatch):
    """Rule 5."""
    quotas, clock = here["Ash"].quotas, Later()
    monkeypatch.setattr(quotas, "_clock", clock)
    gone, stays = here.party[OTHER], here.party[LAB]
    monkeypatch.setitem(quotas.limits, "revocations", Quota(5, 1 << 20, burst=2, per_hour=60))
    for sender in (gone, stays):
        quotas.take("revocations", sender, "r", 10, about="rule-5")
    quotas.give_back("revocations", f"{gone}/rule-5", "r")
    quotas.tidy()
    assert len(counted(here, "rule-5")) == 2  # one is held, the other still slows its sender down
    clock.ahead = 3600
    assert quotas.tidy() >= 1
    assert [stays in name for name in counted(here, "rule-5")] == [True]
