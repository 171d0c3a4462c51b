"""An owner's seat in a release: its gate judges the candidate and votes; then it holds the certificate against its vote.

Rules 2, 4 and 5 of `program` are kept here. The candidate is what the coordinator shows, or, where owners hold it, what
this node's own part of the task ended with; of the coordinator's message then only its words count, and only if they are
those that this node would say itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cloister.agreements.clauses import QualityFloor
from cloister.claims.offers import Digest
from cloister.foundation.canonical import JSON
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Refused, Tampered, TaskFailed
from cloister.journal.program import Candidate, Inbox, Local, Message, Phase, Program, Step
from cloister.release import delivery, messages, quality
from cloister.release.certificate import PAYLOAD_TYPE, Certificate
from cloister.release.context import Release, ReleaseContext
from cloister.release.exchange import MAX_CANDIDATE, Subject, held_by_owners, receive, written
from cloister.release.gate import Failed, Gate, Passed, Submission
from cloister.release.inspection import inspect
from cloister.release.messages import CANDIDATE, CERTIFICATE, RELEASE, STORED_BY_OWNER, VOTE, WITHDRAWN
from cloister.release.quality import Judged

VOTED = "certificate"
"""The phase of an owner that has sent its vote."""


class _Shown(BaseModel):
    """An owner's state: which candidate it judged, and how it voted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    content: Digest
    vote: str = Field(pattern=r"^(permit|refuse)$")


class Owner:
    """An owner's program."""

    def __init__(self, context: ReleaseContext) -> None:
        self.context = context
        self.gate = Gate()
        self.holds = held_by_owners(context.plan)

    def program(self) -> Program:
        """Its phases."""
        wait = self.context.patience
        kinds = [CERTIFICATE, WITHDRAWN] if self.holds else [CERTIFICATE, RELEASE, WITHDRAWN]
        shown = {CANDIDATE: messages.MAX_BARE} if self.holds else {}
        # Who holds the candidate is ready before the coordinator, which may still wait for others to tell of it.
        first = self.context.waiting if self.holds else wait
        return Program(
            "candidate",
            {
                "candidate": Phase({CANDIDATE: "coordinator"}, 1, first, self.candidate, largest=shown),
                VOTED: Phase(dict.fromkeys(kinds, "coordinator"), 1, 2 * wait, self.certificate),
            },
        )

    def candidate(self, local: Local, inbox: Inbox) -> Step:
        """Judges the candidate, and votes."""
        item = inbox[0]
        limit = 0 if self.holds else MAX_CANDIDATE
        header, shown = messages.read(messages.CandidateHeader, item.body, max_content=limit)
        own = self._own() if self.holds else self.context.candidate
        content = own.content if self.holds and own is not None else shown
        verdict, said = self._judge(local, header, content, None if own is None else own.facts)
        if isinstance(verdict, Failed):
            local.report({"gate": "refused", "check": verdict.check, "why": verdict.why})
            vote = messages.VoteHeader(vote="refuse", told=verdict.told)
        else:
            local.report({"gate": "passed"} | ({"why": verdict.why} if verdict.why else {}))
            signed = self.context.sign(PAYLOAD_TYPE, said)
            vote = messages.VoteHeader(vote="permit", envelope=signed.model_dump(mode="json"))
        judged = _Shown(content=digest(content), vote=vote.vote)
        return Step(messages.write(judged), VOTED, (Message(item.sender, VOTE, messages.write(vote)),))

    def certificate(self, local: Local, inbox: Inbox) -> Step:
        """Takes the certificate, and sends the content on if that falls to this owner."""
        judged, _ = messages.read(_Shown, local.state)
        certificate, content = receive(self.context, inbox)
        if certificate.content_digest != judged.content:
            raise Tampered(
                f"The coordinator released something else than {'this server holds' if self.holds else 'it showed to this server'}.",
                "The certificate is about another result than the candidate that this server judged.",
                "Tell the other owners; compare the certificate with theirs.",
                clause="release-candidate",
            )
        sent: tuple[Message, ...] = ()
        if self.holds:
            content, sent = self._held(local, certificate)
        self.context.store(Release(certificate, content))
        answer = messages.write(messages.StoredHeader(content=certificate.content_digest))
        # The acknowledgement last: a coordinator that waits for the content is not yet at it, and goes by the order.
        return Step(b"", None, (*sent, Message(inbox[0].sender, STORED_BY_OWNER, answer)))

    def _held(self, local: Local, certificate: Certificate) -> tuple[bytes | None, tuple[Message, ...]]:
        """What this owner may keep as a release, and what it sends to recipients."""
        plan = self.context.plan
        receives = local.party in plan.request.recipients
        sends = local.party in delivery.senders(certificate)
        if not receives and not sends:
            return None, ()
        content = self._own().content
        return content if receives else None, delivery.sent(plan, certificate, content) if sends else ()

    def _own(self) -> Candidate:
        """The candidate that this node holds."""
        candidate = self.context.candidate
        if candidate is None or not candidate.content:
            raise TaskFailed(
                "This server holds no candidate.",
                "Its own part of the task ended without one; it has nothing to judge, and cannot vote.",
                "If the others release a result, ask them for its certificate.",
                phase="candidate",
            )
        return candidate

    def _judge(
        self,
        local: Local,
        header: messages.CandidateHeader,
        content: bytes,
        seen: Mapping[str, JSON] | None,
    ) -> tuple[Passed | Failed, dict[str, Any]]:
        """The verdict and, if all checks hold, the statement to sign."""
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
            seen=seen,
            checkpoints=header.checkpoints,
            log_keys=tuple(context.log_keys(context.plan.offer.seats["coordinator"][0])),
            witnessed=context.witnessed(context.plan.offer.seats["coordinator"][0]),
        )
        early = self.gate.unopened(submission)
        if early is not None:
            return early, {}
        found = inspect(local, model, content)
        submission = replace(submission, rebuilt=found.rebuilt, weights=found.weights, initial=found.initial)
        verdict = self.gate.public(submission)
        if isinstance(verdict, Failed):
            return verdict, {}
        try:
            said = written(context, header, Subject.of(content))
        except BadInput as error:
            return Failed("evidence", error.why, "evidence"), {}
        attempts = context.count_attempt(
            request.computation.digest, request.datasets[local.party], context.plan.digest
        )
        weights = found.weights
        judge = (
            None if weights is None else lambda floor: self._quality(local, digest(content), weights, floor)
        )
        return self.gate.own(context.terms, attempts, judge), said

    def _quality(
        self, local: Local, candidate: str, weights: NDArray[np.float32], floor: QualityFloor
    ) -> Judged:
        """Rule 10 of the gate: an exact figure decides only where no differential privacy is claimed."""
        context = self.context
        if not quality.private(context.plan):
            return quality.exact(floor, context.evaluate(local, weights, floor.metric))
        try:
            quality.require_planned(context.plan, context.terms)
        except Refused as error:
            return Judged(False, error.why)
        secret = quality.secret_for(local, candidate)
        if not context.only_candidate(local.attempt, candidate):
            return Judged(False, "Another candidate of this task was judged before; noise is drawn for one.")
        return quality.noisy(context.plan, floor, context.scores(local, weights, floor.metric), secret)
