"""The organisation signs when the people who are needed have said so: one, or two where the node asks for four eyes."""

from __future__ import annotations

import threading

import pytest

from cloister.agreements.lifecycle import State
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, OutOfSpace, Refused
from cloister.node import drafts as drafts_module
from cloister.node.drafts import not_built
from cloister.node.signing import Signer
from cloister.people.four_eyes import LASTS, Wish
from cloister.people.sessions import Person
from cloister.storage.people import People
from cloister.storage.signing import Signings, Wishes
from cloister.storage.trail import Trail
from node.town import LAB, PAIR, pair_terms, town, until

ADA, BOB, CARL = Signer("ada", "Ada"), Signer("bob", "Bob"), Signer("carl", "Carl")
SOCKET = Signer(None, "the operator of this machine")


def people(node, *, bob=True, carl=False):
    with node.durable.database.transaction() as tx:
        known = {person.account for person in People(tx).all()}
        for name, enabled in (("ada", True), ("bob", bob), ("carl", carl)):
            person = Person(name, name.title(), frozenset({"approver"}), enabled)
            if name in known:
                People(tx).change(person)
            else:
                People(tx).add(person, None, 1)


def told(node):
    with node.durable.database.read() as tx:
        return [(entry.name, entry.what) for entry in reversed(Trail(tx).newest())]


