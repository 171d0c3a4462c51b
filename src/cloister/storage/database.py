"""The node's database: SQLite in its folder, or PostgreSQL by URL; one writer at a time.

Rules:
1. A transaction is on disk when `with db.transaction()` is left, or did not happen at all (SQLite: WAL with
   `synchronous=FULL`; writers begin with `BEGIN IMMEDIATE`, so none finds out late that it may not write). One that is asked
   for as `forced=False` outlives the process, but perhaps not a loss of power: for what would then be done again, alike.
2. One process per folder or database: a lock the operating system (or the server) lets go when the process dies.
3. A full disk is `OutOfSpace`, and nothing is half-written.
4. A database that a newer Cloister wrote is not touched.
5. The file is its owner's alone before anything is in it: SQLite gives its mode to the log and shared memory beside it.

Sources: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous, sqlite.org/rescode.html.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool, StaticPool

from cloister.foundation.errors import BadInput, CloisterError, Conflict, OutOfSpace, Unreachable
from cloister.storage.locking import FolderLock
from cloister.storage.migrate import migrate
from cloister.storage.tables import metadata

FILE: Final = "cloister.db"
BUSY_MILLISECONDS: Final = 10_000
_BEGIN_TRIES: Final = 3
_ADVISORY_KEY: Final = 0x636C_6F69_7374_6572  # "cloister"


class Transaction:
    """An open transaction. Repositories are made on it; `after_commit` runs things once it is on disk."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._after: list[Callable[[], None]] = []

    def after_commit(self, action: Callable[[], None]) -> None:
        """Runs `action` after the commit, outside the transaction; not at all if it is rolled back."""
        self._after.append(action)

    def _committed(self) -> None:
        for action in self._after:
            action()


