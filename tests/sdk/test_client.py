"""The client over a real Unix socket: the node's answers, and its errors as the same errors."""

from __future__ import annotations

import stat
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest

from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import BadInput, CloisterError, NotFound, Unreachable
from cloister.node.node import Node
from cloister.node.setup import init_node
from cloister.sdk.client import Client
from cloister.storage.events import Events
from cloister.web.server import Serving
from cloister.web.site import Site
from node.town import UNLOCK, LocalEngines


@pytest.fixture(scope="module")
def node():
    with tempfile.TemporaryDirectory(prefix="sdk-") as root:
        place = Path(root) / "n"
        init_node(place, "Ash", ["owner"], UNLOCK, UNLOCK, SystemClock())

        def make(folder, unlock, clock, database):
            return Node(
                folder, unlock, clock, connect=lambda _ends: None, engines=LocalEngines, database=database
            )

        site = Site(place, make=make)
        try:
            site.open(UNLOCK)
            with Serving(site, None):
                yield site.node
        finally:
            site.close()


@pytest.fixture(scope="module")
def folder(node):
    return node.folder.root


@pytest.fixture
def client(folder):
    with Client(folder) as made:
        made.wait_ready()
        yield made


def test_the_socket_is_the_operators_alone(folder):
    assert stat.S_IMODE((folder / "node.sock").stat().st_mode) == 0o600


def test_a_node_says_who_it_is(client):
    told = client.status()
    assert told["name"] == "Ash"
    assert told["relay"] == {"hub": None, "reached": False}


def test_errors_arrive_as_what_they_are(client):
    with pytest.raises(NotFound) as caught:
        client.task("sha256:" + "0" * 64)
    assert caught.value.remedy
    with pytest.raises(BadInput) as caught:
        client.post("/datasets", {"source": 7})
    assert caught.value.what
    with pytest.raises(NotFound):
        client.get("/nothing/here")
    with pytest.raises(BadInput):
        client.post("/agreements/sha256:" + "0" * 64 + "/state", {"to": "nonsense"})


@pytest.mark.parametrize("path", ["/agreements", "/tasks", "/plans", "/models", "/parties"])
@pytest.mark.parametrize(
    "body", [{}, {"plan": {}}, {"terms": {}}, {"content": "***"}, {"cards": [{}]}, {"extra": 1}]
)
def test_malformed_requests_are_problem_documents(client, path, body):
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(client.folder / "node.sock")), base_url="http://node"
    ) as http:
        answer = http.post(f"/api/v1{path}", json=body)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["title"]
    assert problem["status"] == answer.status_code


def test_events_are_handed_out_as_they_happen(client, folder, node):
    since = max([item["id"] for item in client.events(0)], default=0)
    found = []
    waiter = threading.Thread(target=lambda: found.extend(Client(folder).events(since, wait=25)))
    waiter.start()
    time.sleep(0.3)
    with node.durable.database.transaction() as tx:
        Events(tx).add("", 1, "test.rang", {"by": "a bell"})
    waiter.join(20)
    assert [item["kind"] for item in found] == ["test.rang"]


def test_what_fails_inside_tells_its_class_and_no_values(client, node, monkeypatch, caplog):
    def fails():
        raise ValueError("a secret value")

    monkeypatch.setattr(node, "status", fails)
    with pytest.raises(CloisterError) as caught:
        client.status()
    assert "secret value" not in str(caught.value)
    assert "secret value" not in caplog.text


def test_a_node_that_does_not_run_is_unreachable(tmp_path):
    with Client(tmp_path) as client, pytest.raises(Unreachable) as caught:
        client.status()
    assert "cloister node up" in caught.value.remedy
