"""Calibrations on the page, without script: a picture of a scale, lines found or points typed, kept, chosen with a tool."""

from __future__ import annotations

import html
import io
import json
import re
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from web.toolhouse import NINE, PLAIN, tool_house

WIDTH, HEIGHT, PERIOD = 200, 150, 13.7


def ruler(period: float = PERIOD, degrees: float = 6.0, noise: float = 10.0) -> bytes:
    """Equally spaced dark lines, turned and noisy, of the size of the pictures that the small tool takes."""
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    turn = np.radians(degrees)
    along = (u - WIDTH / 2) * np.cos(turn) + (v - HEIGHT / 2) * np.sin(turn) + 2.1
    ink = np.clip(1.5 - np.abs(along - np.round(along / period) * period), 0, 1)
    grey = 200 - 150 * ink + np.random.default_rng(3).normal(0, noise, (HEIGHT, WIDTH))
    stream = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("h")) as made:
        yield made


@pytest.fixture(scope="module")
def peopled(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("p"), people=True) as made:
        yield made


@pytest.fixture
def visitor(house):
    with house.visitor() as browser:
        yield browser


def words(answer):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def bring(browser, data=None, name="scale.png"):
    return browser.post("/calibrations", files=[("file", (name, data or ruler(), "image/png"))])


def keep(browser, address, **fields):
    # As multipart, as the form says.
    parts = [(name, (None, str(value))) for name, value in fields.items()]
    return browser.post(address, files=parts)


def test_lines_are_found_in_a_picture_and_the_scale_is_kept_and_used(visitor):
    answer = bring(visitor)
    assert "Equally spaced lines were found" in words(answer)
    address = answer.url.path
    assert visitor.get(f"{address}/picture").headers["content-type"] == "image/jpeg"
    answer = keep(
        visitor, address, way="lines", spacing="10", objective="10x / 0.25", name="line-3", operator="Eva"
    )
    assert answer.url.path == "/calibrations/kept/line-3", words(answer)
    made = visitor.get("/calibrations/kept/line-3/file").json()
    assert made["micrometres_per_pixel"] == pytest.approx(10 / PERIOD, rel=3e-3)
    assert abs(made["micrometres_per_pixel"] - 10 / PERIOD) < 4 * made["uncertainty"]
    assert (made["width"], made["height"], made["method"]) == (WIDTH, HEIGHT, "ruled-lines")
    assert "line-3" in words(visitor.get("/calibrations"))
    assert visitor.get(address).status_code == 404  # the picture is forgotten

    # With a tool: the calibration counts, also beside a size that the browser remembers.
    fields = {"calibration": "line-3", "um_per_pixel": "99"}
    answer = visitor.post("/tools/discs", files=[("file", ("a.png", PLAIN, "image/png"))], data=fields)
    told = words(answer)
    assert "objective 10x / 0.25" in told
    result = json.loads(visitor.get(f"{answer.url.path}/result.json").text)
    assert result["figures"]["count"] == NINE
    assert result["calibration"]["objective"] == "10x / 0.25"
    assert result["units"]["diameter_d50"] == "µm"
    assert result["facts"]["calibration digest"] == result["calibration"]["digest"]
    # What is kept of it is read back with its calibration.
    kept = visitor.post(f"{answer.url.path}/keep", data={"label": "x"})
    assert "objective 10x / 0.25" in words(kept)


def test_a_picture_of_another_size_is_refused_with_the_calibration(visitor):
    address = bring(visitor).url.path
    keep(visitor, address, way="lines", spacing="10", objective="10x", name="sizes")
    stream = io.BytesIO()
    Image.open(io.BytesIO(PLAIN)).resize((100, 75)).save(stream, "PNG")
    files = [("file", ("half.png", stream.getvalue(), "image/png"))]
    answer = visitor.post("/tools/discs", files=files, data={"calibration": "sizes"})
    assert "not of the size that the calibration is for" in words(answer)
    answer = visitor.post("/tools/discs", files=files, data={"calibration": "nobody"})
    assert "There is no calibration" in words(answer)


def test_two_points_are_typed_where_no_lines_are(visitor):
    stream = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "white").save(stream, "PNG")
    answer = bring(visitor, stream.getvalue())
    assert "Mark two points of a known distance below" in words(answer)
    address = answer.url.path
    points = {
        "x1": "10.5",
        "y1": "20",
        "x2": "190,5",
        "y2": "20",
        "length": "90",
        "objective": "4x",
        "name": "typed",
    }
    assert "No lines were found" in words(keep(visitor, address, **{**points, "way": "lines"}))
    answer = keep(visitor, address, way="points", **points)
    assert answer.url.path == "/calibrations/kept/typed", words(answer)
    made = visitor.get("/calibrations/kept/typed/file").json()
    assert made["micrometres_per_pixel"] == pytest.approx(0.5)
    assert made["uncertainty"] == pytest.approx(0.5 * np.sqrt(2) / 180)


@pytest.fixture(scope="module")
def brought(house):
    """A picture that was brought, and by whom; what cannot be used leaves it where it is."""
    with house.visitor() as browser:
        yield browser, bring(browser).url.path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"objective": ""}, "The objective is missing"),
        ({"spacing": ""}, "The spacing is missing"),
        ({"spacing": "-3"}, "The spacing cannot be used"),
        ({"name": "No Name"}, "cannot be the name"),
        ({"name": "../x"}, "cannot be the name"),
        ({"way": "points", "length": "5", "x1": "1e9"}, "A point cannot be used"),
        (
            {"way": "points", "length": "5", "x1": "3", "y1": "3", "x2": "4", "y2": "4"},
            "closer than 10 pixels",
        ),
        ({"valid_until": "2001-01-01"}, "ends before the day"),
        ({"uncertainty": "nan"}, "The uncertainty is not a number"),
        ({"operator": "a\x1bb"}, "characters that nobody types"),
    ],
)
def test_what_cannot_be_used_is_told_and_the_form_stays_filled_in(brought, change, told):
    visitor, address = brought
    usual = {"way": "lines", "spacing": "10", "objective": "10x", "camera": "A-17", "name": "never"}
    answer = keep(visitor, address, **{**usual, **change})
    assert answer.status_code in {200, 422}
    assert told in words(answer)
    assert 'value="A-17"' in answer.text
    assert visitor.get("/calibrations/kept/never").status_code == 404


def test_what_is_no_picture_is_refused(visitor):
    assert "not a picture" in words(bring(visitor, b"no picture at all, but long enough to be one"))
    assert "No picture was chosen" in words(
        visitor.post("/calibrations", files=[("file", ("", b"", "image/png"))])
    )


def test_a_picture_is_given_to_nobody_else(house, visitor):
    address = bring(visitor).url.path
    with house.visitor() as other:
        assert other.get(address).status_code == 404
        assert other.get(f"{address}/picture").status_code == 404


def test_who_may_not_keep_or_remove_is_told_so(peopled):
    with closing(peopled.eva()) as eva:
        answer = keep(eva, bring(eva).url.path, way="lines", spacing="10", objective="10x", name="evas")
        assert answer.url.path == "/calibrations/kept/evas"
        assert "evas" in words(eva.get("/tools/discs"))
        answer = eva.post("/calibrations/kept/evas/remove")
        assert "It is removed" in words(answer)
        assert eva.get("/calibrations/kept/evas").status_code == 404
    with closing(peopled.visitor()) as nobody:
        for path in ("/calibrations", "/calibrations/kept/evas", "/calibrations/kept/evas/file"):
            assert nobody.get(path, follow_redirects=False).status_code in {303, 401, 403}
