"""Figures of tools on the page and in the interface: asked, seen waiting, refused or let out, read; forbidden ones not let out by anybody."""

from __future__ import annotations

import base64
import html
import re
from contextlib import closing

import pytest
from playwright.sync_api import expect

from cloister.storage.settings import Settings
from node.test_figures_of_tools import PICTURES, InThisProcess, tool
from node.town import until
from web.browser import check_page, tab_through
from web.plenty import alert, heading, person, town_of, two_houses
from web.records import asked, photos
from web.street import EVA, PASSWORD


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    with two_houses() as houses:
        town_of(houses).meet()
        photos(houses["Ash"], houses["Lab"], tmp_path_factory.mktemp("p") / "photos")
        yield houses


def words(answer):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def answered(town, name):
    lab = town["Lab"].node.figures
    return until("the answer", lambda: found if (found := lab.one(name))["answered"] else None, 60)


def signed_in(visit, house, path):
    page = visit(f"{house.url}/sign-in?next={path}")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda at: "/sign-in" not in at)
    page.set_default_timeout(60_000)
    return page


def card(page, purpose):
    return page.locator("article", has_text=purpose)


@pytest.mark.slow
def test_a_researcher_asks_on_the_page_the_owner_lets_it_out_and_the_researcher_reads_the_figures(
    visit, town, tmp_path
):
    (tmp_path / "counter.tool").write_bytes(tool())
    lab = signed_in(visit, town["Lab"], "/figures")
    lab.get_by_role("link", name="Ask an owner").first.click()
    check_page(lab)
    assert len(tab_through(lab)) > 8
    lab.get_by_label("Pictures").select_option(label="Ash: Photos (photos)")
    lab.get_by_label("The tool's file").set_input_files(tmp_path / "counter.tool")
    lab.get_by_label("Median diameter").uncheck()
    lab.get_by_label("What for").fill("By a browser")
    lab.get_by_role("button", name="Ask", exact=True).click()
    expect(lab.get_by_role("status")).to_contain_text("Asked.")
    ours = town["Ash"].node.figures.answering
    until(
        "the question at the owner",
        lambda: [one for one in ours.waiting() if one["purpose"] == "By a browser"],
    )

    owner = signed_in(visit, town["Ash"], "/")
    looks = InThisProcess.looks
    item = owner.get_by_role("listitem").filter(has_text="“By a browser”")
    item.get_by_role("link", name="Decide").click()
    expect(
        owner.get_by_role("navigation", name="Screens").get_by_role("link", name="Datasets")
    ).to_have_attribute("aria-current", "page")
    waiting = card(owner, "By a browser")
    expect(waiting).to_contain_text("Lab asks about our photos")
    expect(waiting).to_contain_text("Waits for you")
    expect(waiting).to_contain_text("Nothing was measured on these pictures before.")
    check_page(owner)
    assert InThisProcess.looks == looks, "nothing is measured before somebody says so"
    waiting.get_by_role("button", name="Let the figures out").click()
    name = lab.evaluate("document.querySelector('article').id")
    answered(town, f"sha256:{name}")
    owner.reload()
    expect(card(owner, "By a browser")).to_contain_text(f"Decided by{EVA}")
    check_page(owner)

    lab.reload()
    told = card(lab, "By a browser")
    expect(told).to_contain_text("Answered")
    expect(told.get_by_role("row", name=re.compile("^Count"))).to_contain_text("0.90")
    expect(told.get_by_role("row", name=re.compile("^Objects found"))).to_contain_text("1.00")
    expect(told.get_by_role("row", name=re.compile("^Median"))).to_have_count(0)
    check_page(lab)
    assert InThisProcess.looks == looks + PICTURES


@pytest.mark.slow
def test_an_owner_refuses_in_a_browser_and_the_researcher_reads_why(visit, town):
    name = asked(town["Lab"], town["Ash"], "To be refused", min_distance=7)
    looks = InThisProcess.looks
    owner = signed_in(visit, town["Ash"], "/figures")
    card(owner, "To be refused").get_by_role("button", name="Refuse").click()
    expect(owner.get_by_role("status")).to_contain_text("Refused.")
    answered(town, name)
    lab = signed_in(visit, town["Lab"], "/figures")
    expect(card(lab, "To be refused")).to_contain_text("A person of the owner said no.")
    check_page(lab)
    assert InThisProcess.looks == looks


def test_who_may_not_decide_sees_the_question_and_no_button(town):
    name = asked(town["Lab"], town["Ash"], "Looked at by an auditor", min_distance=5)
    with closing(person(town["Ash"], "Otto", "auditor")) as otto:
        page = otto.get("/figures")
        assert "Looked at by an auditor" in page.text
        assert "Let the figures out" not in page.text
        assert "Ask an owner" not in page.text
        for path in (f"/figures/{name}/approve", f"/figures/{name}/refuse"):
            assert otto.post(path).status_code == 403
        assert otto.get("/figures/new").status_code == 403
        assert "asks how a tool does" not in otto.get("/").text
    assert town["Ash"].node.figures.one(name)["state"] == "waiting"


