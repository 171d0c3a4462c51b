"""Organisations on the page: cards taken in, fingerprints compared, trust given and taken back, who is here."""

from __future__ import annotations

import json

import pytest

from web.plenty import alert, heading, person, two_houses


@pytest.fixture(scope="module")
def houses():
    with two_houses() as made:
        yield made


@pytest.fixture
def eva(houses):
    browser = houses["Ash"].eva()
    yield browser
    browser.close()


@pytest.fixture
def lab(houses):
    return houses["Lab"].node.party


def card_of(houses, name):
    answer = houses[name].eva().get("/parties/own/card.json")
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.text


def test_nobody_is_known_at_first(houses, eva):
    page = eva.get("/parties")
    assert "knows nobody yet" in page.text
    party = houses["Ash"].node.party
    assert party[:4] in page.text
    assert "our own card" in page.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no card",
        "{}",
        "[]",
        "[1]",
        '{"cards": []}',
        "[{}]",
        '[{"payload": "x"}]',
        "[" * 5000,
        '["\\ud800"]',
    ],
)
def test_what_is_no_card_is_refused_and_stays_in_the_form(eva, text):
    page = eva.post("/parties/add", data={"text": text})
    assert page.status_code == 422
    assert alert(page)
    assert text[:20].replace('"', "&#34;") in page.text


def test_a_forged_card_is_refused(houses, eva, lab):
    cards = json.loads(card_of(houses, "Lab"))
    cards[0]["signatures"][0]["sig"] = cards[0]["signatures"][0]["sig"][::-1]
    page = eva.post("/parties/add", files={"card": ("card.json", json.dumps(cards))}, data={"text": ""})
    assert page.status_code in {403, 422}
    assert not houses["Ash"].node.parties.known(lab)


def test_a_card_makes_known_and_only_comparing_makes_trusted(houses, eva, lab):
    page = eva.post("/parties/add", data={"text": card_of(houses, "Lab")})
    assert heading(page) == "Lab"
    assert "Nobody here has compared it" in page.text
    parties = houses["Ash"].node.parties
    assert not parties.trusted(lab)
    assert "not compared" in eva.get("/parties").text
    for typed, status in (
        ("", 422),
        (lab[-4:], 422),
        (lab[:12], 403),
        ("aaaa bbbb cccc", 403),
        ("x" * 52, 403),
    ):
        page = eva.post(f"/parties/{lab}/trust", data={"typed": typed})
        assert page.status_code == status, typed
        assert not parties.trusted(lab)
    heard = f"{lab[-12:-8].upper()} {lab[-8:-4]}-{lab[-4:]}"
    page = eva.post(f"/parties/{lab}/trust", data={"typed": heard})
    assert page.status_code == 200
    assert parties.trusted(lab)
    assert "trusted from now on" in page.text


def test_trust_can_be_taken_back(houses, eva, lab):
    page = eva.post(f"/parties/{lab}/distrust")
    assert "not trusted any more" in page.text
    assert not houses["Ash"].node.parties.trusted(lab)
    assert eva.post(f"/parties/{houses['Ash'].node.party}/distrust").status_code == 404


def test_who_is_here_and_what_passed_is_shown(houses, eva, lab):
    houses["Lab"].node.parties.accept_chain(houses["Ash"].node.parties.chain(houses["Ash"].node.party))
    page = eva.get(f"/parties/{lab}")
    assert "here now" in page.text
    assert "Messages since the start" in page.text


@pytest.mark.parametrize("role", ["analyst", "auditor", "operator"])
def test_whoever_does_not_speak_for_the_organisation_trusts_nobody(houses, lab, role):
    somebody = person(houses["Ash"], role.title(), role)
    page = somebody.get(f"/parties/{lab}")
    assert page.status_code == 200
    assert "/compare" not in page.text
    assert somebody.get(f"/parties/{lab}/compare").status_code == 403
    assert somebody.post(f"/parties/{lab}/trust", data={"typed": lab}).status_code == 403
    assert somebody.post("/parties/add", data={"text": card_of(houses, "Lab")}).status_code == 403
    assert not houses["Ash"].node.parties.trusted(lab)


def test_trust_takes_a_password_shown_just_now(houses, lab):
    approver = person(houses["Ash"], "Abe", "approver")
    accounts = houses["Ash"].site.accounts
    clock = houses["Ash"].site.clock
    accounts._clock = type("Later", (), {"now": lambda _: clock.now() + 600})()
    try:
        assert approver.get(f"/parties/{lab}/compare").url.path == "/confirm"
        assert approver.post(f"/parties/{lab}/trust", data={"typed": lab}).status_code in {401, 403}
    finally:
        accounts._clock = clock
    assert not houses["Ash"].node.parties.trusted(lab)


def test_nobody_is_told_of_who_is_unknown(eva):
    for party in ("nobody", "a" * 52, "<script>", "..%2f.."):
        page = eva.get(f"/parties/{party}")
        assert page.status_code in {400, 404}
        assert "<script>" not in page.text.split("<main")[-1]
