"""The release certificate: what a quorum of owners signs about one result, and how anybody checks it.

An in-toto Statement v1 in a DSSE envelope. Its subject is the result's digest; its predicate binds the computation, the
agreement, the plan with its claims, what was charged, the audits, the gates and the evidence. Every owner's node writes
the statement itself, from the documents it holds; equal nodes write equal bytes, so the signatures gather on one
payload, and a coordinator that showed different results to different owners cannot gather a quorum on any.

Rules (each names the clause that a failing check is reported under):
1. `certificate-form`: payload type, statement type and predicate type are ours; unknown fields are refused.
2. `certificate-content`: the content has the digest and size that the statement names.
3. `certificate-agreement`, `certificate-task`: they are the ones that the verifier expects, as far as it expects any.
4. `certificate-quorum`: enough of the owners *that the verifier expects* signed; the envelope is never asked who they are.
5. `certificate-time`: not made outside the agreement's validity or in the future; not past its expiry.
6. `certificate-revoked`: this result of this task is not on the verifier's list of revocations. Another task's revocation
   is none, whatever digest it names: an agreement ends by its own acts (`agreements.lifecycle`).

The log heads among the evidence are checked by `evidence` (`certificate-evidence`).

Sources: in-toto Attestation Framework v1 (Statement, ResourceDescriptor); DSSE 1.0; Mitchell et al. 2019, "Model Cards
for Model Reporting" (the card's fields).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.agreements.terms import Terms
from cloister.claims.offers import Digest, Plan, SeatName, Time
from cloister.claims.statements import statements
from cloister.claims.vocabulary import Claims
from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import digest, raw, same
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.foundation.text import party_name, several
from cloister.identity.envelopes import Envelope, KeyDirectory, signers
from cloister.identity.keys import PartyId
from cloister.release.evidence import MAX_HEAD

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://cloister.example/attestations/release/v1"
FUTURE_TOLERANCE = 3600
MODEL = ConfigDict(frozen=True, extra="forbid", strict=True)


class Gates(BaseModel):
    """What every signer's node asked before it signed, and how many of them it takes."""

    model_config = MODEL

    owners: tuple[PartyId, ...] = Field(strict=False, min_length=1, max_length=1000)
    quorum: int = Field(ge=1, le=1000)
    checks: tuple[Annotated[str, Field(max_length=40)], ...] = Field(strict=False, max_length=64)
    quality: str | None = Field(default=None, max_length=200)


class Evidence(BaseModel):
    """What else can be looked up: digests of the signed admissions, and log heads as signed notes (see `evidence`)."""

    model_config = MODEL

    admissions: dict[PartyId, Digest] = Field(max_length=1000)
    checkpoints: tuple[Annotated[str, Field(max_length=MAX_HEAD)], ...] = Field(
        default=(), strict=False, max_length=16
    )


class Card(BaseModel):
    """What a person should know of a result before using it; `limits` has every line that its plan showed as not protected."""

    model_config = MODEL

    title: str = Field(max_length=200)
    purpose: str = Field(max_length=200)
    method: str = Field(max_length=400)
    data: str = Field(max_length=400)
    quality: str = Field(max_length=400)
    # One for every disclosure (against up to 32 seats, each named) and every gap that claims can hold.
    limits: tuple[Annotated[str, Field(max_length=2400)], ...] = Field(strict=False, max_length=128)
    attribution: tuple[Annotated[str, Field(max_length=200)], ...] = Field(
        default=(), strict=False, max_length=32
    )


class Predicate(BaseModel):
    """All that the owners say about the subject."""

    model_config = MODEL

    task: Digest
    agreement: Digest
    computation: Digest
    contents: dict[str, Digest] = Field(max_length=16)
    protection: SeatName
    parameters: dict[str, Any]
    claims: Claims
    charges: tuple[dict[str, Any], ...] = Field(default=(), strict=False, max_length=1000)
    audits: tuple[dict[str, Any], ...] = Field(default=(), strict=False, max_length=1000)
    kind: Annotated[str, Field(max_length=40)]
    size: int = Field(ge=1)
    facts: dict[str, Any]
    coordinator: PartyId
    recipients: tuple[PartyId, ...] = Field(strict=False, max_length=1000)
    gates: Gates
    evidence: Evidence
    card: Card
    created: Time
    expires: Time | None = None


