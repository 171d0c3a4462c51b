"""Registering a dataset at its owner's node, and noticing before each use that it is still the same.

Registration goes through everything: it checks each record, commits to all of them, and notes every file's digest. What
comes out has two halves. The *description* may be shown; the *private manifest* (paths, digests, salt, leaves) never
leaves the node. Rules:
1. Before data is used, every byte is read again and compared. Size and modification time alone prove nothing (both can
   be set by hand); `looks_unchanged` offers them as a quick hint for listings only.
2. A change is reported in public words without names or counts; what exactly changed is in `DatasetChanged.local`,
   which only the owner's own screens show.
3. A registration is never altered: new data is a new version with a new commitment and a new salt.

Cost of the full check: one SHA-256 over all files, one to two seconds per gigabyte, plus reading them from disk.
Registration reads and hashes everything twice, and salts and hashes each record: about 20 µs per row of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cloister.data import commitment as merkle
from cloister.data.readers import folder_files, labels_told, read_image_folder
from cloister.data.registration import (
    DatasetChanged,
    DatasetFields,
    FileFact,
    PrivateManifest,
    Registration,
    glance,
    load,
    save,
)
from cloister.data.schema import DatasetDescription, ImageFacts, SizeBand, UnitOfPrivacy, size_band
from cloister.data.tables import columns_of, read_table, rows_of
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import digest_file, same
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, NotFound

__all__ = [
    "DatasetChanged",
    "DatasetFields",
    "Registration",
    "glance",
    "load",
    "looks_unchanged",
    "register",
    "save",
    "verify_unchanged",
]

_NAMED = 10


def register(source: Path, fields: DatasetFields, salt: bytes, *, now: int) -> Registration:
    """Reads, checks and commits to a dataset.

    Args:
        source: a folder of pictures, or a CSV or Parquet file.
        fields: what the owner says about it.
        salt: at least 32 fresh random bytes, used for no other dataset or version.
        now: seconds since the epoch.

    Raises:
        NotFound: there is nothing there.
        BadInput: the data or the fields cannot be used; file and line are named.
        DatasetChanged: a file was changed while it was being registered.
    """
    source = source.absolute()
    if source.is_dir():
        made = _register_images(source, fields, salt, now)
    elif source.is_file():
        made = _register_table(source, fields, salt, now)
    else:
        raise NotFound(
            f"There is no dataset at {source}.",
            "A folder of pictures or a table file was expected.",
            "Check the path.",
        )
    # Digests were taken before the records were read: a file changed in between would be committed to wrongly.
    verify_unchanged(made)
    return made


def looks_unchanged(registration: Registration) -> bool:
    """A quick hint from sizes and times; never a reason to use the data without `verify_unchanged`."""
    try:
        present = {path: (stat.st_size, str(stat.st_mtime_ns)) for path, stat in _stats(registration)}
    except (OSError, BadInput, NotFound):
        return False
    return present == {fact.path: (fact.size, fact.modified) for fact in registration.manifest.files}


def verify_unchanged(registration: Registration) -> None:
    """Reads every byte and compares it with the registration.

    Raises:
        DatasetChanged: anything was changed, added, removed or cannot be read; `.local` says what.
    """
    name = registration.description.name
    known = {fact.path: fact for fact in registration.manifest.files}
    changes: list[str] = []
    try:
        present = {path for path, _ in _stats(registration)}
    except (OSError, BadInput, NotFound) as error:
        raise DatasetChanged(name, (f"The files cannot be read: {error}",)) from None
    for path in sorted(known.keys() - present):
        changes.append(f"{path} is missing")
    for path in sorted(present - known.keys()):
        changes.append(f"{path} was added")
    for path in sorted(known.keys() & present):
        try:
            if not same(digest_file(_locate(registration.source, path)), known[path].content):
                changes.append(f"{path} was changed")
        except OSError:
            changes.append(f"{path} cannot be read")
    if not changes:
        return
    summary = f"{len(changes)} of {len(known)} files differ from the registration of {registration.description.registered}."
    shown = changes[:_NAMED] + ([f"and {len(changes) - _NAMED} more"] if len(changes) > _NAMED else [])
    raise DatasetChanged(name, (summary, *shown, *_changed_rows(registration)))


def _register_images(source: Path, fields: DatasetFields, salt: bytes, now: int) -> Registration:
    if fields.unit_of_privacy is not None and _unit(fields)[0] == "column":
        raise BadInput(
            "Pictures have no columns.",
            "A column was named as their unit of privacy.",
            "Write --unit image, or leave it out.",
        )
    images = read_image_folder(source)
    facts = _facts(source, folder_files(source))
    digests = {fact.path: fact.content for fact in facts}
    records = (
        merkle.image_record(
            digests[_relative(source, image.path)], None if image.labels is None else image.labels.as_json()
        )
        for image in images
    )
    committed = merkle.commit(records, salt)
    try:
        description = DatasetDescription(
            **_common(fields, committed, now),
            kind="image-points",
            image=ImageFacts(
                sensitivity=(fields.sensitivity or {}).get("", "confidential"),
                labels=labels_told(images),
                micrometres_per_pixel=fields.micrometres_per_pixel,
                description=fields.description,
            ),
            unit_of_privacy=fields.unit_of_privacy or UnitOfPrivacy(kind="image"),
        )
    except ValidationError as error:
        raise invalid(error, "The description of the dataset") from None
    return Registration(
        description, _manifest(source, facts, committed, salt, fields), b"".join(committed.leaves)
    )


def _register_table(source: Path, fields: DatasetFields, salt: bytes, now: int) -> Registration:
    facts = _facts(source, [source])
    table = read_table(source, fields.kinds, decimal=fields.decimal)
    if not table.num_rows:
        raise BadInput(
            f"{source.name} has no rows.", "An empty table cannot be registered.", "Check the file."
        )
    columns = columns_of(table, fields.sensitivity, fields.units, fields.descriptions)
    _check_unit(fields, [column.name for column in columns])
    prefix = merkle.schema_prefix(columns)
    committed = merkle.commit(
        (merkle.row_record(prefix, columns, row) for row in rows_of(table, columns)), salt
    )
    try:
        description = DatasetDescription(
            **_common(fields, committed, now),
            kind="table",
            columns=columns,
            unit_of_privacy=fields.unit_of_privacy or UnitOfPrivacy(kind="record"),
        )
    except ValidationError as error:
        raise invalid(error, "The description of the dataset") from None
    return Registration(
        description, _manifest(source, facts, committed, salt, fields), b"".join(committed.leaves)
    )


def _check_unit(fields: DatasetFields, columns: Sequence[str]) -> None:
    kind, column = _unit(fields)
    if kind == "image":
        raise BadInput(
            "A table has no pictures.",
            "A picture was named as its unit of privacy.",
            "Write --unit record, or --unit with the name of a column.",
        )
    if kind == "column" and column not in columns:
        raise BadInput(
            f"The table has no column {str(column)[:80]!r}.",
            "It was named as the unit of privacy.",
            f"Write --unit record, or --unit with one of: {', '.join(columns[:_NAMED])}.",
        )


def _unit(fields: DatasetFields) -> tuple[str | None, str | None]:
    """Kind and column of the unit of privacy, which may be given as a document or as the fields of one."""
    unit = fields.unit_of_privacy
    if isinstance(unit, UnitOfPrivacy):
        return unit.kind, unit.column
    return (unit.get("kind"), unit.get("column")) if isinstance(unit, dict) else (None, None)


def _common(fields: DatasetFields, committed: merkle.Committed, now: int) -> dict[str, Any]:
    band: SizeBand | None = size_band(len(committed.leaves)) if fields.tell_size else None
    return {
        "name": fields.name,
        "title": fields.title,
        "residency": fields.residency,
        "owner": fields.owner,
        "commitment": committed.published,
        "size_band": band,
        "version": fields.version,
        "registered": rfc3339(now),
    }


def _manifest(
    source: Path, facts: tuple[FileFact, ...], committed: merkle.Committed, salt: bytes, fields: DatasetFields
) -> PrivateManifest:
    return PrivateManifest(
        source=str(source),
        files=facts,
        records=len(committed.leaves),
        salt=salt.hex(),
        kinds=dict(fields.kinds or {}),
        decimal="," if fields.decimal == "," else ".",
    )


def _facts(source: Path, paths: Sequence[Path]) -> tuple[FileFact, ...]:
    facts = []
    for path in paths:
        stat = path.stat()
        facts.append(
            FileFact(
                path=_relative(source, path),
                size=stat.st_size,
                modified=str(stat.st_mtime_ns),
                content=digest_file(path),
            )
        )
    return tuple(facts)


def _stats(registration: Registration) -> Iterator[tuple[str, Any]]:
    """Path and `stat` of every file that registering now would read."""
    source = registration.source
    if registration.description.kind == "table":
        if source.is_file():
            yield source.name, source.stat()
        return
    for path in folder_files(source):
        yield _relative(source, path), path.stat()


def _relative(source: Path, path: Path) -> str:
    return path.name if path == source else path.relative_to(source).as_posix()


def _locate(source: Path, relative: str) -> Path:
    return source if source.is_file() else source / relative


def _changed_rows(registration: Registration) -> tuple[str, ...]:
    """Which rows of a table differ, as far as it can still be read the way it was registered."""
    if registration.description.kind != "table" or not registration.source.is_file():
        return ()
    columns, secret = registration.description.columns, bytes.fromhex(registration.manifest.salt)
    try:
        table = registration.table()
        if [(c.name, c.kind) for c in columns_of(table)] != [(c.name, c.kind) for c in columns]:
            return ("Its columns or their kinds differ.",)
        prefix = merkle.schema_prefix(columns)
        leaves = merkle.commit(
            (merkle.row_record(prefix, columns, row) for row in rows_of(table, columns)), secret
        ).leaves
    except BadInput as error:
        return (str(error),)
    known = registration.leaf_list()
    rows = [number for number, (old, new) in enumerate(zip(known, leaves, strict=False), 1) if old != new]
    told = []
    if len(leaves) != len(known):
        told.append(f"There are {len(leaves)} rows; {len(known)} were registered.")
    if rows:
        more = " and more" if len(rows) > _NAMED else ""
        told.append(f"Rows that differ (from 1): {', '.join(map(str, rows[:_NAMED]))}{more}.")
    return tuple(told) or ("The file's bytes differ, its rows do not.",)
