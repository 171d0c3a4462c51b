"""How a released content goes from the owners that hold it to its recipients.

Used where the plan lets owners hold the candidate; the coordinator then has nothing to send but the certificate.

Rules:
1. A content is sent only by owners that signed the certificate, and only once they have verified it.
2. The first `SENDERS` of them send it, by fingerprint: more than one, so that one may be gone.
3. It goes to recipients and to nobody else; to the coordinator only if it is one. Owners that are recipients have it.
4. A recipient has verified the certificate before it takes a content, and takes the first one that the certificate names.
   It waits for no other; what is something else counts as nothing.
5. It waits no longer once none of those who are to send it can still do so: the task fails by this phase's name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cloister.claims.offers import Digest, Plan
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import BadInput, TaskFailed
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import PartyId
from cloister.journal.program import Inbox, Local, Message, Party, Phase, Received, Step
from cloister.release import messages
from cloister.release.certificate import Certificate, verify_certificate
from cloister.release.context import Release, ReleaseContext
from cloister.release.exchange import expected
from cloister.release.messages import CONTENT

SENDERS = 2
ARRIVAL = "content"
"""The phase of a recipient that has the certificate and waits for what it is about."""


class _Awaited(BaseModel):
    """A recipient's state: the certificate as it was verified, what it names, and who is to send it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    envelope: dict[str, Any]
    content: Digest
    size: int
    senders: tuple[PartyId, ...] = Field(strict=False, max_length=SENDERS)


def senders(certificate: Certificate) -> tuple[Party, ...]:
    """The owners that send a certificate's content (rule 2)."""
    return tuple(sorted(certificate.signed_by))[:SENDERS]


def receivers(plan: Plan) -> tuple[Party, ...]:
    """To whom they send it (rule 3)."""
    seats = plan.offer.seats
    seated = (*seats.get("coordinator", ()), *seats.get("recipient", ()))
    return tuple(party for party in sorted(seated) if party in plan.request.recipients)


def sent(plan: Plan, certificate: Certificate, content: bytes) -> tuple[Message, ...]:
    """What one of the senders sends."""
    body = messages.write(messages.ContentHeader(content=certificate.content_digest), content)
    return tuple(Message(party, CONTENT, body) for party in receivers(plan))


def awaiting(certificate: Certificate) -> bytes:
    """The state with which a recipient enters the phase `ARRIVAL`, once it has verified the certificate."""
    return messages.write(
        _Awaited(
            envelope=certificate.envelope.model_dump(mode="json"),
            content=certificate.content_digest,
            size=certificate.predicate.size,
            senders=senders(certificate),
        )
    )


def arrival(context: ReleaseContext, then: Callable[[Certificate], Step]) -> Phase:
    """The phase in which a recipient takes the content and puts the release on its shelf; `then` says how it goes on."""

    def enough(state: bytes, inbox: Inbox, waits: Collection[Party]) -> float | None:
        awaited, _ = messages.read(_Awaited, state)
        hopeless = not set(waits) & set(awaited.senders)
        return 0.0 if hopeless or _found(awaited, inbox) is not None else None

    def step(local: Local, inbox: Inbox) -> Step:
        awaited, _ = messages.read(_Awaited, local.state)
        content = _found(awaited, inbox)
        if content is None:
            raise TaskFailed(
                "A released result did not arrive.",
                "Its certificate is here, but of the owners that were to send it none did.",
                "Ask the owners that the certificate names; they hold the result.",
                phase=ARRIVAL,
            )
        # Verified again: it may have been revoked since.
        envelope = Envelope.from_json(awaited.envelope)
        certificate = verify_certificate(envelope, content, context.directory, expected(context))
        context.store(Release(certificate, content))
        return then(certificate)

    largest = messages.MAX_SMALL + context.terms.release.max_bytes
    # As long as for the certificate: who sends it may be away for a while, and has it in its outbox.
    return Phase({CONTENT: "owner"}, 1, context.waiting, step, enough, {CONTENT: largest})


def _found(awaited: _Awaited, inbox: Inbox) -> bytes | None:
    """The first content among the answers that is what the certificate names (rule 4)."""
    return next((content for item in inbox if (content := _read(awaited, item)) is not None), None)


def _read(awaited: _Awaited, item: Received) -> bytes | None:
    try:
        header, content = messages.read(messages.ContentHeader, item.body, max_content=awaited.size)
    except BadInput:
        return None
    wanted = header.content == awaited.content and len(content) == awaited.size
    return content if wanted and same(digest(content), awaited.content) else None
