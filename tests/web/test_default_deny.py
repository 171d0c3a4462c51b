"""Every route names who may use it; what is open to all is a list that somebody has read."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from cloister.foundation.errors import NotAllowed
from cloister.people.roles import ALL
from cloister.web.guard import OPERATOR, GuardedRoute, allow, right_of
from cloister.web.routes import Routes

OPEN = {
    ("GET", "/"),
    ("GET", "/static/{version}/{name}"),
    ("GET", "/welcome"),
    ("POST", "/welcome"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-out"),
    ("POST", "/api/v1/passkeys/first/ask"),
    ("POST", "/api/v1/passkeys/first"),
    ("POST", "/api/v1/passkeys/sign-in/ask"),
    ("POST", "/api/v1/passkeys/sign-in"),
}


def routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]


@pytest.fixture(scope="module")
def app(houses):
    return houses["Ash"].serving._app


def test_every_route_is_guarded_and_names_a_right(app):
    assert len(app.routes) == len(routes(app)) > 40
    for route in routes(app):
        assert isinstance(route, GuardedRoute), route.path
        assert right_of(route) == "open" or right_of(route) in ALL, route.path


def test_what_is_open_to_all_is_this_and_nothing_else(app):
    found = {
        (method, route.path) for route in routes(app) if right_of(route) == "open" for method in route.methods
    }
    assert found == OPEN


def test_nobody_gets_anything_from_any_other_route(app, houses):
    with houses["Ash"].visitor() as nobody:
        for route in routes(app):
            if right_of(route) == "open":
                continue
            for method in route.methods:
                path = route.path.replace("{", "").replace("}", "")
                answer = nobody.request(method, path, follow_redirects=False)
                assert answer.status_code in {303, 401}, (method, path, answer.status_code)
                if answer.status_code == 303:
                    assert answer.headers["location"].startswith("/sign-in?"), path


def test_a_route_that_names_no_right_answers_nobody_not_even_the_operator():
    app = FastAPI()
    Routes(app, "Test")
    app.get("/forgotten")(lambda: "secret")
    (forgotten,) = [route for route in routes(app) if route.path == "/forgotten"]
    assert isinstance(forgotten, GuardedRoute)
    with pytest.raises(NotAllowed):
        allow(OPERATOR, right_of(forgotten))
