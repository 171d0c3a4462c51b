"""Heads of requests with tricks, and the headers of every answer."""

from __future__ import annotations

import logging
import re
from contextlib import closing

import httpx
import pytest

from cloister.web.accounts import Accounts
from web.knocking import GOOD, dressed, raw, status


@pytest.fixture(scope="module")
def house(houses):
    return houses["Ash"]


@pytest.fixture(scope="module")
def eva(house):
    with closing(house.eva()) as browser:
        del browser.headers["origin"]
        yield browser


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost/api/v1/status",
        "http://evil.example/",
        "//evil.example/",
        "/api//v1/status",
        "/api/v1/../v1/status",
        "/static/../../../../etc/passwd",
        "/static/x/..%2f..%2f..%2fetc%2fpasswd",
        "/static/x/%2e%2e/%2e%2e/etc/passwd",
        "/static/x/..\\..\\windows",
        "/static/x/%5c..%5cwindows",
        "/static/x/%00",
        "/api/v1/tasks/a%0d%0aset-cookie:x",
        "/api/v1/tasks/%2E%2E",
        "/./",
        "/api/v1/tasks/%ff",
        "/api/v1/tasks/%E2%80%AE",
        "*",
        "api/v1/status",
    ],
)
def test_an_address_with_tricks_is_refused_before_anything_else(house, target):
    answer = raw(house, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status(answer) == 400
    assert dressed(answer)
    assert b"root:" not in answer


def test_a_percent_sign_that_hides_nothing_is_fine(eva):
    assert eva.get("/api/v1/tasks/sha256%3A" + "0" * 64).status_code == 404
    assert eva.get("/api/%761/status").status_code == 200


def test_very_long_addresses_and_heads_are_refused(house):
    for target in ("/" + "a" * 9000, "/?" + "a" * 9000):
        answer = raw(house, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert status(answer) == 414
        assert dressed(answer)
    for request in (b"GET /" + b"a" * 200_000, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 40_000):
        try:
            answer = raw(house, request)
        except ConnectionError:
            continue  # closed while it still came
        assert not answer or (status(answer) in {400, 414, 431} and dressed(answer))


@pytest.mark.parametrize("name", ["Authorization", "Origin", "Sec-Fetch-Site", "Cookie", "Content-Type"])
def test_a_header_that_counts_comes_once(house, name):
    doubled = f"GET / HTTP/1.1\r\nHost: localhost\r\n{name}: a\r\n{name}: b\r\nConnection: close\r\n\r\n"
    assert status(raw(house, doubled.encode())) == 400


@pytest.mark.parametrize(
    "head_",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 0x10",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
    ],
)
def test_a_body_whose_length_is_told_in_two_ways_or_none_is_refused(house, head_):
    request = f"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n{head_}\r\nConnection: close\r\n\r\n0\r\n\r\n"
    answer = raw(house, request.encode())
    assert status(answer) in {400, 501}
    assert dressed(answer)


def test_what_is_no_http_is_told_so_with_the_headers_of_every_answer(house):
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"HELLO\r\n\r\n", b"\r\n\r\n\x00\r\n\r\n"):
        answer = raw(house, noise)
        assert status(answer) == 400
        assert dressed(answer)


def test_methods_that_a_route_has_not_are_told_so(eva, house):
    for method in ("HEAD", "OPTIONS"):
        answer = eva.request(method, "/api/v1/status")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET"
        assert dressed(answer)
    answer = eva.request("DELETE", "/api/v1/status", headers=GOOD)
    assert answer.status_code == answer.json()["status"] == 405
    assert status(
        raw(house, b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    ) in {400, 403}


def test_an_upgrade_to_another_protocol_is_not_made(house):
    request = (
        b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert status(raw(house, request)) == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sign-in"),
        ("GET", "/"),
        ("GET", "/static/none/none.js"),
        ("GET", "/nothing"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1/status"),
        ("POST", "/sign-in"),
        ("HEAD", "/"),
        ("PUT", "/api/v1/status"),
    ],
)
def test_no_answer_may_be_framed_sniffed_or_kept(house, method, path):
    with httpx.Client(base_url=house.url) as anybody:
        answer = anybody.request(method, path, headers=GOOD)
    assert dressed(answer)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


def test_what_fails_inside_is_dressed_too_and_tells_no_values(house, eva, monkeypatch, caplog):
    def fails():
        raise ValueError("a secret value")

    monkeypatch.setattr(house.node, "status", fails)
    answer = eva.get("/api/v1/status")
    assert answer.status_code == answer.json()["status"] == 500
    assert dressed(answer)
    assert "secret value" not in answer.text + caplog.text


def test_what_fails_at_the_door_lets_nobody_in_and_tells_no_values(house, eva, monkeypatch, caplog):
    def fails(_self, _cookie):
        raise ValueError("a secret value")

    monkeypatch.setattr(Accounts, "caller", fails)
    with caplog.at_level(logging.DEBUG):
        answer = eva.get("/api/v1/status")
    assert answer.status_code == 500
    assert dressed(answer)
    assert "secret value" not in answer.text + caplog.text
    assert "ValueError" in caplog.text


def test_files_of_the_page_are_kept_and_dressed(house):
    with house.visitor() as browser:
        name = re.search(r'/static/[^"]+\.css', browser.get("/sign-in").text)[0]
        answer = browser.get(name)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert dressed(answer)
