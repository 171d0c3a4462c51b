"""Events as they happen: in order, from where one left off, no more streams than there is room for."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import httpx
import pytest

from cloister.storage.events import Events
from cloister.web import streaming
from cloister.web.streaming import EACH_MOST, Sent


def ring(house, count=1, task=""):
    with house.node.durable.database.transaction() as tx:
        for number in range(count):
            Events(tx).add(task, 1, "test.rang", {"number": number})


def newest(house):
    return max((item["id"] for item in house.node.events(0, 0)), default=0)


def heard(browser, path, count, headers=None, begun=None):
    """The ids of the first `count` events of a kind that tests make."""
    found = []
    with browser.stream("GET", path, headers=headers or {}, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        if begun is not None:
            begun.set()
        last = None
        for line in answer.iter_lines():
            if line.startswith("id: "):
                last = int(line[4:])
            if line == "event: test.rang":
                found.append(last)
                if len(found) == count:
                    break
    return found


def test_what_happens_is_told_as_it_happens(houses):
    house, begun, found = houses["Ash"], threading.Event(), []
    since = newest(house)
    browser = house.eva()
    waiter = threading.Thread(
        target=lambda: found.extend(heard(browser, f"/api/v1/events/stream?since={since}", 2, begun=begun))
    )
    waiter.start()
    assert begun.wait(10)
    time.sleep(0.2)
    ring(house, 2)
    waiter.join(15)
    assert len(found) == 2
    assert found == sorted(found)


def test_whoever_comes_back_is_told_what_came_after_the_last_it_saw(houses):
    house = houses["Ash"]
    since = newest(house)
    ring(house, 3)
    with closing(house.eva()) as browser:
        first = heard(browser, f"/api/v1/events/stream?since={since}", 1)
        rest = heard(browser, f"/api/v1/events/stream?since={since}", 2, {"last-event-id": str(first[0])})
    assert first[0] not in rest
    assert len(rest) == 2


@pytest.mark.parametrize("last", ["-1", "x", "9" * 30, "\uff11\uff12", "1 or 1"])
def test_a_last_event_that_is_no_number_counts_as_none(houses, last):
    house = houses["Ash"]
    since = newest(house)
    ring(house)
    with closing(house.eva()) as browser:
        name = last.encode()
        assert heard(browser, f"/api/v1/events/stream?since={since}", 1, {b"last-event-id": name})


def test_so_many_streams_and_no_more_and_a_place_is_free_again_when_one_ends(houses):
    house = houses["Birch"]
    with closing(house.eva()) as browser:
        opened = []
        try:
            for _ in range(EACH_MOST):
                made = browser.send(
                    browser.build_request("GET", "/api/v1/events/stream", timeout=20), stream=True
                )
                assert made.status_code == 200
                opened.append(made)
            refused = browser.get("/api/v1/events/stream")
            assert refused.status_code == 403
            assert refused.json()["clause"] == "too-many-streams"
            assert browser.get("/api/v1/status").status_code == 200
        finally:
            for made in opened:
                made.close()
        end = time.monotonic() + 20
        while True:
            with browser.stream("GET", "/api/v1/events/stream", timeout=20) as again:
                if again.status_code == 200:
                    break
            assert time.monotonic() < end
            time.sleep(0.2)


def test_a_stream_ends_after_its_life_so_that_the_door_looks_again(houses, monkeypatch):
    monkeypatch.setattr(streaming, "LIFE", 0.5)
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.2)
    with (
        closing(houses["Ash"].eva()) as browser,
        browser.stream("GET", f"/api/v1/events/stream?since={newest(houses['Ash'])}", timeout=20) as answer,
    ):
        lines = list(answer.iter_lines())
    assert lines.count(":") >= 2
    assert not any(line.startswith("event: end") for line in lines)


def test_nobody_is_told_anything_who_has_not_signed_in(houses):
    with houses["Ash"].visitor() as nobody:
        assert nobody.get("/api/v1/events/stream").status_code == 401


def test_what_is_told_cannot_begin_another_event():
    text = Sent(7, "a\nevent: b", "one\r\nid: 9\n\nevent: end\u2028x").lines()
    assert text.startswith("id: 7\nevent: aevent: b\n")
    assert all(line.startswith("data: ") for line in text.splitlines()[2:] if line)
    assert text.count("\n\n") == 1
    assert Sent(1, "k", {"a": [1, None]}).lines() == 'id: 1\nevent: k\ndata: {"a":[1,null]}\n\n'


def test_the_socket_streams_too(houses):
    house = houses["Ash"]
    since = newest(house)
    ring(house)
    with (
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(house.site.folder.socket)), base_url="http://node"
        ) as http,
        http.stream("GET", f"/api/v1/events/stream?since={since}", timeout=20) as answer,
    ):
        assert any(line == "event: test.rang" for line in answer.iter_lines() if line.startswith("event"))
