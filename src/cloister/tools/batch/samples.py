"""The table with a row for each file that a tool looked at: what was measured when, by what, with which settings.

The same table is the record in a folder with results (`samples.db`, SQLite), by which a batch knows what is done, and, if
wanted, a database of the plant's own (SQLite or PostgreSQL) that takes the rows of many folders.

Rules:
1. A row is written when everything else about the file is on disk. A batch that is stopped at any instant has no row for what
   is not there, and no second row for what is.
2. A row's key is the digest of the file's path, its content, the tool, its settings, the size of a pixel and the calibration: the same file
   under the same conditions is one row, however often it is looked at. A changed file, or changed settings, is another row.
3. A file that could not be used has a row too, with its error instead of figures, until it can be used under the same
   conditions.
4. The plant's own database also has a table of objects (`object_rows`); in the folder they are files of their own (`objects`).
5. A database that a newer Cloister wrote, or that holds another `samples` table, is not touched.
6. Times are whole seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, delete, event, func, make_url, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, OutOfSpace, Unreachable
from cloister.sizing.calibration import Calibration
from cloister.tools.batch import object_rows
from cloister.tools.batch.sample_tables import VERSION, bring_up_to_date, objects, samples


@dataclass(frozen=True)
class Sample:
    """One file under one tool with its settings.

    Args:
        key: see rule 2.
        file: its absolute path, as `inputs.called`.
        digest: of its content; empty if it could not be read.
        size: bytes.
        modified_ns: when the file was changed last, nanoseconds since the epoch, as the file system says.
        taken: the same in whole seconds: when the picture was taken, unless it was changed since.
        computed: when the tool looked at it.
        seconds: that it took.
        tool: its name.
        version: its version.
        tool_digest: of its manifest.
        settings: canonical JSON of what the user set.
        um_per_px: micrometres per pixel; None if sizes are in pixels.
        label: the name of its results; empty if there are none.
        error: JSON of `what`, `why` and `remedy`; None if there is a result.
        width: pixels.
        height: pixels.
        count: of objects.
        count_low: lower end of the tool's interval for the count, if it gives one.
        count_high: upper end.
        agglomerates: how many groups have grown together, if the tool tells.
        measured: what the sizes are of, for example `diameter`; empty if there are none.
        unit: of the sizes.
        d10: a tenth of the objects (or of their volume, as the tool weights them) is smaller.
        d50: half is smaller.
        d90: nine tenths are smaller.
        mean: of the sizes.
        deviation: their standard deviation.
        figures: JSON of all figures of the tool, `values` and `units`.
        warnings: JSON list: why the result is doubtful.
        files: JSON list of the names of its files in the folder with results.
        sent: whether the plant's own database has it.
        calibration: canonical JSON of the calibration that `um_per_px` is from; None if that was only stated. This and what
            follows is None in rows of older versions.
        models: JSON of the models' digests by name.
        certificate: digest of the certificate that the tool names; empty if it names none.
        software: that computed, with its version.
    """

    key: str
    file: str
    digest: str
    size: int
    modified_ns: int
    taken: int
    computed: int
    seconds: float
    tool: str
    version: str
    tool_digest: str
    settings: str
    um_per_px: float | None
    label: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    count: int | None = None
    count_low: float | None = None
    count_high: float | None = None
    agglomerates: int | None = None
    measured: str = ""
    unit: str = ""
    d10: float | None = None
    d50: float | None = None
    d90: float | None = None
    mean: float | None = None
    deviation: float | None = None
    figures: str = "{}"
    warnings: str = "[]"
    files: str = "[]"
    sent: bool = False
    calibration: str | None = None
    models: str | None = None
    certificate: str | None = None
    software: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.error is None


__all__ = ["COLUMNS", "VERSION", "Conditions", "Sample", "Samples"]

COLUMNS: Final = tuple(field.name for field in fields(Sample))


@dataclass(frozen=True)
class Conditions:
    """What a sample is computed under: with another of these it is another sample.

    Attributes:
        tool_digest: of the tool's manifest.
        settings: canonical JSON of what the user set.
        um_per_px: micrometres per pixel; None if sizes are in pixels.
        calibration: canonical JSON of the calibration that this number is from, or None.
    """

    tool_digest: str
    settings: str
    um_per_px: float | None
    calibration: str | None = None

    @classmethod
    def of(
        cls,
        tool_digest: str,
        settings: Mapping[str, Any],
        micrometres_per_pixel: float | None,
        calibration: Calibration | None = None,
    ) -> Conditions:
        """From a tool's digest, what the user set, the size of a pixel, and the calibration that it is from."""
        made = None if calibration is None else calibration.canonical().decode("utf-8")
        return cls(tool_digest, canonical(dict(settings)).decode("utf-8"), micrometres_per_pixel, made)

    @classmethod
    def under_which(cls, sample: Sample) -> Conditions:
        """Those of a row."""
        return cls(sample.tool_digest, sample.settings, sample.um_per_px, sample.calibration)

    def key(self, file: str, content: str) -> str:
        """The key of a file with this content (rule 2)."""
        parts = [file, content, self.tool_digest, self.settings, self.um_per_px]
        # Without a calibration the key is that of the first version, so that what was done stays done.
        more = [] if self.calibration is None else [digest(self.calibration.encode())]
        return digest(json.dumps([*parts, *more]).encode())


