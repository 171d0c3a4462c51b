"""People and what they did, for programs; and the operator of the machine who helps somebody back in."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest
from click.testing import CliRunner

from cloister.cli.main import cli
from web.street import EVA, PASSWORD, Browser, new_house


@pytest.fixture
def house(tmp_path_factory):
    # Short, since sockets' paths have a limit.
    with new_house(tmp_path_factory.mktemp("p") / "n") as made:
        made.site.accounts.first(EVA, PASSWORD, made.site.accounts.start_key)
        yield made


@pytest.fixture
def operator(house):
    transport = httpx.HTTPTransport(uds=str(house.site.folder.socket))
    with httpx.Client(transport=transport, base_url="http://node/api/v1") as client:
        yield client


def test_people_are_added_listed_and_changed(house, operator):
    made = operator.post("/people", json={"name": "Bob", "roles": ["auditor"]}).json()
    assert made["first_password_given"] is True
    assert house.site.accounts.sign_in("Bob", made["first_password"], "", "")
    listed = operator.get("/people").json()
    assert next((item["name"], item["roles"]) for item in listed) == ("Bob", ["auditor"])
    assert not any("password" in key and key != "first_password_given" for item in listed for key in item)
    changed = operator.post(f"/people/{made['account']}", json={"enabled": False}).json()
    assert (changed["enabled"], changed["roles"]) == (False, ["auditor"])
    told = operator.get("/trail").json()
    assert (told[0]["name"], told[0]["what"]) == ("the operator of this machine", "disabled an account")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "Bob"},
        {"name": "Bob", "roles": []},
        {"name": "Bob", "roles": ["root"]},
        {"name": "Bob", "roles": ["auditor"], "password": "x"},
    ],
)
def test_what_cannot_be_a_person_is_bad_input(operator, body):
    answer = operator.post("/people", json=body)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:cloister:problem:bad-input"


def test_a_token_reads_people_and_changes_none(house):
    account = house.site.accounts.all()[0].account
    token = house.site.accounts.tokens.make(account, "x", ["people.read", "people.manage"], 3600)
    with closing(Browser(house.url)) as program:
        program.headers["authorization"] = f"Bearer {token}"
        assert program.get("/api/v1/people").status_code == 200
        answer = program.post("/api/v1/people", json={"name": "Bob", "roles": ["auditor"]})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:cloister:problem:not-fresh")


def test_an_answer_that_holds_a_password_is_not_kept_for_being_sent_again(operator):
    answer = operator.post(
        "/people", json={"name": "Bob", "roles": ["auditor"]}, headers={"Idempotency-Key": "x" * 12}
    )
    assert answer.status_code == 422


def test_the_operator_of_the_machine_helps_somebody_back_in(house, operator):
    old = house.site.accounts.sign_in(EVA, PASSWORD, "", "")
    house.site.folder.config_file.write_bytes(
        b'{"type":"cloister/node@1","party":"' + b"a" * 52 + b'","name":"x","roles":[]}'
    )
    told = CliRunner().invoke(
        cli, ["node", "password", "eva", "--folder", str(house.site.folder.root), "--json", "-"]
    )
    assert told.exit_code == 0, told.output
    import json

    password = json.loads(told.output)["first_password"]
    assert house.site.accounts.person(old) is None
    assert house.site.accounts.caller(house.site.accounts.sign_in(EVA, password, "", "")).rights == {
        "own-account"
    }
    nobody = CliRunner().invoke(cli, ["node", "password", "nobody", "--folder", str(house.site.folder.root)])
    assert nobody.exit_code == 2
