"""Calibrations in a real Chromium: two points by clicks and by keys, and what every screen holds."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from web.browser import check_page
from web.test_calibrations_page import HEIGHT, PERIOD, WIDTH, ruler
from web.toolhouse import NINE, PLAIN, tool_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("b")) as made:
        yield made


@pytest.fixture(autouse=True, scope="module")
def _patient():
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


def measuring(visit, house):
    page = visit(house.url + "/calibrations")
    page.set_default_timeout(180_000)
    check_page(page)
    page.set_input_files(
        "input[type=file]", {"name": "scale.png", "mimeType": "image/png", "buffer": ruler()}
    )
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_url("**/calibrations/new/*")
    return page


def test_two_points_are_clicked_then_moved_by_keys_and_the_scale_is_kept_and_used(visit, house):
    page = measuring(visit, house)
    check_page(page)
    expect(page.get_by_label("Equally spaced lines were found")).to_be_checked()
    stage = page.locator("[data-stage]")
    shown = stage.bounding_box()
    for x, y in ((0.1, 0.5), (0.9, 0.5)):
        stage.click(position={"x": shown["width"] * x, "y": shown["height"] * y})
    expect(page.get_by_label("Two points at a known distance")).to_be_checked()
    first = page.get_by_label("First point, x")
    assert float(first.input_value()) == pytest.approx(0.1 * WIDTH, abs=1.5)
    assert float(page.get_by_label("Second point, y").input_value()) == pytest.approx(0.5 * HEIGHT, abs=1.5)
    before, path = float(first.input_value()), stage.locator("path.above").get_attribute("d")
    first.focus()
    page.keyboard.press("ArrowUp")
    assert float(first.input_value()) > before
    assert stage.locator("path.above").get_attribute("d") != path
    values = {
        name: page.get_by_label(label)
        for name, label in (("x1", "First point, x"), ("x2", "Second point, x"))
    }
    values["x1"].fill("20")
    values["x2"].fill("180")
    page.get_by_label("First point, y").fill("75")
    page.get_by_label("Second point, y").fill("75")
    page.get_by_label("Micrometres between the points").fill("80")
    page.get_by_label("Objective").fill("10x")
    page.get_by_label("Name", exact=True).fill("clicked")
    page.get_by_role("button", name="Keep it").click()
    page.wait_for_url("**/calibrations/kept/clicked*")
    expect(page.get_by_text("0.5 µm", exact=True)).to_be_visible()
    check_page(page)
    page.goto(house.url + "/tools/discs")
    page.get_by_text("Calibration and settings").click()
    page.get_by_label("Calibration", exact=True).select_option("clicked")
    page.set_input_files(
        "form[data-tool] input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": PLAIN}
    )
    page.get_by_role("link", name="See the result").first.click()
    page.wait_for_url("**/samples/*")
    page.get_by_text("How it was made").click()
    expect(page.get_by_text("objective 10x")).to_be_visible()
    expect(page.get_by_text(str(NINE), exact=True).first).to_be_visible()


def test_all_of_it_goes_by_keyboard_with_lines_that_were_found(visit, house):
    page = measuring(visit, house)
    page.get_by_label("Micrometres between neighbouring lines").focus()
    page.keyboard.type("10")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "objective":
            break
    page.keyboard.type("20x")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "name":
            break
    page.keyboard.type("by-keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/calibrations/kept/by-keys*")
    told = page.locator("dl.facts dd").first.inner_text()
    assert float(told.removesuffix(" µm")) == pytest.approx(10 / PERIOD, rel=2e-3)
    expect(page.get_by_text("lines found in a picture")).to_be_visible()