class _DigestSet(BaseModel):
    model_config = MODEL
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Subject(BaseModel):
    model_config = MODEL
    name: Annotated[str, Field(max_length=40)]
    digest: _DigestSet


class _Statement(BaseModel):
    model_config = MODEL
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject] = Field(strict=False)
    predicateType: Literal["https://cloister.example/attestations/release/v1"]  # noqa: N815 - in-toto's name
    predicate: Predicate


def statement(
    plan: Plan,
    terms: Terms,
    *,
    kind: str,
    content_digest: str,
    size: int,
    facts: Mapping[str, JSON],
    created: int,
    admissions: Mapping[str, str],
    checkpoints: tuple[str, ...] = (),
    checks: tuple[str, ...],
) -> dict[str, Any]:
    """The statement about a candidate. Deterministic: nodes with the same documents write the same bytes.

    Args:
        plan: the admitted plan.
        terms: its agreement.
        kind: what the candidate is.
        content_digest: its content's digest.
        size: its content's size, bytes.
        facts: what is said about its making.
        created: seconds since the epoch.
        admissions: party → digest of its signed admission.
        checkpoints: log heads, as signed notes.
        checks: the gate's checks, by name.

    Raises:
        BadInput: something that is said does not fit into a statement.
    """
    request, offer = plan.request, plan.offer
    floor = terms.release.quality
    quality = None if floor is None else f"{floor.metric} at least {floor.minimum:g}"
    attribution = tuple(duty.text for duty in terms.duties if duty.action == "attribute" and duty.text)
    owners = offer.seats.get("owner", ())
    try:
        predicate = Predicate(
            task=plan.digest,
            agreement=request.agreement,
            computation=request.computation.digest,
            contents=request.computation.contents,
            protection=offer.protection,
            parameters=offer.parameters,
            claims=offer.claims,
            kind=kind,
            size=size,
            facts=dict(facts),
            coordinator=offer.seats["coordinator"][0],
            recipients=tuple(sorted(request.recipients)),
            gates=Gates(
                owners=tuple(sorted(owners)), quorum=terms.release.quorum, checks=checks, quality=quality
            ),
            evidence=Evidence(admissions=dict(admissions), checkpoints=checkpoints),
            card=Card(
                title=terms.title,
                purpose=request.purpose,
                method=f"{offer.title}, computation of the kind {request.computation.kind}",
                data=f"Records of {several(len(owners), 'owner')}, at {'its own server' if len(owners) == 1 else 'their own servers'}.",
                quality=(
                    f"Each signing owner checked on its own validation records: {quality}."
                    if quality
                    else "No least quality was agreed."
                ),
                limits=statements(offer.claims)[1],
                attribution=attribution,
            ),
            created=rfc3339(created),
        )
    except ValidationError as error:
        places = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadInput(
            "No statement can be made about a candidate.",
            f"What is said about it is out of range: {places[:100]}.",
            "Propose it again with facts and evidence that fit.",
        ) from None
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": kind, "digest": {"sha256": raw(content_digest).hex()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate.model_dump(mode="json"),
    }


@dataclass(frozen=True)
class Expectations:
    """What a verifier knows beforehand, from documents of its own.

    Attributes:
        owners: whose signatures count.
        quorum: how many of them it takes.
        now: seconds since the epoch.
        agreement, task: digests, where the verifier expects particular ones.
        valid: the agreement's seconds, where known.
        revoked: results that were taken back: the task and the result's digest.
    """

    owners: frozenset[str]
    quorum: int
    now: int
    agreement: str | None = None
    task: str | None = None
    valid: range | None = None
    revoked: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    @classmethod
    def of(
        cls, terms: Terms, plan: Plan, now: int, revoked: frozenset[tuple[str, str]] = frozenset()
    ) -> Expectations:
        """What a party to the task expects."""
        return cls(
            owners=frozenset(plan.offer.seats.get("owner", ())) & frozenset(terms.owners),
            quorum=terms.release.quorum,
            now=now,
            agreement=terms.digest,
            task=plan.digest,
            valid=terms.valid,
            revoked=revoked,
        )


@dataclass(frozen=True)
class Certificate:
    """A certificate that was checked.

    Attributes:
        envelope: as signed.
        content_digest: the result's digest.
        predicate: what is said about it.
        signed_by: the owners whose signatures hold.
    """

    envelope: Envelope = field(repr=False)
    content_digest: str
    predicate: Predicate
    signed_by: frozenset[str]