def test_what_was_decided_is_not_decided_again_and_the_page_says_so(town):
    name = asked(town["Lab"], town["Ash"], "Decided once", min_distance=4)
    with closing(town["Ash"].eva()) as eva:
        assert eva.post(f"/figures/{name}/refuse").status_code == 200
        page = eva.post(f"/figures/{name}/approve")
        assert page.status_code == 409
        assert "decided before" in alert(page)
        assert eva.post(f"/figures/sha256:{'0' * 64}/approve").status_code == 404
    assert answered(town, name)["figures"] == {}


@pytest.mark.parametrize(
    ("fields", "file", "told"),
    [
        ({"dataset": ""}, tool(), "No pictures were chosen"),
        ({"purpose": " "}, tool(), "What it is for is missing"),
        ({"tool": ""}, b"", "No tool was chosen"),
        ({}, b"no tool at all", "The tool"),
        ({"epsilon": "much"}, tool(), "What it may cost is not a number"),
        ({"dataset": "somebody photos"}, tool(), "somebody"),
    ],
)
def test_a_question_that_is_not_complete_is_not_asked_and_the_form_keeps_what_was_typed(
    town, fields, file, told
):
    lab = town["Lab"]
    before = len(lab.node.figures.listing())
    given = {
        "dataset": f"{town['Ash'].node.party} photos",
        "purpose": "Typed before",
        "figure-f1": "yes",
    } | fields
    with closing(lab.eva()) as eva:
        parts = [(name, (None, value)) for name, value in given.items()]
        page = eva.post("/figures/new", files=[*parts, *([("file", ("a.tool", file))] if file else [])])
        assert page.status_code >= 400
        assert told in alert(page)
        assert ("Typed before" in page.text) == (fields.get("purpose") is None)
    assert len(lab.node.figures.listing()) == before


def test_where_nobody_offers_pictures_the_form_says_what_is_missing(town):
    with closing(town["Ash"].eva()) as eva:
        assert "No trusted organisation offers pictures yet." in words(eva.get("/figures/new"))


def test_a_question_that_was_turned_away_is_seen_by_the_owners_people(town):
    from cloister.storage.events import Events

    node, lab = town["Ash"].node, town["Lab"].node.party
    facts = {"researcher": lab, "dataset": "photos", "why": "“Counting” is for other purposes."}
    with node.durable.database.transaction() as tx:
        Events(tx).add("", node.clock.now(), "figures.forbidden", facts)
    with closing(town["Ash"].eva()) as eva:
        page = eva.get("/")
        assert heading(page) == "Home"
        assert "was turned away: “Counting” is for other purposes." in words(page)


def test_by_the_interface_from_the_question_to_the_figures(town):
    lab, ash = town["Lab"], town["Ash"]
    body = {
        "owner": ash.node.party,
        "dataset": "photos",
        "tool": base64.b64encode(tool(min_distance=3)).decode(),
        "purpose": "By a program",
    }
    with closing(lab.eva()) as asking, closing(ash.eva()) as deciding:
        made = asking.post("/api/v1/figures", json=body)
        assert made.status_code == 200, made.text
        name = made.json()["question"]
        until("it", lambda: deciding.get(f"/api/v1/figures/{name}").status_code == 200)
        seen = deciding.get(f"/api/v1/figures/{name}").json()
        assert (seen["side"], seen["state"], seen["figures"]) == ("to-answer", "waiting", {})
        listed = deciding.get("/api/v1/figures").json()
        assert name in [item["question"] for item in listed]
        told = deciding.post(f"/api/v1/figures/{name}/decide", json={"approve": True})
        assert told.status_code == 200, told.text
        answered(town, name)
        found = asking.get(f"/api/v1/figures/{name}").json()
        assert found["state"] == "answered"
        assert set(found["figures"]) == {"count-accuracy", "f1", "d50-accuracy"}
        again = deciding.post(f"/api/v1/figures/{name}/decide", json={"approve": False})
        assert again.status_code == 409


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"tool": "not base64!"}, 422, "not base64"),
        ({"figures": ["guesses"]}, 422, "no such figure"),
        ({"dataset": "others"}, 404, "no such dataset"),
        ({"epsilon": 11}, 422, ""),
        ({"purpose": ""}, 422, ""),
    ],
)
def test_the_interface_says_what_is_wrong_with_a_question(town, changes, status, told):
    body = {
        "owner": town["Ash"].node.party,
        "dataset": "photos",
        "tool": base64.b64encode(tool()).decode(),
        "purpose": "Anything",
    }
    with closing(town["Lab"].eva()) as eva:
        answer = eva.post("/api/v1/figures", json=body | changes)
        assert answer.status_code == status
        assert told in answer.text


def test_a_state_that_is_not_known_does_not_take_the_page_away(town):
    name = asked(town["Lab"], town["Ash"], "An odd state")
    with town["Lab"].node.durable.database.transaction() as tx:
        settings = Settings(tx)
        settings.put(f"figures/asked/{name}", {**settings.get(f"figures/asked/{name}"), "state": "evil"})
    with closing(town["Lab"].eva()) as eva:
        assert "An odd state" in words(eva.get("/figures"))
