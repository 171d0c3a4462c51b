"""Disclosed records on the page: looked at and selected one by one, sealed, opened, withdrawn, deleted."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
from pathlib import Path

import pytest
from PIL import Image

from disclosure.disclosure_cases import png
from node.town import until
from web.plenty import alert, heading, person, town_of, two_houses

AT = "/datasets/own/photos/disclose"


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    with two_houses() as houses:
        town_of(houses).meet()
        photos = tmp_path_factory.mktemp("photos")
        for name in ("a", "b", "c"):
            (photos / f"{name}.png").write_bytes(png(ord(name), 640))
        node = houses["Ash"].node
        node.datasets.add(photos, {"name": "photos", "title": "Photos", "residency": "AT"})
        yield houses


@pytest.fixture
def eva(town):
    with contextlib.closing(town["Ash"].eva()) as browser:
        yield browser


def asked(town, **changes):
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=4)
    return {
        "record": ["b.png"],
        "recipient": town["Lab"].node.party,
        "purpose": "See the light",
        "until": str(day),
        "sure": "yes",
    } | changes


def test_each_picture_is_shown_beside_an_empty_box_and_only_its_pixels(town, eva):
    page = eva.get(AT)
    assert heading(page) == "Disclose some of photos"
    assert page.text.count('name="record"') == 3
    assert "checked" not in page.text
    assert town["Lab"].node.party in page.text
    shown = eva.get(f"{AT}/pictures/1")
    assert shown.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(shown.content)).size == (320, 320)
    assert eva.get(f"{AT}/pictures/3").status_code == 404


def test_whoever_may_not_disclose_sees_no_picture_and_no_button(town):
    with contextlib.closing(person(town["Ash"], "Otto", "auditor")) as otto:
        assert otto.get("/disclosures").status_code == 200
        assert "/disclose" not in otto.get("/datasets/own/photos").text
        for path in (AT, f"{AT}/pictures/1"):
            assert otto.get(path).status_code == 403
        assert otto.post(AT, data=asked(town)).status_code == 403


@pytest.mark.parametrize(
    "wrong", [{"sure": ""}, {"record": []}, {"record": ["../b.png"]}, {"until": "never"}, {"purpose": ""}]
)
def test_what_is_not_complete_discloses_nothing_and_says_why(town, eva, wrong):
    before = len(town["Ash"].node.disclosures.listing())
    page = eva.post(AT, data=asked(town, **wrong))
    assert alert(page)
    assert len(town["Ash"].node.disclosures.listing()) == before


def test_from_the_selection_to_the_confirmed_deletion(town, eva):
    page = eva.post(AT, data=asked(town))
    assert heading(page) == "1 picture of photos", alert(page)
    address = page.url.path
    assert "b.png" in page.text
    package = eva.get(f"{address}/package").content
    lab = town["Lab"].node
    shown = lab.disclosures.receiving.open(package, "lena")
    place = Path(shown["folder"])
    assert place.is_dir()
    with contextlib.closing(town["Lab"].eva()) as lena:
        told = lena.get(address)
        assert str(place) in told.text
        assert "b.png" not in told.text, "file names stay at the owner"
    until("the receipt", lambda: ">Opened</span>" in eva.get("/disclosures").text, 30)
    assert alert(eva.post(f"{address}/withdraw", data={"reason": "Done"}))
    page = eva.post(f"{address}/withdraw", data={"reason": "Done", "sure": "yes"})
    assert page.status_code == 200
    town["Ash"].node.disclosures.exchange.tell()
    until("the copy to be gone", lambda: not place.exists(), 30)
    until("the owner to know", lambda: town["Ash"].node.disclosures.one(shown["disclosure"])["deleted"], 60)
    assert eva.get(f"{address}/package").status_code >= 400


def test_the_recipient_deletes_by_a_button(town, eva):
    address = eva.post(AT, data=asked(town, record=["c.png"])).url.path
    lab = town["Lab"].node
    shown = lab.disclosures.receiving.open(eva.get(f"{address}/package").content, "lena")
    with contextlib.closing(person(town["Lab"], "Anna", "analyst")) as anna:
        page = anna.post(f"{address}/delete")
        assert page.status_code == 200, alert(page)
    assert not Path(shown["folder"]).exists()


def test_over_the_relay_from_one_button_to_the_other(town, eva):
    page = eva.post(AT, data=asked(town, record=["a.png"]))
    address, lab = page.url.path, town["Lab"].node
    assert "waits for their server" not in page.text
    assert eva.post(f"{address}/send").status_code == 200
    until("the package", lambda: [item for item in lab.disclosures.arriving.listing() if item["whole"]], 60)
    until("the owner to know", lambda: "at their server" in eva.get(address).text, 60)
    with contextlib.closing(town["Lab"].eva()) as lena:
        assert "Sent to us, not opened" in lena.get("/disclosures").text
        shown = lena.post(address.replace("/disclosures/", "/disclosed-packages/") + "/open")
        assert heading(shown) == "1 picture of photos", alert(shown)
        assert "Sent to us" not in lena.get("/disclosures").text
    until("the receipt", lambda: ">Opened</span>" in eva.get(address).text, 60)
    assert alert(eva.post(f"{address}/send")), "what was opened is not sent again"


def test_a_package_is_deleted_unopened_by_whoever_may_open_it(town, eva):
    address = eva.post(AT, data=asked(town, record=["a.png", "c.png"])).url.path
    eva.post(f"{address}/send")
    lab = town["Lab"].node
    until("the package", lambda: [item for item in lab.disclosures.arriving.listing() if item["whole"]], 60)
    there = address.replace("/disclosures/", "/disclosed-packages/")
    with contextlib.closing(person(town["Lab"], "Olga", "auditor")) as olga:
        assert olga.post(f"{there}/open").status_code == 403
        assert olga.post(f"{there}/refuse").status_code == 403
    with contextlib.closing(person(town["Lab"], "Alma", "analyst")) as alma:
        assert alma.post(f"{there}/refuse").status_code == 200
        assert alert(alma.post(f"{there}/refuse"))
    assert lab.disclosures.arriving.listing() == []
