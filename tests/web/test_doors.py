"""The door on the network, as somebody who means ill would try it: names of hosts, origins, tokens."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest

from web.knocking import DAY, GOOD, dressed, port_of, raw, status
from web.street import EVA, PASSWORD


@pytest.fixture(scope="module")
def house(houses):
    return houses["Ash"]


@pytest.fixture(scope="module")
def eva(house):
    with closing(house.eva()) as browser:
        del browser.headers["origin"]
        yield browser


@pytest.fixture(scope="module")
def token(house):
    account = house.site.accounts.all()[0].account
    return house.site.accounts.tokens.make(account, "tests", ["tasks.read", "datasets.write"], DAY)


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:80",
        "127.0.0.1.nip.example",
        "user@localhost",
        "localhost/x",
        "localhost?x",
        "localhost#",
        "localhost:80:80",
        "localhost:http",
        "[::1",
        "loc\u0000alhost",
        "localhost,evil.example",
        " ",
        "0.0.0.0",
        "x" * 500,
    ],
)
def test_another_name_that_leads_here_is_refused_whatever_it_asks(house, eva, name):
    for path in ("/", "/static/x/y", "/api/v1/status", "/nothing"):
        answer = raw(house, f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        assert status(answer) in {421, 400}
        assert dressed(answer)
    if name.isascii() and name.isprintable() and name.strip():
        assert eva.get("/api/v1/status", headers={"host": name}).status_code == 421


def test_a_request_that_names_no_host_or_two_is_refused(house):
    assert status(raw(house, b"GET / HTTP/1.0\r\n\r\n")) == 421
    assert status(raw(house, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert status(raw(house, two)) == 400


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1", "127.0.0.1:8480", "[::1]:8480"])
def test_the_names_of_this_machine_are_answered(eva, name):
    assert eva.get("/api/v1/status", headers={"host": name}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost"},
        {"origin": "http://localhost:1"},
        {"origin": "https://localhost:{port}"},
        {"origin": "http://localhost:{port}.evil.example"},
        {"origin": "http://localhost:{port}/"},
        {"origin": "HTTP://LOCALHOST:{port}"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": "http://localhost:{port}"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"sec-fetch-site": "Same-Origin"},
        {"referer": "http://localhost:{port}/"},
        {"authorization": "Basic QTpC"},
        {"authorization": "bearer"},
    ],
)
def test_under_a_cookie_nothing_changes_unless_this_page_sent_it(house, eva, headers):
    given = {name: value.format(port=port_of(house)) for name, value in headers.items()}
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"):
        answer = eva.request(method, "/api/v1/parties", headers=given, json={})
        assert answer.status_code == 403
        assert "refused" in answer.text
        assert dressed(answer)


@pytest.mark.parametrize(
    "headers",
    [
        GOOD,
        {"origin": "http://localhost:{port}"},
        {"origin": "http://127.0.0.1:{port}"},
        {"sec-fetch-site": "same-origin", "origin": "http://localhost:{port}"},
    ],
)
def test_what_this_page_sent_is_looked_at(house, eva, headers):
    given = {name: value.format(port=port_of(house)) for name, value in headers.items()}
    assert eva.post("/api/v1/parties", headers=given, json={}).status_code == 422


def test_signing_in_takes_this_page_too(house):
    with httpx.Client(base_url=house.url) as elsewhere:
        answer = elsewhere.post(
            "/sign-in", data={"name": EVA, "password": PASSWORD}, headers={"origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_a_cookie_does_not_count_for_what_another_page_loads_in_passing(eva, site):
    for mode, goal in (
        ("no-cors", "image"),
        ("cors", "empty"),
        ("navigate", "iframe"),
        ("navigate", "embed"),
    ):
        loaded = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": goal}
        assert eva.get("/api/v1/status", headers=loaded).status_code == 401
    followed = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert eva.get("/api/v1/status", headers=followed).status_code == 200


def test_no_answer_lets_another_origin_read_it(eva, token):
    for headers in ({"origin": "https://evil.example"}, {"authorization": f"Bearer {token}"}):
        for method in ("GET", "OPTIONS"):
            answer = eva.request(method, "/api/v1/status", headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_token_counts_in_its_header_and_nowhere_else(house, token):
    with httpx.Client(base_url=house.url) as program:
        good = {"authorization": f"Bearer {token}"}
        assert program.get("/api/v1/status", headers=good).status_code == 200
        assert program.get("/api/v1/status", headers={"authorization": f"bEaReR {token}"}).status_code == 200
        for elsewhere in ("token", "access_token", "authorization"):
            assert program.get("/api/v1/status", params={elsewhere: token}).status_code == 401
        name = f"cloister-{port_of(house)}"
        for headers in (
            {"cookie": f"{name}={token}"},
            {"x-api-key": token},
            {"authorization": f"Token {token}"},
            {"authorization": f"Bearer {token}x"},
            {"authorization": f"Bearer {token[:-1]}"},
            {"proxy-authorization": f"Bearer {token}"},
        ):
            assert program.get("/api/v1/status", headers=headers).status_code == 401, headers
        assert program.post("/api/v1/status", json={"token": token}).status_code == 403


def test_a_token_has_what_it_was_made_for_and_never_signs(house, token):
    with httpx.Client(base_url=house.url, headers={"authorization": f"Bearer {token}"}) as program:
        assert program.get("/api/v1/agreements").status_code == 403
        assert program.post("/api/v1/datasets", json={}).status_code == 422, "no page is needed"
        account = house.site.accounts.all()[0].account
    signing = house.site.accounts.tokens.make(account, "signs", ["agreements.sign", "tasks.read"], DAY)
    with httpx.Client(base_url=house.url, headers={"authorization": f"Bearer {signing}"}) as program:
        answer = program.post("/api/v1/agreements", json={"terms": {}})
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:cloister:problem:not-fresh"


def test_a_request_with_a_cookie_and_a_token_counts_as_the_tokens(eva, token):
    with_both = {"authorization": f"Bearer {token}"}
    assert eva.get("/api/v1/status", headers=with_both).status_code == 200
    assert eva.get("/api/v1/agreements", headers=with_both).status_code == 403, (
        "the cookie's rights are not added"
    )
    assert eva.get("/api/v1/status", headers={"authorization": "Bearer nonsense"}).status_code == 401


def test_an_ended_a_revoked_and_a_disabled_persons_token_are_nobodys(house):
    accounts = house.site.accounts
    cy = accounts.add("Cy", ["analyst"], "eight purple plums roll")
    made = accounts.tokens.make(cy.account, "one", ["tasks.read"], DAY)
    other = accounts.tokens.make(cy.account, "two", ["tasks.read"], DAY)
    with httpx.Client(base_url=house.url) as program:

        def asked(secret):
            return program.get("/api/v1/status", headers={"authorization": f"Bearer {secret}"}).status_code

        assert asked(made) == asked(other) == 200
        (digest,) = [item.digest for item in accounts.tokens.of(cy.account) if item.title == "one"]
        accounts.tokens.revoke(cy.account, digest)
        assert (asked(made), asked(other)) == (401, 200)
        accounts.change(cy.account, enabled=False)
        assert asked(other) == 401
