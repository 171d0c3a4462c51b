"""How a sealed package comes to its recipient over the relay: offered by the owner's server, fetched in parts by the recipient's.

```
owner's server                                        recipient's server
  offer: which disclosure, size, digest, until  ─────▶  keeps the offer, if it trusts the owner and there is room
  a part, if the disclosure stands now          ◀─────  asks for the part that begins where its file ends
  notes that it arrived                         ◀─────  says that it has the whole, once the digest is right
```

The messages travel signed and sealed (`transport`), the package in them is sealed once more (`package`). Rules:
1. A part is asked for by its beginning, so that a transfer that broke off, on either side, goes on where it was.
2. A part counts for nothing until the whole has the size and the digest that the owner offered.
3. Sizes are bounded before a byte is kept.
4. An offer opens nothing and promises nothing: what is disclosed is in the package, signed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cloister.agreements.clauses import Instant
from cloister.data.schema import Digest
from cloister.disclosure.package import MAX_PACKAGE, read_header
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.digests import digest, same
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, NotTrusted

PART = 4 << 20
"""Bytes of a part; the last one has fewer."""
MAX_MESSAGE = 2048


class PackageOffer(Document):
    """An owner's server has a package for the party that it tells this.

    Attributes:
        disclosure: the digest of the signed disclosure inside, as the package's header names it.
        size: bytes of the package.
        package: its digest.
        until: when the disclosure ends, so that what was not opened is deleted then.
    """

    type: Literal["cloister/disclosure-offer@1"] = "cloister/disclosure-offer@1"
    disclosure: Digest
    size: Annotated[int, Field(ge=1, le=MAX_PACKAGE)]
    package: Digest
    until: Instant

    @property
    def until_at(self) -> int:
        """Seconds since the epoch."""
        return parse_rfc3339(self.until)


class PartWanted(Document):
    """The recipient's server asks for the bytes of a package from `at` on; at most `PART` of them come."""

    type: Literal["cloister/disclosure-part@1"] = "cloister/disclosure-part@1"
    disclosure: Digest
    at: Annotated[int, Field(ge=0, lt=MAX_PACKAGE)]


class Arrived(Document):
    """The recipient's server has the whole package, with this digest."""

    type: Literal["cloister/disclosure-arrived@1"] = "cloister/disclosure-arrived@1"
    disclosure: Digest
    package: Digest


def parse_offer(data: bytes) -> PackageOffer:
    """An offer from foreign bytes. Raises `BadInput`."""
    return parse_document(PackageOffer, data, "The offer of a package", max_bytes=MAX_MESSAGE)


def parse_wanted(data: bytes) -> PartWanted:
    """A request for a part from foreign bytes. Raises `BadInput`."""
    return parse_document(PartWanted, data, "The request for a part of a package", max_bytes=MAX_MESSAGE)


def parse_arrived(data: bytes) -> Arrived:
    """That a package arrived, from foreign bytes. Raises `BadInput`."""
    return parse_document(Arrived, data, "The word that a package arrived", max_bytes=MAX_MESSAGE)


def require_offered(package: bytes, offer: PackageOffer, recipient: str) -> None:
    """That the whole is what was offered, and is addressed to this party. Its seal is for `package.unpack`.

    Raises:
        NotTrusted: other bytes, or a package for another party or of another disclosure (clause `disclosure-package`).
    """
    if len(package) != offer.size or not same(digest(package), offer.package):
        raise _another("Its size or digest is another.")
    try:
        header = read_header(package)
    except BadInput:
        raise _another("It is no package of disclosed records.") from None
    if header.recipient != recipient or not same(header.disclosure, offer.disclosure):
        raise _another("It is addressed to another party, or holds another disclosure.")


def _another(why: str) -> NotTrusted:
    return NotTrusted(
        "A package is not the one that was offered.",
        why,
        "Ask its owner to hand it over as a file.",
        clause="disclosure-package",
    )
