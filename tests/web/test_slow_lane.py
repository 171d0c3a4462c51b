"""Tools at work do not make pages slow: they have threads of their own, and a number that is told."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloister.foundation.errors import BadInput
from cloister.web import slow
from web.toolhouse import PLAIN, tool_file, tool_house

USUAL_THREADS = 40
"""In which everything else is answered."""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("h"), people=True) as made:
        yield made


@pytest.fixture
def blocked(house, monkeypatch):
    """Every tool takes until the test is over; gives how many are at work."""
    began, go_on = threading.Semaphore(0), threading.Event()

    def takes_long(*_given):
        began.release()
        go_on.wait(60)
        raise BadInput("It was for a test.")

    monkeypatch.setattr(house.site.tools, "run", takes_long)
    monkeypatch.setattr(house.site.tools.shelf, "offer", takes_long)
    with ThreadPoolExecutor(USUAL_THREADS + 2) as pool:
        yield began, pool
        go_on.set()


def test_pages_are_answered_at_once_while_every_place_for_tools_is_taken(house, blocked, monkeypatch):
    began, pool = blocked
    monkeypatch.setattr(slow, "EACH", 100)
    monkeypatch.setattr(slow, "MOST", USUAL_THREADS)
    with contextlib.closing(house.eva()) as eva:

        def ask(path):
            return eva.post(path, files={"file": ("a.png", PLAIN)})

        places = ["/tools/discs", "/api/v1/tools/discs/samples", "/tools/install", "/api/v1/tool-offers"]
        asked = [pool.submit(ask, places[number % len(places)]) for number in range(USUAL_THREADS)]
        for _ in asked:
            assert began.acquire(timeout=20)
        begun = time.monotonic()
        assert eva.get("/").status_code == 200
        assert time.monotonic() - begun < 2
        for path in places:
            answer = ask(path)
            assert answer.status_code == 503, path
            assert int(answer.headers["retry-after"]) > 0
        assert "The tools are busy." in ask("/tools/discs").text


def test_one_person_takes_not_every_place(house, blocked, monkeypatch):
    began, pool = blocked
    monkeypatch.setattr(slow, "EACH", 2)
    house.site.accounts.add("Ben", ["operator"], "ten purple plums roll")
    with contextlib.closing(house.eva()) as eva, contextlib.closing(house.visitor()) as ben:
        ben.sign_in("Ben", "ten purple plums roll")

        def install(browser):
            return browser.post("/api/v1/tool-offers", files={"file": ("x.tool", tool_file())})

        for _ in range(2):
            pool.submit(install, eva)
            assert began.acquire(timeout=20)
        answer = install(eva)
        assert answer.status_code == 429
        assert answer.json()["clause"] == "too-often"
        assert int(answer.headers["retry-after"]) > 0
        pool.submit(install, ben)
        assert began.acquire(timeout=20)
