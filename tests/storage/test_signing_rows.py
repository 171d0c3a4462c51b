"""Drafts, wishes and signings are read as they were written."""

from __future__ import annotations

from dataclasses import replace

from cloister.people.four_eyes import Wish
from cloister.storage.database import Database
from cloister.storage.signing import Draft, Drafts, Signed, Signings, Wishes

DRAFT = Draft("d1", {"@type": "Agreement"}, "banks", {"title": "T"}, "ada", "Ada", 5)
WISH = Wish("sign", "sha256:one", "ada", "Ada", 5, 9)


def test_a_draft_is_read_as_it_was_written_and_replaced_under_its_name(database: Database) -> None:
    other = Draft("d2", {"b": 1}, None, None, None, "the operator", 7)
    with database.transaction() as tx:
        Drafts(tx).put(DRAFT)
        Drafts(tx).put(other)
    with database.read() as tx:
        assert Drafts(tx).get("d1") == DRAFT
        assert Drafts(tx).all() == [other, DRAFT]
        assert Drafts(tx).get("none") is None
    with database.transaction() as tx:
        Drafts(tx).put(replace(DRAFT, at=9))
        Drafts(tx).remove("d2")
    with database.read() as tx:
        assert Drafts(tx).all() == [replace(DRAFT, at=9)]


def test_there_is_one_wish_for_one_thing(database: Database) -> None:
    with database.transaction() as tx:
        Wishes(tx).put(WISH)
        Wishes(tx).put(replace(WISH, account="bob", name="Bob", at=6))
        Wishes(tx).put(replace(WISH, kind="one-person", subject=""))
    with database.read() as tx:
        assert Wishes(tx).get("sign", "sha256:one") == replace(WISH, account="bob", name="Bob", at=6)
        assert Wishes(tx).get("offer", "sha256:one") is None
        assert len(Wishes(tx).all()) == 2
    with database.transaction() as tx:
        Wishes(tx).remove("sign", "sha256:one")
    with database.read() as tx:
        assert [item.kind for item in Wishes(tx).all()] == ["one-person"]


def test_signings_are_found_by_what_was_signed_in_their_order(database: Database) -> None:
    first = Signed(5, "sign", "sha256:one", "bob", "Bob", "ada", "Ada")
    second = Signed(6, "offer", "sha256:one", None, "the operator")
    with database.transaction() as tx:
        signings = Signings(tx)
        numbers = [signings.add(item) for item in (first, second, replace(first, subject="sha256:two"))]
    with database.read() as tx:
        found = Signings(tx).about("sha256:one")
    assert [replace(item, id=0) for item in found] == [first, second]
    assert [item.id for item in found] == numbers[:2]
    with database.transaction() as tx:
        Signings(tx).remove(numbers[0])
    with database.read() as tx:
        assert [item.name for item in Signings(tx).about("sha256:one")] == ["the operator"]
