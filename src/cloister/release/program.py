"""The release as programs: candidate to the owners, votes back, certificate and content to those who may have them.

```
coordinator   propose ─► votes ─► delivered            (or ─► refused)
owner         candidate ─► certificate
recipient     release
```

Rules:
1. Content goes to recipients only after a quorum of valid votes; below it, everybody is told that there is no release,
   and of the reasons only what tells nothing private.
2. Each owner writes the statement itself and signs only what its own gate has passed.
3. The coordinator counts a vote only if it is on the statement that it wrote itself and has exactly one signature, the
   sender's, which holds; that very one goes into the certificate.
4. Recipients and owners verify the quorum themselves, against owners and quorum from their own documents.
5. Every owner gets the certificate, and notices if it is about another candidate than the one it was shown.
6. Nobody is waited for in vain: once a quorum of valid permits is there, the others have `ReleaseContext.grace` seconds
   to add theirs; once a quorum is out of reach the release is refused at once. A vote that comes later is acknowledged
   and counts for nothing; its sender gets the certificate, or the refusal, like everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cloister.claims.offers import Digest
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted, Refused, Tampered, TaskFailed
from cloister.identity.envelopes import Envelope, EnvelopeSignature, holding, signer_of
from cloister.identity.keys import b64
from cloister.journal.program import Inbox, Local, Message, Party, Phase, Program, Received, Step
from cloister.release import messages
from cloister.release.certificate import (
    PAYLOAD_TYPE,
    Certificate,
    Expectations,
    statement,
    verify_certificate,
    verify_statement,
)
from cloister.release.context import Release, ReleaseContext
from cloister.release.gate import CHECKS, Failed, Gate, Submission
from cloister.release.inspection import inspect
from cloister.release.messages import CANDIDATE, CERTIFICATE, RELEASE, STORED, VOTE, WITHDRAWN

STORED_BY_OWNER = f"{STORED}-by-owner"
MAX_CANDIDATE = 1 << 30
"""Bytes that are read at all; the agreed size is a check of the gate."""
MAX_ACKNOWLEDGEMENT = 4096
PHASES = frozenset({"propose", "votes", "refused", "delivered", "candidate", "certificate", "release"})
"""All phases of the release; a protection's phases have other names."""

VOTED = "certificate"
"""The phase of an owner that has sent its vote."""


def release_program(seat: str, context: ReleaseContext) -> Program:
    """One seat's part in the release of a task. Raises `Refused` for a seat that has none."""
    if seat == "coordinator":
        return _Coordinator(context).program()
    if seat == "owner":
        return _Owner(context).program()
    if seat == "recipient":
        return _Recipient(context).program()
    raise Refused(
        "A seat has no part in a release.",
        f"There is no seat {seat[:40]}.",
        "Have the task planned again.",
        clause="release-seat",
    )


class _Proposal(BaseModel):
    """The coordinator's state: what it proposed, and the statement's payload."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    header: messages.CandidateHeader
    withdrawn: messages.WithdrawnHeader | None = None


class _Shown(BaseModel):
    """An owner's state: which candidate it was shown, and how it voted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    content: Digest
    vote: str = Field(pattern=r"^(permit|refuse)$")


