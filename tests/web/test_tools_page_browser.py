"""The tools' screens in a real Chromium: pictures dropped, looked at, kept, drawn over time; a tool installed; what every screen holds."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from cli.test_cli_certificates import Signers
from cloister.foundation.digests import digest
from cloister.tools.package import Package, pack
from tools.toolmaking import discs_tool
from web.browser import check_page, shoot, tab_through
from web.street import EVA, PASSWORD
from web.toolhouse import ABOUT, NINE, PLAIN, picture, tool_file, tool_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("b")) as made:
        yield made


@pytest.fixture(scope="module")
def peopled(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("c"), people=True) as made:
        yield made


@pytest.fixture(autouse=True, scope="module")
def _patient():
    # A picture takes a second, on a machine that runs other tests too, more.
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


def chosen(name="a.png", data=PLAIN):
    return {"name": name, "mimeType": "image/png", "buffer": data}


def signed_in(visit, peopled, path):
    page = visit(peopled.url + "/sign-in?next=" + path)
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(peopled.url + path)
    return page


def test_pictures_are_chosen_looked_at_and_one_is_kept(visit, house, tmp_path):
    visit.expect(422)
    page = visit(house.url + "/tools")
    check_page(page)
    page.locator("article", has_text="Bright discs").get_by_role("link", name="Use").click()
    check_page(page)
    page.set_input_files(
        "input[type=file]", [chosen(), chosen("seven.png", picture(7)), chosen("notes.png", b"hello")]
    )
    rows = page.locator(".uploads li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text(f"{NINE} counted")
    expect(rows.nth(1)).to_contain_text("7 counted")
    expect(rows.nth(2)).to_contain_text("It looks like a text file.")
    results = page.locator("#results")
    expect(results).to_contain_text("Nothing left this machine")
    expect(results.locator("img")).to_have_count(2)
    expect(results.locator("tbody tr")).to_have_count(1)
    check_page(page)
    shoot(page, "tool", tmp_path)
    results.get_by_role("link", name="All about it").click()
    check_page(page)
    expect(page.get_by_role("slider")).to_be_visible()
    shown = page.locator(".views img:visible")
    expect(shown).to_have_count(2)
    page.locator("label", has_text="Outlines").first.click()
    expect(shown).to_have_count(1)
    page.get_by_text("Nothing left this machine: how one can tell").click()
    expect(page.get_by_text("It could reach no network")).to_be_visible()
    check_page(page)
    page.get_by_label("Label").fill("Line 1")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("kept")
    shoot(page, "sample", tmp_path)
    check_page(page)


def test_what_is_dropped_anywhere_is_looked_at(visit, house):
    page = visit(house.url + "/tools/discs")
    page.evaluate(
        """(data) => {
          const files = new DataTransfer();
          files.items.add(new File([Uint8Array.from(data)], "dropped.png", {type: "image/png"}));
          document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: files}));
        }""",
        list(PLAIN),
    )
    expect(page.locator(".uploads li")).to_contain_text(f"{NINE} counted")
    expect(page.locator("#results")).to_contain_text("dropped.png")


def test_the_browser_remembers_the_calibration(visit, house):
    page = visit(house.url + "/tools/discs")
    page.get_by_text("Calibration and settings").click()
    page.get_by_label("Micrometres per pixel").fill("0,5")
    page.get_by_label("Micrometres per pixel").blur()
    page.reload()
    assert page.locator("#um_per_pixel").input_value() == "0,5"
    page.set_input_files("input[type=file]", chosen("calibrated.png"))
    expect(page.locator("#results")).to_contain_text("µm")


def test_without_script_the_same_works(visit, house):
    page = visit(house.url + "/tools/discs", script=False)
    page.set_input_files("input[type=file]", chosen("plain.png"))
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("plain.png")
    expect(page.locator("dl.figures").first).to_contain_text(str(NINE))
    page.locator("label", has_text="Original").first.click()
    expect(page.locator(".views img:visible")).to_have_count(1)
    page.get_by_role("button", name="Do not keep").click()
    expect(page.get_by_role("status").first).to_contain_text("forgotten")


def test_a_busy_server_is_asked_again(visit, house):
    visit.expect(503)
    page = visit(house.url + "/tools/discs")
    room = house.site.tools
    with room._room_for(room.limits.waiting_bytes):
        page.set_input_files("input[type=file]", chosen("patient.png"))
        expect(page.locator(".uploads li")).to_contain_text("Busy")
    expect(page.locator(".uploads li")).to_contain_text(f"{NINE} counted")


def test_samples_are_drawn_over_time(visit, house, tmp_path):
    browser = house.visitor()
    for count in (3, 6, 4, 8):
        told = browser.post(
            "/api/v1/tools/discs/samples", files={"file": (f"batch-{count}.png", picture(count))}
        ).json()
        browser.post(f"/api/v1/samples/{told['id']}/keep", json={"label": "Line 7", "pictures": "none"})
    browser.close()
    page = visit(house.url + "/samples?label=Line+7")
    expect(page.locator(".chart canvas")).to_have_count(1)
    expect(page.locator("table.stacked tbody tr")).to_have_count(4)
    check_page(page)
    shoot(page, "samples", tmp_path)
    page.get_by_label("Figure over time").select_option("diameter_d50")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".chart figcaption")).to_contain_text("Diameter D50 (px) over time: Line 7")
    # With the search folded: a field for a day has several stops of its own.
    page.goto(house.url + "/samples")
    stops = tab_through(page)
    assert any("Export (CSV)" in stop for stop in stops)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export (CSV)").click()
    assert download.value.suggested_filename == "samples.csv"


def test_a_report_opens_as_a_document_without_script(visit, house):
    page = visit(house.url + "/tools/discs")
    file = {"name": "a.png", "mimeType": "image/png", "buffer": PLAIN}
    # The browser's own request: a result that nobody kept is shown to whoever dropped the picture.
    at = f"{house.url}/api/v1/tools/discs/samples"
    told = page.request.post(at, multipart={"file": file}, headers={"origin": house.url}).json()
    page.goto(f"{house.url}/samples/{told['id']}/report.html")
    assert page.evaluate("self.origin") == "null"
    assert str(NINE) in page.locator(".count").inner_text()


def test_a_signed_tool_is_installed_and_its_certificate_reads_as_a_page(visit, peopled, tmp_path):
    plain = discs_tool(about=ABOUT)
    (model,) = plain.models.values()
    bundle = Signers().bundle(content=model)
    about = {**ABOUT, "version": "1.1.0", "title": "Signed discs", "certificate": digest(bundle)}
    signed = pack(Package(discs_tool(about=about), bundle))
    page = signed_in(visit, peopled, "/tools/install")
    check_page(page)
    file = {"name": "signed.tool", "mimeType": "application/octet-stream", "buffer": signed}
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Install Signed discs?")
    expect(page.get_by_text("Signed by 2 of 2 owners")).to_be_visible()
    check_page(page)
    shoot(page, "tool-install", tmp_path)
    page.get_by_role("button", name="Install it").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 1.1.0 is installed.")
    page.get_by_text("Version, and who vouches for it").click()
    page.get_by_role("link", name="Read the certificate").click()
    expect(page.get_by_text("North", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="What was protected")).to_be_visible()
    check_page(page)
    shoot(page, "tool-certificate", tmp_path, tallest=2400)
    page.goto(peopled.url + "/tools")
    expect(page.get_by_text("Signed by North, River")).to_be_visible()
    # A file that nobody signed does not take its place.
    visit.expect(403)
    unsigned = {**file, "buffer": tool_file("1.2.0")}
    page.goto(peopled.url + "/tools/install")
    page.set_input_files("input[type=file]", unsigned)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("Nobody vouches for it.")).to_be_visible()
    check_page(page)
    page.get_by_role("button", name="Install it").click()
    expect(page.get_by_role("alert")).to_contain_text("was released by its owners")
    page.goto(peopled.url + "/tools/discs")
    page.get_by_text("Version, and who vouches for it").click()
    page.get_by_role("button", name="Go back to the version before").click()
    expect(page.get_by_role("status").first).to_contain_text("Version 1.0.0 is in use again.")
    page.goto(peopled.url + "/tools/discs/certificate")
    expect(page.get_by_text(re.compile("nobody vouches for it"))).to_be_visible()
    check_page(page)
