"""The relay's page: for its operator, with accounts of its own; sizes and never content."""

from __future__ import annotations

import contextlib

import pytest
from fastapi.routing import APIRoute

from cloister.foundation.clock import SystemClock
from cloister.hub.server import Hub, create_hub
from cloister.hub.traffic import Passed
from cloister.identity.cards import genesis
from cloister.identity.keys import SecretKeys
from cloister.node.node import Node
from cloister.people.roles import ALL
from cloister.transport.invitation import Invitation
from cloister.web.guard import right_of
from cloister.web.listening import PageAt
from cloister.web.relay import RelayPage
from cloister.web.server import Serving
from cloister.web.site import Site
from node.town import UNLOCK, LocalEngines, until
from web.browser import Visit, check_page
from web.street import EVA, PASSWORD, Browser
from web.work import text_of


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h") / "relay"
    create_hub(folder, UNLOCK, name="Relay of the sugar works")
    with Hub(folder, UNLOCK, host="127.0.0.1", port=0, enrol_port=0) as running:
        for name in ("Ash", "Birch"):
            keys, spare = SecretKeys.generate(), SecretKeys.generate()
            card = genesis(name, ["owner"], keys, spare.public, SystemClock().now())
            running.members.enrol(card_party(card), [card], None)
        yield running


def card_party(card):
    from cloister.identity.cards import read

    return read(card).party


@pytest.fixture(scope="module")
def page(hub, tmp_path_factory):
    made = RelayPage(hub, tmp_path_factory.mktemp("p"), PageAt(port=0))
    made.start()
    made.site.accounts.first(EVA, PASSWORD, made.site.accounts.start_key)
    made.site.accounts.add("Olga", ["auditor"], PASSWORD)
    made.site.accounts.add("Tom", ["tool-user"], PASSWORD)
    yield made
    made.stop()


def signed_in(page, name=EVA):
    browser = Browser(page.url)
    answer = browser.post("/sign-in", data={"name": name, "password": PASSWORD})
    assert answer.status_code in {200, 403}, answer.text
    return browser


OPEN = {
    ("GET", "/"), ("GET", "/static/{version}/{name}"), ("GET", "/welcome"), ("POST", "/welcome"), ("GET", "/sign-in"),
    ("POST", "/sign-in"), ("POST", "/sign-out"), ("POST", "/api/v1/passkeys/first/ask"), ("POST", "/api/v1/passkeys/first"),
    ("POST", "/api/v1/passkeys/sign-in/ask"), ("POST", "/api/v1/passkeys/sign-in"),
}  # fmt: skip


def test_every_route_names_a_right_and_what_is_open_is_this(page):
    routes = [route for route in page.app.routes if isinstance(route, APIRoute)]
    assert len(routes) == len(page.app.routes)
    assert all(right_of(route) == "open" or right_of(route) in ALL for route in routes)
    assert {(m, r.path) for r in routes if right_of(r) == "open" for m in r.methods} == OPEN


def test_nobody_sees_anything_without_signing_in(page):
    with Browser(page.url) as nobody:
        for path in ("/", "/traffic", "/log", "/invitations", "/people", "/people/all", f"/drop/{'a' * 52}"):
            answer = nobody.get(path, follow_redirects=False)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in"), path
        for path in ("/invitations", "/drop"):
            assert nobody.post(path).status_code == 401, path


def test_the_operator_sees_who_may_connect_and_how_much_passed(page, hub, monkeypatch):
    one, two = sorted(hub.members.permitted())
    monkeypatch.setattr(hub, "traffic", lambda: [Passed(one, two, 7, 1_500_000), Passed(two, one, 1, 200)])
    with contextlib.closing(signed_in(page)) as eva:
        told = eva.get("/").text
        for word in ("Relay of the sugar works", "Ash", "Birch", "1.5 MB", "Away"):
            assert word in told
        told = eva.get("/traffic").text
        assert told.index("1.5 MB") < told.index("200 bytes")


def test_the_log_and_its_signed_head_are_shown(page, hub):
    with contextlib.closing(signed_in(page)) as eva:
        told = eva.get("/log").text
        assert hub.head().decode().splitlines()[2] in told
        assert "Not cosigned yet" in told


def test_an_invitation_is_made_once_and_written_down(page, hub):
    with contextlib.closing(signed_in(page)) as eva:
        told = eva.post("/invitations").text
        text = told.split("<pre>")[1].split("</pre>")[0]
        assert Invitation.decode(text).hub == hub.party
        assert text not in eva.get("/people/trail").text
        assert "Made an invitation" in eva.get("/people/trail").text


def test_an_organisation_is_dropped_and_that_is_written_down(page, hub):
    keys, spare = SecretKeys.generate(), SecretKeys.generate()
    card = genesis("Cedar", ["owner"], keys, spare.public, SystemClock().now())
    hub.members.enrol(card_party(card), [card], None)
    with contextlib.closing(signed_in(page)) as eva:
        assert "connect no more" in eva.get(f"/drop/{card_party(card)}").text
        told = eva.post("/drop", data={"party": card_party(card)}).text
        assert "Cedar may connect no more" in told
        assert card_party(card) not in hub.members.permitted()
        assert "Cedar" in eva.get("/people/trail").text
        assert eva.post("/drop", data={"party": card_party(card)}).status_code == 404


@pytest.mark.parametrize(("name", "seen", "done"), [("Olga", 200, 403), ("Tom", 403, 403)])
def test_others_may_look_or_not_but_not_invite(page, name, seen, done):
    person = signed_in(page, name)
    with contextlib.closing(person):
        assert person.get("/traffic").status_code == seen
        assert person.post("/invitations").status_code == done
        assert person.get("/invitations").status_code == done


def test_a_page_of_another_site_invites_nobody(page):
    with contextlib.closing(signed_in(page)) as eva:
        assert eva.post("/invitations", headers={"origin": "https://evil.example"}).status_code == 403


def test_the_relays_screens_hold(page, visit: Visit):
    shown = visit(page.url)
    shown.get_by_label("Name").fill(EVA)
    shown.get_by_label("Password").fill(PASSWORD)
    shown.get_by_role("button", name="Sign in", exact=True).click()
    for path in ("/", "/traffic", "/log", "/invitations", "/people", "/people/all"):
        shown.goto(page.url + path)
        check_page(shown)


def test_a_server_that_is_connected_shows_where_its_relay_is_and_that_it_is_reached(hub, page, tmp_path):
    site = Site(tmp_path / "n", make=lambda *a: Node(*a[:3], engines=LocalEngines, database=a[3]))
    with contextlib.closing(site), Serving(site, PageAt(port=0)) as serving:
        site.accounts.first(EVA, PASSWORD, site.accounts.start_key)
        site.found("Cedar", ["owner"], UNLOCK, UNLOCK)
        site.join(hub.invite().encode())
        until("the relay", lambda: site.node.status()["relay"]["reached"])
        relay = site.node.link.hub
        until("what was exchanged with it", lambda: relay in site.node.traffic())
        with Browser(serving.url) as eva:
            eva.sign_in()
            told = text_of(eva.get("/settings/relay").text)
        assert f":{hub.status().relay.port}" in told
        assert "Reached" in told
        assert "Away" not in told.partition("Exchanged since the start")[2]
        assert "Connected" in told.partition("Exchanged since the start")[2]
        assert "Cedar" in text_of(signed_in(page).get("/").text)