class _Coordinator:
    def __init__(self, context: ReleaseContext) -> None:
        self.context = context
        self.owners = context.plan.offer.seats.get("owner", ())
        self.others = context.plan.offer.seats.get("recipient", ())

    def program(self) -> Program:
        wait = self.context.patience
        acknowledged = {STORED_BY_OWNER: "owner"} | ({STORED: "recipient"} if self.others else {})
        return Program(
            "propose",
            {
                "propose": Phase({}, 0, wait, self.propose),
                "votes": Phase(
                    {VOTE: "owner"},
                    self.context.terms.release.quorum,
                    wait,
                    self.votes,
                    self.decided,
                    {VOTE: messages.MAX_HEADER + 8},
                ),
                "refused": Phase({}, 0, wait, self.refused),
                # The release stands whether or not anybody says so: messages lie in the outbox until delivered.
                "delivered": Phase(
                    acknowledged,
                    0,
                    wait,
                    self.delivered,
                    self.received,
                    dict.fromkeys(acknowledged, MAX_ACKNOWLEDGEMENT),
                ),
            },
        )

    def propose(self, _local: Local, _inbox: Inbox) -> Step:
        candidate = self.context.candidate
        if candidate is None or not candidate.content:
            raise TaskFailed(
                "There is nothing to release.",
                "The task ended without a candidate.",
                "Start the task again.",
                phase="propose",
            )
        header = messages.CandidateHeader(
            kind=candidate.kind,
            facts=dict(candidate.facts),
            created=self.context.now(),
            admissions=dict(self.context.admissions),
            checkpoints=self.context.checkpoints(),
        )
        body = messages.write(header, candidate.content)
        return Step(
            messages.write(_Proposal(header=header), candidate.content),
            "votes",
            tuple(Message(owner, CANDIDATE, body) for owner in self.owners),
        )

    def decided(self, state: bytes, inbox: Inbox, waits: Collection[Party]) -> float | None:
        """Rule 6: a quorum of permits, or none that could still come."""
        proposal, content = _proposal(state)
        payload = canonical(_statement(self.context, proposal.header, content))
        permits = sum(self._vote(item, payload, []) is not None for item in inbox)
        if permits >= self.context.terms.release.quorum:
            return self.context.grace
        return 0.0 if permits + len(waits) < self.context.terms.release.quorum else None

    def votes(self, local: Local, inbox: Inbox) -> Step:
        proposal, content = _proposal(local.state)
        payload = canonical(_statement(self.context, proposal.header, content))
        signatures: list[EnvelopeSignature] = []
        told: list[str] = []
        for item in inbox:
            signature = self._vote(item, payload, told)
            if signature is not None:
                signatures.append(signature)
        quorum = self.context.terms.release.quorum
        local.report({"votes": len(inbox), "permits": len(signatures), "quorum": quorum})
        if len(signatures) < quorum:
            notice = messages.WithdrawnHeader(
                refused=len(inbox) - len(signatures), owners=len(self.owners), told=tuple(sorted(set(told)))
            )
            body = messages.write(notice)
            return Step(
                messages.write(_Proposal(header=proposal.header, withdrawn=notice)),
                "refused",
                tuple(Message(party, WITHDRAWN, body) for party in (*self.owners, *self.others)),
            )
        envelope = Envelope(payloadType=PAYLOAD_TYPE, payload=b64(payload), signatures=tuple(signatures))
        certificate = verify_certificate(envelope, content, self.context.directory, _expected(self.context))
        receives = self.context.plan.request.recipients
        header = messages.ReleaseHeader(envelope=envelope.model_dump(mode="json"))
        whole, bare = messages.write(header, content), messages.write(header)
        self.context.store(Release(certificate, content if local.party in receives else None))
        sent = [
            Message(owner, RELEASE, whole) if owner in receives else Message(owner, CERTIFICATE, bare)
            for owner in self.owners
        ]
        sent += [Message(party, RELEASE, whole) for party in self.others]
        return Step(messages.write(_Proposal(header=proposal.header)), "delivered", tuple(sent))

    def refused(self, local: Local, _inbox: Inbox) -> Step:
        proposal, _ = _proposal(local.state)
        assert proposal.withdrawn is not None
        raise _refused(proposal.withdrawn)

    def received(self, _state: bytes, _inbox: Inbox, waits: Collection[Party]) -> float | None:
        """Rule 6: every recipient has the release; owners that are away find it when they come."""
        return None if set(waits) & set(self.others) else self.context.grace

    def delivered(self, local: Local, inbox: Inbox) -> Step:
        local.report({"delivered": len(inbox)})
        return Step(b"", None)

    def _vote(self, item: Received, payload: bytes, told: list[str]) -> EnvelopeSignature | None:
        """The signature, if the vote is a permit that holds (rule 3); otherwise adds to what was told."""
        try:
            header, _ = messages.read(messages.VoteHeader, item.body)
            if header.vote == "refuse" or header.envelope is None:
                told.append(header.told or "not approved")
                return None
            envelope = Envelope.from_json(header.envelope)
            if envelope.content != payload:
                told.append("another statement")
                return None
            held = holding(envelope, PAYLOAD_TYPE, self.context.directory)
            if len(envelope.signatures) != 1 or [signer_of(entry) for entry in held] != [item.sender]:
                told.append("signature")
                return None
        except CloisterError:
            told.append("unreadable")
            return None
        return held[0]


