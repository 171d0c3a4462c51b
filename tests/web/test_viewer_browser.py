"""The viewer in a real Chromium: looked into, pointed at, marked by size, corrected by hand, undone, found again; by two people."""

from __future__ import annotations

import re
import sys

import pytest
from playwright.sync_api import expect

from tools.toolmaking import png
from web.browser import check_page, settle, shoot
from web.outlinehouse import RADIUS, outline_house, outlined_picture, places

pytestmark = pytest.mark.slow
NINE = 9


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with outline_house(tmp_path_factory.mktemp("v")) as made:
        yield made


@pytest.fixture(autouse=True, scope="module")
def _patient():
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


def dropped(visit, house, data=None, **settings):
    """A page at the result of a picture that this browser dropped."""
    page = visit(house.url + "/tools/outlined", **settings)
    page.set_default_timeout(120_000)
    file = {"name": "a.png", "mimeType": "image/png", "buffer": data or outlined_picture(NINE)}
    at = f"{house.url}/api/v1/tools/outlined/samples"
    told = page.request.post(
        at, multipart={"file": file}, headers={"origin": house.url}, timeout=300_000
    ).json()
    page.goto(f"{house.url}/samples/{told['id']}")
    return page


def spot(page, x, y):
    """Where a place of the picture is in the window."""
    return page.evaluate(
        """([x, y]) => {
          const {view} = document.querySelector("[data-viewer]"), box = view.canvas.getBoundingClientRect();
          return [box.left + (x - view.x) * view.scale / view.ratio, box.top + (y - view.y) * view.scale / view.ratio];
        }""",
        [x, y],
    )


def drag(page, start, end):
    # All places before the first move: dragging moves the picture under them.
    middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
    first, *others = [spot(page, *place) for place in (start, middle, end)]
    page.mouse.move(*first)
    page.mouse.down()
    for place in others:
        page.mouse.move(*place)
    page.mouse.up()


def looking(page):
    return page.evaluate(
        "() => { const {view} = document.querySelector('[data-viewer]'); return [view.x, view.y, view.scale]; }"
    )


def mode(page, name):
    page.locator(".viewer-bar label", has_text=name).click()


