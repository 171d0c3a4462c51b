"""Datasets, home and organisations in a real browser: every screen's shape, the wizard by keyboard and mouse."""

from __future__ import annotations

import pytest

from node.town import LAB, pair_terms, table, until
from web.browser import check_page, shoot, tab_through
from web.plenty import town_of, two_houses
from web.street import EVA, PASSWORD

PRESSES = "machine;started;pressure;operator\n" + "".join(
    f"M{row % 7};2026-01-{row % 27 + 1:02d};{row % 90},{row % 10};{'Rossi' if row % 3 else 'Okafor'}\n"
    for row in range(300)
)


@pytest.fixture(scope="module")
def houses():
    with two_houses() as made:
        town = town_of(made)
        town.meet()
        town.data("Ash")
        data = made["Ash"].site.folder.root / "data"
        data.mkdir(exist_ok=True)
        (data / "press-line.csv").write_text(PRESSES)
        table(data / "second.csv", 3)
        node = made["Ash"].node
        node.budgets.populations.open("our plants", "record", 2.0, 1e-5)
        node.budgets.populations.bind("tests", "our plants")
        digest = made["Lab"].node.agreements.propose(pair_terms(town))
        until("the agreement", lambda: node.agreements.find(digest))
        yield made


@pytest.fixture
def eva(visit, houses):
    """A page on which she has signed in."""
    page = visit(houses["Ash"].url + "/sign-in")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main button").first.click()
    page.wait_for_url("**/")
    return page


def test_home_holds_what_every_screen_holds_and_leads_where_it_says(eva, tmp_path):
    item = eva.get_by_role("listitem").filter(has_text="Lab asks you to sign")
    assert item.get_by_role("link", name="Read it").is_visible()
    check_page(eva)
    shoot(eva, "home", tmp_path)
    assert any(stop.startswith("Read it") for stop in tab_through(eva))
    item.get_by_role("link", name="Read it").click()
    eva.wait_for_url("**/agreements/sha256:*")


def test_a_table_is_registered_in_the_browser(eva, houses, tmp_path):
    eva.get_by_role("link", name="Datasets").click()
    eva.get_by_role("link", name="Register a dataset").click()
    check_page(eva)
    shoot(eva, "dataset-where", tmp_path)
    eva.get_by_role("button", name="Choose press-line.csv").click()
    check_page(eva)
    shoot(eva, "dataset-columns", tmp_path)
    eva.get_by_label("Sensitivity of operator").select_option("personal")
    eva.get_by_label("Physical unit of pressure").fill("bar")
    eva.get_by_label("Unit of privacy").select_option("column:machine")
    eva.get_by_role("button", name="Next").click()
    check_page(eva)
    eva.get_by_label("Country where the data is kept").fill("AT")
    eva.get_by_label("Let others see roughly").check()
    eva.get_by_label("Notes on what it may be used for").fill("Maintenance only.")
    eva.get_by_role("button", name="Next: review").click()
    check_page(eva)
    shoot(eva, "dataset-review", tmp_path)
    others = eva.get_by_role("region", name="Others see")
    assert "personal" in others.inner_text()
    assert "Okafor" not in others.inner_text()
    assert "Okafor" in eva.get_by_role("region", name="Only you see").inner_text()
    eva.get_by_role("button", name="Register").click()
    eva.wait_for_url("**/datasets/own/press-line*")
    assert "300 records" in eva.get_by_role("status").inner_text()
    assert houses["Ash"].node.datasets.one("press-line")["catalogue"]["residency"] == "AT"


def test_the_wizard_goes_on_after_the_tab_was_closed(visit, houses):
    browser = houses["Ash"].eva()
    page = browser.post("/datasets/new", data={"folder": 0, "path": "second.csv"})
    browser.post(page.url.path, data={"u0": "kelvin", "do": "again"})
    opened = visit(houses["Ash"].url + "/sign-in", script=False)
    opened.get_by_label("Name").fill(EVA)
    opened.get_by_label("Password").fill(PASSWORD)
    opened.locator("main button").first.click()
    opened.goto(houses["Ash"].url + "/datasets")
    opened.get_by_role("link", name="Go on").first.click()
    assert opened.get_by_label("Physical unit of heat").input_value() == "kelvin"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/datasets", "datasets"),
        ("/datasets/others", "datasets-of-others"),
        ("/datasets/own/tests", "dataset"),
        ("/datasets/own/tests/budget", "dataset-budget"),
        ("/datasets/own/tests/withdraw", "dataset-withdraw"),
        ("/parties", "organisations"),
        ("/parties/add", "organisation-add"),
    ],
)
def test_every_screen_holds_what_every_screen_holds(eva, houses, tmp_path, path, name):
    eva.goto(houses["Ash"].url + path)
    check_page(eva)
    shoot(eva, name, tmp_path)


def test_an_organisation_is_compared_in_the_browser(eva, houses, tmp_path):
    node, lab = houses["Ash"].node, houses[LAB].node.party
    node.parties.unpin(lab)
    try:
        eva.goto(f"{houses['Ash'].url}/parties/{lab}")
        check_page(eva)
        eva.get_by_role("link", name="Compare it").click()
        check_page(eva)
        shoot(eva, "organisation-compare", tmp_path)
        eva.get_by_label("The last 3 groups").fill(" ".join((lab[-12:-8], lab[-8:-4], lab[-4:])).upper())
        eva.get_by_role("button", name="We compared it").click()
        eva.wait_for_url(f"**/parties/{lab}?*")
        assert node.parties.trusted(lab)
    finally:
        node.parties.pin(lab, lab)