def verify_certificate(
    envelope: Envelope, content: bytes, directory: KeyDirectory, expectations: Expectations
) -> Certificate:
    """The certificate of `content`, once every rule above holds.

    Raises:
        NotTrusted: a rule does not hold; `clause` names it.
    """
    certificate = verify_statement(envelope, directory, expectations)
    require_content(certificate, content)
    return certificate


def is_content(certificate: Certificate, content: bytes) -> bool:
    """Whether `content` is what was signed: the digest and the size that the statement names (rule 2)."""
    return len(content) == certificate.predicate.size and same(digest(content), certificate.content_digest)


def require_content(certificate: Certificate, content: bytes) -> None:
    """Raises `NotTrusted` (`certificate-content`) unless `content` is what was signed."""
    if not is_content(certificate, content):
        raise _fails(
            "content",
            "The content is not what was signed: the certificate is about another file.",
            "Do not use it; get content and certificate again, both from the same place.",
        )


def verify_statement(envelope: Envelope, directory: KeyDirectory, expectations: Expectations) -> Certificate:
    """Like `verify_certificate`, for who has the certificate but not the content: rule 2 is not checked."""
    parsed = read_statement(envelope)
    predicate = parsed.predicate
    subject = f"sha256:{parsed.subject[0].digest.sha256}"
    expected = expectations
    if expected.agreement is not None and predicate.agreement != expected.agreement:
        raise _fails("agreement", "It is under another agreement.")
    if expected.task is not None and predicate.task != expected.task:
        raise _fails("task", "It is of another task.")
    found = signers(envelope, PAYLOAD_TYPE, directory) & expected.owners
    if expected.quorum < 1 or len(found) < expected.quorum:
        raise _fails("quorum", f"{len(found)} of the owners signed it; it takes {max(expected.quorum, 1)}.")
    created = parse_rfc3339(predicate.created)
    if created > expected.now + FUTURE_TOLERANCE:
        raise _fails("time", "It was made in the future.")
    if expected.valid is not None and created not in expected.valid:
        raise _fails("time", "It was made when the agreement did not hold.")
    if predicate.expires is not None and parse_rfc3339(predicate.expires) <= expected.now:
        raise _fails("time", f"It expired at {predicate.expires}.")
    if (predicate.task, subject) in expected.revoked:
        raise _fails("revoked", "One of its owners has taken the result back.")
    return Certificate(envelope, subject, predicate, found)


def read_statement(envelope: Envelope) -> _Statement:
    """The statement in an envelope, not yet verified. Raises `NotTrusted` (rule 1)."""
    if envelope.payloadType != PAYLOAD_TYPE:
        raise _fails("form", "It is not an in-toto statement.")
    try:
        return _Statement.model_validate_json(canonical(envelope.document()))
    except (ValidationError, BadInput):
        raise _fails("form", "It is not a release statement that this version knows.") from None


def in_words(certificate: Certificate, names: Mapping[str, str] | None = None) -> str:
    """The certificate as a person reads it; `names` gives parties' names by fingerprint."""
    predicate, card = certificate.predicate, certificate.predicate.card

    def named(parties: tuple[str, ...] | list[str]) -> str:
        return ", ".join(party_name(party, names or {}) for party in parties)

    approved = f"{len(certificate.signed_by)} of {len(predicate.gates.owners)}"
    lines = [
        f"{card.title}: a {predicate.kind} of {predicate.size:,} bytes, made {predicate.created}",
        f"For: {card.purpose}",
        f"How: {card.method}",
        f"From: {card.data}",
        f"Approved by {approved} owners ({predicate.gates.quorum} needed): {named(sorted(certificate.signed_by))}",
        f"Quality: {card.quality}",
        *(["Not protected:"] if card.limits else []),
        *(f"  - {limit}" for limit in card.limits),
        *(f"Attribution: {text}" for text in card.attribution),
        f"Digest: {certificate.content_digest}",
        f"Agreement: {predicate.agreement}",
    ]
    return "\n".join(lines)


def _fails(
    check: str,
    why: str,
    remedy: str = "Do not use the result; ask the owners which release they approved.",
) -> NotTrusted:
    return NotTrusted(
        "A release's certificate does not hold.",
        why,
        remedy,
        clause=f"certificate-{check}",
    )
