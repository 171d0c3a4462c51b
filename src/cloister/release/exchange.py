"""What the seats of a release share: the statement that each writes, how each reads a certificate or a refusal.

A candidate is held by the coordinator, which shows it to the owners, or by the owners themselves: the plan says by whom
(`Offer.holder`). Where owners hold it, the coordinator has its digest and size from what they told it, and writes the
same statement from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.claims.offers import Digest, Plan
from cloister.foundation.canonical import JSON
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, TaskFailed
from cloister.identity.envelopes import Envelope
from cloister.journal.program import Inbox, Received
from cloister.release import messages
from cloister.release.certificate import (
    Certificate,
    Expectations,
    statement,
    verify_certificate,
    verify_statement,
)
from cloister.release.context import ReleaseContext
from cloister.release.gate import CHECKS
from cloister.release.messages import CERTIFICATE, RELEASE, WITHDRAWN

MAX_CANDIDATE = 1 << 30
"""Bytes that are read at all; the agreed size is a check of the gate."""


@dataclass(frozen=True)
class Subject:
    """What a statement is about: a content, by its digest and its size in bytes."""

    digest: str
    size: int

    @classmethod
    def of(cls, content: bytes) -> Subject:
        """A content that is here. Raises `BadInput` if it is empty."""
        if not content:
            raise BadInput("A candidate is empty.", "There is nothing to sign.", "Start the task again.")
        return cls(digest(content), len(content))

    @classmethod
    def told(cls, facts: Mapping[str, JSON]) -> Subject:
        """A content that owners hold, from the facts `content` and `size`. Raises `BadInput` if they do not say it."""
        try:
            said = _Told.model_validate({key: facts[key] for key in ("content", "size") if key in facts})
        except ValidationError:
            raise BadInput(
                "A candidate that the owners hold is not named.",
                "What is said about it has no digest or no size of its content.",
                "Start the task again.",
            ) from None
        return cls(said.content, said.size)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    content: Digest
    size: int = Field(ge=1)


def held_by_owners(plan: Plan) -> bool:
    """Whether the owners have the candidate, and the coordinator has not."""
    return plan.offer.holder == "owner"


def written(context: ReleaseContext, header: messages.CandidateHeader, subject: Subject) -> dict[str, Any]:
    """The statement about a candidate, from this node's own documents. Raises `BadInput` if it cannot be made."""
    return statement(
        context.plan,
        context.terms,
        kind=header.kind,
        content_digest=subject.digest,
        size=subject.size,
        facts=header.facts,
        created=header.created,
        admissions=header.admissions,
        checkpoints=header.checkpoints,
        checks=CHECKS,
    )


def expected(context: ReleaseContext) -> Expectations:
    """What this node holds a certificate against."""
    return Expectations.of(context.terms, context.plan, context.now(), context.revoked)


def receive(context: ReleaseContext, inbox: Inbox) -> tuple[Certificate, bytes | None]:
    """A certificate and, with a release, its content, both verified; or the news that there is none.

    Raises:
        NotTrusted: the certificate does not hold, or the content is not what it names.
        TaskFailed: the coordinator tells that there is no quorum.
        BadInput: the message could not be read.
    """
    items: Mapping[str, Received] = {item.kind: item for item in inbox}
    if RELEASE in items:
        limit = context.terms.release.max_bytes
        header, content = messages.read(messages.ReleaseHeader, items[RELEASE].body, max_content=limit)
        envelope = Envelope.from_json(header.envelope)
        return verify_certificate(envelope, content, context.directory, expected(context)), content
    if CERTIFICATE in items:
        header, _ = messages.read(messages.ReleaseHeader, items[CERTIFICATE].body)
        envelope = Envelope.from_json(header.envelope)
        return verify_statement(envelope, context.directory, expected(context)), None
    notice, _ = messages.read(messages.WithdrawnHeader, items[WITHDRAWN].body)
    raise refusal(notice)


def refusal(notice: messages.WithdrawnHeader) -> TaskFailed:
    """That there is no release, and what may be said of why."""
    reasons = ", ".join(notice.told) or "too few answered"
    return TaskFailed(
        f"The release was refused by {notice.refused} of {notice.owners} owners: {reasons}.",
        "Fewer owners approved it than the agreement asks for; nothing was released.",
        "Ask the owners; their servers show the reasons to their own people.",
        phase="votes",
    )
