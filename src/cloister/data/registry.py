"""Registering a dataset at its owner's node, and noticing before each use that it is still the same.

Registration reads everything once: it checks each record, commits to all of them, and notes every file's digest. What
comes out has two halves. The *description* may be shown; the *private manifest* (paths, digests, salt, leaves) never
leaves the node. Rules:
1. Before data is used, every byte is read again and compared. Size and modification time alone prove nothing (both can
   be set by hand); `looks_unchanged` offers them as a quick hint for listings only.
2. A change is reported in public words without names or counts; what exactly changed is in `DatasetChanged.local`,
   which only the owner's own screens show.
3. A registration is never altered: new data is a new version with a new commitment and a new salt.

Cost of the full check: one SHA-256 over all files, about 1 s per gigabyte and core on current processors, plus reading
them from disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, ValidationError

from cloister.data import commitment as merkle
from cloister.data.images import LIMITS, ImageLimits
from cloister.data.readers import LabelledImage, folder_files, labels_told, read_image_folder
from cloister.data.schema import (
    ColumnKind,
    DatasetDescription,
    Digest,
    Document,
    ImageFacts,
    Sensitivity,
    SizeBand,
    UnitOfPrivacy,
    invalid,
    parse_document,
    size_band,
)
from cloister.data.tables import TABLE_LIMITS, columns_of, read_table, rows_of
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import digest_file, same
from cloister.foundation.errors import BadInput, NotFound, Tampered
from cloister.foundation.files import read_limited, write_atomically

MAX_MANIFEST_BYTES = 64 << 20
_NAMED = 10


class DatasetChanged(Tampered):
    """A registered dataset is not what it was.

    Args:
        local: what changed, file by file or record by record; for the owner's eyes, never sent.
    """

    type: ClassVar[str] = "dataset-changed"

    def __init__(self, name: str, local: tuple[str, ...]) -> None:
        super().__init__(
            f"The dataset {name!r} has changed since it was registered.",
            "Its files no longer match what was committed to.",
            "Its owner can restore the files, or register the new state as a new version and have it agreed.",
            clause="dataset-unchanged",
        )
        self.local = local


@dataclass(frozen=True)
class DatasetFields:
    """What the owner says about a dataset when registering it; the rest is read from the files.

    Args:
        name: short and unique at this owner.
        title: for people.
        owner: the owner's party id.
        residency: ISO 3166-1 alpha-2 code of the country where the files lie.
        unit_of_privacy: default: each image, or each row.
        sensitivity: by column name for a table (missing ones are confidential); under `""` for pictures.
        units: physical units by column name.
        kinds: declared kinds of CSV columns.
        decimal: decimal sign of a CSV.
        micrometres_per_pixel: of pictures, if known and to be told.
        description: of pictures.
        tell_size: publish a rough number of records.
        version: 1, or one more than the version replaced.
    """

    name: str
    title: str
    owner: str
    residency: str
    unit_of_privacy: UnitOfPrivacy | None = None
    sensitivity: Mapping[str, Sensitivity] | None = None
    units: Mapping[str, str] | None = None
    kinds: Mapping[str, ColumnKind] | None = None
    decimal: str = "."
    micrometres_per_pixel: float | None = None
    description: str = ""
    tell_size: bool = False
    version: int = 1


class FileFact(Document):
    """One file at registration: path relative to the source, bytes, modification time in nanoseconds, digest of the content."""

    path: Annotated[str, StringConstraints(max_length=4096)]
    size: Annotated[int, Field(ge=0)]
    modified: Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,20}$")]
    content: Digest


class PrivateManifest(Document):
    """The owner's half of a registration. Holds the salt: keep it as a secret.

    Args:
        source: the folder or file, absolute.
        files: every file that was read, in order.
        records: their number.
        salt: the dataset's secret, hexadecimal.
        kinds: declared kinds of CSV columns, to read it again the same way.
        decimal: decimal sign of a CSV.
    """

    type: Literal["cloister/dataset-manifest@1"] = "cloister/dataset-manifest@1"
    source: str
    files: tuple[FileFact, ...]
    records: Annotated[int, Field(ge=1)]
    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64,}$")]
    kinds: Annotated[dict[str, ColumnKind], Field(default_factory=dict)]
    decimal: Literal[".", ","] = "."

    def __repr__(self) -> str:
        return f"PrivateManifest({self.records} records, secret)"

    __str__ = __repr__


@dataclass(frozen=True)
class Registration:
    """A registered dataset: the half that may be shown and the half that may not.

    Args:
        description: for the catalogue.
        manifest: private.
        leaves: private; the commitment's leaves, 32 bytes each, in order of the records.
    """

    description: DatasetDescription
    manifest: PrivateManifest
    leaves: bytes = field(repr=False)

    def leaf_list(self) -> list[bytes]:
        """The leaves one by one."""
        return [self.leaves[at : at + 32] for at in range(0, len(self.leaves), 32)]

    @property
    def source(self) -> Path:
        """Where the data lies."""
        return Path(self.manifest.source)

    def prove(self, index: int) -> merkle.InclusionProof:
        """The inclusion proof of record `index`."""
        return merkle.prove(self.leaf_list(), index, bytes.fromhex(self.manifest.salt))

    def images(self, limits: ImageLimits = LIMITS) -> tuple[LabelledImage, ...]:
        """The pictures and labels of an image dataset, in registered order."""
        _only(self, "image-points")
        return read_image_folder(self.source, limits=limits)

    def table(self) -> Any:
        """The `pyarrow.Table` of a table dataset."""
        _only(self, "table")
        return read_table(self.source, self.manifest.kinds, decimal=self.manifest.decimal)


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
    """
    source = source.absolute()
    if source.is_dir():
        return _register_images(source, fields, salt, now)
    if source.is_file():
        return _register_table(source, fields, salt, now)
    raise NotFound(
        f"There is no dataset at {source}.",
        "A folder of pictures or a table file was expected.",
        "Check the path.",
    )


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


