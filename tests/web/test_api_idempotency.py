"""A request that is sent again with its key does not act again: after a lost answer, at the same moment, after a crash."""

from __future__ import annotations

import secrets
import threading
from contextlib import closing

import httpx
import pytest

from cloister.sdk.client import Client
from cloister.storage import answers as kept
from cloister.storage.answers import DAY, Answers
from cloister.web import idempotency
from cloister.web.idempotency import HEADER, REPLAYED


@pytest.fixture(scope="module")
def house(houses):
    return houses["Birch"]


@pytest.fixture(scope="module")
def eva(house):
    with closing(house.eva()) as browser:
        browser.headers["sec-fetch-site"] = "same-origin"
        yield browser


def drawn() -> str:
    return secrets.token_urlsafe(24)


def population(name: str, epsilon: float = 1.0) -> dict:
    return {"population": name, "unit": "record", "epsilon": epsilon, "delta": 1e-6}


def opened(house) -> list[str]:
    with Client(house.site.folder.root) as client:
        return [item["population"] for item in client.budgets()["populations"]]


def test_a_request_that_is_sent_again_is_answered_as_before_and_acts_once(house, eva, monkeypatch):
    real, acted = house.node.budgets.populations.open, []

    def counted(*given):
        acted.append(given)
        return real(*given)

    monkeypatch.setattr(house.node.budgets.populations, "open", counted)
    headers = {HEADER: drawn()}
    first = eva.post("/api/v1/budgets", json=population("once"), headers=headers)
    again = eva.post("/api/v1/budgets", json=population("once"), headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert len(acted) == 1
    eva.post("/api/v1/budgets", json=population("once"))
    assert len(acted) == 2, "without a key it acts again"
    assert opened(house).count("once") == 1


def test_a_key_is_for_one_request(eva):
    headers = {HEADER: drawn()}
    assert eva.post("/api/v1/budgets", json=population("one"), headers=headers).status_code == 200
    for path, body in (
        ("/api/v1/budgets", population("two")),
        ("/api/v1/budgets/limit", population("one")),
        ("/api/v1/budgets?x=1", population("one")),
    ):
        answer = eva.post(path, json=body, headers=headers)
        assert answer.status_code == 422
        assert "another request" in answer.json()["title"]


def test_what_was_refused_did_nothing_and_its_key_may_be_used_again(eva):
    headers = {HEADER: drawn()}
    assert eva.post("/api/v1/budgets", json=population("again", -1), headers=headers).status_code == 422
    assert eva.post("/api/v1/budgets", json=population("again"), headers=headers).status_code == 200


@pytest.mark.parametrize("key", ["", "short", "x" * 65, "with space in it", "semi;colon;here", "\u00fc" * 20])
def test_a_key_that_is_none_is_refused(eva, key):
    answer = eva.post("/api/v1/budgets", json=population("none"), headers={HEADER: key.encode("latin-1")})
    assert answer.status_code == 422


def test_a_key_belongs_to_its_caller(house, eva, monkeypatch):
    acted = []
    monkeypatch.setattr(
        house.node.computations, "add_model", lambda data: {"acted": acted.append(data) or len(acted)}
    )
    account = house.site.accounts.all()[0].account
    token = house.site.accounts.tokens.make(account, "t", ["tasks.ask"], DAY)
    other = house.site.accounts.add("Kim", ["analyst"], "nine green pears fall down")
    theirs = house.site.accounts.tokens.make(other.account, "t", ["tasks.ask"], DAY)
    headers, body = {HEADER: drawn()}, {"content": "AAAA"}
    assert eva.post("/api/v1/models", json=body, headers=headers).json() == {"acted": 1}
    with httpx.Client(base_url=house.url) as program:
        own = program.post(
            "/api/v1/models", json=body, headers=headers | {"authorization": f"Bearer {token}"}
        )
        assert own.json() == {"acted": 1}
        assert own.headers[REPLAYED] == "true"
        foreign = program.post(
            "/api/v1/models", json=body, headers=headers | {"authorization": f"Bearer {theirs}"}
        )
        assert foreign.json() == {"acted": 2}
        assert REPLAYED not in foreign.headers


def test_nobodys_key_is_not_looked_at_and_no_cookie_is_kept(house):
    headers = {HEADER: drawn(), "sec-fetch-site": "same-origin"}
    with house.visitor() as one, house.visitor() as other:
        first = one.post("/api/v1/passkeys/sign-in/ask", json={}, headers=headers)
        second = other.post("/api/v1/passkeys/sign-in/ask", json={}, headers=headers)
    assert REPLAYED not in second.headers
    assert first.status_code == second.status_code


def test_who_may_not_do_it_is_not_told_the_answer_of_who_did(house, eva):
    headers = {HEADER: drawn()}
    assert eva.post("/api/v1/budgets", json=population("mine"), headers=headers).status_code == 200
    with house.visitor() as nobody:
        assert nobody.post("/api/v1/budgets", json=population("mine"), headers=headers).status_code == 401


def test_of_two_at_the_same_moment_one_acts(house, eva, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    real = house.node.budgets.populations.open

    def slow(*given):
        begun.set()
        assert go.wait(20)
        return real(*given)

    monkeypatch.setattr(house.node.budgets.populations, "open", slow)
    headers, found = {HEADER: drawn()}, []
    waiter = threading.Thread(
        target=lambda: found.append(eva.post("/api/v1/budgets", json=population("both"), headers=headers))
    )
    waiter.start()
    assert begun.wait(20)
    with closing(house.eva()) as second:
        answer = second.post("/api/v1/budgets", json=population("both"), headers=headers)
    go.set()
    waiter.join(20)
    assert answer.status_code == 409
    assert "begun before" in answer.json()["title"]
    assert found[0].status_code == 200


def test_after_a_crash_in_between_nothing_acts_again(house, eva, monkeypatch):
    def dies(*_given):
        raise RuntimeError("the power went")

    monkeypatch.setattr(house.node.budgets.populations, "open", dies)
    headers = {HEADER: drawn()}
    assert eva.post("/api/v1/budgets", json=population("crash"), headers=headers).status_code == 500
    monkeypatch.undo()
    answer = eva.post("/api/v1/budgets", json=population("crash"), headers=headers)
    assert answer.status_code == 409
    assert "Look whether it was done" in answer.json()["remedy"]
    assert "crash" not in opened(house)


def test_keys_are_forgotten_after_a_day_and_never_too_many(house, monkeypatch):
    monkeypatch.setattr(kept, "EACH_MOST", 3)
    now = house.site.clock.now()
    with house.site.database.transaction() as tx:
        rows = Answers(tx)
        for number in range(5):
            rows.begin("somebody", f"key-{number}", "digest", now + number)
        assert [rows.find("somebody", f"key-{number}", now + 4) is None for number in range(5)] == [
            True,
            True,
            False,
            False,
            False,
        ]
        assert rows.find("somebody", "key-4", now + 4 + DAY) is None


def test_an_answer_that_is_too_large_is_not_kept_and_nothing_acts_again(house, eva, monkeypatch):
    monkeypatch.setattr(idempotency, "KEPT_MOST", 10)
    headers = {HEADER: drawn()}
    assert eva.post("/api/v1/budgets", json=population("large"), headers=headers).status_code == 200
    answer = eva.post("/api/v1/budgets", json=population("large"), headers=headers)
    assert answer.status_code == 409
    assert "done before" in answer.json()["title"]


def test_the_client_asks_again_after_a_broken_connection_and_acts_once(house, monkeypatch):
    with Client(house.site.folder.root) as client:
        real, broken = client._http.request, []

        def breaks(*given, **named):
            answer = real(*given, **named)
            if not broken:
                broken.append(answer)
                raise httpx.RemoteProtocolError("the answer was lost")
            return answer

        monkeypatch.setattr(client._http, "request", breaks)
        assert client.post("/budgets", population("lost"), once=True)["population"] == "lost"
    assert broken[0].status_code == 200
    assert opened(house).count("lost") == 1