class Samples:
    """The table in a database. Made by `open_file` or `open_server`; several processes may use one.

    Every method raises `OutOfSpace` if the disk is full, `Unreachable` if a server does not answer, and `CloisterError` for
    what else the database refuses.
    """

    def __init__(self, engine: Engine, *, with_objects: bool = False) -> None:
        self._engine = engine
        self.with_objects = with_objects
        with self._transaction() as connection:
            bring_up_to_date(connection, with_objects=with_objects)

    @classmethod
    def open_file(cls, path: Path, *, with_objects: bool = False) -> Samples:
        """A SQLite database in a file, made if it is not there (its folder must be).

        Args:
            path: of the file.
            with_objects: it has the table of objects too, as a plant's own database does.

        Raises:
            BadInput: it is no database.
            Refused: a newer Cloister wrote it (clause `schema-newer`).
        """
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _PATIENCE})

        @event.listens_for(engine, "connect")
        def connected(raw: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
            # Otherwise the driver begins transactions by itself, and late.
            raw.isolation_level = None
            # No write-ahead log: it needs memory that processes share, which folders on a network do not have.
            raw.cursor().execute("PRAGMA synchronous=FULL")
            raw.cursor().execute("PRAGMA trusted_schema=OFF")

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return cls(engine, with_objects=with_objects)

    @classmethod
    def open_server(cls, url: str, *, with_objects: bool = False) -> Samples:
        """A PostgreSQL database, by `postgresql+psycopg://…`; the tables are made if they are not there; see `open_file`.

        Raises:
            BadInput: the URL is not one, or its driver is not installed.
            Unreachable: the server does not answer.
            Refused: as `open_file`.
        """
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() != "postgresql":
                raise ArgumentError
            engine = create_engine(parsed, pool_pre_ping=True, pool_size=1)
        except (ArgumentError, NoSuchModuleError, ImportError):
            raise BadInput(
                "The database URL cannot be used.",
                "It is malformed, not one of PostgreSQL, or its driver is not installed.",
                "Use postgresql+psycopg://user@host/name and install psycopg.",
            ) from None
        return cls(engine, with_objects=with_objects)

    def put(self, sample: Sample, found: Sequence[Mapping[str, Any]] = ()) -> None:
        """Writes a row, in place of one with the same key, and of failures of the same file (rule 3).

        Args:
            sample: the row.
            found: the picture's objects (`object_rows.rows_of`), for a database with the table of objects.
        """
        failed = (
            (samples.c.file == sample.file)
            & samples.c.error.is_not(None)
            & _under(Conditions.under_which(sample))
        )
        gone = (samples.c.key == sample.key) | failed
        with self._transaction() as connection:
            if self.with_objects:
                keys = select(samples.c.key).where(gone)
                connection.execute(delete(objects).where(objects.c.sample.in_(keys)))
            connection.execute(delete(samples).where(gone))
            connection.execute(samples.insert(), asdict(sample))
            if self.with_objects:
                object_rows.put(connection, objects, found)

    def objects(self, key: str) -> list[dict[str, Any]]:
        """The objects of the sample with this key, by their numbers; none if the database has no such table."""
        if not self.with_objects:
            return []
        query = select(objects).where(objects.c.sample == key).order_by(objects.c.number)
        with self._transaction() as connection:
            return [row._asdict() for row in connection.execute(query)]

    def get(self, key: str) -> Sample | None:
        """The row with this key."""
        with self._transaction() as connection:
            row = connection.execute(select(samples).where(samples.c.key == key)).one_or_none()
        return None if row is None else Sample(**row._asdict())

    def seen(self, file: str, size: int, modified_ns: int, conditions: Conditions) -> bool:
        """Whether there is a row for this file as it is now, by its size and time alone, under these conditions."""
        with self._transaction() as connection:
            found = connection.execute(
                select(samples.c.key)
                .where(samples.c.file == file, samples.c.size == size, samples.c.modified_ns == modified_ns)
                .where(_under(conditions))
                .limit(1)
            )
            return found.one_or_none() is not None

    def label_taken(self, label: str, key: str) -> bool:
        """Whether another row than that with `key` has this label, in small or capital letters."""
        with self._transaction() as connection:
            found = connection.execute(
                select(samples.c.key)
                .where(func.lower(samples.c.label) == func.lower(label), samples.c.key != key)
                .limit(1)
            )
            return found.one_or_none() is not None

    def all(self, conditions: Conditions | None = None) -> Iterator[Sample]:
        """The rows in the order of their files and times; under these conditions only, if any are given."""
        query = select(samples).order_by(samples.c.file, samples.c.taken, samples.c.key)
        if conditions is not None:
            query = query.where(_under(conditions))
        with self._transaction() as connection:
            for row in connection.execute(query.execution_options(yield_per=1000)):
                yield Sample(**row._asdict())

    def unsent(self, most: int) -> list[Sample]:
        """Rows that the plant's own database does not have yet."""
        query = select(samples).where(samples.c.sent.is_(False)).order_by(samples.c.computed).limit(most)
        with self._transaction() as connection:
            return [Sample(**row._asdict()) for row in connection.execute(query)]

    def mark_sent(self, sample: Sample) -> None:
        """Notes that the plant's own database has this row."""
        with self._transaction() as connection:
            connection.execute(update(samples).where(samples.c.key == sample.key).values(sent=True))

    def close(self) -> None:
        """Ends the connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise _told(error) from None


_PATIENCE: Final = 30  # seconds to wait for another process that writes


def _under(conditions: Conditions) -> Any:
    size, made = samples.c.um_per_px, samples.c.calibration
    return (
        (samples.c.tool_digest == conditions.tool_digest)
        & (samples.c.settings == conditions.settings)
        & (size.is_(None) if conditions.um_per_px is None else size == conditions.um_per_px)
        & (made.is_(None) if conditions.calibration is None else made == conditions.calibration)
    )


def _told(error: DBAPIError) -> CloisterError:
    code = getattr(error.orig, "sqlite_errorname", "") or ""
    if code == "SQLITE_FULL" or getattr(error.orig, "sqlstate", None) == "53100":
        return OutOfSpace(
            "There is no space left for the samples.", "The disk or the quota is full.", "Free some space."
        )
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return BadInput(
            "The database of samples is none, or damaged.",
            "Its content is not that of a SQLite database.",
            "Name another file, or restore this one.",
        )
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")):
        return BadInput(
            "The database of samples cannot be opened or written.",
            "Its folder is missing, or may not be written.",
            "Check the path and who may write there.",
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unreachable(
            "The database of samples is held by another program.",
            "It stayed locked for longer than this one waits.",
            "Close the other program (a backup, a database browser) and try again.",
        )
    if error.connection_invalidated or type(error.orig).__name__ == "OperationalError":
        return Unreachable(
            "The database server of the samples does not answer.",
            "No connection could be made, or it broke.",
            "Check that it runs, and the URL.",
        )
    # The driver's text may repeat bound values: only its class is told.
    return CloisterError(
        "The database of samples refused an operation.",
        f"The driver reported {type(error.orig).__name__}.",
        "Try again; if it repeats, restore the database or name another one.",
    )
