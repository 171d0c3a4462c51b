"""What a dataset is, as others may know it: its shape and its rules, never its content.

A `DatasetDescription` is the whole of what leaves the owner's node about a dataset: catalogue entries, agreements and
plans quote it. Rules:
1. No record, no file name, no exact count: size is a band that the owner chose to tell, or nothing.
2. The commitment inside is salted (`data.commitment`), so it cannot be matched against guessed records.
3. A column without a stated sensitivity is confidential.
4. What people read of it holds nothing that acts on a terminal or page (`foundation.text`).
5. The description is frozen and canonical; its digest names this version of the dataset in agreements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from cloister.data.countries import COUNTRIES
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.digests import DIGEST_PATTERN
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.text import acts

Sensitivity: TypeAlias = Literal["public", "internal", "confidential", "personal"]
ColumnKind: TypeAlias = Literal["boolean", "integer", "real", "text", "timestamp"]
SizeBand: TypeAlias = Literal[
    "under 100", "100 to 1000", "1000 to 10000", "10000 to 100000", "100000 to 1000000", "over 1000000"
]  # fmt: skip

_BANDS: Mapping[SizeBand, int] = {
    "under 100": 100,
    "100 to 1000": 1_000,
    "1000 to 10000": 10_000,
    "10000 to 100000": 100_000,
    "100000 to 1000000": 1_000_000,
}

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]


def _seen(text: str) -> str:
    if acts(text):
        raise ValueError(
            "text has controls, or marks that cannot be seen or that turn the direction of writing"
        )
    return text


Line: TypeAlias = Annotated[str, StringConstraints(max_length=200), AfterValidator(_seen)]
ColumnName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_seen)]
Digest: TypeAlias = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]


class Column(Document):
    """One column of a table.

    Args:
        name: as in the file's header.
        kind: what its values are.
        sensitivity: who may ever compute on it; confidential unless stated.
        unit: a physical unit such as `mm` or `°C`, or empty.
        description: what it means, for the people who will sign about it.
    """

    name: ColumnName
    kind: ColumnKind
    sensitivity: Sensitivity = "confidential"
    unit: Line = ""
    description: Line = ""


class ImageFacts(Document):
    """What others may know of an image dataset.

    Args:
        sensitivity: of the pictures and their labels.
        labels: which labels every picture may have: points at objects' centres, with or without diameters.
        micrometres_per_pixel: the scale, if it is one for all pictures and may be told.
        description: what the pictures show.
    """

    sensitivity: Sensitivity = "confidential"
    labels: Literal["none", "centres", "centres and diameters"] = "none"
    micrometres_per_pixel: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    description: Line = ""


class UnitOfPrivacy(Document):
    """What one unit of protection covers.

    Args:
        kind: every record by itself, every image by itself, or all rows that share a value of `column`.
        column: the identifying column where kind is `column`.
    """

    kind: Literal["record", "image", "column"]
    column: ColumnName | None = None

    @model_validator(mode="after")
    def _named(self) -> UnitOfPrivacy:
        if (self.kind == "column") != (self.column is not None):
            raise ValueError("a column is named exactly when the unit is a column")
        return self

    @property
    def word(self) -> str:
        """What one unit is called in agreements, plans and budgets: `record`, `image`, or the column that names it."""
        return self.column or self.kind


class DatasetDescription(Document):
    """The catalogue entry of a dataset: all that others see of it.

    Args:
        name: short, unique at its owner.
        title: for people.
        kind: pictures with points in them, or a table.
        columns: of a table, in file order.
        image: facts of an image dataset.
        unit_of_privacy: what differential privacy and minimum group sizes count.
        residency: ISO 3166-1 alpha-2 code of the country where the data is kept.
        owner: the owning party's id.
        commitment: the salted commitment to the records (`data.commitment.commitment`).
        size_band: a rough number of records, if the owner tells it.
        version: 1 at first registration, then counting.
        registered: when, RFC 3339.
    """

    type: Literal["cloister/dataset@1"] = "cloister/dataset@1"
    name: Name
    title: Line
    kind: Literal["image-points", "table"]
    columns: Annotated[tuple[Column, ...], Field(max_length=2000)] = ()
    image: ImageFacts | None = None
    unit_of_privacy: UnitOfPrivacy
    residency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    owner: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
    commitment: Digest
    size_band: SizeBand | None = None
    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    registered: str

    @field_validator("residency")
    @classmethod
    def _known_country(cls, code: str) -> str:
        if code not in COUNTRIES:
            raise ValueError("not an ISO 3166-1 alpha-2 country code")
        return code

    @field_validator("registered")
    @classmethod
    def _is_time(cls, text: str) -> str:
        parse_rfc3339(text)
        return text

    @model_validator(mode="after")
    def _fits_its_kind(self) -> DatasetDescription:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have the same name")
        if (self.kind == "table") != bool(names) or (self.kind == "image-points") != (self.image is not None):
            raise ValueError("a table has columns and no image facts; an image dataset the reverse")
        if self.unit_of_privacy.column is not None and self.unit_of_privacy.column not in names:
            raise ValueError("the unit of privacy names a column that is not there")
        if self.unit_of_privacy.kind == "image" and self.kind != "image-points":
            raise ValueError("only image datasets have images as unit of privacy")
        return self


def parse_description(data: bytes) -> DatasetDescription:
    """A catalogue entry from another party. Raises `BadInput` naming the field."""
    return parse_document(DatasetDescription, data, "A dataset description")


def size_band(records: int) -> SizeBand:
    """The band to tell instead of `records`."""
    return next((band for band, limit in _BANDS.items() if records < limit), "over 1000000")


def most_records(band: SizeBand) -> int | None:
    """A number that a dataset of this band has fewer records than; `None` if the band knows no end."""
    return _BANDS.get(band)
