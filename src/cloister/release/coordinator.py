"""The coordinator's seat in a release: it proposes a candidate, counts the votes, and makes the certificate.

Rules 1, 3 and 6 of `program` are kept here. Where the owners hold the candidate, the coordinator proposes what they told
of it, and sends no content, having none.
"""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, CloisterError, TaskFailed
from cloister.identity.envelopes import Envelope, EnvelopeSignature, holding, signer_of
from cloister.identity.keys import b64
from cloister.journal.program import Candidate, Inbox, Local, Message, Party, Phase, Program, Received, Step
from cloister.release import delivery, messages
from cloister.release.certificate import PAYLOAD_TYPE, verify_certificate, verify_statement
from cloister.release.context import Release, ReleaseContext
from cloister.release.exchange import MAX_CANDIDATE, Subject, expected, held_by_owners, refusal, written
from cloister.release.messages import (
    CANDIDATE,
    CERTIFICATE,
    RELEASE,
    STORED,
    STORED_BY_OWNER,
    VOTE,
    WITHDRAWN,
)


class _Proposal(BaseModel):
    """The coordinator's state: what it proposed. Beside it stands the content, if it has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    header: messages.CandidateHeader
    withdrawn: messages.WithdrawnHeader | None = None


class Coordinator:
    """The coordinator's program."""

    def __init__(self, context: ReleaseContext) -> None:
        self.context = context
        self.owners = context.plan.offer.seats.get("owner", ())
        self.others = context.plan.offer.seats.get("recipient", ())
        self.held_by_owners = held_by_owners(context.plan)

    def program(self) -> Program:
        """Its phases."""
        wait = self.context.patience
        acknowledged = {STORED_BY_OWNER: "owner"} | ({STORED: "recipient"} if self.others else {})
        phases = {
            "propose": Phase({}, 0, wait, self.propose),
            "votes": Phase(
                {VOTE: "owner"},
                self.context.terms.release.quorum,
                wait,
                self.votes,
                self.decided,
                {VOTE: messages.MAX_BARE},
            ),
            "refused": Phase({}, 0, wait, self.refused),
            # The release stands whether or not anybody says so: messages lie in the outbox until delivered.
            "delivered": Phase(
                acknowledged,
                0,
                wait,
                self.delivered,
                self.received,
                dict.fromkeys(acknowledged, messages.MAX_SMALL),
            ),
        }
        if self.held_by_owners and set(delivery.receivers(self.context.plan)) - set(self.others):
            phases[delivery.ARRIVAL] = delivery.arrival(self.context, lambda _: Step(b"", "delivered"))
        return Program("propose", phases)

    def propose(self, _local: Local, _inbox: Inbox) -> Step:
        """Shows the candidate to every owner's gate."""
        candidate = self.context.candidate
        if candidate is None or not self._nameable(candidate):
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
        content = b"" if self.held_by_owners else candidate.content
        body = messages.write(header, content)
        return Step(
            messages.write(_Proposal(header=header), content),
            "votes",
            tuple(Message(owner, CANDIDATE, body) for owner in self.owners),
        )

    def decided(self, state: bytes, inbox: Inbox, waits: Collection[Party]) -> float | None:
        """Rule 6: a quorum of permits, or none that could still come."""
        payload = self._payload(*_proposal(state))
        permits = sum(self._vote(item, payload, []) is not None for item in inbox)
        if permits >= self.context.terms.release.quorum:
            return self.context.grace
        return 0.0 if permits + len(waits) < self.context.terms.release.quorum else None

    def votes(self, local: Local, inbox: Inbox) -> Step:
        """Makes a certificate of the permits, or tells everybody that there is none."""
        proposal, content = _proposal(local.state)
        payload = self._payload(proposal, content)
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
        if self.held_by_owners:
            return self._certified(local, proposal, envelope)
        return self._released(local, proposal, envelope, content)

    def refused(self, local: Local, _inbox: Inbox) -> Step:
        """Ends the task; everybody has been told."""
        proposal, _ = _proposal(local.state)
        assert proposal.withdrawn is not None
        raise refusal(proposal.withdrawn)

    def received(self, _state: bytes, _inbox: Inbox, waits: Collection[Party]) -> float | None:
        """Rule 6: every recipient has the release; owners that are away find it when they come."""
        return None if set(waits) & set(self.others) else self.context.grace

    def delivered(self, local: Local, inbox: Inbox) -> Step:
        """Ends the task."""
        local.report({"delivered": len(inbox)})
        return Step(b"", None)

    def _released(self, local: Local, proposal: _Proposal, envelope: Envelope, content: bytes) -> Step:
        """Certificate to everybody, with the content for recipients."""
        context = self.context
        certificate = verify_certificate(envelope, content, context.directory, expected(context))
        receives = context.plan.request.recipients
        header = messages.ReleaseHeader(envelope=envelope.model_dump(mode="json"))
        whole, bare = messages.write(header, content), messages.write(header)
        context.store(Release(certificate, content if local.party in receives else None))
        sent = [
            Message(owner, RELEASE, whole) if owner in receives else Message(owner, CERTIFICATE, bare)
            for owner in self.owners
        ]
        sent += [Message(party, RELEASE, whole) for party in self.others]
        return Step(messages.write(_Proposal(header=proposal.header)), "delivered", tuple(sent))

    def _certified(self, local: Local, proposal: _Proposal, envelope: Envelope) -> Step:
        """The bare certificate to everybody: owners send the content, also here if this seat is a recipient."""
        context = self.context
        certificate = verify_statement(envelope, context.directory, expected(context))
        bare = messages.write(messages.ReleaseHeader(envelope=envelope.model_dump(mode="json")))
        sent = tuple(Message(party, CERTIFICATE, bare) for party in (*self.owners, *self.others))
        if local.party in delivery.receivers(context.plan):
            return Step(delivery.awaiting(certificate), delivery.ARRIVAL, sent)
        context.store(Release(certificate, None))
        return Step(messages.write(_Proposal(header=proposal.header)), "delivered", sent)

    def _nameable(self, candidate: Candidate) -> bool:
        """Whether its content is here, or named by those who hold it."""
        if not self.held_by_owners:
            return bool(candidate.content)
        try:
            Subject.told(candidate.facts)
        except BadInput:
            return False
        return True

    def _payload(self, proposal: _Proposal, content: bytes) -> bytes:
        """The statement that this node wrote itself; votes count on no other (rule 3)."""
        header = proposal.header
        subject = Subject.told(header.facts) if self.held_by_owners else Subject.of(content)
        return canonical(written(self.context, header, subject))

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


def _proposal(state: bytes) -> tuple[_Proposal, bytes]:
    return messages.read(_Proposal, state, max_content=MAX_CANDIDATE)