class _Owner:
    def __init__(self, context: ReleaseContext) -> None:
        self.context = context
        self.gate = Gate()

    def program(self) -> Program:
        wait = self.context.patience
        answers = dict.fromkeys([CERTIFICATE, RELEASE, WITHDRAWN], "coordinator")
        return Program(
            "candidate",
            {
                "candidate": Phase({CANDIDATE: "coordinator"}, 1, wait, self.candidate),
                VOTED: Phase(answers, 1, 2 * wait, self.certificate),
            },
        )

    def candidate(self, local: Local, inbox: Inbox) -> Step:
        item = inbox[0]
        header, content = messages.read(messages.CandidateHeader, item.body, max_content=MAX_CANDIDATE)
        verdict = self._judge(local, header, content)
        if isinstance(verdict, Failed):
            local.report({"gate": "refused", "check": verdict.check, "why": verdict.why})
            vote = messages.VoteHeader(vote="refuse", told=verdict.told)
        else:
            local.report({"gate": "passed"})
            signed = self.context.sign(PAYLOAD_TYPE, verdict)
            vote = messages.VoteHeader(vote="permit", envelope=signed.model_dump(mode="json"))
        shown = _Shown(content=digest(content), vote=vote.vote)
        return Step(messages.write(shown), VOTED, (Message(item.sender, VOTE, messages.write(vote)),))

    def certificate(self, local: Local, inbox: Inbox) -> Step:
        shown, _ = messages.read(_Shown, local.state)
        certificate, content = _receive(self.context, inbox)
        if certificate.content_digest != shown.content:
            raise Tampered(
                "The coordinator released something else than it showed to this node.",
                "The certificate is about another result than the candidate that came here.",
                "Tell the other owners; compare the certificate with theirs.",
                clause="release-candidate",
            )
        self.context.store(Release(certificate, content))
        answer = messages.write(messages.StoredHeader(content=certificate.content_digest))
        return Step(b"", None, (Message(inbox[0].sender, STORED_BY_OWNER, answer),))

    def _judge(
        self, local: Local, header: messages.CandidateHeader, content: bytes
    ) -> Failed | dict[str, Any]:
        """The statement to sign, or the check that failed."""
        context = self.context
        request = context.plan.request
        model = request.computation.contents.get("model") if request.computation.kind == "training" else None
        submission = Submission(
            plan=context.plan,
            terms=context.terms,
            now=context.now(),
            kind=header.kind,
            content=content,
            facts=header.facts,
            created=header.created,
            admissions=header.admissions,
            known_admissions=context.admissions,
            seen=None if context.candidate is None else context.candidate.facts,
            checkpoints=header.checkpoints,
            log_keys=tuple(context.log_keys(context.plan.offer.seats["coordinator"][0])),
            witnessed=context.witnessed(context.plan.offer.seats["coordinator"][0]),
        )
        early = self.gate.unopened(submission)
        if early is not None:
            return early
        found = inspect(local, model, content)
        submission = replace(submission, rebuilt=found.rebuilt, weights=found.weights, initial=found.initial)
        verdict = self.gate.public(submission)
        if isinstance(verdict, Failed):
            return verdict
        try:
            said = _statement(context, header, content)
        except BadInput as error:
            return Failed("evidence", error.why, "evidence")
        attempts = context.count_attempt(
            request.computation.digest, request.datasets[local.party], context.plan.digest
        )
        floor = context.terms.release.quality
        weights = found.weights
        figure = (
            None
            if floor is None or weights is None
            else lambda: context.evaluate(local, weights, floor.metric)
        )
        verdict = self.gate.own(context.terms, attempts, figure)
        return verdict if isinstance(verdict, Failed) else said


class _Recipient:
    def __init__(self, context: ReleaseContext) -> None:
        self.context = context

    def program(self) -> Program:
        accepts = dict.fromkeys([RELEASE, WITHDRAWN], "coordinator")
        return Program("release", {"release": Phase(accepts, 1, self.context.waiting, self.release)})

    def release(self, _local: Local, inbox: Inbox) -> Step:
        certificate, content = _receive(self.context, inbox)
        if content is None:
            raise NotTrusted(
                "A release came without its content.", "", "Ask for it again.", clause="certificate-content"
            )
        self.context.store(Release(certificate, content))
        answer = messages.write(messages.StoredHeader(content=certificate.content_digest))
        return Step(b"", None, (Message(inbox[0].sender, STORED, answer),))


def _proposal(state: bytes) -> tuple[_Proposal, bytes]:
    return messages.read(_Proposal, state, max_content=MAX_CANDIDATE)


def _receive(context: ReleaseContext, inbox: Inbox) -> tuple[Certificate, bytes | None]:
    """A certificate and, with a release, its content, both verified (rule 4); or the news that there is none."""
    items: Mapping[str, Received] = {item.kind: item for item in inbox}
    if RELEASE in items:
        header, content = messages.read(
            messages.ReleaseHeader, items[RELEASE].body, max_content=_limit(context)
        )
        envelope = Envelope.from_json(header.envelope)
        return verify_certificate(envelope, content, context.directory, _expected(context)), content
    if CERTIFICATE in items:
        header, _ = messages.read(messages.ReleaseHeader, items[CERTIFICATE].body)
        envelope = Envelope.from_json(header.envelope)
        return verify_statement(envelope, context.directory, _expected(context)), None
    notice, _ = messages.read(messages.WithdrawnHeader, items[WITHDRAWN].body)
    raise _refused(notice)


def _statement(context: ReleaseContext, header: messages.CandidateHeader, content: bytes) -> dict[str, Any]:
    if not content:
        raise BadInput("A candidate is empty.", "There is nothing to sign.", "Start the task again.")
    return statement(
        context.plan,
        context.terms,
        kind=header.kind,
        content_digest=digest(content),
        size=len(content),
        facts=header.facts,
        created=header.created,
        admissions=header.admissions,
        checkpoints=header.checkpoints,
        checks=CHECKS,
    )


def _expected(context: ReleaseContext) -> Expectations:
    return Expectations.of(context.terms, context.plan, context.now(), context.revoked)


def _limit(context: ReleaseContext) -> int:
    return context.terms.release.max_bytes


def _refused(notice: messages.WithdrawnHeader) -> TaskFailed:
    reasons = ", ".join(notice.told) or "too few answered"
    return TaskFailed(
        f"The release was refused by {notice.refused} of {notice.owners} owners: {reasons}.",
        "Fewer owners approved it than the agreement asks for; nothing was released.",
        "Ask the owners; their nodes show the reasons to their own people.",
        phase="votes",
    )
