"""One task through five servers, each step by a person at the page of the own server; and a look at every other screen on the way.

The pictures in `docs/screens` are made here: CLOISTER_SCREENS=write pytest tests/web/test_browser_tour.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cloister.applications.crystals.factories import preset
from cloister.applications.crystals.synthesis import write_dataset
from node.town import model
from web.browser import SCREENS, Visit, check_page, shoot
from web.street import EVA, PASSWORD
from web.work import LAB, OWNERS, USER, working

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "docs" / "tour.md"
SHOWN = (
    "tool", "sample", "home", "datasets", "dataset", "agreements", "agreement", "ask", "plan", "decide", "task",
    "results", "result", "log", "log-verified", "organisations", "people", "settings",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work():
    with working() as made:
        yield made


def at(work, visit: Visit, name: str, path: str = "/") -> Page:
    """The page of one organisation's person, signed in."""
    page = visit(f"{work[name].url}/sign-in?next={path}")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda address: "/sign-in" not in address)
    return page


def seen(page: Page, name: str, tmp_path: Path) -> None:
    """The screen holds what screens have to hold, and is kept as a picture."""
    check_page(page)
    shoot(page, name, tmp_path, tallest=1900)


def go(page: Page, screen: str, heading: str = "") -> None:
    """By the rail, as a person does."""
    page.get_by_role("navigation", name="Screens").get_by_role(
        "link", name=re.compile(rf"^{screen}\b")
    ).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(heading or screen)


@pytest.mark.timeout(600)
def test_a_task_goes_from_the_question_to_the_result_by_the_pages_of_five_servers(work, visit, tmp_path):
    lab = at(work, visit, LAB)
    go(lab, "Tasks")
    lab.get_by_role("link", name="Ask for a computation").first.click()
    lab.get_by_label("Strength together").check()
    lab.get_by_label(re.compile("model of your own", re.IGNORECASE)).check()
    (tmp_path / "line.onnx").write_bytes(model())
    lab.get_by_label("Model file, if it is your own").set_input_files(tmp_path / "line.onnx")
    seen(lab, "ask", tmp_path)
    lab.get_by_role("button", name="Make a plan").click()
    lab.get_by_label("Columns that the model takes").fill("heat, time")
    lab.get_by_label("Column that it predicts").fill("strength")
    lab.get_by_label("What is made small").select_option("mean-squared-error")
    lab.get_by_label("Measured on records kept apart").select_option("r2")
    lab.get_by_label("Step size").fill("0.1")
    lab.get_by_label("Records in a step").fill("16")
    lab.get_by_role("button", name="Make a plan").click()
    expect(lab.get_by_role("heading", name="Not protected")).to_be_visible()
    seen(lab, "plan", tmp_path)
    lab.get_by_role("button", name="Send to everybody in it").click()
    lab.wait_for_url("**/tasks/*")
    task = re.search(r"sha256:[0-9a-f]{64}", lab.url)[0]
    for owner in OWNERS:
        work.asked_at(owner, task)
        page = at(work, visit, owner)
        page.get_by_role("link", name="Read the plan").first.click()
        page.get_by_role("link", name="Approve or refuse").first.click()
        page.get_by_label("We accept that.").check()
        if owner == OWNERS[0]:
            seen(page, "decide", tmp_path)
        page.get_by_role("button", name=f"Approve for {owner}").click()
        page.wait_for_url("**/tasks/*told=*")
    expect(lab.locator("#live .mark.good", has_text="done")).to_be_visible(timeout=120_000)
    seen(lab, "task", tmp_path)
    work.ended(task)
    user = at(work, visit, USER)
    go(user, "Results")
    seen(user, "results", tmp_path)
    user.locator("main th a").first.click()
    expect(user.get_by_text(task[7:19]).first).to_be_attached()
    seen(user, "result", tmp_path)


def test_every_other_screen_is_reached_by_the_rail(work, visit, tmp_path):
    page = at(work, visit, "Ash")
    seen(page, "home", tmp_path)
    for screen, heading, name in (
        ("Datasets", "Datasets", "datasets"),
        ("Agreements", "Agreements", "agreements"),
        ("Log", "Log", "log"),
        ("Organisations", "Organisations", "organisations"),
        ("People", "My account", "people"),
        ("Settings", "Settings", "settings"),
    ):
        go(page, screen, heading)
        seen(page, name, tmp_path)
    go(page, "Datasets")
    page.get_by_role("link", name="Strength tests").first.click()
    seen(page, "dataset", tmp_path)
    go(page, "Agreements")
    page.get_by_role("link", name="Strength together").first.click()
    seen(page, "agreement", tmp_path)
    go(page, "Log")
    page.get_by_role("link", name="Verify").click()
    page.locator("[data-verify]").click()
    expect(page.locator("[data-verdict=holds]")).to_be_visible()
    seen(page, "log-verified", tmp_path)


def test_a_picture_gives_its_count_outlines_and_the_evidence(work, visit, tmp_path):
    write_dataset(tmp_path / "drawn", preset("seed-like"), 1, 4)
    (drawn,) = (tmp_path / "drawn" / "images").glob("*.png")
    page = at(work, visit, "Ash")
    go(page, "Tools")
    page.get_by_role("link", name="Use Crystals in micrographs").click()
    page.set_input_files("input[type=file]", [drawn])
    result = page.locator("#results")
    expect(result).to_contain_text("Nothing left this machine", timeout=90_000)
    seen(page, "tool", tmp_path)
    result.get_by_role("link", name="All about it").click()
    seen(page, "sample", tmp_path)


def test_the_tour_shows_these_pictures_and_no_others():
    text = TOUR.read_text("utf-8")
    named = re.findall(r"\]\(screens/([a-z-]+)\.png\)", text)
    assert sorted(named) == sorted(SHOWN)
    assert {path.stem for path in SCREENS.glob("*.png")} >= set(SHOWN)
