"""The interface's description is whole, and the interface is as it says: schemathesis asks what it describes, and what it does not."""

from __future__ import annotations

from contextlib import closing

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cloister.people.roles import ALL
from cloister.web.guard import BINDING
from web.street import street

DAY = 24 * 3600
# What runs for minutes, streams for ever, or replaces the whole server's file.
LEFT_OUT = r"/(events/stream|stream|bench|backup)$"
SIGNS = BINDING | {"own-account"}
# What ends the very session that asks.
ENDS = frozenset({"people.manage", "own-account", "open"})
OURS = frozenset(
    {"authorization", "cookie", "host", "sec-fetch-site", "origin", "content-length", "transfer-encoding"}
)
EXAMPLES = 4
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def house():
    with street({"Ash": ["owner"]}) as houses:
        yield houses["Ash"]


@pytest.fixture(scope="module")
def token(house):
    (person,) = house.site.accounts.all()
    return house.site.accounts.tokens.make(person.account, "schemathesis", sorted(ALL - SIGNS), DAY)


@pytest.fixture(scope="module")
def description(house):
    with closing(house.eva()) as browser:
        return browser.get("/api/v1/openapi.json").json()


def operations(description):
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_operation_names_its_right_how_to_sign_in_and_its_errors(description):
    seen = set()
    assert {"token", "session"} == set(description["components"]["securitySchemes"])
    for method, path, operation in operations(description):
        assert path.startswith("/api/v1/")
        right = operation["x-cloister-right"]
        assert right == "open" or right in ALL
        assert operation["security"] == ([] if right == "open" else [{"token": []}, {"session": []}])
        assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
        assert "422" not in operation["responses"]
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        named = {item["name"] for item in operation.get("parameters", ())}
        assert ("Idempotency-Key" in named) == (
            method == "post" and not operation.get("x-cloister-no-key")
        ), path


def test_every_operation_says_in_a_sentence_what_it_does(description):
    seen = {}
    for method, path, operation in operations(description):
        told, route = operation["summary"], f"{method.upper()} {path}"
        assert told.endswith("."), f"{route}: its handler has no docstring"
        assert 3 <= len(told.split()) < 40, route
        assert told not in seen, (route, seen[told])
        seen[told] = route


def test_errors_are_as_described(house, description):
    problem = jsonschema_rs.validator_for(description["components"]["schemas"]["Problem"])
    with closing(house.eva()) as browser:
        browser.headers["sec-fetch-site"] = "same-origin"
        for answer in (
            browser.get("/api/v1/nothing"),
            browser.put("/api/v1/status"),
            browser.get("/api/v1/tasks/none"),
            browser.post("/api/v1/agreements", json={}),
            browser.post("/api/v1/agreements", content=b"{"),
            httpx.get(f"{house.url}/api/v1/status"),
        ):
            assert answer.headers["content-type"] == "application/problem+json"
            problem.validate(answer.json())
            assert answer.json()["status"] == answer.status_code


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("by", ["token", "session"])
def test_no_request_described_or_not_breaks_the_interface(house, token, description, by):
    schema = schemathesis.openapi.from_dict(description).exclude(path_regex=LEFT_OUT)
    schema.config.update(base_url=house.url)
    headers, cookies = {"sec-fetch-site": "same-origin"}, {}
    if by == "token":
        headers = {"authorization": f"Bearer {token}"}
    else:
        with closing(house.eva()) as browser:
            cookies = {cookie.name: cookie.value for cookie in browser.cookies.jar}
    asked, wrong = [], []
    for found in schema.get_all_operations():
        operation = found.ok()
        right = operation.definition.raw["x-cloister-right"]
        if (right in SIGNS) != (by == "session") or right in ENDS:
            continue
        asked.append(operation.label)
        for mode in schemathesis.GenerationMode:
            try:
                ask(operation, mode, headers, cookies)
            except Unsatisfiable:  # nothing that is not described: it takes nothing
                continue
            except BaseExceptionGroup as group:
                wrong += [f"{operation.label}: {error}" for error in group.exceptions]
    assert not wrong, "\n\n".join(wrong)[:20_000]
    assert len(asked) >= (25 if by == "token" else 8), asked


def ask(operation, mode, headers, cookies):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        # What is generated for these would be another caller's.
        case.headers = {
            name: value for name, value in (case.headers or {}).items() if name.lower() not in OURS
        }
        if case.query and isinstance(case.query.get("wait"), int | float) and case.query["wait"] > 1:
            case.query["wait"] = 0.5  # it would wait
        case.call_and_validate(headers=headers, cookies=cookies, checks=CHECKS, timeout=60)

    one()
