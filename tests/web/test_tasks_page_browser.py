"""Asking and following a task in a real browser: other wishes without a reload, steps as they happen, an approval."""

from __future__ import annotations

import pytest

from cloister.node.reports import releases_view
from cloister.web.views.asking import Wanted, keep_training
from node.town import model, recipe
from web.browser import Visit, check_page
from web.street import EVA, PASSWORD
from web.work import LAB, USER, working

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work():
    with working() as made:
        yield made


def at(work, visit: Visit, name: str, path: str):
    """A page of somebody who is signed in."""
    page = visit(f"{work[name].url}/sign-in?next={path}")
    page.fill("input[name=name]", EVA)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state()
    page.goto(work[name].url + path)
    return page


def test_a_wish_changes_the_plan_and_the_address_without_a_reload(work, visit: Visit):
    page = at(work, visit, LAB, "/tasks")
    node = work[LAB].node
    made = keep_training(node, node.computations.add_model(model())["digest"], recipe())
    page.goto(work[LAB].url + Wanted(work.agreement, made.digest).path())
    page.evaluate("window.untouched = true")
    assert page.locator("input[type=range]").count() >= 1, "a slider stands beside the number"
    page.fill("#wish-rounds", "7")
    page.wait_for_url("**rounds=7**")
    page.locator("#plan summary", has_text="Numbers of the plan").click()
    assert page.locator("#method .facts dd").first.inner_text() == "7"
    assert page.evaluate("window.untouched"), "it was not loaded again"
    page.locator("input[type=range]").first.fill("9")
    page.wait_for_url("**rounds=9**")
    check_page(page)


def test_a_task_is_approved_and_followed_to_its_end_without_a_reload(work, visit: Visit):
    task = work.ask()
    work.asked_at("Ash", task)
    followed = at(work, visit, LAB, f"/tasks/{task}")
    followed.evaluate("window.untouched = true")
    page = at(work, visit, "Ash", f"/tasks/{task}/decide")
    check_page(page)
    page.get_by_label("We accept that.").check()
    page.get_by_role("button", name="Approve for Ash").click()
    page.wait_for_url("**/tasks/*told=*")
    work.approve(task, "Birch", "Cedar")
    followed.locator("#live .mark.good", has_text="done").wait_for(timeout=90_000)
    assert "2 of 2" in followed.locator("#live").inner_text()
    assert followed.evaluate("window.untouched"), "it was not loaded again"
    work.ended(task)
    check_page(followed)
    (found,) = releases_view(work[USER].node)
    result = at(work, visit, USER, f"/results/{found['release']}")
    check_page(result)