def save(registration: Registration, folder: Path) -> None:
    """Writes a registration as `description.json` and the private `manifest.json` and `leaves` (mode 0600)."""
    write_atomically(folder / "leaves", registration.leaves, private=True)
    write_atomically(folder / "manifest.json", registration.manifest.canonical(), private=True)
    write_atomically(folder / "description.json", registration.description.canonical())


def load(folder: Path) -> Registration:
    """A saved registration. Raises `NotFound`, `BadInput`, or `Tampered` if its halves do not belong together."""
    description = parse_document(
        DatasetDescription, read_limited(folder / "description.json", 4 << 20), "The dataset's description"
    )
    manifest = parse_document(
        PrivateManifest,
        read_limited(folder / "manifest.json", MAX_MANIFEST_BYTES),
        "The dataset's manifest",
        max_bytes=MAX_MANIFEST_BYTES,
    )
    registration = Registration(
        description, manifest, read_limited(folder / "leaves", 32 * TABLE_LIMITS.max_rows)
    )
    if len(registration.leaves) % 32 or not same(
        merkle.commitment(registration.leaf_list()), description.commitment
    ):
        raise Tampered(
            f"The registration of {description.name!r} does not belong together.",
            "Its private manifest does not lead to its published commitment.",
            "Restore both files from one backup, or register the dataset again as a new version.",
            clause="dataset-commitment",
        )
    return registration


def _register_images(source: Path, fields: DatasetFields, salt: bytes, now: int) -> Registration:
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
    columns = columns_of(table, fields.sensitivity, fields.units)
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


def _only(registration: Registration, kind: str) -> None:
    if registration.description.kind != kind:
        raise BadInput(
            f"The dataset {registration.description.name!r} is of another kind.",
            f"It is not {kind}.",
            "Name another dataset.",
        )
