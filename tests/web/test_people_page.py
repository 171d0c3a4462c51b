"""My account, people, and what people did: the pages as a browser without script uses them."""

from __future__ import annotations

import html
import re
from contextlib import closing

import pytest

from cloister.people.sessions import FRESH
from web.street import EVA, PASSWORD, Browser, new_house

OTHER = "eight blue plums rise"


@pytest.fixture
def house(tmp_path, monkeypatch):
    with new_house(tmp_path / "n") as made:
        made.site.accounts.first(EVA, PASSWORD, made.site.accounts.start_key)
        yield made


@pytest.fixture
def eva(house):
    with closing(house.visitor()) as browser:
        assert browser.sign_in().status_code == 200
        yield browser


def signed_in(house, name, password):
    browser = Browser(house.url)
    browser.post("/sign-in", data={"name": name, "password": password})
    return browser


def account(house, name):
    return next(person.account for person in house.site.accounts.all() if person.name == name)


def stale(house, name=EVA):
    """Every session of somebody is one whose password was shown long ago."""
    from dataclasses import replace

    from cloister.storage.people import People

    with house.site.database.transaction() as tx:
        people = People(tx)
        for digest, session in people.sessions_of(account(house, name)):
            people.open(digest, replace(session, shown=session.shown - FRESH - 1))


def handed(text):
    found = re.search(r'class="secret"><code>([^<]+)</code>', text)
    assert found, text
    return found.group(1)


def test_a_person_is_added_handed_a_password_and_can_do_nothing_but_choose_another(house, eva):
    told = eva.post("/people/new", data={"name": "Bob", "roles": ["approver", "analyst"]}).text
    password = handed(told)
    assert re.fullmatch(r"([a-z2-9]{4}-){3}[a-z2-9]{4}", password)
    assert password not in eva.get("/people/all").text
    with closing(Browser(house.url)) as bob:
        answer = bob.post("/sign-in", data={"name": "Bob", "password": password})
        assert answer.url.path == "/people/password"
        assert bob.get("/people/all").status_code == 403
        assert bob.get("/tools").status_code == 403
        for again in ("", OTHER + "x"):
            asked = bob.post("/people/password", data={"password": OTHER, "again": again})
            assert asked.status_code == 422
            assert "The two passwords are not the same." in asked.text
        answer = bob.post("/people/password", data={"password": OTHER, "again": OTHER})
        assert answer.url.path == "/people"
        assert "Approver" in answer.text
    assert ("First password" in eva.get("/people/all").text) is False


def test_what_is_wrong_is_told_and_nothing_typed_is_lost(eva):
    answer = eva.post("/people/new", data={"name": "Bob"})
    assert answer.status_code == 422
    assert 'value="Bob"' in answer.text
    assert "A role is missing" in answer.text
    answer = eva.post("/people/new", data={"name": "<script>alert(1)</script>", "roles": "auditor"})
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text
    answer = eva.post("/people/new", data={"name": EVA.upper(), "roles": "auditor"})
    assert answer.status_code == 409


def test_roles_are_changed_and_the_last_operator_stays(house, eva):
    house.site.accounts.add("Bob", ["analyst"], OTHER)
    bob = account(house, "Bob")
    assert eva.post(f"/people/of/{bob}/roles", data={"roles": "auditor"}).status_code == 200
    assert house.site.accounts.get(bob).roles == {"auditor"}
    answer = eva.post(f"/people/of/{account(house, EVA)}/roles", data={"roles": "auditor"})
    assert answer.status_code == 403
    assert "Nobody could manage people any more" in answer.text
    assert "Changed roles" in eva.get("/people/trail").text


