"""Home: what waits for whom, with its link; the counts of the rail; calm where nothing waits."""

from __future__ import annotations

import os
import re
from contextlib import closing

import pytest

from cloister.privacy.filters import pair
from cloister.storage.budgets import BudgetRows
from cloister.storage.events import Events
from node.town import COLUMNS, LAB, UNLOCK, pair_terms, table, until
from web.plenty import heading, person, town_of, two_houses
from web.street import EVA, PASSWORD, new_house

CALM = "Nothing waits for you."


@pytest.fixture(scope="module")
def houses():
    with two_houses() as made:
        yield made


@pytest.fixture(scope="module")
def eva(houses):
    browser = houses["Ash"].eva()
    yield browser
    browser.close()


def waiting(page):
    """The items of the page, each as its sentence and its link."""
    assert heading(page) == "Home"
    found = re.findall(
        r'<li class="[a-z]*"><div><p>(.*?)</p>.*?<a class="button[^"]*" href="([^"]*)"', page.text, re.DOTALL
    )
    return {re.sub(r"&#34;|&#39;", "'", text): link for text, link in found}


def one(page, words):
    """The link of the only item with these words."""
    found = [link for text, link in waiting(page).items() if words in text]
    assert len(found) == 1, (words, waiting(page))
    return found[0]


def counts(page):
    """The counts of the rail."""
    rail = page.text.split("</nav>")[0]
    return {
        path: int(count)
        for path, count in re.findall(r'<a href="([^"]+)"[^>]*>[^<]*<span class="count">(\d+)', rail)
    }


def test_where_nothing_waits_it_says_so_calmly(houses):
    page = person(houses["Ash"], "Ann", "analyst").get("/")
    assert CALM in page.text
    assert waiting(page) == {}
    assert counts(page) == {}


def test_a_new_server_begins_with_three_things_and_each_is_gone_once_it_is_done(houses, tmp_path):
    with new_house(tmp_path / "new") as house:
        house.site.accounts.first(EVA, PASSWORD, house.site.accounts.start_key)
        house.site.found("New", ("owner",), UNLOCK, UNLOCK)
        with closing(house.eva()) as browser:
            assert begun(browser.get("/")) == ["/tools/crystals", "/datasets/new", "/connect"]
            drawn = browser.post("/samples/drawn")
            assert heading(drawn).startswith("drawn-")
            assert "was drawn by this server" in drawn.text
            assert begun(browser.get("/")) == ["/datasets/new", "/connect"]
            fields = {"name": "tests", "title": "Tests", "residency": "DE"}
            columns = dict.fromkeys(COLUMNS, "internal")
            house.node.datasets.add(table(tmp_path / "a.csv", 5), {**fields, "sensitivity": columns})
            page = browser.get("/")
            assert begun(page) == ["/connect"]
            assert "none: this server works alone" in page.text
            assert "1 registered" in page.text
        user = person(house, "Tom", "tool-user")
        assert begun(user.get("/")) == ["/tools/crystals"]
        assert "What runs here" not in user.get("/").text


def begun(page):
    """Where the first steps of the page lead."""
    return re.findall(r'<article class="card step">.*?href="([^"]*)"', page.text, re.DOTALL)


def test_the_words_used_are_there_for_everybody_with_an_account(houses):
    page = person(houses["Ash"], "Tina W", "tool-user").get("/words")
    assert heading(page) == "Words used here"
    assert '<div id="epsilon-delta">' in page.text


def test_recovery_keys_are_asked_to_be_moved_until_they_are(houses, eva):
    assert one(eva.get("/"), "recovery keys") == "/connect"
    path = houses["Ash"].site.recovery_file
    moved = path.with_name("elsewhere")
    path.rename(moved)
    until("calm", lambda: CALM in eva.get("/").text, 10)
    moved.rename(path)
    until("the item", lambda: "recovery keys" in eva.get("/").text, 10)


def test_an_agreement_waits_for_those_who_sign_and_no_longer_once_it_is_signed(houses, eva):
    town = town_of(houses)
    town.meet()
    town.data("Ash")
    document = pair_terms(town)
    digest = town.nodes[LAB].agreements.propose(document)
    until("the agreement", lambda: houses["Ash"].node.agreements.find(digest))
    page = eva.get("/")
    assert one(page, "Lab asks you to sign") == f"/agreements/{digest}"
    assert counts(page)["/agreements"] == 1
    approver = person(houses["Ash"], "Abe", "approver")
    assert one(approver.get("/"), "Lab asks you to sign")
    for role in ("analyst", "auditor", "operator"):
        assert "asks you to sign" not in person(houses["Ash"], f"P {role}", role).get("/").text
    houses["Ash"].node.agreements.sign(digest)
    page = eva.get("/")
    assert "asks you to sign" not in page.text
    assert "/agreements" not in counts(page)
    until("it in force", lambda: str(houses["Ash"].node.agreements.state(digest)) == "finalized")
    assert "is in force" in eva.get("/").text
    houses["Ash"].digest = digest


