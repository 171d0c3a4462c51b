"""The agreements' screens, as a person uses them without script: real nodes, real pages."""

from __future__ import annotations

import html
import re
from contextlib import closing

import pytest

from cloister.agreements.templates import TEMPLATES
from node.town import LAB, PURPOSE, table, until
from web.street import EVA, PASSWORD, street

OWNERS = ("Ash", "Birch", "Cedar")


def meet(houses):
    nodes = [house.node for house in houses.values()]
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.parties.accept_chain(other.parties.chain(other.party))
                node.parties.pin(other.party, other.party)
        node.steward.wake("documents")


def data(houses, tmp, *names):
    for seed, name in enumerate(names):
        path = table(tmp / f"{name.lower()}.csv", seed)
        fields = {"name": "tests", "title": "Strength tests", "residency": "DE"}
        sensitivity = dict.fromkeys(("heat", "time", "strength"), "internal")
        houses[name].node.datasets.add(path, {**fields, "sensitivity": sensitivity})
        houses[name].node.steward.wake("documents")


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    with street() as made:
        meet(made)
        data(made, tmp_path_factory.mktemp("data"), *OWNERS)
        for name in (LAB, *OWNERS):
            until("the catalogue", lambda name=name: len(made[name].node.datasets.entries()) == len(OWNERS))
        yield made


def answers(houses, **changes):
    return {
        "title": "Strength together",
        "data": [f"{houses[name].node.party} tests" for name in OWNERS],
        "researchers": [houses[LAB].node.party],
        "users": [houses["User"].node.party],
        "purposes": f"{PURPOSE}\nAnother purpose",
        "until": "2099-12-31",
        "noise": "no",
        "epsilon": "4",
        "delta": "0.000001",
        "dropouts": "0",
        "group": "10",
    } | changes


def text(answer):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def fresh(browser, path):
    """A page that takes the password again, as a person gets to it."""
    answer = browser.get(path)
    if answer.url.path == "/confirm":
        answer = browser.post("/confirm", data={"password": PASSWORD, "next": path})
    assert answer.url.path == path, answer.url
    return answer


def offered(houses, by=LAB, **changes):
    with closing(houses[by].eva()) as eva:
        answer = eva.post("/agreements/new/factories-and-lab", data=answers(houses, **changes))
        assert answer.status_code == 200, text(answer)
        draft = answer.url.path
        sheet = fresh(eva, f"{draft}/sign")
        digest = re.search(r'name="digest" value="([^"]+)"', sheet.text)[1]
        done = eva.post(f"{draft}/sign", data={"digest": digest, "read": "yes"})
        assert done.status_code == 200, text(done)
        assert done.url.path == f"/agreements/{digest}"
    return digest


def sign(house, digest):
    until("the agreement", lambda: house.node.agreements.find(digest))
    with closing(house.eva()) as eva:
        fresh(eva, f"/agreements/{digest}/sign")
        return eva.post(f"/agreements/{digest}/sign", data={"read": "yes"})


def in_force(houses, **changes):
    digest = offered(houses, **changes)
    for name in (*OWNERS, "User"):
        assert sign(houses[name], digest).status_code == 200
    for house in houses.values():
        until("it to be in force", lambda house=house: house.node.agreements.state(digest) == "finalized")
    return digest


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_asks_and_keeps_what_was_typed_when_something_is_missing(houses, template):
    with closing(houses["Ash"].eva()) as eva:
        assert eva.get(f"/agreements/new/{template}").status_code == 200
        wrong = eva.post(
            f"/agreements/new/{template}", data=answers(houses, purposes="", title="Odd <b>title</b>")
        )
        assert wrong.status_code == 422
        assert 'value="Odd &lt;b&gt;title&lt;/b&gt;"' in wrong.text
        assert wrong.text.count(" checked") >= 5
        assert "No purpose was given." in text(wrong)


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_gives_a_draft_that_can_be_read_and_changed(houses, template):
    with closing(houses[LAB].eva()) as eva:
        one = answers(houses, data=answers(houses)["data"][: 1 if template.startswith("one") else 3])
        answer = eva.post(f"/agreements/new/{template}", data=one)
        assert answer.url.path.startswith("/agreements/drafts/")
        assert "Another purpose" in text(answer)
        again = eva.get(f"/agreements/new/{template}", params={"draft": answer.url.path.rpartition("/")[2]})
        assert 'value="Strength together"' in again.text
        assert 'value="2099-12-31"' in again.text
        gone = eva.post(f"{answer.url.path}/delete")
        assert gone.url.path == "/agreements"
        assert eva.get(answer.url.path).status_code == 404


