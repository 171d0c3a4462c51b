"""What registering a dataset leaves behind: a half that may be shown and a half that never leaves the owner's node.

The private half holds the salt and the leaves; on disk it is readable by its owner only. The two halves belong together
by the commitment: a manifest whose leaves do not lead to the published commitment is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from cloister.data import commitment as merkle
from cloister.data.column_kinds import TABLE_LIMITS
from cloister.data.images import LIMITS, ImageLimits
from cloister.data.readers import LabelledImage, read_image_folder
from cloister.data.schema import ColumnKind, DatasetDescription, Digest, Sensitivity, UnitOfPrivacy
from cloister.data.tables import read_table
from cloister.foundation.digests import same
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, Tampered
from cloister.foundation.files import read_limited, write_atomically

MAX_MANIFEST_BYTES = 64 << 20


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
        descriptions: what columns mean, by column name.
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
    descriptions: Mapping[str, str] | None = None
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


def glance(folder: Path) -> Registration:
    """A saved registration without its leaves, for listings: quick, however many records there are, and nothing is checked.

    Raises `NotFound` or `BadInput`. Data is used, and anything proved, only with what `load` gives.
    """
    description = parse_document(
        DatasetDescription, read_limited(folder / "description.json", 4 << 20), "The dataset's description"
    )
    manifest = parse_document(
        PrivateManifest,
        read_limited(folder / "manifest.json", MAX_MANIFEST_BYTES),
        "The dataset's manifest",
        max_bytes=MAX_MANIFEST_BYTES,
    )
    return Registration(description, manifest, b"")


def _only(registration: Registration, kind: str) -> None:
    if registration.description.kind != kind:
        raise BadInput(
            f"The dataset {registration.description.name!r} is of another kind.",
            f"It is not {kind}.",
            "Name another dataset.",
        )