def test_somebody_whose_fingerprint_nobody_compared_is_named(houses, eva):
    ash, lab = houses["Ash"].node, houses["Lab"].node
    town = town_of(houses)
    digest = lab.agreements.propose(pair_terms(town, title="Another"))
    until("the agreement", lambda: ash.agreements.find(digest))
    ash.parties.unpin(lab.party)
    page = eva.get("/")
    assert one(page, "compared the fingerprint of Lab") == f"/parties/{lab.party}"
    assert counts(page)["/parties"] == 1
    ash.parties.pin(lab.party, lab.party)
    assert "compared the fingerprint" not in eva.get("/").text
    ash.agreements.sign(digest)


def test_a_task_waits_for_those_who_approve(houses, eva):
    town = town_of(houses)
    town.catalogued()
    plan = town.plan(houses["Ash"].digest)
    town.nodes[LAB].tasks.submit(plan)
    until("the question", lambda: houses["Ash"].node.tasks.records.note(plan.digest).get("pending"))
    page = eva.get("/")
    assert one(page, "Lab asks to compute on your data") == f"/tasks/{plan.digest}"
    assert counts(page)["/tasks"] == 1
    assert "asks to compute" not in person(houses["Ash"], "Ann", "analyst").get("/").text
    houses["Ash"].node.tasks.refuse(plan.digest, "not now")
    assert "asks to compute" not in eva.get("/").text


def test_a_gate_that_said_no_is_told_with_its_reason(houses, eva):
    node = houses["Ash"].node
    task = node.tasks.digests()[-1]
    with node.durable.transaction() as records:
        facts = {"figures": {"gate": "refused", "check": "quality", "why": "The result is worse than agreed"}}
        Events(records.tx).add(task, node.clock.now(), "figures", facts)
    assert one(eva.get("/"), "worse than agreed") == f"/tasks/{task}"


def test_a_budget_nearly_spent_is_told_and_one_half_spent_is_not(houses, eva):
    node = houses["Ash"].node
    node.budgets.populations.open("plants", "record", 2.0, 1e-5)
    node.budgets.populations.bind("tests", "plants")
    spend(node, "plants", 1.0)
    assert "privacy budget" not in " ".join(waiting(eva.get("/")))
    spend(node, "plants", 0.7)
    page = eva.get("/")
    assert one(page, "is nearly spent: epsilon 1.7 of 2") == "/datasets/own/tests#budget"
    spend(node, "plants", 0.3)
    assert one(eva.get("/"), "is spent")


def spend(node, population, epsilon):
    """A charge, as a task makes it."""
    from cloister.privacy import budgets

    with node.durable.database.transaction() as tx:
        book = BudgetRows(tx)
        charge = budgets.Charge(
            population,
            f"sha256:{epsilon:064.4f}".replace(".", "0"),
            "phase",
            1,
            1,
            "urn:uuid:1",
            pair(epsilon, 0.0),
        )
        budgets.spend(
            book, charge, limit=None, logged=node.budgets.health.logged,
            log=lambda document: node.ledger.append(tx, "charge", document), now=node.clock.now(),
        )  # fmt: skip
        leaves = book.leaves()
    node.budgets.health.mark(leaves)


def test_changed_files_are_told_to_whoever_looks_after_the_data(houses, eva):
    path = (
        houses["Ash"]
        .node.datasets.registration(houses["Ash"].node.datasets.one("tests")["commitment"])
        .source
    )
    table(path, 9)
    os.utime(path)
    until("the item", lambda: "are not what was registered" in eva.get("/").text, 40)
    assert one(eva.get("/"), "The files of tests") == "/datasets/own/tests"
    assert "are not what was registered" not in person(houses["Ash"], "Abe", "approver").get("/").text


def test_who_is_needed_and_away_is_named(houses, eva):
    assert "is not connected" not in eva.get("/").text
    lab = houses["Lab"].node.party
    houses["Lab"].site.close()
    until("the lab away", lambda: "Lab is not connected" in eva.get("/").text, 30)
    assert one(eva.get("/"), "2 agreements in force need it") == f"/parties/{lab}"
    assert "is not connected" not in person(houses["Ash"], "P auditor", "auditor").get("/").text


def test_a_tool_user_is_told_nothing(houses, eva):
    user = person(houses["Ash"], "Tina", "tool-user")
    page = user.get("/")
    assert CALM in page.text
    assert "What happened" not in page.text