def test_what_this_version_can_do_comes_first_and_the_rest_is_folded_away_with_what_is_missing(houses):
    with closing(houses["Ash"].eva()) as eva:
        page = text(eva.get("/agreements/new"))
        first, later = page.split("Not possible yet with this version (3)")
        assert first.index("Factories and a lab") < first.index("A clinic and a lab")
        assert first.count("This version cannot yet count and average.") == 2
        assert "This version cannot yet compare lists or count and average." in later
        assert "This version cannot yet score records." in later
        vendor = text(eva.get("/agreements/new/vendor-scoring"))
        assert "This version can do nothing of this yet." in vendor
        assert "None of the privacy methods" in vendor
        assert "cannot do all of this yet" in text(eva.get("/agreements/new/clinic-and-lab"))
        assert "cannot do all" not in text(eva.get("/agreements/new/factories-and-lab"))


def test_an_agreement_goes_from_a_draft_through_every_hand_into_force_and_is_stopped(houses):
    digest = offered(houses)
    ash = houses["Ash"]
    until("the agreement at Ash", lambda: ash.node.agreements.find(digest))
    with closing(ash.eva()) as eva:
        page = eva.get("/agreements")
        assert "Waits for your signature" in text(page)
        shown = eva.get(f"/agreements/{digest}")
        assert "waits for your signature" in text(shown)
        assert "&#34;cloister:colluders&#34;" in shown.text or "cloister:colluders" in shown.text
        unread = fresh(eva, f"/agreements/{digest}/sign")
        assert "Not protected under this agreement" in text(unread)
        refused = eva.post(f"/agreements/{digest}/sign", data={})
        assert refused.status_code == 422
        assert "not said that you have read it" in text(refused)
    for name in (*OWNERS, "User"):
        sign(houses[name], digest)
    until("it to be in force", lambda: ash.node.agreements.state(digest) == "finalized")
    with closing(ash.eva()) as eva:
        assert "in force" in text(eva.get(f"/agreements/{digest}"))
        page = eva.get(f"/agreements/{digest}/suspend")
        assert "No task is running or waiting here" in text(page)
        done = eva.post(f"/agreements/{digest}/suspend", data={"reason": "Holidays"})
        assert "Suspended by Ash" in text(done)
        until("a second to pass", lambda: resumed(eva, digest))
        page = eva.post(f"/agreements/{digest}/revoke", data={"reason": "Another machine"})
        assert "revoked" in text(page)
        life = text(eva.get(f"/agreements/{digest}/life"))
        for line in (
            "Eva signed here.",
            "Ash suspended it. Holidays",
            "Eva revoked it here.",
            "Ash revoked it, for ever.",
        ):
            assert line in life, line
    until("the lab to know", lambda: houses[LAB].node.agreements.state(digest) == "revoked")
    with closing(houses[LAB].eva()) as eva:
        life = text(eva.get(f"/agreements/{digest}/life"))
        assert "Ash revoked it, for ever. Another machine" in life
        assert "Eva revoked" not in life


def resumed(eva, digest):
    fresh(eva, f"/agreements/{digest}/resume")
    return "in force again" in text(eva.post(f"/agreements/{digest}/resume", data={}))


def test_what_stopping_stops_is_shown_before_the_button(houses):
    digest = in_force(houses, title="With a task")
    lab, ash = houses[LAB].node, houses["Ash"]
    known = lab.computations.add_model(_model())["digest"]
    asked = {
        "agreement": digest,
        "computation": {"kind": "training", "contents": {"model": known}, "settings": _recipe()},
        "purpose": PURPOSE,
        "preferences": {"rounds": 2, "local_steps": 10, "round_seconds": 60},
    }
    task = lab.tasks.submit(lab.computations.plan(asked)[0])["task"]
    until("the plan at Ash", lambda: ash.node.tasks.records.known(task))
    with closing(ash.eva()) as eva:
        page = text(eva.get(f"/agreements/{digest}/revoke"))
        assert "Not begun: 1 task cannot start" in page
        assert f"{PURPOSE} asked by Lab" in page
        assert PURPOSE in text(eva.get(f"/agreements/{digest}/life"))


