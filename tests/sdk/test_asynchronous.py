"""Nothing that a program awaits asks the server on the event loop: every request goes out from another thread."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading

import httpx
import pytest

from cloister.foundation.errors import NotFound
from cloister.sdk.asynchronous import AsyncCloister, Awaited
from cloister.sdk.client import Client
from cloister.sdk.records import Agreement, Release
from cloister.sdk.server import Cloister

DIGEST = "sha256:" + "ab" * 32
ANSWERS = {
    "/api/v1/agreements": [{"agreement": DIGEST, "title": "Bending", "state": "proposed"}],
    f"/api/v1/agreements/{DIGEST}": {"agreement": DIGEST, "title": "Bending", "text": "In plain words."},
    "/api/v1/releases": [{"release": DIGEST, "kind": "model"}],
    f"/api/v1/releases/{DIGEST}": {"release": DIGEST, "kind": "model", "text": "Approved by two."},
    "/api/v1/plans": {"text": "Nobody sees a record.", "plan": {}, "task": DIGEST},
}


@pytest.fixture
def asked():
    """A server's answers, and the threads from which they were asked for."""
    threads: list[tuple[str, int]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        threads.append((request.url.path, threading.get_ident()))
        found = ANSWERS.get(request.url.path)
        return httpx.Response(200, content=json.dumps(found)) if found is not None else httpx.Response(404)

    client = Client(url="http://localhost")
    client._http = httpx.Client(base_url="http://localhost", transport=httpx.MockTransport(answer))
    with Cloister(client) as server:
        yield AsyncCloister(server), threads


def off_the_loop(threads):
    return bool(threads) and all(thread != threading.get_ident() for _, thread in threads)


def test_a_property_that_asks_the_server_is_awaited(asked):
    server, threads = asked

    async def read():
        (agreement,) = await server.agreements.list()
        assert agreement.title == "Bending"  # what is known already is at hand
        assert agreement.id == DIGEST
        del threads[:]
        (release,) = await server.releases.list()
        return await agreement.text, await release.text

    assert asyncio.run(read()) == ("In plain words.", "Approved by two.")
    assert [path for path, _ in threads][1:] == [f"/api/v1/agreements/{DIGEST}", f"/api/v1/releases/{DIGEST}"]
    assert off_the_loop(threads)


def test_the_records_of_a_table_are_awaited_and_the_table_is_still_one(asked):
    server, threads = asked

    async def read():
        table = await server.agreements.list()
        assert isinstance(table[0], Awaited)
        assert "Bending" in repr(table)
        assert table.to_arrow().column("agreement").to_pylist() == [DIGEST]
        return await table[0].refresh()

    asyncio.run(read())
    assert off_the_loop(threads)


def test_a_record_goes_back_by_place_and_by_name(asked):
    server, threads = asked

    async def planned():
        agreement = await server.agreements.get(DIGEST)
        by_place = await server.ask.plan(agreement, {"kind": "training"})
        by_name = await server.ask.plan(agreement=agreement, computation={"kind": "training"})
        return by_place.text, by_name.text

    assert asyncio.run(planned()) == ("Nobody sees a record.",) * 2
    assert off_the_loop(threads)


def test_errors_of_what_is_awaited_are_those_of_the_server(asked):
    server, _ = asked

    async def missing():
        await server.agreements.get("sha256:" + "0" * 64)

    with pytest.raises(NotFound):
        asyncio.run(missing())


@pytest.mark.parametrize("kind", [Agreement, Release])
def test_every_other_property_of_a_record_asks_nobody(kind):
    class Unasked:
        def __getattr__(self, name):
            raise AssertionError(name)

    facts = dict.fromkeys(kind.columns, DIGEST)
    record = Awaited(kind(Unasked(), facts))
    for name, found in inspect.getmembers(kind, lambda item: type(item) is property):
        assert found.fget is not None
        assert getattr(record, name) == DIGEST
