"""A folder behind a page: new, closed, open; and what a person sees in each."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest

from cloister.foundation.errors import Conflict, NotTrusted
from cloister.identity.keystore import Cost, Passphrase
from cloister.web.site import Site
from web.street import EVA, PASSWORD, House, new_house

WEAK = Cost(1, 1, 64)


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="si-") as root:
        yield Path(root) / "n"


def began(house: House):
    browser = house.visitor()
    answer = browser.post(
        "/welcome",
        data={"name": EVA, "password": PASSWORD, "again": PASSWORD, "key": house.site.accounts.start_key},
    )
    assert answer.url.path == "/organisation", answer.text
    return browser


def test_from_nothing_to_an_open_server_on_the_page_and_again_after_it_was_stopped(place):
    with new_house(place) as house:
        assert house.site.state == "new"
        with contextlib.closing(began(house)) as browser:
            assert browser.get("/").url.path == "/organisation"
            asked = browser.post(
                "/organisation", data={"name": "Our plant", "passphrase": "short", "again": "short"}
            )
            assert asked.status_code == 422
            assert "too short" in asked.text
            assert "Our plant" in asked.text, "what was typed is not lost"
            words = "four random words here"
            for again in ({}, {"again": "four random words hear"}):
                typo = {"name": "Our plant", "passphrase": words, **again}
                asked = browser.post("/organisation", data=typo)
                assert asked.status_code == 422
                assert "The two passphrases are not the same." in asked.text
                assert "Our plant" in asked.text
                assert words not in asked.text
            assert house.site.state == "new"
            made = browser.post(
                "/organisation", data={"name": "Our plant", "passphrase": words, "again": words}
            )
            assert made.url.path == "/connect"
            assert house.site.state == "open"
            assert browser.get("/api/v1/status").json()["name"] == "Our plant"
            again = browser.post(
                "/organisation", data={"name": "Another", "passphrase": words, "again": words}
            )
            assert again.status_code == 409, "keys are never overwritten"
    with new_house(place) as house:
        assert house.site.state == "closed"
        with house.visitor() as browser:
            assert browser.sign_in().url.path == "/unlock"
            told = browser.get("/datasets")
            assert told.status_code == 409
            assert "closed" in told.text
            assert browser.post("/unlock", data={"passphrase": "not the right words"}).status_code >= 400
            assert house.site.state == "closed"
            assert browser.post("/unlock", data={"passphrase": "four random words here"}).status_code == 200
            assert house.site.state == "open"


def test_a_visitor_on_this_machine_uses_tools_and_nothing_else_while_there_is_no_account(place):
    with new_house(place) as house:
        with house.visitor() as visitor:
            assert visitor.get("/").url.path == "/tools"
            for path in ("/organisation", "/connect", "/unlock", "/api/v1/status", "/api/v1/datasets"):
                answer = visitor.get(path)
                assert answer.status_code in {403, 401} or answer.url.path in {"/sign-in", "/welcome"}, path
        began(house).close()
        with house.visitor() as late:
            assert late.get("/tools").url.path == "/sign-in", "from the first account on, everybody signs in"


def test_a_wrong_passphrase_leaves_the_server_closed_and_the_page_there(place):
    site = Site(place)
    try:
        site.accounts.first(EVA, PASSWORD, site.accounts.start_key)
        site.found(
            "Our plant", ["owner"], Passphrase(b"right words for it", WEAK), Passphrase(b"x" * 20, WEAK)
        )
        with pytest.raises(Conflict):
            site.open(Passphrase(b"right words for it", WEAK))
    finally:
        site.close()
    site = Site(place)
    try:
        with pytest.raises(NotTrusted):
            site.open(Passphrase(b"wrong words for it", WEAK))
        assert site.state == "closed"
        assert site.accounts.none_yet() is False
    finally:
        site.close()


def test_one_process_per_folder(place):
    site = Site(place)
    try:
        with pytest.raises(Conflict):
            Site(place)
    finally:
        site.close()
