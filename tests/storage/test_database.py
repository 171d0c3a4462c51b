"""Transactions, locks, migrations and errors of the node's database."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from storage_children import HOLD

from cloister.foundation.errors import BadInput, CloisterError, Conflict, OutOfSpace, Refused, Unreachable
from cloister.storage import database as module
from cloister.storage.blobs import INLINE, Blobs
from cloister.storage.database import FILE, Database
from cloister.storage.events import Events
from cloister.storage.settings import Settings
from cloister.storage.tables import metadata


@contextlib.contextmanager
def killed_as_it_writes(code: str, folder: Path) -> Iterator[None]:
    """Runs `code` (see `HOLD`) until it has committed 1 and is writing 2; kills it on leaving."""
    child = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline().strip() == "committed 1, writing 2"
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


def number_in(folder: Path) -> object:
    """What a node finds that opens the folder after that."""
    database = Database.open(folder)
    try:
        with database.read() as tx:
            return Settings(tx).get("number")
    finally:
        database.close()


def test_a_transaction_is_undone_when_an_exception_leaves_it(database: Database) -> None:
    after = []
    with contextlib.suppress(KeyError), database.transaction() as tx:
        Settings(tx).put("a", 1)
        tx.after_commit(lambda: after.append("undone"))
        raise KeyError
    with database.transaction() as tx:
        assert Settings(tx).get("a") is None
        tx.after_commit(lambda: after.append("done"))
    assert after == ["done"]


def test_a_read_within_a_transaction_sees_what_it_wrote_and_others_do_not(database: Database) -> None:
    seen = []

    def other() -> None:
        with database.read() as tx:
            seen.append(Settings(tx).get("a"))

    with database.transaction() as tx:
        Settings(tx).put("a", 1)
        with database.read() as inner:
            assert Settings(inner).get("a") == 1
        if not database._shared:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert seen == [None]
    other()
    assert seen[-1] == 1


def test_transactions_do_not_nest(database: Database) -> None:
    with database.transaction(), pytest.raises(RuntimeError), database.transaction():
        pass


def test_many_threads_write_one_after_the_other(database: Database) -> None:
    def write() -> None:
        for _ in range(20):
            with database.transaction() as tx:
                Settings(tx).put("count", Settings(tx).get("count", 0) + 1)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as tx:
        assert Settings(tx).get("count") == 80


def test_sqlite_is_set_to_lose_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    with database.read() as tx:
        values = {
            name: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": module.BUSY_MILLISECONDS,
    }
    if os.name == "posix":
        assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    database.close()


def test_two_nodes_with_one_folder_are_refused_across_processes(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    with pytest.raises(Conflict) as caught:
        Database.open(tmp_path)
    assert caught.value.detail["clause"] == "one-node-per-folder"
    done = subprocess.run(
        [sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "Conflict" in done.stdout
    database.close()
    database.close()
    Database.open(tmp_path).close()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_node_leaves_no_lock_and_loses_nothing_it_committed(tmp_path: Path) -> None:
    with killed_as_it_writes(HOLD, tmp_path), pytest.raises(Conflict):
        Database.open(tmp_path)
    assert number_in(tmp_path) == 1


def test_the_migrations_lead_to_the_tables_of_this_version(database: Database) -> None:
    if database._shared:
        pytest.skip("a database in memory is made without migrations")
    with database.read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(tx.connection).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    with database.transaction() as tx:
        tx.connection.execute(text("update alembic_version set version_num = '9999'"))
    database.close()
    with pytest.raises(Refused) as caught:
        Database.open(tmp_path)
    assert caught.value.clause == "schema-newer"
    assert caught.value.remedy
    raw = sqlite3.connect(tmp_path / FILE)
    assert raw.execute("select version_num from alembic_version").fetchall() == [("9999",)]
    raw.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        database = Database.open(tmp_path)
        with database.transaction() as tx:
            Events(tx).add("", 1, "start", {})
        database.close()
    database = Database.open(tmp_path)
    with database.read() as tx:
        assert len(Events(tx).since()) == 2
    database.close()


def test_a_full_database_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    with database.transaction() as tx:
        Settings(tx).put("before", 1)

    def write_too_much() -> None:
        with database.transaction() as tx:
            tx.connection.exec_driver_sql("PRAGMA max_page_count=1")
            Settings(tx).put("small", 1)
            Settings(tx).put("large", "x" * (1 << 20))

    with pytest.raises(OutOfSpace):
        write_too_much()
    with database.transaction() as tx:
        tx.connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert Settings(tx).names() == ["before"]
    database.close()


def test_a_database_held_by_another_program_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_MILLISECONDS", 1)
    database = Database.open(tmp_path)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Conflict, match="another program"), database.transaction():
        pass
    other.execute("ROLLBACK")
    other.close()
    with database.transaction() as tx:
        Settings(tx).put("a", 1)
    database.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database" * 1000)
    with pytest.raises(CloisterError, match="damaged"):
        Database.open(tmp_path)


def test_an_error_of_the_driver_does_not_repeat_values(database: Database) -> None:
    twice = metadata.tables["settings"].insert().values([{"key": "Ada Lovelace", "value": b"x"}] * 2)
    with pytest.raises(CloisterError) as caught, database.transaction() as tx:
        tx.connection.execute(twice)
    assert "Ada" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense://", "postgresql+nodriver://x/y", "sqlite:///x"])
def test_a_url_that_cannot_be_used_says_so(url: str) -> None:
    with pytest.raises((BadInput, Unreachable)):
        Database.open(url)


def test_two_nodes_with_one_server_database_are_refused(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        pytest.skip("only for servers")
    with pytest.raises(Conflict):
        Database.open(database.engine.url.render_as_string(hide_password=False))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_nothing_of_a_database_can_be_read_by_other_users_of_the_machine(tmp_path: Path) -> None:
    """Rule 5; also in a folder that somebody made beforehand, open to all, and under a lax umask."""
    folder = tmp_path / "open-to-all"
    folder.mkdir()
    folder.chmod(0o755)
    before = os.umask(0o000)
    try:
        database = Database.open(folder)
        with database.transaction() as tx:
            Settings(tx).put("a", "secret")
        blobs = Blobs(folder / "blobs")
        with blobs.keeping() as keep:
            keep(b"x" * (INLINE + 1))
        blobs.put_stream([b"y" * 10])
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert {FILE, f"{FILE}-wal", f"{FILE}-shm"} <= set(found)
    assert set(found.values()) == {0o600}, found
    assert (folder / "blobs").stat().st_mode & 0o777 == 0o700
    database.close()


@pytest.mark.parametrize("fails", [False, True])
def test_a_transaction_that_is_not_forced_is_seen_by_all_and_those_after_it_wait_for_the_disk(
    tmp_path: Path, fails: bool
) -> None:
    database = Database.open(tmp_path)
    with contextlib.suppress(KeyError), database.transaction(forced=False) as tx:
        assert tx.connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        Settings(tx).put("number", 1)
        if fails:
            raise KeyError
    for _ in range(3):
        with database.transaction() as tx:
            assert tx.connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert Settings(tx).get("number", 0) == (0 if fails else 1)
    database.close()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_node_does_not_lose_what_was_not_forced_either(tmp_path: Path) -> None:
    code = HOLD.replace("database.transaction() as tx", "database.transaction(forced=False) as tx", 1)
    assert code != HOLD
    with killed_as_it_writes(code, tmp_path):
        pass
    assert number_in(tmp_path) == 1