def _model():
    from node.town import model

    return model()


def _recipe():
    from node.town import recipe

    return recipe()


def test_declining_ends_it_for_everybody_and_names_the_reason(houses):
    digest = offered(houses, title="To be declined")
    until("the agreement at Birch", lambda: houses["Birch"].node.agreements.find(digest))
    with closing(houses["Birch"].eva()) as eva:
        page = eva.post(f"/agreements/{digest}/decline", data={"reason": "Too long"})
        assert "declined" in text(page)
        assert eva.get("/agreements").status_code == 200
        late = fresh(eva, f"/agreements/{digest}/sign")
        assert late.status_code == 200
        assert eva.post(f"/agreements/{digest}/sign", data={"read": "yes"}).status_code == 409


def test_a_new_version_shows_what_it_changes_and_for_whom(houses):
    digest = in_force(houses, title="Version one", noise="yes")
    with closing(houses[LAB].eva()) as eva:
        editor = eva.post(f"/agreements/{digest}/next")
        assert editor.url.path.endswith("/edit")
        draft = editor.url.path.removesuffix("/edit")
        assert "Nothing is changed yet" in text(eva.get(draft))
        document = html.unescape(re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", editor.text, re.DOTALL)[1])
        kept = eva.post(
            f"{draft}/edit", data={"document": re.sub(r'"epsilon": 4\b', '"epsilon": 40', document)}
        )
        assert kept.url.path == draft, text(kept)
        assert "The epsilon that may be spent of “tests” of Ash was 4 and is 40." in text(kept)
        assert "weaker protection for Ash" in text(kept)
        sheet = fresh(eva, f"{draft}/sign")
        assert "What this version changes" in text(sheet)
        new = re.search(r'name="digest" value="([^"]+)"', sheet.text)[1]
        done = eva.post(f"{draft}/sign", data={"digest": new, "read": "yes"})
        assert done.url.path == f"/agreements/{new}"
        assert "weaker protection for Cedar" in text(eva.get(f"/agreements/{new}/changes"))
        assert "Version 2 was proposed." in text(eva.get(f"/agreements/{digest}/life"))


def test_the_editor_names_each_clause_that_no_server_can_enforce(houses):
    with closing(houses[LAB].eva()) as eva:
        draft = eva.post("/agreements/new/factories-and-lab", data=answers(houses)).url.path
        editor = eva.get(f"{draft}/edit")
        document = html.unescape(re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", editor.text, re.DOTALL)[1])
        assert eva.post(f"{draft}/edit", data={"document": document}).url.path == draft
        bad = document.replace('"leftOperand": "purpose"', '"leftOperand": "payAmount"')
        wrong = eva.post(f"{draft}/edit", data={"document": bad})
        assert wrong.status_code == 403
        assert "odrl:payAmount" in text(wrong)
        assert "servers move no money" in text(wrong)
        assert "payAmount" in html.unescape(wrong.text), "what was typed is still there"
        for broken in ("{", "[]", "null", '{"@type": "Agreement"}', "\u0000", '{"a": 1, "a": 2}', "[" * 5000):
            answer = eva.post(f"{draft}/edit", data={"document": broken})
            assert answer.status_code in (403, 422), broken[:20]
            assert "<h1>Edit the document</h1>" in answer.text


def test_somebody_elses_draft_is_read_and_copied_but_not_changed(houses):
    ash = houses["Ash"]
    ash.site.accounts.add("Gus", ["analyst"], "nine grey geese swim")
    with closing(ash.eva()) as eva, ash.visitor() as gus:
        gus.sign_in("Gus", "nine grey geese swim")
        draft = eva.post("/agreements/new/factories-and-lab", data=answers(houses, title="Eva's")).url.path
        name = draft.rpartition("/")[2]
        page = text(gus.get(draft))
        assert "Only Eva changes it." in page
        assert "Delete this draft" not in page
        document = html.unescape(eva.get(f"{draft}/edit").text.split("<textarea")[1].split(">", 1)[1])
        for answer in (
            gus.get(f"{draft}/edit"),
            gus.post(f"{draft}/edit", data={"document": document.split("</textarea>")[0]}),
            gus.get(f"/agreements/new/factories-and-lab?draft={name}"),
            gus.post(f"/agreements/new/factories-and-lab?draft={name}", data=answers(houses, title="Mine")),
            gus.post(f"{draft}/delete"),
            gus.delete(f"/api/v1/agreement-drafts/{name}"),
        ):
            assert answer.status_code == 403
            assert "somebody else" in text(answer)
        assert "Eva's" in html.unescape(text(eva.get(draft)))
        copy = gus.post(f"{draft}/copy")
        assert "This copy is yours." in text(copy)
        assert copy.url.path != draft
        assert gus.get(f"{copy.url.path}/edit").status_code == 200
        assert "The draft is deleted." in text(gus.post(f"{copy.url.path}/delete"))
        assert eva.get(draft).status_code == 200


def test_a_draft_that_was_changed_meanwhile_is_not_signed(houses):
    with closing(houses[LAB].eva()) as eva:
        draft = eva.post("/agreements/new/factories-and-lab", data=answers(houses, title="Before")).url.path
        sheet = fresh(eva, f"{draft}/sign")
        digest = re.search(r'name="digest" value="([^"]+)"', sheet.text)[1]
        name = draft.rpartition("/")[2]
        eva.post(f"/agreements/new/factories-and-lab?draft={name}", data=answers(houses, title="After"))
        answer = eva.post(f"{draft}/sign", data={"digest": digest, "read": "yes"})
        assert answer.status_code == 409
        assert "changed since you read it" in text(answer)


def test_signing_asks_for_the_password_again_and_a_forged_form_is_refused(houses):
    digest = offered(houses, title="Only with the password")
    ash = houses["Ash"]
    until("the agreement at Ash", lambda: ash.node.agreements.find(digest))
    with closing(ash.eva()) as eva:
        headers = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
        forged = eva.post(f"/agreements/{digest}/sign", data={"read": "yes"}, headers=headers)
        assert forged.status_code == 403
    with ash.visitor() as nobody:
        assert nobody.get(f"/agreements/{digest}/sign").url.path == "/sign-in"
    assert ash.node.party not in ash.node.agreements.get(digest).signed_by


def test_an_agreement_of_one_is_warned_of_where_it_is_signed_and_in_force_once_it_is(houses):
    ash = houses["Ash"]
    own = [ash.node.party]
    alone = {"title": "Alone", "data": [f"{own[0]} tests"], "researchers": own, "users": []}
    with closing(ash.eva()) as eva:
        made = eva.post("/agreements/new/one-researcher-one-owner", data=answers(houses, **alone))
        draft = made.url.path
        warning = "Nothing installed here can count and average under these terms."
        assert warning in text(made)
        sheet = fresh(eva, f"{draft}/sign")
        assert warning in text(sheet)
        digest = re.search(r'name="digest" value="([^"]+)"', sheet.text)[1]
        page = text(eva.post(f"{draft}/sign", data={"digest": digest, "read": "yes"}))
        assert "in force" in page
        assert "others" not in page
        assert "The agreement is revoked" in text(eva.post(f"/agreements/{digest}/revoke"))


def test_two_people_sign_where_the_policy_asks_for_it(houses):
    digest = offered(houses, title="Four eyes")
    cedar = houses["Cedar"]
    until("the agreement at Cedar", lambda: cedar.node.agreements.find(digest))
    with closing(cedar.eva()) as eva:
        fresh(eva, "/agreements/two-people")
        refused = eva.post("/agreements/two-people", data={"needed": "yes"})
        assert "There are not two people yet who may sign" in text(refused)
        cedar.site.accounts.add("Finn", ["approver"], "nine grey geese swim")
        assert "two people sign" in text(eva.post("/agreements/two-people", data={"needed": "yes"}))
        fresh(eva, f"/agreements/{digest}/sign")
        asked = eva.post(f"/agreements/{digest}/sign", data={"read": "yes"})
        assert "You asked for this" in text(asked)
        assert eva.post(f"/agreements/{digest}/sign", data={"read": "yes"}).status_code == 403
    assert cedar.node.party not in cedar.node.agreements.get(digest).signed_by
    with cedar.visitor() as finn:
        finn.sign_in("Finn", "nine grey geese swim")
        assert "Waits for a second person" in text(finn.get("/agreements"))
        sheet = finn.get(f"/agreements/{digest}/sign")
        if sheet.url.path == "/confirm":
            sheet = finn.post(
                "/confirm", data={"password": "nine grey geese swim", "next": f"/agreements/{digest}/sign"}
            )
        assert f"{EVA} asked for this" in text(sheet)
        finn.post(f"/agreements/{digest}/sign", data={"read": "yes"})
        assert "Eva had asked for it." in text(finn.get(f"/agreements/{digest}/life"))
        off = finn.post("/agreements/two-people", data={"needed": "no"})
        assert "You asked for this" in text(off)
        assert cedar.node.signing.two_people
    with closing(cedar.eva()) as eva:
        fresh(eva, "/agreements/two-people")
        assert "One person may sign again." in text(eva.post("/agreements/two-people", data={"needed": "no"}))
    assert cedar.node.party in cedar.node.agreements.get(digest).signed_by
    assert not cedar.node.signing.two_people


def test_who_may_not_sign_sees_no_button_and_gets_no_page(houses):
    digest = offered(houses, title="Readers")
    lab = houses[LAB]
    lab.site.accounts.add("Rita", ["auditor"], "ten brown bears dance")
    with lab.visitor() as rita:
        rita.sign_in("Rita", "ten brown bears dance")
        page = rita.get(f"/agreements/{digest}")
        assert page.status_code == 200
        assert "/suspend" not in page.text
        assert "/revoke" not in page.text
        assert "/decline" not in page.text
        assert "New agreement" not in rita.get("/agreements").text
        for path in ("sign", "suspend", "revoke", "decline", "resume"):
            assert rita.get(f"/agreements/{digest}/{path}").status_code == 403
            assert rita.post(f"/agreements/{digest}/{path}", data={"read": "yes"}).status_code == 403
        assert rita.get("/agreements/new").status_code == 403


def test_the_machine_form_can_be_saved_and_read_back(houses):
    digest = offered(houses, title="As a file")
    with closing(houses[LAB].eva()) as eva:
        answer = eva.get(f"/agreements/{digest}/machine")
        assert answer.headers["content-type"] == "application/json"
        assert "attachment" in answer.headers["content-disposition"]
        from cloister.agreements.terms import Terms

        assert Terms.from_odrl(answer.json()).digest == digest


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "nothing", "'; drop table documents; --"])
def test_what_is_no_agreement_is_not_found(houses, digest):
    with closing(houses[LAB].eva()) as eva:
        assert eva.get(f"/agreements/{digest}").status_code == 404
        assert eva.get(f"/agreements/{digest}/life").status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"title": " "},
        {"title": "x" * 201},
        {"title": "a\u202eb"},
        {"data": []},
        {"data": ["nobody tests"]},
        {"researchers": ["../../etc"]},
        {"researchers": []},
        {"purposes": "\n \n"},
        {"purposes": "a\x07b"},
        {"purposes": "\n".join(f"purpose {n}" for n in range(40))},
        {"until": "tomorrow"},
        {"until": "2001-01-01"},
        {"until": "9999-12-31"},
        {"noise": ""},
        {"noise": "maybe"},
        {"noise": "yes", "epsilon": "nan"},
        {"noise": "yes", "epsilon": "inf"},
        {"noise": "yes", "epsilon": "1e999"},
        {"noise": "yes", "epsilon": "-1"},
        {"noise": "yes", "delta": "2"},
        {"noise": "yes", "epsilon": ""},
        {"quorum": "4"},
        {"quorum": "0"},
        {"quorum": "²"},
        {"dropouts": "9"},
        {"dropouts": "-1"},
        {"metric": "Ärger", "minimum": "1"},
        {"metric": "r2", "minimum": ""},
        {"residency": "XX"},
        {"sensitivity": "secret"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_and_nothing_typed_is_lost(houses, changes):
    with closing(houses["Ash"].eva()) as eva:
        before = len(houses["Ash"].node.drafts.all())
        answer = eva.post("/agreements/new/factories-and-lab", data=answers(houses, **changes))
        assert answer.status_code == 422, text(answer)[:300]
        assert 'role="alert"' in answer.text
        if changes.get("title") is None:
            assert 'value="Strength together"' in answer.text
        assert len(houses["Ash"].node.drafts.all()) == before
