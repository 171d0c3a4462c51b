"""An invitation: what an operator of a hub hands to a party so that its node can enrol.

It says where the hub is, which party it is, and which authority signs its certificates, and it carries a code that
enrols one party once. It is passed on by a way that both sides trust (it is short enough for a message or a file);
whoever reads it first can use the code, but gets no more than a place at the relay: trust is in party cards.

Rules:
1. What is read is bounded, canonical JSON of exactly these fields.
2. The authority's certificate is in it, so the first connection already checks the hub's server certificate.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.errors import BadInput
from cloister.identity.keys import PartyId, b64, unb64
from cloister.transport.zenoh_settings import check_endpoint

PREFIX = "cloister-invitation:"
MAX_INVITATION = 16 << 10


def _endpoint(text: str) -> str:
    try:
        check_endpoint(text)
    except BadInput:
        raise ValueError("not host:port") from None
    return text


Endpoint = Annotated[str, Field(max_length=300), AfterValidator(_endpoint)]


class Invitation(BaseModel):
    """How to reach a hub and enrol.

    Attributes:
        hub: the hub's own fingerprint.
        relay: `host:port` of its relay.
        enrol: `host:port` of its enrolment service (HTTPS).
        authority: the enrolment authority's certificate, PEM.
        code: enrols one party once; secret until used.
        expires: RFC 3339.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/invitation@1"] = "cloister/invitation@1"
    hub: PartyId
    relay: Endpoint
    enrol: Endpoint
    authority: Annotated[str, Field(max_length=8192)]
    code: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_\-.]{16,256}$", repr=False)]
    expires: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]

    def encode(self) -> str:
        """The invitation as one line of text."""
        return PREFIX + b64(canonical(self.model_dump(mode="json")))

    @classmethod
    def decode(cls, text: str) -> Invitation:
        """Reads what `encode` wrote. Raises `BadInput`."""
        stripped = "".join(text.split())
        try:
            if not stripped.startswith(PREFIX) or len(stripped) > MAX_INVITATION:
                raise _malformed()
            return cls.model_validate(parse_canonical(unb64(stripped.removeprefix(PREFIX))))
        except (ValidationError, BadInput):
            raise _malformed() from None


def _malformed() -> BadInput:
    return BadInput(
        "An invitation could not be read.",
        "It is cut short, or no invitation of a Cloister relay.",
        f"Copy the whole line that begins with {PREFIX}",
    )