def test_a_result_is_looked_into_corrected_undone_and_found_again(visit, house, tmp_path):
    page = dropped(visit, house)
    told = page.locator("[data-told]")
    expect(told).to_have_text(f"{NINE} objects")
    canvas = page.locator(".viewer-stage canvas")
    canvas.scroll_into_view_if_needed()
    x, y = places(NINE)[0]
    # Pointed at.
    page.mouse.move(*spot(page, x, y))
    expect(told).to_contain_text("diameter 23.9 px, Feret")
    # Larger about the pointer: what is under it stays there.
    before, scale = spot(page, x, y), looking(page)[2]
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"() => document.querySelector('[data-viewer]').view.scale > {scale} * 1.5")
    assert spot(page, x, y) == pytest.approx(before, abs=1.5)
    # Moved by dragging and by keys.
    at = looking(page)
    drag(page, (x + 50, y + 30), (x + 20, y + 10))
    assert looking(page)[0] == pytest.approx(at[0] + 30, abs=2)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert looking(page)[0] > at[0] + 31
    page.keyboard.press("0")
    assert looking(page)[2] == pytest.approx(scale)
    page.keyboard.press("n")
    expect(told).to_contain_text("Number 1:")
    page.keyboard.press("Escape")
    check_page(page)
    canvas.scroll_into_view_if_needed()

    # Removed.
    page.mouse.click(*spot(page, x, y))
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(told).to_have_text("8 objects")
    expect(page.locator("#by-hand")).to_contain_text("1 removed, by")
    expect(page.locator("#first-figures > div").first).to_have_text(
        re.compile(rf"corrected\s*8\s*the tool: {NINE}")
    )
    expect(page.locator("table[data-objects] tbody tr")).to_have_count(8)
    # Added: round, twice as large; then drawn by hand.
    mode(page, "Add round")
    drag(page, (x, y), (x + 2 * RADIUS, y))
    expect(told).to_contain_text("diameter 48 px")
    expect(told).to_contain_text("by hand")
    # Cut in two, and the halves merged again.
    mode(page, "Cut")
    drag(page, (x, y - 60 if y > 80 else y + 60), (x, y + 60 if y > 80 else y - 27))
    expect(told).to_contain_text("2 chosen")
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(told).to_contain_text("Number 13:")
    expect(told).to_contain_text("diameter 48")
    expect(page.locator("#by-hand")).to_contain_text("1 removed, 1 added, 1 cut, 2 merged")
    mode(page, "Look")

    # By size: marked in picture and table, and the chosen one's bar.
    expect(page.locator(".sizes .bar.one")).to_have_count(1)
    page.locator("#size-from").fill("40")
    expect(page.locator("[data-marked]")).to_have_text("1 marked")
    page.locator("#objects summary").click()
    expect(page.locator("tr.marked")).to_have_count(1)
    bars = page.locator(".sizes")
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 60)
    page.mouse.up()
    expect(page.locator("[data-marked]")).to_have_text("8 marked")
    expect(page.locator("tr.marked")).to_have_count(8)
    shoot(page, "viewer", tmp_path, tallest=2400)
    check_page(page)

    # Undone by key; nothing is forgotten.
    canvas.focus()
    page.keyboard.press("Control+z")
    expect(page.locator("#by-hand")).to_contain_text("1 removed, 1 added, 1 cut,")
    page.locator("#journal summary").click()
    expect(page.locator("#journal li")).to_have_count(5)
    page.get_by_label("Label").fill("Line 1")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator("#by-hand")).to_contain_text("1 removed, 1 added, 1 cut,")
    expect(told).to_have_text("10 objects")
    page.reload()
    expect(told).to_have_text("10 objects")
    page.get_by_role("button", name="Redo", exact=True).click()
    expect(told).to_contain_text("9 objects")
    with page.expect_download() as download:
        page.get_by_role("link", name="Labels for training").click()
    assert download.value.suggested_filename == "a-labels.zip"


def test_two_who_correct_at_once_lose_nothing(visit, house):
    visit.expect(409)
    page = dropped(visit, house)
    told = page.locator("[data-told]")
    expect(told).to_have_text(f"{NINE} objects")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("[data-told]")).to_have_text(f"{NINE} objects")
    for one in (page, other):
        one.locator(".viewer-stage canvas").focus()
    other.keyboard.press("n")
    other.keyboard.press("Delete")
    expect(other.locator("[data-told]")).to_have_text("8 objects")
    page.locator(".viewer-stage canvas").focus()
    page.keyboard.press("p")
    page.keyboard.press("Delete")
    expect(page.get_by_role("alert")).to_contain_text("Somebody else corrected this picture meanwhile.")
    expect(page.locator("table[data-objects] tbody tr")).to_have_count(8)
    page.get_by_role("button", name="Do mine again").click()
    expect(page.locator("table[data-objects] tbody tr")).to_have_count(7)
    expect(page.locator("#by-hand")).to_contain_text("2 removed")


def test_without_script_objects_are_corrected_by_number(visit, house):
    page = dropped(visit, house, script=False)
    expect(page.locator(".views img").first).to_be_visible()
    page.locator("#by-number summary").click()
    page.get_by_role("textbox", name="Numbers").fill("1, 2")
    page.get_by_role("button", name="Remove them").click()
    expect(page.get_by_role("status").first).to_contain_text("You removed 1, 2.")
    page.locator("#by-number summary").click()
    for name, value in (("x (pixels)", "200"), ("y (pixels", "150"), ("Diameter (px)", "30,5")):
        page.get_by_label(name).fill(value)
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#by-hand")).to_contain_text("2 removed, 1 added, by")
    page.locator("#by-number summary").click()
    page.get_by_role("button", name="Undo the last correction").click()
    expect(page.locator("#by-hand")).to_contain_text("2 removed, by")