def test_an_account_is_disabled_at_once_and_enabled_again(house, eva):
    house.site.accounts.add("Bob", ["analyst"], OTHER)
    bob = account(house, "Bob")
    with closing(signed_in(house, "Bob", OTHER)) as browser:
        assert browser.get("/people", follow_redirects=False).status_code == 200
        eva.post(f"/people/of/{bob}/enabled", data={"enabled": "no"})
        assert browser.get("/people", follow_redirects=False).status_code == 303
        eva.post(f"/people/of/{bob}/enabled", data={"enabled": "yes"})
        assert browser.get("/people", follow_redirects=False).status_code == 303, (
            "the old session stays ended"
        )
        assert browser.post("/sign-in", data={"name": "Bob", "password": OTHER}).status_code == 200


def test_a_new_first_password_ends_sessions_and_works_once_it_is_changed(house, eva):
    house.site.accounts.add("Bob", ["analyst"], OTHER)
    with closing(signed_in(house, "Bob", OTHER)) as browser:
        password = handed(eva.post(f"/people/of/{account(house, 'Bob')}/password").text)
        assert browser.get("/people", follow_redirects=False).status_code == 303
        browser.post("/sign-in", data={"name": "Bob", "password": password})
        assert browser.get("/people/tokens").status_code == 200
        assert (
            browser.post(
                "/people/tokens", data={"title": "x", "scopes": "tasks.read", "days": "1"}
            ).status_code
            == 403
        )


@pytest.mark.parametrize("path", ["/people/new", "/people/password", "/people/tokens", "/people/passkeys"])
def test_what_changes_who_may_sign_in_takes_the_password_once_more(house, eva, path):
    stale(house)
    answer = eva.get(path)
    assert answer.url.path == "/confirm"
    wrong = eva.post("/confirm", data={"password": "wrong wrong wrong", "next": path})
    assert wrong.status_code == 403
    answer = eva.post("/confirm", data={"password": PASSWORD, "next": path})
    assert answer.url.path == path


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/people/new", {"name": "Bob", "roles": "operator"}),
        ("/people/password", {"password": OTHER, "again": OTHER}),
        ("/people/password/remove", {}),
        ("/people/tokens", {"title": "x", "scopes": "tasks.read", "days": "1"}),
    ],
)
def test_a_session_that_is_not_fresh_changes_nothing(house, eva, path, data):
    stale(house)
    assert eva.post(path, data=data).status_code == 403
    assert [person.name for person in house.site.accounts.all()] == [EVA]
    assert house.site.accounts.tokens.of(account(house, EVA)) == []
    assert house.site.accounts.sign_in(EVA, PASSWORD, "", "")


def test_who_forgot_the_password_is_told_what_to_do_also_as_the_only_one(house):
    with house.visitor() as browser:
        told = html.unescape(browser.get("/sign-in").text)
    assert 'cloister node password "YOUR NAME"' in told


def test_showing_the_password_again_leads_nowhere_else(eva):
    for path in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        answer = eva.post("/confirm", data={"password": PASSWORD, "next": path}, follow_redirects=False)
        assert answer.headers["location"] == "/"


def test_a_session_has_another_secret_after_signing_in_and_after_showing_the_password(house):
    with closing(Browser(house.url)) as browser:
        name = next(iter(browser.sign_in().history[0].cookies))
        first = browser.cookies[name]
        answer = browser.post("/confirm", data={"password": PASSWORD, "next": "/people"})
        assert answer.status_code == 200
        second = browser.cookies[name]
        browser.sign_in()
        assert len({first, second, browser.cookies[name]}) == 3
        for old in (first, second):
            with closing(Browser(house.url)) as other:
                other.cookies.set(name, old)
                assert other.get("/people", follow_redirects=False).status_code == 303
        cookie = next(item for item in browser.cookies.jar if item.name == name)
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite").lower() == "strict"


def test_a_secret_that_somebody_else_set_is_never_taken(house):
    with closing(Browser(house.url)) as browser:
        name = next(iter(browser.sign_in().history[0].cookies))
        browser.cookies.clear()
        browser.cookies.set(name, "fixed-by-somebody-else")
        answer = browser.post("/sign-in", data={"name": EVA, "password": PASSWORD}, follow_redirects=False)
        assert "fixed-by-somebody-else" not in answer.headers["set-cookie"]
        assert house.site.accounts.person("fixed-by-somebody-else") is None


