"""An owner with registered pictures and rows, a researcher and a stranger; disclosures between them."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

from cloister.data.commitment import record_salt, row_record, schema_prefix
from cloister.data.labels import Labels
from cloister.data.schema import Column
from cloister.disclosure.documents import DAY, DisclosedFrom, Disclosure, sign_disclosure
from cloister.disclosure.package import pack
from cloister.disclosure.records import Contents, Picture, Row, write_contents
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import digest
from cloister.identity import cards
from cloister.identity.directory import Directory
from cloister.identity.keys import SecretKeys

NOW = 1_800_000_000
SECRET = bytes(range(32))
COLUMNS = (
    Column(name="hours", kind="real"),
    Column(name="cycles", kind="integer"),
    Column(name="site", kind="text"),
    Column(name="failed", kind="boolean"),
    Column(name="seen", kind="timestamp"),
)


@cache
def keys(label: str) -> SecretKeys:
    return SecretKeys.generate()


@cache
def _card(label: str):
    return cards.genesis(label.title(), ["owner"], keys(label), keys(f"{label}-recovery").public, NOW - DAY)


@cache
def directory() -> Directory:
    made = Directory()
    for label in ("owner", "researcher", "stranger"):
        made.accept(_card(label), NOW)
    return made


def party(label: str) -> str:
    return cards.read(_card(label)).party


def png(seed: int = 0, size: int = 12, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def pictures(count: int = 2) -> Contents:
    labels = Labels(((1.0, 2.5), (3.0, 4.0)), (2.0, 3.5))
    return Contents(
        pictures=tuple(
            Picture(record_salt(SECRET, i), png(i), labels if i % 2 == 0 else None) for i in range(count)
        )
    )


def rows(count: int = 3) -> Contents:
    prefix = schema_prefix(COLUMNS)
    return Contents(
        rows=tuple(
            Row(record_salt(SECRET, i), row_record(prefix, COLUMNS, (i / 2, -i, f"é{i}", i % 2 == 0, None)))
            for i in range(count)
        ),
        columns=COLUMNS,
    )


def disclosure(contents: Contents | None = None, **changes) -> tuple[Disclosure, bytes]:
    found = contents or pictures()
    data = write_contents(found)
    fields = {
        "owner": party("owner"),
        "recipient": party("researcher"),
        "recipient_keyset": keys("researcher").public.keyset,
        "dataset": DisclosedFrom(
            name="photos",
            commitment="sha256:" + "1" * 64,
            kind="image-points" if found.pictures else "table",
        ),
        "records": found.leaves,
        "contents": digest(data),
        "bytes": len(data),
        "purpose": "Tune the threshold",
        "made": rfc3339(NOW),
        "until": rfc3339(NOW + 7 * DAY),
    }
    return Disclosure(**fields | changes), data


def package(contents: Contents | None = None, signer: str = "owner", **changes) -> bytes:
    document, data = disclosure(contents, **changes)
    return pack(sign_disclosure(document, keys(signer)), document, data, keys("researcher").public)
