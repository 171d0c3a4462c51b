"""Each repository on each database."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import select, update

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Tampered
from cloister.storage.blobs import Kept
from cloister.storage.checkpoints import Checkpoints
from cloister.storage.database import Database
from cloister.storage.datasets import Datasets
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.log import LogRow, LogRows, TreeNodes
from cloister.storage.messages import AcceptedMessage, Counters, Messages
from cloister.storage.outbox import Outbox, Outgoing
from cloister.storage.releases import Release, Releases
from cloister.storage.secrets import Secrets, erase
from cloister.storage.settings import Settings
from cloister.storage.tables import secrets as secrets_table
from cloister.storage.tasks import TaskRow, Tasks

NOTHING = Kept(digest(b""), 0, b"")
KEY = bytes(range(32))


def a_task(name: str = "t") -> TaskRow:
    return TaskRow(
        name, "owner", {"owner": ("a", "b")}, "p", "one", NOTHING, created=5, updated=6, deadline=1.5
    )


def test_documents_are_found_by_type_and_by_every_named_value(database: Database) -> None:
    with database.transaction() as tx:
        documents = Documents(tx)
        documents.put("d1", "act", b"one", 1, agreement="x", party="a")
        documents.put("d2", "act", b"two", 2, agreement="x", party="b")
        documents.put("d3", "card", b"three", 3, party="a")
        documents.put("d1", "act", b"one with more signatures", 1, agreement="x", party="a")
    with database.read() as tx:
        documents = Documents(tx)
        assert documents.get("d1") == b"one with more signatures"
        assert documents.get("none") is None
        assert [name for name, _ in documents.find("act", agreement="x")] == ["d1", "d2"]
        assert documents.find("act", agreement="x", party="b") == [("d2", b"two")]
        assert documents.find("card", agreement="x") == []


def test_a_task_is_read_as_it_was_written(database: Database) -> None:
    row = TaskRow(
        id="t",
        seat="owner",
        seats={"owner": ("a", "b"), "coordinator": ("c",)},
        program="p",
        phase="one",
        state=Kept(digest(b"large"), 5),
        position=3,
        closed=True,
        attempt=2,
        status="failed",
        deadline=1.5,
        failure={"type": "urn:x", "status": 424},
        created=5,
        updated=6,
    )
    with database.transaction() as tx:
        Tasks(tx).put(a_task())
        Tasks(tx).put(row)
        Tasks(tx).record_step("t", 0, "one", {"sent": []}, 7)
    with database.read() as tx:
        assert Tasks(tx).get("t") == row
        assert Tasks(tx).find("running") == []
        assert Tasks(tx).find("failed") == [row]
        assert Tasks(tx).steps("t") == [(0, "one", {"sent": []})]


def test_a_message_is_accepted_once_and_its_body_held_until_it_was_read(database: Database) -> None:
    message = AcceptedMessage("a", 1, "update", 0, Kept(digest(b"x"), 1, b"x"))
    file = AcceptedMessage("b", 1, "update", 0, Kept(digest(b"y"), 100_000))
    with database.transaction() as tx:
        Tasks(tx).put(a_task())
        Messages(tx).accept("t", message, 1)
        Messages(tx).accept("t", file, 1)
        Messages(tx).set_counters("t", "a", Counters(sent=2, taken=1))
    with pytest.raises(Exception, match="refused an operation"), database.transaction() as tx:
        Messages(tx).accept("t", message, 1)
    with database.transaction() as tx:
        messages = Messages(tx)
        assert messages.inbox("t", 0) == [message, file]
        assert messages.answered("t", 0) == [("a", "update"), ("b", "update")]
        assert messages.let_go("t") == [digest(b"y")]
        assert messages.inbox("t", 0) == []
        assert messages.accepted_digest("t", "a", 1) == ("update", digest(b"x"))
        assert messages.accepted_digest("t", "a", 2) is None
        assert messages.counters("t") == {"a": Counters(2, 1)}
        assert messages.positions("t", "a") == {0}


def test_the_outbox_keeps_order_until_acknowledged(database: Database) -> None:
    sent = [Outgoing("t", "b", number, "one", "k", Kept(digest(b"x"), 1, b"x"), 3) for number in (2, 1)]
    large = Outgoing("t", "c", 1, "one", "k", Kept(digest(b"big"), 100_000), 3)
    with database.transaction() as tx:
        Tasks(tx).put(a_task())
        for message in [*sent, large]:
            Outbox(tx).add(message)
    with database.transaction() as tx:
        outbox = Outbox(tx)
        assert outbox.lanes() == [("t", "b"), ("t", "c")]
        assert outbox.waiting("t", "b") == sent[::-1]
        assert outbox.remove(sent[1]) == []
        assert outbox.waiting("t", "b") == [sent[0]]
        assert outbox.remove(large) == [digest(b"big")]
        assert outbox.drop("t") == []
        assert outbox.lanes() == []


def test_secrets_are_the_same_for_the_same_place_and_gone_when_erased(database: Database) -> None:
    with database.transaction() as tx:
        secrets = Secrets(tx, KEY)
        first = secrets.obtain("t", 1, "key", 32)
        assert len(first) == 32
        assert secrets.obtain("t", 1, "key", 32) == first
        assert secrets.obtain("t", 2, "key", 32) != first
        with pytest.raises(BadInput):
            secrets.obtain("t", 1, "key", 16)
        with pytest.raises(BadInput):
            secrets.obtain("t", 1, "other", 0)
        stored = tx.connection.execute(select(secrets_table.c.sealed)).scalars().all()
        assert all(first not in sealed for sealed in stored)
        erase(tx, "t")
        assert secrets.get("t", 1, "key") is None


def test_a_secret_is_what_the_systems_generator_gives(database: Database, monkeypatch) -> None:
    """Samples, noise and masks come from it: nothing that could be guessed from a seed or a clock."""
    given: list[bytes] = []

    def generator(size: int) -> bytes:
        given.append(os.urandom(size))
        return given[-1]

    monkeypatch.setattr("cloister.storage.secrets.system.token_bytes", generator)
    with database.transaction() as tx:
        assert Secrets(tx, KEY).obtain("t", 1, "training", 32) == given[0]
    assert len(given[0]) == 32


def test_a_secret_moved_changed_or_under_another_key_does_not_open(database: Database) -> None:
    with database.transaction() as tx:
        Secrets(tx, KEY).put("t", 1, "key", b"secret")
        with pytest.raises(Tampered):
            Secrets(tx, bytes(32)).get("t", 1, "key")
        tx.connection.execute(update(secrets_table).values(label="moved"))
        with pytest.raises(Tampered):
            Secrets(tx, KEY).get("t", 1, "moved")
        with pytest.raises(BadInput):
            Secrets(tx, b"short")


def test_logs_are_kept_apart_and_in_order(database: Database) -> None:
    with database.transaction() as tx:
        own, other = LogRows(tx), LogRows(tx, "hub")
        assert own.size() == 0
        for index in range(3):
            own.add(LogRow(index, b"leaf%d" % index, "step", b"salt", "doc"))
        other.add(LogRow(0, b"other", "step"))
        assert (own.size(), other.size()) == (3, 1)
        assert own.get(1) == LogRow(1, b"leaf1", "step", b"salt", "doc")
        assert own.get(9) is None
        assert [row.index for row in own.scan(1)] == [1, 2]
        assert [row.leaf for row in own.scan(0, 2)] == [b"leaf0", b"leaf1"]
        assert len(own.find("doc")) == 3
        nodes = TreeNodes(tx)
        nodes.put(1, 0, b"h" * 32)
        nodes.put(1, 0, b"h" * 32)
        assert nodes.get(1, 0) == b"h" * 32
        assert nodes.get(0, 1) is None
        assert TreeNodes(tx, "hub").get(1, 0) is None
    with pytest.raises(Exception, match="refused an operation"), database.transaction() as tx:
        LogRows(tx).add(LogRow(1, b"again", "step"))


def test_the_largest_checkpoint_is_the_latest(database: Database) -> None:
    with database.transaction() as tx:
        checkpoints = Checkpoints(tx)
        assert checkpoints.latest("hub") is None
        checkpoints.put("hub", 10, b"ten", 1)
        checkpoints.put("hub", 2, b"two", 2)
        assert checkpoints.latest("hub") == (10, b"ten")
        assert checkpoints.get("hub", 2) == b"two"
        checkpoints.cosign("hub", 10, "w2", b"line 2")
        checkpoints.cosign("hub", 10, "w1", b"line 1")
        checkpoints.cosign("hub", 10, "w1", b"line 1 again")
        assert checkpoints.cosignatures("hub", 10) == {"w1": b"line 1 again", "w2": b"line 2"}


def test_settings_datasets_releases_and_tools_are_read_as_written(database: Database) -> None:
    with database.transaction() as tx:
        settings = Settings(tx)
        settings.put("clock/floor", 5)
        settings.put("clock/floor", {"at": [1, None, "x"]})
        assert settings.get("clock/floor") == {"at": [1, None, "x"]}
        assert settings.get("none", 3) == 3
        assert settings.names("clock/") == ["clock/floor"]
        settings.remove("clock/floor")
        assert settings.names() == []

        datasets = Datasets(tx)
        datasets.put("c1", "images", {"folder": "somewhere"}, 1)
        assert datasets.get("c1") == {"folder": "somewhere"}
        assert datasets.names() == {"images": "c1"}
        datasets.remove("c1")
        assert datasets.get("c1") is None

        releases = Releases(tx)
        release = Release("r1", "t", "model", "candidate", {"rounds": 3})
        releases.put(release)
        final = Release("r1", "t", "model", "released", {"rounds": 3}, "certificate", 4)
        releases.put(final)
        assert releases.get("r1") == final
        assert releases.find("t") == [final]
        assert releases.find("another") == []


def test_events_only_grow_and_are_followed_by_number(database: Database) -> None:
    with database.transaction() as tx:
        events = Events(tx)
        for number in range(5):
            events.add("t" if number % 2 else "u", number, "kind", {"number": number})
    with database.read() as tx:
        events = Events(tx)
        everything = events.since()
        assert [event.facts["number"] for event in everything] == [0, 1, 2, 3, 4]
        assert events.since(everything[2].id) == everything[3:]
        assert [event.facts["number"] for event in events.since(task="t")] == [1, 3]
        assert len(events.since(limit=2)) == 2
        assert [event.id for event in events.of_kind("t", "kind")] == [everything[1].id, everything[3].id]
