"""Cookies of sessions at the door: whose they are, where they count, what is no cookie."""

from __future__ import annotations

import logging
from contextlib import closing

import httpx
import pytest

from web.knocking import DAY, dressed, port_of
from web.street import EVA, PASSWORD, Browser


@pytest.fixture(scope="module")
def house(houses):
    return houses["Ash"]


@pytest.fixture
def eva(house):
    with closing(house.eva()) as browser:
        del browser.headers["origin"]
        yield browser


@pytest.fixture(scope="module")
def token(house):
    account = house.site.accounts.all()[0].account
    return house.site.accounts.tokens.make(account, "tests", ["tasks.read", "datasets.write"], DAY)


def test_a_sessions_cookie_is_for_this_port_this_host_and_no_script(house):
    with house.visitor() as browser:
        answer = browser.post("/sign-in", data={"name": EVA, "password": PASSWORD}, follow_redirects=False)
    cookies = sorted(answer.headers.get_list("set-cookie"))
    # Of the session, and of the browser as long as nobody has signed in.
    for cookie, name in zip(cookies, ("cloister", "cloister-visitor"), strict=True):
        parts = [part.strip().lower() for part in cookie.split(";")]
        assert parts[0].startswith(f"{name}-{port_of(house)}=")
        assert {"httponly", "samesite=strict", "path=/"} <= set(parts)
        assert not [part for part in parts if part.startswith(("domain", "expires", "max-age"))]
        secret = parts[0].partition("=")[2]
        assert len(secret) >= 43


def test_two_sites_of_one_machine_do_not_take_each_others_sessions(houses):
    jar = httpx.Cookies()
    with closing(Browser(houses["Ash"].url)) as one, closing(Browser(houses["Birch"].url)) as other:
        one.sign_in()
        jar.update(one.cookies)
        other.cookies.update(one.cookies)
        assert other.get("/api/v1/status").status_code == 401
        other.sign_in()
        one.cookies.update(other.cookies)
        assert one.get("/api/v1/status").status_code == other.get("/api/v1/status").status_code == 200


def test_a_session_that_somebody_else_began_is_not_the_one_after_signing_in(house):
    name = f"cloister-{port_of(house)}"
    planted = "A" * 43
    with house.visitor() as browser:
        browser.cookies.set(name, planted)
        browser.sign_in()
    with httpx.Client(base_url=house.url, headers={"cookie": f"{name}={planted}"}) as attacker:
        assert attacker.get("/api/v1/status").status_code == 401
    with closing(house.eva()) as first:
        old = next(cookie.value for cookie in first.cookies.jar if cookie.name == name)
        first.sign_in()
        new = [cookie.value for cookie in first.cookies.jar if cookie.name == name]
        assert old not in new
    with httpx.Client(base_url=house.url, headers={"cookie": f"{name}={old}"}) as attacker:
        assert attacker.get("/api/v1/status").status_code == 401, "the earlier session of that browser ended"


def test_showing_the_password_again_and_signing_out_end_the_secret_before(house):
    name = f"cloister-{port_of(house)}"

    def secret(browser):
        return next(cookie.value for cookie in browser.cookies.jar if cookie.name == name)

    def good(value):
        with httpx.Client(base_url=house.url, headers={"cookie": f"{name}={value}"}) as other:
            return other.get("/api/v1/status").status_code == 200

    with closing(house.eva()) as browser:
        first = secret(browser)
        browser.post("/confirm", data={"password": PASSWORD})
        second = secret(browser)
        assert not good(first)
        assert good(second)
        browser.post("/sign-out")
        assert not good(second)


@pytest.mark.parametrize(
    "cookie",
    [
        "cloister",
        "cloister=",
        "{name}",
        "{name}=",
        "{name}=x",
        "{name}=a; {name}=b",
        "{name}=%00",
        '{name}="',
        "{name}=\u00ff\u00fe",
        "=;;=;{name}",
        "{name}=" + "x" * 5000,
        "a=b; " * 3000 + "c=d",
    ],
)
def test_cookies_that_make_no_sense_are_nobodys(house, cookie):
    value = cookie.format(name=f"cloister-{port_of(house)}")
    with httpx.Client(base_url=house.url) as stranger:
        answer = stranger.get("/api/v1/status", headers={"cookie": value.encode("latin-1")})
    assert answer.status_code == 401
    assert dressed(answer)


def test_a_foreign_cookie_that_cannot_be_read_does_not_hide_the_sessions(house, eva):
    name = f"cloister-{port_of(house)}"
    secret = next(cookie.value for cookie in eva.cookies.jar if cookie.name == name)
    with httpx.Client(base_url=house.url) as browser:
        mixed = f'bad key="; \u00ff=; {{}}; {name}={secret}; other="\\"'.encode("latin-1")
        assert browser.get("/api/v1/status", headers={"cookie": mixed}).status_code == 200
        two = f"{name}=planted; {name}={secret}"
        assert browser.get("/api/v1/status", headers={"cookie": two}).status_code == 401, (
            "which of the two is open"
        )


def test_no_log_holds_a_secret(house, token, caplog):
    name = f"cloister-{port_of(house)}"
    with caplog.at_level(logging.DEBUG), closing(house.visitor()) as browser:
        browser.sign_in()
        browser.get("/nothing", params={"password": PASSWORD})
        secret = next(cookie.value for cookie in browser.cookies.jar if cookie.name == name)
        browser.post("/sign-in", data={"name": EVA, "password": "not-the-password-of-eva"})
        browser.get("/api/v1/status", headers={"authorization": f"Bearer {token}"})
        browser.post("/confirm", data={"password": PASSWORD})
    own = "\n".join(
        f"{record.name} {record.getMessage()}"
        for record in caplog.records
        if not record.name.startswith("http")
    )
    for value in (PASSWORD, "not-the-password-of-eva", secret, token, house.site.accounts.start_key):
        assert value not in own
