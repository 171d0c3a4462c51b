"""Every part of the style on one page: it looks the same in tests as on the screens, and holds what every screen has to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.foundation.errors import Refused
from web.browser import check_page, settle, shoot, tab_through, too_wide, violations
from web.plain import plain_site

ERROR = Refused(
    "The task was not admitted.", "Clause 4 allows 0.8 of the budget; this asks for 1.2.", "Ask for less."
)
TEMPLATE = Path(__file__).parent / "templates" / "style.html"


@pytest.fixture(scope="module")
def style(tmp_path_factory):
    lead = "What pages are made of, on one page."
    templates = {"style": TEMPLATE.read_text(encoding="utf-8")}
    folder = tmp_path_factory.mktemp("style")
    with plain_site(folder, templates, title="Every part", lead=lead, error_shown=ERROR) as url:
        yield url + "/style"


def test_every_part_holds_what_screens_hold(visit, style, tmp_path):
    page = visit(style)
    check_page(page)
    assert shoot(page, "style-of-the-page", tmp_path).exists()


@pytest.mark.parametrize("width", [360, 480, 768, 959, 960, 1280, 1920, 3840])
def test_nothing_is_wider_than_the_screen(visit, style, width):
    page = visit(style, width=width, height=900)
    settle(page)
    assert not (found := too_wide(page)), found


@pytest.mark.parametrize("setting", [{"forced_colors": "active"}, {"contrast": "more"}])
def test_people_who_need_more_contrast_get_it(visit, style, setting):
    page = visit(style, **setting)
    assert not (found := violations(page)), found


def test_everything_is_there_without_script(visit, style):
    page = visit(style, script=False)
    assert page.get_by_role("navigation", name="Screens").get_by_role("link", name="Tools").is_visible()
    assert page.get_by_role("table", name="Median size per shift").is_visible()
    assert page.locator("figure.chart").count() == 0
    assert not page.get_by_role("button", name="Copy").is_visible()
    page.get_by_text("How this is computed").click()
    assert page.get_by_text("Each organisation adds noise").is_visible()


def test_the_menu_opens_on_a_narrow_screen_without_script(visit, style):
    page = visit(style, width=360, height=740, script=False)
    tools = page.get_by_role("navigation", name="Screens").get_by_role("link", name="Tools")
    assert not tools.is_visible()
    page.get_by_text("Menu").click()
    assert tools.is_visible()


def test_the_keyboard_reaches_everything_in_order_and_the_focus_is_seen(visit, style):
    page = visit(style)
    stops = tab_through(page)
    wanted = [
        "To the content", "Cloister", "Tools", "Export", "Register a dataset", "Waiting 3", "Sign the agreement",
        "Crystals of line 1", "Newer", "Name of the dataset", "Privacy budget", "Go on", "Factories and a laboratory",
        "How this is computed", "Choose pictures", "Propose one",
    ]  # fmt: skip
    places = [next(i for i, stop in enumerate(stops) if stop.startswith(text)) for text in wanted]
    assert places == sorted(places)


def test_the_first_stop_leads_to_the_content(visit, style):
    page = visit(style)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Export"


def test_a_plot_stands_above_its_table_and_reads_out_by_keyboard(visit, style):
    page = visit(style)
    plot = page.get_by_role("slider", name="Crystals by size")
    assert plot.get_attribute("aria-valuetext") == "All together; Crystals 312"
    plot.press("End")
    assert plot.get_attribute("aria-valuetext") == "70 to 80 µm; Crystals 7"
    plot.press("Home")
    assert plot.get_attribute("aria-valuetext") == "0 to 10 µm; Crystals 12"
    plot.press("ArrowRight")
    assert page.get_by_text("Crystals 31").is_visible()
    table = page.get_by_role("table", name="Crystals by size")
    assert not table.is_visible()
    plot.locator("xpath=ancestor::*[contains(@class, 'charted')]").get_by_text("The numbers").click()
    assert table.is_visible()


def test_a_plot_reads_out_where_the_pointer_is(visit, style):
    page = visit(style)
    plot = page.get_by_role("slider", name="Budget spent, epsilon")
    plot.scroll_into_view_if_needed()
    inner = plot.locator(".u-over").bounding_box()
    page.mouse.move(inner["x"] + 1, inner["y"] + inner["height"] / 2)
    assert plot.get_attribute("aria-valuetext") == "1; Spent 0.0"


def test_bars_read_out_all_together_again_once_the_pointer_has_left(visit, style):
    page = visit(style)
    plot = page.get_by_role("slider", name="Crystals by size")
    plot.scroll_into_view_if_needed()
    inner = plot.locator(".u-over").bounding_box()
    page.mouse.move(inner["x"] + inner["width"] - 2, inner["y"] + inner["height"] / 2)
    assert plot.get_attribute("aria-valuetext") == "70 to 80 µm; Crystals 7"
    page.mouse.move(1, 1)
    assert plot.get_attribute("aria-valuetext") == "All together; Crystals 312"


def test_moments_are_told_in_the_readers_time_with_the_zone_and_without_script_in_utc(chromium, style):
    def told(**settings):
        context = chromium.new_context(**settings)
        page = context.new_page()
        page.goto(style)
        time = page.locator("time[data-when]").first
        found = (time.text_content(), time.get_attribute("title"), time.get_attribute("datetime"))
        context.close()
        return found

    exact, plain = "2026-09-21T14:13:20Z", "21 Sep 2026 14:13 UTC"
    assert told(java_script_enabled=False) == (plain, None, exact)
    assert told(timezone_id="Europe/Vienna") == ("21 Sep 2026 16:13", f"Europe/Vienna; {plain}", exact)


def test_plots_follow_the_scheme_and_the_width(visit, style):
    page = visit(style)
    canvas = page.locator(".chart canvas").first
    settle(page)
    light, wide = canvas.screenshot(), canvas.bounding_box()["width"]
    page.emulate_media(color_scheme="dark")
    settle(page)
    assert canvas.screenshot() != light
    page.set_viewport_size({"width": 360, "height": 740})
    settle(page)
    assert canvas.bounding_box()["width"] != wide
    assert canvas.bounding_box()["width"] <= 360


def test_narrow_tables_name_each_value_and_stay_tables(visit, style):
    page = visit(style, width=360, height=740)
    settle(page)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Crystals of line 2"))
    assert row.get_by_role("cell").count() == 5
    assert row.get_by_role("cell").first.get_attribute("data-label") == "Kind"
    wide = page.get_by_role("group", name="A wide table scrolls in its own region")
    wide.focus()
    wide.press("ArrowRight")
    page.wait_for_function("(e) => e.scrollLeft > 0", arg=wide.element_handle())


def test_on_paper_there_is_no_rail_and_every_fold_is_open(visit, style):
    page = visit(style, scheme="dark")
    page.emulate_media(media="print")
    settle(page)
    assert not page.get_by_role("navigation", name="Screens").is_visible()
    assert page.get_by_text("Each organisation adds noise").is_visible()
    assert page.get_by_role("button").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf(format="A4")) > 20_000


def test_our_own_typeface_is_used(visit, style):
    page = visit(style)
    settle(page)
    assert page.evaluate(
        "document.fonts.check('16px Inter', 'Cloister') && document.fonts.check('16px Inter', 'Łódź')"
    )
    assert page.evaluate("[...document.fonts].filter((font) => font.status === 'loaded').length") == 2