def fingers(page, *steps):
    """Fingers on the screen, by Chromium's own touch events: each step is where they are, in the window's pixels."""
    touch = page.context.new_cdp_session(page)

    def send(kind, places):
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]},
        )

    before = 0
    for places_ in steps:
        send("touchStart" if len(places_) > before else "touchMove", places_)
        before = len(places_)
    send("touchEnd", [])
    touch.detach()


def test_fingers_move_enlarge_and_choose(visit, house):
    page = dropped(visit, house, width=400)
    told = page.locator("[data-told]")
    expect(told).to_have_text(f"{NINE} objects")
    canvas = page.locator(".viewer-stage canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    (x, y), scrolled = places(NINE)[0], page.evaluate("scrollY")
    # A tap tells the size.
    fingers(page, [spot(page, x, y)])
    expect(told).to_contain_text("diameter 23.9 px")
    assert page.evaluate("document.querySelector('[data-viewer]').view.scene.chosen.size") == 1
    # Two fingers that part enlarge, and what is between them stays there.
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    _, _, scale = looking(page)
    between = page.evaluate(
        """([u, v]) => { const {view} = document.querySelector("[data-viewer]"); return Object.values(view.place({clientX: u, clientY: v})).slice(2); }""",
        middle,
    )
    pairs = [[(middle[0] - gap, middle[1]), (middle[0] + gap, middle[1])] for gap in (20, 25, 30, 40, 50, 60)]
    fingers(page, pairs[0][:1], *pairs)
    assert looking(page)[2] == pytest.approx(3 * scale, rel=0.05)
    assert spot(page, *between) == pytest.approx(middle, abs=1.5)
    # One finger moves it; the page beneath stays.
    before = looking(page)
    fingers(page, *([(middle[0] - step, middle[1] - step / 2)] for step in (0, 10, 25, 40)))
    after = looking(page)
    ratio = page.evaluate("document.querySelector('[data-viewer]').view.ratio")
    assert after[0] - before[0] == pytest.approx(40 * ratio / before[2], abs=1)
    assert after[1] - before[1] == pytest.approx(20 * ratio / before[2], abs=1)
    # Pinched back, beyond the whole picture it goes no farther than half of that.
    fingers(page, pairs[-1][:1], *pairs[::-1])
    assert looking(page)[2] == pytest.approx(scale, rel=0.1)
    assert page.evaluate("scrollY") == scrolled
    # With two fingers nothing is drawn, whatever one finger would draw.
    mode(page, "Add round")
    canvas.scroll_into_view_if_needed()
    pairs = [[(u, v + 0) for u, v in pair] for pair in pairs]
    fingers(page, pairs[0][:1], *pairs, *pairs[::-1])
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('[data-viewer]').view.scene.objects.size") == NINE
    # One finger from the middle outwards adds.
    page.locator("[data-do=fit]").click()
    canvas.scroll_into_view_if_needed()
    u, v = spot(page, 200, 150)
    fingers(page, *([(u + step, v)] for step in (0, 6, 12, 20)))
    expect(told).to_contain_text("by hand")


def test_the_cleaned_picture_is_laid_under_the_outlines_and_taken_away_again(visit, house):
    page = dropped(visit, house)
    expect(page.locator("[data-told]")).to_have_text(f"{NINE} objects")
    page.wait_for_function("() => document.querySelector('[data-viewer]').view.levels.length")
    levels = "document.querySelector('[data-viewer]').view.levels"
    page.evaluate(f"() => {{ window.original = {levels}; }}")
    page.get_by_label("Cleaned picture").check()
    expect(page.locator("[data-cleaned-told]")).to_contain_text("sizes are measured on the original")
    assert page.evaluate(
        f"() => {levels} !== window.original && {levels}[0].width === window.original[0].width"
    )
    check_page(page)
    page.get_by_label("Cleaned picture").uncheck()
    assert page.evaluate(f"() => {levels} === window.original")
    expect(page.locator("[data-cleaned-told]")).to_be_hidden()
    # Once it is made it is there at once; a correction makes it outdated.
    page.get_by_label("Cleaned picture").check()
    assert page.evaluate(f"() => {levels} !== window.original")
    page.locator(".viewer-stage canvas").focus()
    page.keyboard.press("n")
    page.keyboard.press("Delete")
    expect(page.locator("[data-told]")).to_have_text(f"{NINE - 1} objects")
    assert not page.get_by_label("Cleaned picture").is_checked()
    assert page.evaluate(f"() => {levels} === window.original")
    # There is one picture of sizes: that of the objects as they are now.
    expect(page.locator("[data-histogram]")).to_be_visible()
    expect(page.locator("table[data-chart]")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Cleaned picture").click()
    assert download.value.suggested_filename == "a-cleaned-not-for-measurement.jpg"


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (768, "dark"), (1280, "dark")])
def test_the_viewer_fits_every_screen(visit, house, tmp_path, width, scheme):
    page = dropped(visit, house, width=width, scheme=scheme)
    expect(page.locator("[data-told]")).to_have_text(f"{NINE} objects")
    box = page.locator(".viewer-stage canvas").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    settle(page)
    page.screenshot(path=tmp_path / f"viewer-{width}-{scheme}.png", full_page=True)
    drawn = page.evaluate(
        """() => {
          const {canvas} = document.querySelector("[data-viewer]").view, c = document.createElement("canvas");
          [c.width, c.height] = [canvas.width, canvas.height];
          const d = c.getContext("2d");
          d.drawImage(canvas, 0, 0);
          const all = d.getImageData(0, 0, c.width, c.height).data;
          let blue = 0;
          for (let i = 0; i < all.length; i += 4) blue += all[i + 2] > 150 && all[i] < 140;
          return blue;
        }"""
    )
    assert drawn > 200, "outlines are drawn in their colour"


