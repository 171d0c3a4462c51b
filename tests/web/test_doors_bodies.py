"""Bodies that are too large, too slow or made to break their reader; connections that never end."""

from __future__ import annotations

import contextlib
import re
import socket
import time

import httpx
import pytest

from cloister.web import connections, gate, guard
from web.knocking import DAY, dressed, ended, port_of, raw, status


@pytest.fixture(scope="module")
def house(houses):
    return houses["Ash"]


@pytest.fixture(scope="module")
def token(house):
    account = house.site.accounts.all()[0].account
    return house.site.accounts.tokens.make(account, "tests", ["tasks.read", "datasets.write"], DAY)


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(house, token):
    request = (
        f"POST /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {1 << 40}\r\n\r\n"
    )
    answer = raw(house, request.encode())
    assert status(answer) == 413
    assert dressed(answer)


def test_a_body_that_does_not_tell_its_length_is_refused_where_it_becomes_too_large(house, token):
    sent = 0

    def pieces():
        nonlocal sent
        for _ in range(400):
            sent += 65536
            yield b" " * 65536

    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    with httpx.Client(base_url=house.url, headers=headers) as program:
        try:
            answer = program.post("/api/v1/datasets", content=pieces())
        except httpx.WriteError:
            return
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:cloister:problem:too-large"


def test_a_stranger_is_refused_before_a_body_is_read(house):
    request = (
        b"POST /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    begun = time.monotonic()
    assert status(raw(house, request)) == 401
    assert time.monotonic() - begun < 5


def test_a_body_that_comes_too_slowly_is_given_up(house, token, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    request = (
        f"POST /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    answer = raw(house, request.encode())
    assert status(answer) == 408
    assert dressed(answer)


def test_whoever_sent_much_at_once_does_not_rest_on_it(house, token, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    request = (
        f"POST /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{' ' * 900_000}"
    )
    begun = time.monotonic()
    assert status(raw(house, request.encode(), wait=5)) == 408
    assert time.monotonic() - begun < 4


def test_a_head_that_comes_too_slowly_ends_the_connection(house, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    for begun in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
        with socket.create_connection(("127.0.0.1", port_of(house)), timeout=5) as connection:
            connection.sendall(begun)
            assert ended(connection)
    with socket.create_connection(("127.0.0.1", port_of(house)), timeout=5) as connection:
        connection.sendall(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET")
        assert ended(connection), "the second request of a connection has no more time than the first"


def test_whoever_does_not_read_the_answer_is_not_waited_for(house, monkeypatch):
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.5)
    with house.visitor() as browser:
        name = re.search(r'/static/[^"]+\.css', browser.get("/sign-in").text)[0]
        size = len(browser.get(name).content)
    asked = 1 + (64 << 20) // size
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", port_of(house)))
        request = f"GET {name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with contextlib.suppress(OSError):
            connection.sendall(request * asked)
        time.sleep(2)
        read = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                read += len(part)
        assert read < asked * size // 2, "it was given up, not told to the end"


def test_strangers_who_open_connections_do_not_keep_others_out(house, monkeypatch):
    monkeypatch.setattr(gate, "MOST", 20)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    held = [socket.create_connection(("127.0.0.1", port_of(house)), timeout=5) for _ in range(60)]
    try:
        time.sleep(2.5)
        with house.visitor() as browser:
            assert browser.get("/sign-in").status_code == 200
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b'{"source": NaN, "fields": {}}',
        b'{"source": 1' + b"0" * 10_000 + b', "fields": {}}',
        b'{"source": "\\ud800", "fields": {}}',
        b'{"source": "\\u0000", "fields": {}}',
        b'{"source": "x", "fields": {"a": NaN}}',
        b'{"source": "x", "fields": {"a": 1' + b"0" * 5000 + b"}}",
        b"null",
        b"",
    ],
)
def test_bodies_that_try_the_reader_are_refused_as_problems(house, token, body):
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    with httpx.Client(base_url=house.url, headers=headers, timeout=30) as program:
        answer = program.post("/api/v1/datasets", content=body)
    assert answer.status_code in {400, 403, 404, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
