"""The page on another address under TLS, and behind a proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl

import httpx
import pytest

from cloister.web.doors import Address, NetworkDoor
from cloister.web.listening import PageAt
from cloister.web.server import Serving
from cloister.web.site import Site
from web.knocking import certificate, dressed, own_address
from web.street import EVA, PASSWORD


@pytest.fixture(scope="module")
def house(houses):
    return houses["Ash"]


def test_on_another_address_the_page_speaks_tls_and_its_cookie_is_for_that_only(tmp_path):
    address = own_address()
    pem, key = certificate(tmp_path, address)
    site = Site(tmp_path / "n")
    try:
        site.accounts.first(EVA, PASSWORD, site.accounts.start_key)
        at = PageAt(address, 0, pem, key)
        with Serving(site, at) as serving:
            assert serving.url.startswith(f"https://{address}:")
            trusted = ssl.create_default_context(cafile=str(pem))
            with httpx.Client(
                base_url=serving.url, verify=trusted, headers={"origin": serving.url}
            ) as browser:
                answer = browser.post("/sign-in", data={"name": EVA, "password": PASSWORD})
                port = httpx.URL(serving.url).port
                cookies = sorted(answer.headers.get_list("set-cookie"))
                for cookie, name in zip(cookies, ("cloister", "cloister-visitor"), strict=True):
                    assert cookie.startswith(f"__Host-{name}-{port}=")
                    assert {"secure", "httponly", "samesite=strict", "path=/"} <= {
                        part.strip().lower() for part in cookie.split(";")
                    }
                assert "strict-transport-security" in answer.headers
                assert dressed(answer)
                assert browser.get("/people", headers={"host": f"localhost:{port}"}).status_code == 421
                plain = {"origin": serving.url.replace("https", "http")}
                assert browser.post("/sign-out", headers=plain).status_code == 403
            with socket.create_connection((address, port), timeout=5) as plain_http:
                plain_http.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert not plain_http.recv(100).startswith(b"HTTP/1.1 2")
    finally:
        site.close()


def test_on_another_address_a_visitor_is_nobody_while_there_is_no_account(tmp_path):
    address = own_address()
    pem, key = certificate(tmp_path, address)
    site = Site(tmp_path / "n")
    try:
        with Serving(site, PageAt(address, 0, pem, key)) as serving:
            trusted = ssl.create_default_context(cafile=str(pem))
            with httpx.Client(base_url=serving.url, verify=trusted) as browser:
                assert browser.get("/tools").status_code == 303
                assert browser.get("/welcome").status_code == 200
    finally:
        site.close()


def test_behind_a_proxy_the_page_answers_to_its_name_and_believes_no_forwarded_headers(tmp_path):
    site = Site(tmp_path / "n")
    try:
        site.accounts.first(EVA, PASSWORD, site.accounts.start_key)
        door = PageAt(port=0, origin="https://plant.example")
        with Serving(site, door) as serving:
            assert serving.url == "https://plant.example"
            listening = serving._servers[-1]._socket.getsockname()[1]
            base = f"http://127.0.0.1:{listening}"
            origin = {"origin": "https://plant.example"}
            with httpx.Client(base_url=base, headers={"host": "plant.example"}) as proxy:
                assert proxy.get("/", headers={"host": "localhost"}).status_code == 421
                assert proxy.get("/", headers={"x-forwarded-host": "evil.example"}).status_code == 303
                form = {"name": EVA, "password": PASSWORD}
                assert proxy.post("/sign-in", data=form, headers={"origin": base}).status_code == 403
                answer = proxy.post(
                    "/sign-in", data=form, headers=origin | {"x-forwarded-for": "203.0.113.9"}
                )
                cookies = sorted(answer.headers.get_list("set-cookie"))
                for cookie, name in zip(cookies, ("cloister-visitor", "cloister"), strict=True):
                    assert cookie.startswith(f"__Host-{name}=")
                    assert "secure" in cookie.lower()
            (account,) = site.accounts.all()
            assert [session.address for _, session in site.accounts.sessions(account.account)] == [
                "127.0.0.1"
            ]
    finally:
        site.close()


def test_a_door_answers_nothing_but_http(house):
    called = []

    async def app(_scope, _receive, _send):
        called.append("app")

    door = NetworkDoor(app, house.site.accounts, Address(frozenset(), frozenset(), secure=False))
    asyncio.run(door({"type": "websocket"}, None, None))
    assert not called