def test_a_picture_of_twelve_megapixels_with_two_thousand_objects_is_moved(visit, house, capsys):
    """Told, not judged: how many frames a second this machine draws is this machine's affair."""
    import numpy as np

    from cloister.tools.corrections import shapes

    page = dropped(visit, house)
    expect(page.locator("[data-told]")).to_have_text(f"{NINE} objects")
    rng = np.random.default_rng(0)
    centres = rng.uniform([30, 30], [3970, 2970], (2000, 2))
    objects = [
        {"number": 100 + n, "points": shapes.disc(x, y, d).round(2).tolist(), "diameter": d, "border": 0, "agglomerate": int(n % 3 == 0)}
        for n, ((x, y), d) in enumerate(zip(centres, rng.uniform(20, 90, 2000), strict=True))
    ]  # fmt: skip
    coarse = rng.integers(60, 200, (300, 400), dtype=np.uint8)
    picture = png(np.kron(coarse, np.ones((10, 10), np.uint8)))
    page.route("**/drawn.png", lambda route: route.fulfill(body=picture, content_type="image/png"))
    found = page.evaluate(
        """async (objects) => {
          const {view} = document.querySelector("[data-viewer]"), {scene} = view;
          scene.take({removed: [...scene.objects.keys()], objects});
          [scene.width, scene.height] = [4000, 3000];
          await view.load("/drawn.png");
          const rates = {};
          for (const [name, scale] of [["whole", view.least], ["half", 0.5], ["full", 1], ["four times", 4]]) {
            view.fit();
            view.zoom(scale);
            await new Promise(requestAnimationFrame);
            const [before, start] = [view.frames, performance.now()];
            for (let step = 0; step < 60; step += 1) {
              view.move((step < 30 ? 12 : -12) / view.scale, 5 / view.scale);
              await new Promise(requestAnimationFrame);
            }
            rates[name] = (1000 * (view.frames - before)) / (performance.now() - start);
          }
          return rates;
        }""",
        objects,
    )
    with capsys.disabled():
        rates = {name: round(rate, 1) for name, rate in found.items()}
        sys.stdout.write(f"\nframes a second, 12 MP and 2000 outlines: {rates}\n")
    assert set(found) == {"whole", "half", "full", "four times"}
    assert all(rate > 0 for rate in found.values())
