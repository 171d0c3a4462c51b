"""Lists in pages: every entry once, in order, whatever comes and goes meanwhile."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from cloister.sdk.client import Client
from cloister.web import problems
from cloister.web.guard import OPERATOR, WHO
from cloister.web.paging import MOST
from cloister.web.routes import Routes


class Letters:
    """An interface with one list."""

    def __init__(self, names):
        self.names = list(names)
        self.app = FastAPI()
        problems.add(self.app, _Pages())

        @Routes(self.app, "Letters").listing("/api/v1/letters", "tasks.read", "name")
        def letters(only: str = "") -> list[dict[str, str]]:
            return [{"name": name} for name in self.names if only in {"", name[0]}]

        async def as_operator(scope, receive, send):
            scope[WHO] = OPERATOR
            await self.app(scope, receive, send)

        self.http = TestClient(as_operator, raise_server_exceptions=False)

    def page(self, address="/api/v1/letters?limit=3"):
        answer = self.http.get(address)
        assert answer.status_code == 200, answer.text
        link = answer.links.get("next")
        return [item["name"] for item in answer.json()], link and link["url"]


def of_the_request(request: Request, response: Response) -> list[dict[str, str]]:
    response.headers["x-own"] = "yes"
    return [{"name": name} for name in request.query_params["of"]]


def under_other_names(
    asked: Annotated[Request, "how"], answer: Annotated[Response, "so"], of: str = ""
) -> Any:
    assert asked.query_params["of"] == of
    answer.headers["x-own"] = "yes"
    return [{"name": name} for name in of]


@pytest.mark.parametrize("handle", [of_the_request, under_other_names])
def test_a_handler_may_ask_for_the_request_itself(handle):
    app = FastAPI()
    problems.add(app, _Pages())
    Routes(app, "Names").listing("/api/v1/names", "tasks.read", "name")(handle)

    async def as_operator(scope, receive, send):
        scope[WHO] = OPERATOR
        await app(scope, receive, send)

    answer = TestClient(as_operator).get("/api/v1/names?of=abc&limit=2")
    assert answer.json() == [{"name": "a"}, {"name": "b"}]
    assert answer.headers["x-own"] == "yes"
    assert "of=abc" in answer.links["next"]["url"]


class _Pages:
    @staticmethod
    def caller(request):
        return request.scope[WHO]


def test_who_follows_the_links_gets_every_entry_once_in_order():
    letters = Letters("abcdefgh")
    found, address = [], "/api/v1/letters?limit=3"
    while address:
        told, address = letters.page(address)
        assert len(told) <= 3
        found += told
    assert found == list("abcdefgh")


def test_what_is_added_or_taken_away_meanwhile_neither_repeats_nor_hides_another():
    letters = Letters("bdfhj")
    told, following = letters.page()
    assert told == ["b", "d", "f"]
    letters.names = ["a", "b", "d", "f", "h", "j"]
    assert letters.page(following)[0] == ["h", "j"]
    letters.names = ["d", "f", "h", "j"]
    assert letters.page(following)[0] == ["h", "j"]
    letters.names = ["b", "d", "h", "j"]
    assert letters.page(following)[0] == ["j"], "its place counts where the entry itself went"
    letters.names = ["a"]
    assert letters.page(following) == ([], None)


def test_the_rest_of_the_question_stands_in_the_link():
    letters = Letters(["aa", "ab", "ba", "ac", "bb", "ad"])
    told, following = letters.page("/api/v1/letters?limit=2&only=a")
    assert told == ["aa", "ab"]
    assert letters.page(following)[0] == ["ac", "ad"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", f"limit={MOST + 1}", "limit=x", "cursor=%00", "cursor=x", "cursor=" + "A" * 700]
    + [
        "cursor=" + base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        for value in ([], [1], [1, 2], ["a", "b"], [-1, "a"], [True, "a"], {"a": 1}, [1, "a", 2], 7)
    ],
)
def test_a_page_that_makes_no_sense_is_refused(query):
    answer = Letters("abc").http.get(f"/api/v1/letters?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_place_beyond_the_end_is_the_end():
    far = base64.urlsafe_b64encode(json.dumps([10**15, "zz"]).encode()).decode().rstrip("=")
    assert Letters("abc").page(f"/api/v1/letters?cursor={far}") == ([], None)


LISTS = {
    "/api/v1/agreements",
    "/api/v1/datasets",
    "/api/v1/catalogue",
    "/api/v1/parties",
    "/api/v1/tasks",
    "/api/v1/releases",
}


def test_every_list_of_the_interface_comes_in_pages(houses):
    app = houses["Ash"].serving._app
    paged = {
        route.path
        for route in app.routes
        if isinstance(route, APIRoute)
        and {"limit", "cursor"} <= {item.name for item in route.dependant.query_params}
    }
    assert paged >= LISTS


def test_the_client_follows_by_itself(houses):
    with Client(houses["Ash"].site.folder.root) as client, closing(houses["Ash"].eva()) as browser:
        whole = client.get("/parties")
        assert len(whole) >= 1
        first = browser.get("/api/v1/parties", params={"limit": 1})
        assert len(first.json()) == 1
        houses["Ash"].node.parties.accept_chain(
            houses["Birch"].node.parties.chain(houses["Birch"].node.party)
        )
        found = client.get("/parties", limit=1)
        assert [item["party"] for item in found] == sorted({item["party"] for item in found})
        assert len(found) == 2