class Database:
    """A node's database. Made by `open` or `memory`; safe for many threads."""

    def __init__(
        self,
        engine: Engine,
        *,
        folder: Path | None,
        lock: FolderLock | None,
        guard: Connection | None = None,
        shared: bool = False,
    ) -> None:
        self.engine = engine
        self.folder = folder
        self._lock = lock
        self._guard = guard
        self._shared = shared
        self._writer = threading.Lock()
        self._holder: int | None = None
        self._current: Transaction | None = None

    @classmethod
    def open(cls, where: Path | str) -> Database:
        """Opens (and if need be makes or migrates) a database.

        Args:
            where: the node's folder for SQLite, or a `postgresql+psycopg://…` URL.

        Raises:
            Conflict: another process uses it.
            Refused: a newer Cloister wrote it (clause `schema-newer`).
            OutOfSpace: there is no room for it.
            BadInput: the URL is not one, or its driver is not installed.
            Unreachable: the server does not answer.
        """
        if isinstance(where, str) and "://" in where:
            return cls._open_server(where)
        return cls._open_folder(Path(where))

    @classmethod
    def memory(cls) -> Database:
        """A database that is gone when closed, for tests and simulations; every thread sees the same one."""
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        _prepare_sqlite(engine)
        database = cls(engine, folder=None, lock=None, shared=True)
        with database.transaction() as tx:
            metadata.create_all(tx.connection)
        return database

    @classmethod
    def _open_folder(cls, folder: Path) -> Database:
        lock = FolderLock(folder)
        try:
            _private(folder / FILE)
        except BaseException:
            lock.release()
            raise
        # Connections stay open: the last one to close would write the whole log back, and a new one needs space for
        # its shared memory, which a full disk has not.
        engine = create_engine(
            f"sqlite:///{folder / FILE}",
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=32,
            connect_args={"check_same_thread": False},
        )
        _prepare_sqlite(engine)
        database = cls(engine, folder=folder, lock=lock)
        try:
            with database.transaction() as tx:
                migrate(tx.connection)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def _open_server(cls, url: str) -> Database:
        try:
            parsed = make_url(url)
            engine = create_engine(parsed, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError):
            raise BadInput(
                "The database URL cannot be used.",
                "It is malformed, or the driver it names is not installed.",
                "Use postgresql+psycopg://user@host/name and install psycopg.",
            ) from None
        if parsed.get_backend_name() != "postgresql":
            raise BadInput(
                "The database URL cannot be used.",
                "Only PostgreSQL is reached by URL.",
                "Use postgresql+psycopg://… or name a folder.",
            )
        try:
            guard = engine.connect()
        except DBAPIError:
            raise Unreachable(
                "The database server does not answer.",
                "No connection could be made.",
                "Check that it runs, and the URL.",
            ) from None
        # Session-level: held until this connection ends, in whatever way the process ends.
        held = guard.execute(text("select pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}).scalar_one()
        guard.commit()
        if not held:
            guard.close()
            engine.dispose()
            raise Conflict(
                "Another process uses this database.",
                "Two servers with one database would be one party with two memories.",
                "Stop the other server, or give this one a database of its own.",
                clause="one-node-per-folder",
            )
        database = cls(engine, folder=None, lock=None, guard=guard)
        try:
            with database.transaction() as tx:
                migrate(tx.connection)
        except BaseException:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def transaction(self, *, forced: bool = True) -> Iterator[Transaction]:
        """One writing transaction: on disk when left, undone when an exception leaves it. Not nested.

        Args:
            forced: `False`: do not wait for the disk (rule 1).

        Raises:
            OutOfSpace: the disk is full; nothing was written.
            Conflict: another program holds the database.
        """
        if self._holder == threading.get_ident():
            raise RuntimeError("transactions do not nest")
        with self._writer:
            self._holder = threading.get_ident()
            try:
                with (
                    self._translated(),
                    self.engine.connect() as connection,
                    self._unforced(connection, forced),
                ):
                    self._begin(connection)
                    tx = self._current = Transaction(connection)
                    try:
                        yield tx
                        connection.commit()
                    except BaseException:
                        with contextlib.suppress(DBAPIError):
                            connection.rollback()
                        raise
            finally:
                self._holder = self._current = None
        tx._committed()  # noqa: SLF001 - one class in two halves

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """A consistent view; write nothing through it. Within the same thread's `transaction` it sees its writes."""
        if self._current is not None and self._holder == threading.get_ident():
            yield self._current
            return
        if self._shared:
            with self.transaction() as tx:
                yield tx
            return
        with self._translated(), self.engine.connect() as connection:
            connection = connection.execution_options(cloister_read=True)
            with connection.begin():
                yield Transaction(connection)

    def close(self) -> None:
        """Ends all connections and lets the folder go. Twice does no harm."""
        if self._guard is not None:
            with contextlib.suppress(DBAPIError):
                self._guard.close()
            self._guard = None
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()

    @contextlib.contextmanager
    def _unforced(self, connection: Connection, forced: bool) -> Iterator[None]:
        raw = connection.connection.driver_connection
        if forced or not isinstance(raw, sqlite3.Connection):
            yield
            return
        # Of the connection, not of the transaction: it goes back to the pool as it was.
        raw.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            try:
                raw.execute("PRAGMA synchronous=FULL")
            except sqlite3.Error:
                # Not even undone, so still within a transaction: this connection is not used again.
                connection.invalidate()

    def _begin(self, connection: Connection) -> None:
        for left in reversed(range(_BEGIN_TRIES)):
            try:
                connection.begin()
            except DBAPIError as error:
                if not left or _code(error) != sqlite3.SQLITE_BUSY:
                    raise
            else:
                return

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._translate(error) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise out_of_space() from None
            raise

    def _translate(self, error: DBAPIError) -> Exception:
        code = _code(error)
        if code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == "53100":
            return out_of_space()
        if code == sqlite3.SQLITE_IOERR and self.folder and shutil.disk_usage(self.folder).free < 1 << 20:
            return out_of_space()
        if code == sqlite3.SQLITE_BUSY:
            return Conflict(
                "The server's database is held by another program.",
                "It stayed locked for longer than this server waits.",
                "Close the other program (a backup, a database browser) and try again.",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return CloisterError(
                "The server's database is damaged.",
                "Its pages do not fit together.",
                "Stop the server and restore the last backup; `cloister doctor` says more.",
            )
        # The driver's text may repeat bound values, which may be data: only its class is told.
        return CloisterError(
            "The server's database refused an operation.",
            f"The driver reported {type(error.orig).__name__} ({code if code is not None else 'no code'}).",
            "Try again; if it repeats, run `cloister doctor`.",
        )


def _private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        for beside in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + beside).chmod(0o600)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise out_of_space() from None
        raise


def out_of_space() -> OutOfSpace:
    """The error for a full disk while writing the node's memory."""
    return OutOfSpace(
        "There is no space left for the server's database.",
        "The disk or the quota is full; nothing was half-written.",
        "Free some space; unfinished tasks then go on by themselves.",
    )


def _code(error: DBAPIError) -> int | None:
    code: Any = getattr(error.orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(raw: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Otherwise the driver begins transactions by itself, and late.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in (
            f"busy_timeout={BUSY_MILLISECONDS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "trusted_schema=OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("cloister_read")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
