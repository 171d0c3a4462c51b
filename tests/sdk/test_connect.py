"""Connecting over the network: with a token, under TLS that somebody trusts, and what is refused before a token is sent."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import cloister
from cloister.foundation.errors import BadInput, NotAllowed, NotFresh, NotSignedIn, Unreachable
from cloister.web.listening import PageAt
from cloister.web.server import Serving
from node.town import UNLOCK
from web.knocking import certificate, own_address
from web.street import EVA, PASSWORD, new_house, street

DAY = 24 * 3600


@pytest.fixture(scope="module")
def house():
    with street({"Ash": ["owner"]}) as houses:
        yield houses["Ash"]


def token_of(house, *rights):
    (person,) = house.site.accounts.all()
    return house.site.accounts.tokens.make(person.account, "sdk", rights, DAY)


def test_a_token_opens_what_it_was_made_for(house):
    token = token_of(house, "tasks.read", "datasets.read")
    with cloister.connect(url=house.url, token=token) as server:
        assert server.status()["name"] == "Ash"
        assert server.datasets.list() == []
        assert repr(server.tasks.list()) == "(none)"
        with pytest.raises(NotAllowed):
            server.agreements.list()
    assert token not in repr(server)


def test_a_token_never_signs(house):
    token = token_of(house, "tasks.read", "agreements.sign")
    with cloister.connect(url=house.url, token=token) as server, pytest.raises(NotFresh):
        server.agreements.propose({"a": 1})


def test_without_a_token_or_with_a_wrong_one_nobody_is_let_in(house):
    for token in (None, "nonsense"):
        with pytest.raises(NotSignedIn):
            cloister.connect(url=house.url, token=token)


def test_a_table_is_not_sent_to_a_server_elsewhere(house):
    token = token_of(house, "tasks.read", "datasets.write")
    with cloister.connect(url=house.url, token=token) as server, pytest.raises(BadInput, match="not sent"):
        server.datasets.add("tests", {"a": [1, 2]}, residency="DE")


@pytest.mark.parametrize(
    "url",
    [
        "http://plant.example",
        "http://192.0.2.7:8480",
        "ftp://localhost",
        "localhost:8480",
        "https://",
        "https://a:b@c.example",
    ],
)
def test_a_token_is_sent_nowhere_where_others_read_it(url, monkeypatch):
    monkeypatch.setattr("httpx.Client.request", lambda *_a, **_n: pytest.fail("something was sent"))
    with pytest.raises(BadInput):
        cloister.connect(url=url, token="a token")


def test_one_says_which_server(tmp_path):
    with pytest.raises(BadInput):
        cloister.connect(tmp_path, url="https://a.example")
    with pytest.raises(Unreachable):
        cloister.connect(tmp_path)
    with pytest.raises(Unreachable):
        cloister.connect(url="http://127.0.0.1:9", token="x")


def test_under_tls_a_certificate_has_to_be_trusted(tmp_path):
    address = own_address()
    pem, key = certificate(tmp_path, address)
    with tempfile.TemporaryDirectory(prefix="co-") as root, new_house(Path(root) / "n") as house:
        site = house.site
        site.accounts.first(EVA, PASSWORD, site.accounts.start_key)
        site.found("Ash", ["owner"], UNLOCK, UNLOCK)
        token = token_of(house, "tasks.read")
        with Serving(site, PageAt(address, 0, pem, key)) as serving:
            with cloister.connect(url=serving.url, token=token, ca=pem) as server:
                assert server.status()["name"] == "Ash"
            with pytest.raises(Unreachable, match="not reached"):
                cloister.connect(url=serving.url, token=token)
            with pytest.raises(BadInput):
                cloister.connect(url=serving.url, token=token, ca=key)


def test_no_proxy_of_the_environment_gets_the_token(house, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with cloister.connect(url=house.url, token=token_of(house, "tasks.read")) as server:
        assert server.status()["name"] == "Ash"