def test_my_browsers_are_listed_and_signed_out(house, eva):
    agent = "Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/130.0"
    other = house.site.accounts.sign_in(EVA, PASSWORD, "192.0.2.7", agent)
    told = eva.get("/people").text
    assert "Firefox on Windows" in told
    assert "192.0.2.7" in told
    eva.post("/people/sessions/end")
    assert house.site.accounts.person(other) is None
    assert eva.get("/people", follow_redirects=False).status_code == 200


def test_a_token_is_shown_once_works_within_its_rights_and_is_revoked(house, eva):
    told = eva.post("/people/tokens", data={"title": "Report", "scopes": ["tools.use"], "days": "30"}).text
    secret = handed(told)
    assert secret not in eva.get("/people").text
    with closing(Browser(house.url)) as program:
        program.headers["authorization"] = f"Bearer {secret}"
        assert program.get("/api/v1/tools").status_code == 200
        assert program.get("/tools").status_code == 403, "pages are for people"
        assert program.get("/people", follow_redirects=False).status_code == 403
        assert program.get("/settings", follow_redirects=False).status_code == 403
        (token,) = house.site.accounts.tokens.of(account(house, EVA))
        eva.post("/people/tokens/revoke", data={"token": token.digest})
        assert program.get("/tools", follow_redirects=False).status_code in {303, 401}


def test_rights_that_bind_the_organisation_are_not_offered_for_tokens(eva):
    told = eva.get("/people/tokens").text
    assert 'value="tasks.read"' in told
    for right in ("agreements.sign", "tasks.approve", "people.manage", "own-account"):
        assert f'value="{right}"' not in told
    assert (
        eva.post("/people/tokens", data={"title": "x", "scopes": "tasks.read", "days": "9999"}).status_code
        == 422
    )


def test_the_trail_is_read_by_auditor_and_operator_only(house, eva):
    for name, role in (("Olga", "auditor"), ("Bob", "approver"), ("Cem", "tool-user")):
        house.site.accounts.add(name, [role], OTHER)
    for name, status in (("Olga", 200), ("Bob", 403), ("Cem", 403)):
        with closing(signed_in(house, name, OTHER)) as browser:
            assert browser.get("/people/trail").status_code == status, name
            assert browser.get("/people/all").status_code == status, name
            assert browser.get("/people/new", follow_redirects=False).status_code == 403, name
    assert "Signed in with the password" in eva.get("/people/trail").text


def test_the_trail_goes_back_in_pages(house, eva):
    for number in range(120):
        house.site.accounts.note(house.site.accounts.caller("none"), f"did number {number}")
    told = eva.get("/people/trail").text
    assert "number 119" in told
    older = re.search(r'href="(/people/trail\?before=\d+)"', told).group(1)
    assert "number 119" not in eva.get(older).text
    assert "number 69" in eva.get(older).text


def test_nothing_of_it_is_changed_from_another_site(house, eva):
    for path in (
        "/people/new",
        "/people/password",
        "/people/tokens",
        "/people/sessions/end",
        "/sign-out",
        "/sign-in",
    ):
        assert eva.post(path, headers={"origin": "https://evil.example"}).status_code == 403, path
        assert eva.post(path, headers={"origin": "null"}).status_code == 403, path
    assert eva.get("/people", follow_redirects=False).status_code == 200


def test_the_pace_of_signing_in_is_told(house):
    with closing(Browser(house.url)) as browser:
        for _ in range(5):
            assert "not right" in browser.sign_in(password="wrong wrong wrong").text
        answer = browser.sign_in()
        assert answer.status_code == 403
        assert "Too many tries" in answer.text
