"""What a requester must not do, and each owner's node refuses by itself, whatever the requester's own node says."""

from __future__ import annotations

import pytest

from cloister.agreements.lifecycle import State
from cloister.claims.offers import ADMISSION_TYPE
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused, Tampered
from cloister.identity.envelopes import sign
from cloister.identity.keys import b64
from cloister.node.messages import MESSAGE, MessageHeader, pack
from cloister.node.tasks.service import ADMISSION, CONTENT, PROPOSE, START
from node.town import LAB, PAIR, USER, pair_terms, signed_plan, town, until

NAMES = {**PAIR, USER: ["user"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with town(tmp_path_factory.mktemp("outside"), names=NAMES) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


def ask(here, envelope, sender=LAB, to="Ash"):
    return here[sender].call(here.party[to], PROPOSE, envelope.encode(), 20)


def whole(error):
    assert error.what
    assert error.why or error.remedy
    return error


def test_a_forged_purpose_is_refused_by_the_owners_node_and_the_clause_is_told(here):
    """Rules 1 and 4 of `admitting`."""
    envelope = signed_plan(here, here.plan(here.agreement), purpose="Sell it")
    with pytest.raises(Refused) as caught:
        ask(here, envelope)
    assert whole(caught.value).clause == "purpose"
    # Asked again, it says the same, and the owner's people see what was refused.
    with pytest.raises(Refused) as again:
        ask(here, envelope)
    assert again.value.clause == "purpose"
    assert here["Ash"].tasks.summary(envelope.digest)["status"] == "refused"


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        ({"recipients": ["a" * 52]}, "parties"),
        ({"datasets": {"USE": "sha256:" + "0" * 64}}, "datasets"),
    ],
)
def test_what_the_agreement_does_not_name_is_refused(here, change, clause):
    if "datasets" in change:
        change = {"datasets": {here.party["Ash"]: "sha256:" + "0" * 64}}
    with pytest.raises(Refused) as caught:
        ask(here, signed_plan(here, here.plan(here.agreement), **change))
    assert whole(caught.value).clause == clause


def test_the_requesters_own_node_refuses_first_and_shows_it_to_nobody(here):
    """Rule 1 of `asking`."""
    plan = here.plan(here.agreement)
    outside = plan.model_copy(update={"request": plan.request.model_copy(update={"purpose": "Sell it"})})
    with pytest.raises(Refused) as caught:
        here[LAB].tasks.submit(outside)
    assert whole(caught.value).clause == "purpose"
    assert here[LAB].tasks.summary(outside.digest)["status"] == "refused"
    here[LAB].tasks.asking.drive_all()
    assert not here["Ash"].tasks.records.known(outside.digest)


def test_a_plan_that_another_party_passes_on_is_refused(here):
    envelope = signed_plan(here, here.plan(here.agreement))
    with pytest.raises(NotTrusted) as caught:
        ask(here, envelope, sender=USER)
    assert whole(caught.value).clause == "requester"


def test_a_plan_changed_after_signing_is_refused(here):
    envelope = signed_plan(here, here.plan(here.agreement))
    document = {**envelope.document(), "nonce": "f" * 32}
    with pytest.raises(NotTrusted) as caught:
        ask(here, envelope.model_copy(update={"payload": b64(canonical(document))}))
    whole(caught.value)


def test_a_plan_under_an_agreement_that_is_not_here_is_refused(here):
    with pytest.raises(NotFound) as caught:
        ask(here, signed_plan(here, here.plan(here.agreement), agreement="sha256:" + "1" * 64))
    whole(caught.value)


def test_a_part_that_is_not_what_the_plan_names_is_refused(here, monkeypatch):
    """Rule 2 of `admitting`: parts are taken by digest."""
    plan = here.plan(here.agreement)
    for name in plan.request.computation.contents.values():
        here["Ash"].contents.remove(name)
    envelope = signed_plan(here, plan)
    here[LAB].tasks.records.keep_plan(envelope, plan)
    monkeypatch.setattr(here[LAB].contents, "get", lambda _name: b"another model")
    with pytest.raises(Tampered) as caught:
        ask(here, envelope)
    whole(caught.value)
    monkeypatch.undo()


def test_parts_are_handed_to_the_parties_of_the_plan_only(here):
    plan = here.plan(here.agreement)
    here[LAB].tasks.records.keep_plan(signed_plan(here, plan), plan)
    name = plan.request.computation.contents["model"]
    with pytest.raises(Refused) as caught:
        here["Ash"].call(
            here.party[LAB], CONTENT, canonical({"task": plan.digest, "content": "sha256:" + "2" * 64}), 5
        )
    assert whole(caught.value).clause == "parties"
    assert here["Ash"].call(here.party[LAB], CONTENT, canonical({"task": plan.digest, "content": name}), 5)