@pytest.fixture
def pair(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        here.start()
        here.meet()
        here.data("Ash")
        people(here["Ash"])
        yield here


@pytest.fixture
def proposed(pair):
    digest = pair[LAB].agreements.propose(pair_terms(pair))
    until("the agreement at Ash", lambda: pair["Ash"].agreements.find(digest))
    return digest


def signed(here, digest):
    return here["Ash"].party in here["Ash"].agreements.get(digest).signed_by


def test_one_person_signs_and_it_is_written_down_who(pair, proposed):
    outcome = pair["Ash"].signing.sign(proposed, ADA)
    assert outcome.done
    assert outcome.told["complete"]
    (row,) = pair["Ash"].signing.signed_by(proposed)
    assert (row.name, row.account, row.first_name) == ("Ada", "ada", None)
    assert told(pair["Ash"]) == [("Ada", "signed an agreement")]
    with pytest.raises(Conflict):
        pair["Ash"].signing.sign(proposed, BOB)


def test_the_operator_of_the_machine_signs_where_one_is_enough(pair, proposed):
    assert pair["Ash"].signing.sign(proposed, SOCKET).done


def test_with_four_eyes_the_first_word_waits_and_the_second_signs(pair, proposed):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    first = signing.sign(proposed, ADA)
    assert not first.done
    assert not signed(pair, proposed)
    assert [item.name for item in signing.wishes()] == ["Ada"]
    with pytest.raises(Refused) as again:
        signing.sign(proposed, ADA)
    assert again.value.clause == "four-eyes"
    assert not signed(pair, proposed)
    assert signing.sign(proposed, BOB).done
    assert signed(pair, proposed)
    (row,) = signing.signed_by(proposed)
    assert (row.first_name, row.name) == ("Ada", "Bob")
    assert signing.wishes() == []
    assert [what for _, what in told(pair["Ash"])][1:] == [
        "asked to sign an agreement",
        "signed an agreement",
    ]


@pytest.mark.parametrize("signer", [SOCKET, CARL, Signer("nobody", "Nobody")])
def test_who_may_not_sign_gets_no_further_where_two_are_needed(pair, proposed, signer):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    people(pair["Ash"], carl=False)
    with pytest.raises(Refused):
        signing.sign(proposed, signer)
    signing.sign(proposed, ADA)
    with pytest.raises(Refused):
        signing.sign(proposed, signer)
    assert not signed(pair, proposed)


def test_a_wish_ends_when_whose_it_was_may_sign_no_more(pair, proposed):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    signing.sign(proposed, BOB)
    people(pair["Ash"], bob=False, carl=True)
    assert signing.wishes() == []
    assert not signing.sign(proposed, ADA).done, "hers is the first word now"
    assert signing.sign(proposed, CARL).done
    assert signing.signed_by(proposed)[0].first_name == "Ada"


def test_a_wish_lapses(pair, proposed):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    made = signing.sign(proposed, ADA).wish
    later = Later(pair["Ash"].clock, LASTS)
    signing._clock = later
    assert made.ends <= later.now()
    assert signing.wishes() == []
    assert not signing.sign(proposed, BOB).done


class Later:
    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, seconds

    def now(self):
        return self._clock.now() + self._seconds


def test_a_wish_can_be_taken_back(pair, proposed):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    signing.sign(proposed, ADA)
    signing.withdraw("sign", proposed, BOB)
    assert signing.wishes() == []
    with pytest.raises(NotFound):
        signing.withdraw("sign", proposed, BOB)
    assert not signing.sign(proposed, BOB).done


def test_it_takes_two_people_to_need_two_and_two_to_need_one_again(pair, proposed):
    signing = pair["Ash"].signing
    people(pair["Ash"], bob=False)
    with pytest.raises(Refused):
        signing.set_two_people(needed=True, signer=ADA)
    assert not signing.two_people
    people(pair["Ash"])
    signing.set_two_people(needed=True, signer=ADA)
    assert not signing.set_two_people(needed=False, signer=ADA).done
    with pytest.raises(Refused):
        signing.set_two_people(needed=False, signer=ADA)
    with pytest.raises(Refused):
        signing.set_two_people(needed=False, signer=SOCKET)
    assert signing.two_people
    assert signing.set_two_people(needed=False, signer=BOB).done
    assert not signing.two_people
    assert signing.sign(proposed, ADA).done


def test_what_cannot_be_signed_is_refused_to_the_first_person_already(pair, proposed):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    pair["Ash"].parties.unpin(pair.party[LAB])
    with pytest.raises(CloisterError):
        signing.sign(proposed, ADA)
    assert signing.wishes() == []


def test_of_several_who_confirm_at_once_one_does_and_nothing_waits_afterwards(pair, proposed):
    signing = pair["Ash"].signing
    people(pair["Ash"], carl=True)
    signing.set_two_people(needed=True, signer=ADA)
    signing.sign(proposed, ADA)
    together, came = threading.Barrier(4), []

    def confirm(signer):
        together.wait()
        try:
            came.append(signing.sign(proposed, signer).done)
        except CloisterError as error:
            came.append(type(error))

    threads = [threading.Thread(target=confirm, args=(signer,)) for signer in (BOB, CARL, BOB, CARL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (came.count(True), came.count(Conflict)) == (1, 3)
    assert len(signing.signed_by(proposed)) == 1
    assert signing.wishes() == []


def test_a_signature_that_fails_leaves_no_name_and_keeps_the_wish(pair, proposed, monkeypatch):
    signing = pair["Ash"].signing
    signing.set_two_people(needed=True, signer=ADA)
    signing.sign(proposed, ADA)

    def fails(_):
        raise Refused("The budget cannot be.", clause="budget")

    monkeypatch.setattr(pair["Ash"].agreements, "sign", fails)
    with pytest.raises(Refused):
        signing.sign(proposed, BOB)
    assert signing.signed_by(proposed) == []
    assert [item.name for item in signing.wishes()] == ["Ada"]
    monkeypatch.undo()
    assert signing.sign(proposed, BOB).done


def test_the_name_is_on_disk_before_the_signature(pair, proposed, monkeypatch):
    node, seen = pair["Ash"], []
    sign = node.agreements.sign

    def watched(digest):
        with node.durable.database.read() as tx:
            seen.extend(item.name for item in Signings(tx).about(digest))
        return sign(digest)

    monkeypatch.setattr(node.agreements, "sign", watched)
    node.signing.sign(proposed, ADA)
    assert seen == ["Ada"]


# Resuming -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def suspended(pair, proposed):
    node = pair["Ash"]
    node.signing.sign(proposed, ADA)
    until("the agreement is in force", lambda: node.agreements.state(proposed) is State.FINALIZED)
    node.signing.move(proposed, State.SUSPENDED, None, ADA)
    node.signing.set_two_people(needed=True, signer=ADA)
    return proposed


def state(here, digest):
    return here["Ash"].agreements.state(digest)


def test_rule_4_resuming_takes_two_people_and_suspending_one(pair, suspended):
    signing = pair["Ash"].signing
    with pytest.raises(BadInput):
        signing.move(suspended, State.FINALIZED, None, ADA)
    first = signing.resume(suspended, None, ADA)
    assert not first.done
    assert state(pair, suspended) is State.SUSPENDED
    for signer in (ADA, SOCKET, CARL):
        with pytest.raises(Refused) as refused:
            signing.resume(suspended, None, signer)
        assert refused.value.clause == "four-eyes"
    assert state(pair, suspended) is State.SUSPENDED
    until("a second after the suspension", lambda: resumed(signing, suspended))
    assert state(pair, suspended) is State.FINALIZED
    assert [(row.kind, row.first_name, row.name) for row in signing.signed_by(suspended)][-1] == (
        "resume",
        "Ada",
        "Bob",
    )
    with pytest.raises(Conflict):
        signing.resume(suspended, None, BOB)
    assert signing.wishes() == []
    signing.move(suspended, State.SUSPENDED, None, BOB)
    assert state(pair, suspended) is State.SUSPENDED


def test_rule_4_a_wish_to_resume_is_about_one_suspension_and_not_the_next(pair, suspended):
    signing, node = pair["Ash"].signing, pair["Ash"]
    since = node.agreements.suspended_since(suspended)
    with node.durable.database.transaction() as tx:
        Wishes(tx).put(Wish("resume", suspended, "ada", "Ada", since - 1, since + LASTS))
    assert signing.wishes() == []
    assert not signing.resume(suspended, None, BOB).done, "his is the first word about this one"
    assert state(pair, suspended) is State.SUSPENDED
    assert [item.name for item in signing.wishes()] == ["Bob"]


def test_a_wish_to_resume_can_be_taken_back_and_what_another_suspended_is_not_resumed_here(pair, suspended):
    signing = pair["Ash"].signing
    signing.resume(suspended, None, ADA)
    signing.withdraw("resume", suspended, BOB)
    assert not signing.resume(suspended, None, BOB).done
    lab = pair[LAB]
    until("the suspension at the other", lambda: lab.agreements.state(suspended) is State.SUSPENDED)
    with pytest.raises(Refused) as refused:
        lab.signing.resume(suspended, None, SOCKET)
    assert refused.value.clause == "lifecycle"


def resumed(signing, digest):
    try:
        return signing.resume(digest, None, BOB).done
    except Conflict:  # in the second of the suspension itself
        return False


# Drafts --------------------------------------------------------------------------------------------------------------


def answers(here, **changes):
    return {
        "title": "Strength together",
        "owners": [{"party": here.party["Ash"], "name": "Ash", "dataset": "tests"}],
        "researchers": [{"party": here.party[LAB], "name": LAB}],
        "purposes": ["Predict strength"],
        "starts": "2026-01-01T00:00:00Z",
        "days": 3650,
    } | changes


def test_a_draft_is_offered_by_two_people_and_a_changed_one_begins_anew(pair):
    node = pair["Ash"]
    node.signing.set_two_people(needed=True, signer=ADA)
    draft = node.drafts.from_template("one-researcher-one-owner", answers(pair), ADA)
    assert not node.signing.offer(draft.document, ADA).done
    changed = node.drafts.from_template(
        "one-researcher-one-owner", answers(pair, title="Another"), ADA, draft.id
    )
    assert changed.id == draft.id
    assert not node.signing.offer(changed.document, BOB).done, "nobody asked for this one yet"
    outcome = node.signing.offer(changed.document, ADA)
    assert outcome.done
    digest = outcome.told["agreement"]
    assert node.agreements.get(digest).terms.title == "Another"
    assert node.signing.signed_by(digest)[0].first_name == "Bob"
    with pytest.raises(Conflict):
        node.signing.offer(changed.document, ADA)


def test_drafts_are_kept_changed_and_forgotten(pair):
    service = pair["Ash"].drafts
    one = service.from_template("one-researcher-one-owner", answers(pair), ADA)
    assert service.get(one.id).answers["title"] == "Strength together"
    as_document = service.from_document(service.get(one.id).document, ADA, one.id)
    assert (as_document.answers, as_document.name) == (None, "Ada")
    service.remove(one.id)
    with pytest.raises(NotFound):
        service.get(one.id)
    with pytest.raises(NotFound):
        service.from_document(as_document.document, ADA, one.id)


def test_a_draft_is_changed_by_whoever_wrote_it_and_others_go_on_with_a_copy(pair):
    service = pair["Ash"].drafts
    one = service.from_template("one-researcher-one-owner", answers(pair), ADA)
    for work in (
        lambda: service.from_document(one.document, BOB, one.id),
        lambda: service.from_template("one-researcher-one-owner", answers(pair), BOB, one.id),
        lambda: service.delete(one.id, BOB),
        lambda: service.own(one.id, BOB),
    ):
        with pytest.raises(Refused) as refused:
            work()
        assert refused.value.clause == "draft"
    copy = service.copy(one.id, BOB)
    assert (copy.document, copy.answers, copy.name) == (one.document, one.answers, "Bob")
    service.from_document(copy.document, BOB, copy.id)
    assert service.get(one.id) == one
    service.delete(one.id, ADA)
    service.delete(copy.id, SOCKET)
    assert service.all() == []


def test_what_no_node_can_enforce_is_no_draft(pair):
    service = pair["Ash"].drafts
    document = service.from_template("one-researcher-one-owner", answers(pair), ADA).document
    with pytest.raises(Refused):
        service.from_document({**document, "odrl:payAmount": 5}, ADA)
    with pytest.raises(BadInput):
        service.from_template("one-researcher-one-owner", answers(pair, owners=[]), ADA)
    assert len(service.all()) == 1


def test_too_many_drafts_are_refused_and_none_is_lost(pair, monkeypatch):
    monkeypatch.setattr(drafts_module, "MOST", 1)
    service = pair["Ash"].drafts
    one = service.from_template("one-researcher-one-owner", answers(pair), ADA)
    with pytest.raises(OutOfSpace):
        service.from_template("one-researcher-one-owner", answers(pair), ADA)
    assert service.all() == [one]


def test_what_this_version_cannot_do_is_found_by_planning_an_example():
    assert not_built("factories-and-lab") == ()
    assert {item.kind for item in not_built("retailers")} == {"join", "query"}
    assert {item.clause for item in not_built("vendor-scoring")} == {"protection"}
