"""One budget for everything that comes in: counted as it comes, shared between callers, given back."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from cloister.foundation.errors import Unreachable
from cloister.web import held
from cloister.web.guard import MODEL_BODY_MOST, GuardedRoute
from cloister.web.held import SMALL, Held, held_of
from web.toolhouse import PLAIN, tool_house


def test_what_counts_is_what_came_beyond_the_first_part(monkeypatch):
    monkeypatch.setattr(held, "EACH_MOST", 100)
    monkeypatch.setattr(held, "HELD_MOST", 150)
    found = Held()
    with found.share("Ada") as take:
        take(SMALL)
        assert found.total() == 0
        take(60)
        with found.share("Ada") as again, pytest.raises(Unreachable, match="busy"):
            again(SMALL + 50)
        with found.share("Ben") as other:
            other(SMALL + 90)
            assert found.total() == 150
            with pytest.raises(Unreachable, match="busy") as caught:
                take(1)
            assert caught.value.detail["retry_after"] > 0
    assert found.total() == 0, "given back, also what was refused"


def test_every_route_may_take_what_it_says_from_one_caller(tmp_path):
    with tool_house(tmp_path) as house:
        routes = house.serving._app.routes
        most = [
            (route.openapi_extra or {}).get("x-cloister-body-bytes", 0)
            for route in routes
            if isinstance(route, GuardedRoute)
        ]
    assert MODEL_BODY_MOST in most
    assert max(most) <= held.EACH_MOST < held.HELD_MOST


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("h"), people=True) as made:
        yield made


def test_who_says_much_and_sends_nothing_keeps_nobody_out(house, monkeypatch):
    monkeypatch.setattr(held, "HELD_MOST", 1 << 20)
    with contextlib.ExitStack() as stack:
        eva = stack.enter_context(contextlib.closing(house.eva()))
        cookie = "; ".join(f"{item.name}={item.value}" for item in eva.cookies.jar)
        for _ in range(4):
            head = (
                f"POST /tools/discs HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\ncookie: {cookie}\r\n"
                f"content-type: multipart/form-data; boundary=x\r\ncontent-length: {200 << 20}\r\n\r\n"
            )
            line = stack.enter_context(socket.create_connection((eva.base_url.host, eva.base_url.port)))
            line.sendall(head.encode())
        time.sleep(0.3)
        assert eva.post("/tools/discs", files={"file": ("a.png", PLAIN)}).status_code == 200


def test_large_json_and_files_share_one_budget_and_come_again_later(house, monkeypatch):
    monkeypatch.setattr(held, "HELD_MOST", 1 << 20)
    with contextlib.closing(house.eva()) as eva:
        answer = eva.post("/api/v1/models", json={"content": "A" * (2 << 20)})
        assert answer.status_code == 503
        assert answer.json()["clause"] == "busy"
        assert answer.headers["retry-after"] == "30"
        with held_of(house.serving._app).share("somebody else") as take:
            take(SMALL + (1 << 20))
            answer = eva.post("/tools/discs", files={"file": ("a.png", PLAIN + bytes(SMALL))})
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "30"
            with contextlib.closing(house.visitor()) as another:
                assert another.sign_in().status_code == 200, "a small form has its room"
        assert eva.post("/tools/discs", files={"file": ("a.png", PLAIN)}).status_code == 200
    assert held_of(house.serving._app).total() == 0
