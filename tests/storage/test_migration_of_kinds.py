"""A database of before lines had kinds and samples had owners is read as one of today."""

from __future__ import annotations

import importlib
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from cloister.people.sessions import Person
from cloister.storage.database import Database
from cloister.storage.people import People
from cloister.storage.samples import Samples
from cloister.storage.trail import Trail

_STEP = importlib.import_module("cloister.storage.migrations.versions.0010_kinds_and_owners")
_LINE = "insert into trail (at, account, name, what, about, address) values (1, 'a1', 'Ada', :what, '', '')"
_SAMPLE = (
    "insert into samples (id, at, tool, version, digest, input, file, label, who, facts, size)"
    " values (:id, 1, 't', '1', 'd', 'i', 'f', '', :who, '', 0)"
)


def test_lines_get_their_kinds_and_samples_whoever_kept_them(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "node")
    try:
        with database.transaction() as tx:
            People(tx).add(Person("a1", "Ada", frozenset({"operator"})), None, 1)
            with Operations.context(MigrationContext.configure(tx.connection)):
                _STEP.downgrade()
                for what in ("signed in with a passkey", "made a token", "changed roles"):
                    tx.connection.execute(text(_LINE), {"what": what})
                for name, who in (("one", "Ada"), ("two", "a visitor on this machine")):
                    tx.connection.execute(text(_SAMPLE), {"id": name, "who": who})
                _STEP.upgrade()
        with database.read() as tx:
            assert [(entry.what, entry.kind) for entry in Trail(tx).newest()] == [
                ("changed roles", "binds"),
                ("made a token", "own"),
                ("signed in with a passkey", "sign-in"),
            ]
            one, two = Samples(tx).get("one"), Samples(tx).get("two")
            assert one is not None
            assert two is not None
            assert (one.owner, two.owner) == ("account:a1", "")
    finally:
        database.close()