def test_a_task_starts_only_with_every_partys_own_admission(here):
    """Rule 3 of `admitting`."""
    plan = here.plan(here.agreement)
    here[LAB].tasks.submit(plan)
    until("the question", lambda: here["Ash"].tasks.records.note(plan.digest).get("pending"))
    start = {"task": plan.digest, "start": {"admissions": []}}
    with pytest.raises(Refused) as caught:
        here[LAB].call(here.party["Ash"], START, canonical(start), 5)
    assert whole(caught.value).clause == "admissions"
    # The lab says that Ash has admitted, and signs it itself.
    said = {
        "type": "cloister/admission@1", "task": plan.digest, "agreement": here.agreement,
        "party": here.party["Ash"], "time": rfc3339(here.clock.now()),
    }  # fmt: skip
    forged = sign(ADMISSION_TYPE, said, here.party["Ash"], here[LAB].keys)
    start["start"]["admissions"] = [forged.model_dump(mode="json")]
    with pytest.raises(NotTrusted) as caught:
        here[LAB].call(here.party["Ash"], START, canonical(start), 5)
    whole(caught.value)
    with pytest.raises(NotTrusted):
        here[USER].call(here.party[LAB], ADMISSION, forged.encode(), 5)
    with pytest.raises(Refused) as caught:
        here[USER].call(here.party["Ash"], START, canonical(start), 5)
    assert whole(caught.value).clause == "requester"
    assert not here["Ash"]._is_running(plan.digest)
    here["Ash"].tasks.refuse(plan.digest, "Not today")
    until("the refusal at the lab", lambda: here[LAB].tasks.records.over(plan.digest))
    told = here[LAB].tasks.summary(plan.digest)["refusals"][here.party["Ash"]]
    assert told["title"]
    assert "Not today" in told["detail"]


def test_messages_that_do_not_belong_are_refused_and_change_nothing(here):
    """Wrong seat, wrong phase, unknown task, forged header, replay with another body: by `journal.reception`'s rules."""
    started, go = [], []

    def wait(method, _arguments):
        if method == "train":
            started.append(1)
            until("the test", lambda: go)

    here["Ash"].engines.before = wait
    task = here.run(here.agreement)
    until("training", lambda: started)
    ash = here.party["Ash"]

    def send(sender, to, kind, sequence=1, body=b"x", name=task):
        header = MessageHeader(task=name, phase="train", kind=kind, sequence=sequence)
        return here[sender].call(to, MESSAGE, pack(header, body), 5)

    with pytest.raises(Refused) as caught:
        send(USER, ash, "update", sequence=9)
    assert whole(caught.value).clause
    with pytest.raises(Refused) as caught:
        send(LAB, ash, "nonsense", sequence=99)
    assert whole(caught.value).clause == "message-wrong-kind"
    with pytest.raises(Refused) as caught:
        send(LAB, ash, "update", name="sha256:" + "3" * 64)
    assert whole(caught.value).clause == "unknown-task"
    with pytest.raises(CloisterError) as caught:
        send(LAB, ash, "round", sequence=1, body=b"another body under a number that was used")
    assert whole(caught.value).clause == "message-twice"
    with pytest.raises(BadInput):
        here[LAB].call(ash, MESSAGE, b"\0\0\0\x05abcdefgh", 5)
    with pytest.raises(BadInput):
        here[LAB].call(ash, MESSAGE, b"\xff" * 64, 5)
    go.append(1)
    here["Ash"].engines.before = lambda _method, _arguments: None
    assert set(here.ended(task).values()) == {"done"}
    with pytest.raises(Refused) as caught:
        send(LAB, ash, "round", sequence=1000)
    assert whole(caught.value).clause == "task-over"


def test_a_suspended_agreement_stops_its_tasks_everywhere(here):
    started, go = [], []

    def wait(method, _arguments):
        if method == "train":
            started.append(1)
            until("the test", lambda: go)

    here["Ash"].engines.before = wait
    task = here.run(here.agreement)
    until("training", lambda: started)
    here["Ash"].agreements.move(here.agreement, State.SUSPENDED, "We need to talk")
    until("the lab to hear of it", lambda: str(here[LAB].agreements.state(here.agreement)) == "suspended")
    go.append(1)
    here["Ash"].engines.before = lambda _method, _arguments: None
    ended = here.ended(task, "Ash", LAB)
    assert "done" not in ended.values()
    assert here["Ash"].durable.task(task).failure["clause"] == "state"
    with pytest.raises(CloisterError) as caught:
        here[LAB].tasks.submit(here.plan(here.agreement))
    assert whole(caught.value)
    # An act must be dated after the one it lifts: by the second.
    until("the owner to resume", lambda: here["Ash"].agreements.move(here.agreement, State.FINALIZED, None))
    until("the lab to go on", lambda: str(here[LAB].agreements.state(here.agreement)) == "finalized")


def test_an_agreement_that_not_everybody_has_signed_permits_nothing(here):
    document = pair_terms(here, title="Half signed")
    half = here[LAB].agreements.propose(document)
    with pytest.raises(NotTrusted) as caught:
        here.plan(half)
    assert whole(caught.value).clause == "signatures"
    until("the half-signed one at the owner", lambda: here["Ash"].agreements.find(half))
    forged = signed_plan(here, here.plan(here.agreement), agreement=half)
    with pytest.raises(NotTrusted) as caught:
        ask(here, forged)
    assert whole(caught.value).clause == "signatures"


def test_terms_with_unknown_clauses_are_refused_by_name(here):
    document = pair_terms(here, title="Pay me")
    document["permission"][0]["duty"] = [{"action": "pay"}]
    with pytest.raises(Refused) as caught:
        here[LAB].agreements.propose(document)
    assert "duty" in str(caught.value)
