"""What stands in a ledger entry: its kind, its time, and a salted digest of the document it is about. Nothing else.

The salt keeps the entry from telling which document it is (documents are guessable: who watches the log could try
likely agreements). Whoever is later shown document and salt, the *opening*, can check that the entry is about it.

Rules:
1. A leaf holds no names, purposes, SQL or figures; its kind is from a fixed list.
2. The digest is SHA-256(salt ‖ document digest) with a fresh 32-byte salt for each entry, kept by the log's owner.
3. Leaves are canonical JSON; any other bytes are malformed.

What a reader of the log still sees: how many entries of which kind, and when.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from cloister.foundation.canonical import canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import DIGEST_PATTERN, raw, same
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import b64, unb64

Kind: TypeAlias = Literal[
    "agreement",
    "card",
    "charge",
    "checkpoint-received",
    "dataset",
    "decision",
    "disclosure",
    "release",
    "task-event",
    "tool",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_LEAF = 512
SALT = 32
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_FORM = re.compile(
    rf'{{"digest":"(sha256:[0-9a-f]{{64}})","kind":"({"|".join(KINDS)})","time":"({_TIME})"}}'.encode()
)


class Leaf(BaseModel):
    """A ledger entry as everybody may see it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind
    digest: Annotated[str, Field(pattern=DIGEST_PATTERN)]
    time: Annotated[str, Field(pattern=f"^{_TIME}$")]

    def encode(self) -> bytes:
        """The leaf's bytes: what the tree hashes."""
        return canonical(self.model_dump(mode="json"))

    @property
    def at(self) -> int:
        """When it was written, seconds since the epoch."""
        return _seconds(self.time)

    @classmethod
    def decode(cls, data: bytes) -> Leaf:
        """Reads what `encode` wrote. Raises `BadInput` for anything else."""
        # Canonical JSON of these three fields has exactly one form, so a pattern is both stricter and faster than a
        # JSON parser: ledgers are verified by the hundred thousand entries.
        match = _FORM.fullmatch(data)
        if match is None:
            raise BadInput(
                "A ledger entry could not be read.",
                "It is not in the one form that ledger entries have.",
                "Ask for the entry again.",
            )
        found, kind, time = (part.decode("ascii") for part in match.groups())
        _seconds(time)
        return cls.model_validate({"kind": kind, "digest": found, "time": time})


@dataclass(frozen=True)
class Opening:
    """What shows which document an entry is about; kept by the log's owner and shown to whom it may concern.

    Attributes:
        document: the document's digest, `sha256:<hex>` (for signed documents `Envelope.digest`).
        salt: the entry's 32 random bytes.
    """

    document: str
    salt: bytes = field(repr=False)

    def to_json(self) -> dict[str, str]:
        """As JSON: `document`, and `salt` in base64."""
        return {"document": self.document, "salt": b64(self.salt)}

    @classmethod
    def from_json(cls, value: object) -> Opening:
        """Reads what `to_json` wrote. Raises `BadInput`."""
        if not isinstance(value, dict) or set(value) != {"document", "salt"}:
            raise BadInput("An opening of a ledger entry could not be read.", "", "Ask for it again.")
        document, salt = str(value["document"]), unb64(str(value["salt"]))
        raw(document)
        if len(salt) != SALT:
            raise BadInput("An opening's salt has the wrong length.", "", "Ask for it again.")
        return cls(document, salt)


def conceal(kind: Kind, document: str, now: int, salt: bytes | None = None) -> tuple[Leaf, Opening]:
    """A new entry about the document of that digest, and its opening (with a fresh salt if none is given)."""
    opening = Opening(document, secrets.token_bytes(SALT) if salt is None else salt)
    return Leaf(kind=kind, digest=_salted(opening), time=rfc3339(now)), opening


def verify_opening(leaf: Leaf, opening: Opening) -> None:
    """Raises `NotTrusted` unless the entry is about the opening's document."""
    if not same(leaf.digest, _salted(opening)):
        raise NotTrusted(
            "A ledger entry is about another document.",
            "Salt and document do not give the entry's digest.",
            "Ask for the right opening.",
            clause="ledger-opening",
        )


def _seconds(time: str) -> int:
    try:
        return int(dt.datetime.fromisoformat(time).timestamp())
    except ValueError:
        raise BadInput(
            "A ledger entry's time is malformed.", "There is no such day or hour.", "Ask for the entry again."
        ) from None


def _salted(opening: Opening) -> str:
    if len(opening.salt) != SALT:
        raise BadInput(
            "A ledger entry's salt has the wrong length.", f"It has {SALT} bytes.", "Make a new one."
        )
    return "sha256:" + hashlib.sha256(opening.salt + raw(opening.document)).hexdigest()
