"""Documents: frozen, canonical, and read from foreign bytes within limits.

Rules:
1. Unknown fields are refused and types are not coerced: two parties never read one document differently.
2. What is told of a document that does not fit names the field and the reason, never the value that was given.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cloister.foundation import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput


class Document(BaseModel):
    """A frozen document that crosses parties; unknown fields are refused, types are not coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def canonical(self) -> bytes:
        """RFC 8785 bytes."""
        return canonical.canonical(self.model_dump(mode="json"))

    def digest(self) -> str:
        """`sha256:<hex>` of the canonical bytes."""
        return digest(self.canonical())


AnyDocument = TypeVar("AnyDocument", bound=BaseModel)


def parse_document(
    cls: type[AnyDocument], data: bytes, what: str, *, max_bytes: int = canonical.MAX_BYTES
) -> AnyDocument:
    """A document of class `cls` from foreign JSON bytes.

    Args:
        cls: the document's class.
        data: UTF-8 JSON.
        what: names the document in an error, for example "A tool's manifest".
        max_bytes: the limit on `data`.

    Raises:
        BadInput: over a limit, ambiguous JSON, or a field that does not fit; the field is named, its value is not.
    """
    canonical.parse(data, max_bytes=max_bytes)  # limits, duplicate keys, unsafe numbers
    try:
        return cls.model_validate_json(data)
    except ValidationError as error:
        raise invalid(error, what) from None


def invalid(error: ValidationError, what: str) -> BadInput:
    """A validation error as advice: which field and why, without the value that was given (rule 2)."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:200] or "the document"
    return BadInput(f"{what} is malformed.", f"At {place}: {first['msg'][:200]}.", "Correct that field.")
