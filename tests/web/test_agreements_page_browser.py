"""Agreements in a real browser: written, signed after the password, stopped; every screen holds what screens have to hold."""

from __future__ import annotations

import pytest

from node.town import LAB, until
from web.browser import check_page, shoot, tab_through
from web.street import EVA, PASSWORD, street
from web.test_agreements_page import OWNERS, data, in_force, meet, offered


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    with street() as made:
        meet(made)
        data(made, tmp_path_factory.mktemp("data"), *OWNERS)
        for name in (LAB, *OWNERS):
            until("the catalogue", lambda name=name: len(made[name].node.datasets.entries()) == len(OWNERS))
        yield made


def signed_in(visit, house, **settings):
    page = visit(house.url + "/sign-in", **settings)
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda at: "/sign-in" not in at)
    return page


def password(page):
    if "/confirm" in page.url:
        page.get_by_label("Password").fill(PASSWORD)
        page.locator("main form button").first.click()
        page.wait_for_url(lambda at: "/confirm" not in at)


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_an_agreement_is_written_from_a_template_read_and_signed(houses, visit, script):
    page = signed_in(visit, houses[LAB], script=script)
    page.goto(houses[LAB].url + "/agreements")
    page.get_by_role("link", name="New agreement").click()
    page.get_by_role("link", name="Factories and a lab").click()
    title = f"Crystal counts {'with' if script else 'without'} script"
    page.get_by_label("Title").fill(title)
    page.get_by_label("Purposes").fill("Predict strength")
    for name in OWNERS:
        page.get_by_label(f"Strength tests of {name}").check()
    page.get_by_role("group", name="The lab").get_by_label("Lab (yours)").check()
    page.get_by_label("Yes, within a budget").check()
    page.get_by_role("button", name="Show me the agreement").click()
    page.get_by_role("heading", name=title).wait_for()
    assert page.get_by_text("epsilon 4 and delta 1e-06 in all").count() == 3
    page.get_by_role("link", name="Sign and offer").click()
    password(page)
    page.get_by_label("I have read it").check()
    page.get_by_role("button", name="Sign", exact=True).click()
    page.get_by_text("Signed, and offered to the others.").wait_for()
    assert page.get_by_text("waiting for signatures").first.is_visible()


def test_every_screen_holds_what_screens_have_to_hold(houses, visit):
    force, wait = (
        in_force(houses, title="Strength of cast parts", noise="yes"),
        offered(houses, title="To be signed"),
    )
    ash = houses["Ash"]
    until("the agreement at Ash", lambda: ash.node.agreements.find(wait))
    page = signed_in(visit, ash)
    page.goto(f"{ash.url}/agreements/{force}")
    page.get_by_role("button", name="Write a new version").click()
    draft = page.url.partition("?")[0].removesuffix("/edit")
    one = f"{ash.url}/agreements/{force}"
    for address in (
        f"{ash.url}/agreements",
        f"{ash.url}/agreements/new",
        f"{ash.url}/agreements/new/banks",
        one,
        f"{one}/life",
        f"{one}/suspend",
        draft,
        f"{draft}/edit",
        f"{ash.url}/agreements/{wait}",
        f"{ash.url}/agreements/{wait}/sign",
        f"{ash.url}/agreements/{wait}/decline",
        f"{ash.url}/agreements/two-people",
    ):
        page.goto(address)
        password(page)
        try:
            check_page(page)
        except AssertionError as error:
            raise AssertionError(f"{address}: {error}") from None
    page.goto(f"{ash.url}/agreements")
    shoot(page, "agreements")
    page.goto(one)
    shoot(page, "agreement-both-forms")


def test_the_way_to_the_signature_can_be_gone_by_keyboard(houses, visit):
    digest = offered(houses, title="By keyboard")
    cedar = houses["Cedar"]
    until("the agreement at Cedar", lambda: cedar.node.agreements.find(digest))
    page = signed_in(visit, cedar)
    page.goto(f"{cedar.url}/agreements/{digest}/sign")
    password(page)
    stops = tab_through(page)
    read = next(n for n, text in enumerate(stops) if text.startswith("I have read it"))
    sign = stops.index("Sign")  # not “Sign out”, which stands before the page's content
    assert read < sign
    page.get_by_label("I have read it").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Signed.").first.wait_for()
    assert cedar.node.party in cedar.node.agreements.get(digest).signed_by


def test_the_clause_stands_beside_its_sentence_on_wide_screens_and_is_folded_on_narrow_ones(houses, visit):
    digest = offered(houses, title="Side by side")
    page = signed_in(visit, houses[LAB], width=1400, height=900)
    page.goto(f"{houses[LAB].url}/agreements/{digest}")
    clause = page.locator(".clause").filter(has_text="Only for: Predict strength").first
    sentence, machine = clause.locator("p").first.bounding_box(), clause.locator("pre").bounding_box()
    assert machine["x"] > sentence["x"] + sentence["width"] / 2
    assert abs(machine["y"] - sentence["y"]) < 30
    assert '"leftOperand": "purpose"' in clause.locator("pre").inner_text()
    page.set_viewport_size({"width": 600, "height": 900})
    assert not clause.locator("pre").is_visible()
    clause.locator("summary").click()
    assert clause.locator("pre").is_visible()
