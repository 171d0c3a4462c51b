"""Accounts, sessions, tokens, passkeys and the trail, on every kind of database."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from cloister.foundation.errors import CloisterError, NotFound
from cloister.people.sessions import Person, Session
from cloister.storage import trail as module
from cloister.storage.database import Database
from cloister.storage.people import Passkey, People, Token
from cloister.storage.trail import Entry, Trail

ADA = Person("a1", "Ada Lovelace", frozenset({"operator", "auditor"}))


@pytest.fixture
def with_ada(database: Database) -> Database:
    with database.transaction() as tx:
        People(tx).add(ADA, "kept", 100)
    return database


def test_a_person_is_found_by_name_in_capitals_or_not(with_ada: Database) -> None:
    with with_ada.read() as tx:
        people = People(tx)
        assert people.by_name("ada LOVELACE") == (ADA, "kept")
        assert people.by_name("Ada") is None
        assert people.get("a1") == people.known("a1") == ADA
        assert people.made("a1") == 100
        assert people.count() == 1
        with pytest.raises(NotFound):
            people.known("a2")


def test_a_change_of_a_person_leaves_the_password_alone(with_ada: Database) -> None:
    changed = Person("a1", "Ada Lovelace", frozenset({"auditor"}), enabled=False, given=True)
    with with_ada.transaction() as tx:
        People(tx).change(changed)
    with with_ada.read() as tx:
        assert People(tx).by_name("Ada Lovelace") == (changed, "kept")


def test_a_name_is_there_once(with_ada: Database) -> None:
    with pytest.raises((IntegrityError, CloisterError)), with_ada.transaction() as tx:
        People(tx).add(Person("a2", ADA.name, ADA.roles), None, 100)


def test_sessions_are_kept_listed_and_ended(with_ada: Database) -> None:
    with with_ada.transaction() as tx:
        people = People(tx)
        for number in range(4):
            session = Session("a1", number, number, number, f"Browser {number}", "192.0.2.1")
            people.open(f"d{number}", session)
        people.close(["d0"])
    with with_ada.transaction() as tx:
        people = People(tx)
        assert [digest for digest, _ in people.sessions_of("a1")] == ["d3", "d2", "d1"]
        assert people.session("d2") == Session("a1", 2, 2, 2, "Browser 2", "192.0.2.1")
        people.close_all("a1", but="d2")
    with with_ada.read() as tx:
        people = People(tx)
        assert [digest for digest, _ in people.sessions_of("a1")] == ["d2"]
        assert people.session("d3") is None


def test_tokens_and_passkeys_are_kept_and_dropped(with_ada: Database) -> None:
    token = Token("t1", "a1", "reports", frozenset({"tasks.read"}), 100, 200)
    passkey = Passkey("p1", "a1", "Phone", "localhost", b"\x00key", 2**32 - 1, 100)
    with with_ada.transaction() as tx:
        People(tx).keep(token)
        People(tx).put_passkey(passkey)
        People(tx).put_passkey(Passkey("p2", "a1", "Stick", "localhost", b"k", 0, 101, 102))
    with with_ada.transaction() as tx:
        people = People(tx)
        assert people.token("t1") == token
        assert people.tokens_of("a1") == [token]
        assert people.passkey("p1") == passkey
        assert [item.id for item in people.passkeys_of("a1")] == ["p1", "p2"]
        people.drop("t1")
        people.drop_passkey("p1")
    with with_ada.read() as tx:
        people = People(tx)
        assert people.token("t1") is None
        assert people.tokens_of("a1") == []
        assert [item.id for item in people.passkeys_of("a1")] == ["p2"]


def test_nothing_is_kept_for_an_account_that_is_not_there(database: Database) -> None:
    with pytest.raises((IntegrityError, CloisterError)), database.transaction() as tx:
        People(tx).open("d", Session("nobody", 1, 1, 1))


def test_the_trail_is_read_backwards_by_account_and_in_pages(database: Database) -> None:
    with database.transaction() as tx:
        for number in range(6):
            Trail(tx).add(Entry(number, f"a{number % 2}", "Ada", f"did {number}", "x", "192.0.2.1"))
    with database.read() as tx:
        trail = Trail(tx)
        first = trail.newest(4)
        assert [entry.what for entry in first] == ["did 5", "did 4", "did 3", "did 2"]
        assert [entry.what for entry in trail.newest(4, before=first[-1].id)] == ["did 1", "did 0"]
        assert [entry.what for entry in trail.newest(account="a1")] == ["did 5", "did 3", "did 1"]


def test_rule_1_an_entry_is_one_line_and_not_long(database: Database) -> None:
    with database.transaction() as tx:
        Trail(tx).add(Entry(1, None, "Ada\nsigned in", "x\x1b[31m" * 500, "y" * 5000, "z" * 500))
    with database.read() as tx:
        (entry,) = Trail(tx).newest()
    assert "\n" not in entry.name
    assert "\x1b" not in entry.what
    assert (len(entry.what), len(entry.about), len(entry.address)) == (100, 300, 60)


def test_rule_2_nobodys_entries_push_out_anothers_and_chatter_nothing_that_matters(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", {"binds": 20, "own": 10, "sign-in": 5})
    monkeypatch.setattr(module, "_TIDY", 5)
    with database.transaction() as tx:
        trail = Trail(tx)
        for account in ("a1", "b2", None):
            trail.add(Entry(1, account, "Somebody", "made an account", kind="binds"))
            trail.add(Entry(1, account, "Somebody", "signed in", kind="sign-in"))
        for number in range(200):
            trail.add(Entry(number, "a1", "Ada", f"signed in {number}", kind="sign-in"))
            trail.add(Entry(number, "a1", "Ada", f"made a token {number}", kind="own"))
            trail.add(Entry(number, None, "somebody", f"tried {number}", kind="sign-in"))
    with database.read() as tx:
        found = Trail(tx).newest(1000)
        stored = tx.connection.execute(text("select count(*) from trail")).scalar_one()
    assert stored == len(found) < 45
    assert found[0].what == "tried 199"
    of = {(entry.account, entry.what) for entry in found}
    assert {(account, "made an account") for account in ("a1", "b2", None)} <= of
    assert ("b2", "signed in") in of
    assert {("a1", "signed in"), (None, "signed in")} & of == set()


def test_rule_2_also_what_binds_is_bounded_for_each(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", {"binds": 20, "own": 10, "sign-in": 5})
    monkeypatch.setattr(module, "_TIDY", 5)
    with database.transaction() as tx:
        for number in range(63):
            Trail(tx).add(Entry(number, "a1", "Ada", f"did {number}"))
    with database.read() as tx:
        found = Trail(tx).newest(1000)
    assert 20 <= len(found) <= 25
    assert found[0].what == "did 62"
