"""Agreements at the interface: the same services as the page, for programs."""

from __future__ import annotations

from contextlib import closing

import pytest

from node.town import LAB, PAIR, until
from web.street import PASSWORD, street

API = "/api/v1"


@pytest.fixture(scope="module")
def houses():
    with street(PAIR) as made:
        nodes = [house.node for house in made.values()]
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.parties.accept_chain(other.parties.chain(other.party))
                    node.parties.pin(other.party, other.party)
        yield made


def answers(houses, **changes):
    return {
        "title": "For programs",
        "owners": [{"party": houses["Ash"].node.party, "name": "Ash", "dataset": "tests"}],
        "researchers": [{"party": houses[LAB].node.party, "name": LAB}],
        "purposes": ["Predict strength"],
        "starts": "2026-01-01T00:00:00Z",
        "days": 36000,
    } | changes


def write(eva, houses, **changes):
    body = {"template": "one-researcher-one-owner", "answers": answers(houses, **changes)}
    answer = eva.post(f"{API}/agreement-drafts", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def offer(houses, **changes):
    with closing(houses[LAB].eva()) as eva:
        draft = write(eva, houses, **changes)
        told = eva.post(f"{API}/agreements", json={"terms": draft["terms"]})
        assert told.status_code == 200, told.text
        assert told.json()["waiting"] is None
        eva.delete(f"{API}/agreement-drafts/{draft['draft']}")
    digest = told.json()["agreement"]
    until("the agreement at Ash", lambda: houses["Ash"].node.agreements.find(digest))
    return digest


def test_templates_say_what_is_not_built(houses):
    with closing(houses[LAB].eva()) as eva:
        listed = eva.get(f"{API}/agreement-templates").json()
        found = (
            {item["name"]: item for item in listed.get("items", listed)}
            if isinstance(listed, dict)
            else {i["name"]: i for i in listed}
        )
        assert len(found) == 6
        assert found["factories-and-lab"]["not_built"] == []
        assert [item["kind"] for item in found["vendor-scoring"]["not_built"]] == ["scoring"]


def test_a_draft_is_written_read_and_forgotten(houses):
    with closing(houses[LAB].eva()) as eva:
        draft = write(eva, houses)
        assert [item["kind"] for item in draft["warnings"]] == ["query"]
        again = eva.post(f"{API}/agreement-drafts", json={"terms": draft["terms"]}).json()
        assert again["agreement"] == draft["agreement"]
        for name in (draft["draft"], again["draft"]):
            assert eva.get(f"{API}/agreement-drafts/{name}").json()["title"] == "For programs"
            assert eva.delete(f"{API}/agreement-drafts/{name}").status_code == 200
            assert eva.get(f"{API}/agreement-drafts/{name}").status_code == 404
            assert eva.delete(f"{API}/agreement-drafts/{name}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"template": "nothing", "answers": {}},
        {"template": "banks"},
        {"terms": {}, "template": "banks"},
        {"terms": {"@type": "Agreement"}},
        {"terms": [1]},
        {"surprise": 1},
    ],
)
def test_what_is_no_draft_is_refused_by_a_problem_document(houses, body):
    with closing(houses[LAB].eva()) as eva:
        answer = eva.post(f"{API}/agreement-drafts", json=body)
        assert answer.status_code in (403, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_agreement_is_told_in_both_forms_with_its_history(houses):
    digest = offer(houses, title="Both forms")
    with closing(houses["Ash"].eva()) as eva:
        told = eva.get(f"{API}/agreements/{digest}").json()
        sentences = [item for section in told["sections"] for item in section["sentences"]]
        assert all(item["text"].split()[0] in told["text"] for item in sentences)
        assert any(item["pointers"] == ["/cloister:parties/0"] for item in sentences)
        history = eva.get(f"{API}/agreements/{digest}/history").json()
        assert [item["text"] for item in history] == ["Lab proposed it.", "Lab signed."]
        stops = eva.get(f"{API}/agreements/{digest}/stops").json()
        assert stops == {"running": [], "waiting": [], "budgets": [], "results": []}
        assert eva.get(f"{API}/agreements/{digest}/differences").json() == {
            "previous": None,
            "differences": None,
        }


def test_it_is_signed_and_moved_under_the_person_s_name(houses):
    digest = offer(houses, title="Signed and moved")
    ash = houses["Ash"].node
    with closing(houses["Ash"].eva()) as eva:
        assert eva.post(f"{API}/agreements/{digest}/sign").json()["complete"]
        again = eva.post(f"{API}/agreements/{digest}/sign")
        assert again.status_code == 200, "a program that asks twice is told the same"
        assert again.json()["waiting"] is None
        until("it to be in force", lambda: ash.agreements.state(digest) == "finalized")
        moved = eva.post(f"{API}/agreements/{digest}/state", json={"to": "suspended", "reason": "Holidays"})
        assert moved.json()["state"] == "suspended"
        assert eva.post(f"{API}/agreements/{digest}/state", json={"to": "agreed"}).status_code == 422
    assert [(item.kind, item.name) for item in ash.signing.signed_by(digest)] == [
        ("sign", "Eva"),
        ("suspend", "Eva"),
    ]


def test_whoever_may_only_stop_does_not_bring_it_back_into_force(houses):
    digest = offer(houses, title="Stopped by a token")
    ash = houses["Ash"]
    with closing(ash.eva()) as eva:
        eva.post(f"{API}/agreements/{digest}/sign")
        until("it to be in force", lambda: ash.node.agreements.state(digest) == "finalized")
    account = ash.site.accounts.all()[0].account
    token = ash.site.accounts.tokens.make(account, "robot", ["agreements.stop", "agreements.sign"], 3600)
    with closing(ash.visitor()) as robot:
        robot.headers["authorization"] = f"Bearer {token}"
        assert robot.post(f"{API}/agreements/{digest}/state", json={"to": "suspended"}).status_code == 200
        for path, body in (("state", {"to": "finalized"}), ("sign", None)):
            assert robot.post(f"{API}/agreements/{digest}/{path}", json=body).status_code == 403


def test_with_four_eyes_the_first_answer_waits_also_here(houses):
    digest = offer(houses, title="Four eyes here")
    ash = houses["Ash"]
    ash.site.accounts.add("Finn", ["approver"], PASSWORD + " twice")
    with closing(ash.eva()) as eva:
        assert eva.post(f"{API}/signing", json={"needed": True}).json()["two_people"]
        first = eva.post(f"{API}/agreements/{digest}/sign").json()
        assert first["waiting"]["name"] == "Eva"
        assert not first["complete"]
        assert eva.post(f"{API}/agreements/{digest}/sign").status_code == 403
        assert [item["subject"] for item in eva.get(f"{API}/signing").json()["wishes"]] == [digest]
        assert eva.get(f"{API}/agreements/{digest}").json()["wish"]["name"] == "Eva"
        eva.post(f"{API}/agreements/{digest}/withdraw")
        assert eva.get(f"{API}/signing").json()["wishes"] == []
        eva.post(f"{API}/agreements/{digest}/sign")
    with closing(ash.visitor()) as finn:
        finn.sign_in("Finn", PASSWORD + " twice")
        assert finn.post(f"{API}/agreements/{digest}/sign").json()["complete"]
    (signed,) = ash.node.signing.signed_by(digest)
    assert (signed.first_name, signed.name) == ("Eva", "Finn")


def test_with_four_eyes_resuming_waits_for_a_second_person_and_suspending_does_not(houses):
    """After the test above: Eva and Finn sign together at Ash."""
    digest = offer(houses, title="Resumed by two")
    ash = houses["Ash"]
    state, path = f"{API}/agreements/{digest}/state", f"/agreements/{digest}"
    with closing(ash.eva()) as eva, closing(ash.visitor()) as finn:
        finn.sign_in("Finn", PASSWORD + " twice")
        for person in (eva, finn):
            person.post(f"{API}/agreements/{digest}/sign")
        until("it to be in force", lambda: ash.node.agreements.state(digest) == "finalized")
        assert eva.post(state, json={"to": "suspended"}).json()["waiting"] is None
        asked = eva.post(state, json={"to": "finalized"}).json()
        assert (asked["state"], asked["waiting"]["kind"], asked["waiting"]["name"]) == (
            "suspended",
            "resume",
            "Eva",
        )
        assert eva.post(state, json={"to": "finalized"}).status_code == 403
        assert eva.get(f"{API}/agreements/{digest}").json()["wish"]["kind"] == "resume"
        for page, words in (
            (eva.get(path), "You asked for this"),
            (eva.get(f"{path}/resume"), "You asked for this"),
            (finn.get(path), "Look and confirm"),
            (finn.get(f"{path}/resume"), "Confirm and resume it"),
            (finn.get("/agreements"), f"{path}/resume"),
        ):
            assert words in page.text
        assert "It stays suspended: the wish is withdrawn." in eva.post(f"{path}/withdraw").text
        assert "Ask a second person to resume it" in finn.get(f"{path}/resume").text
        assert "Your word is kept" in finn.post(f"{path}/resume").text
        assert ash.node.agreements.state(digest) == "suspended"
        until(
            "a second after the suspension",
            lambda: "in force again" in eva.post(f"{path}/resume").text,
        )
    done = ash.node.signing.signed_by(digest)[-1]
    assert (done.kind, done.first_name, done.name) == ("resume", "Finn", "Eva")
    assert ash.node.agreements.state(digest) == "finalized"
