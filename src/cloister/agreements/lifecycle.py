"""In which state an agreement is: computed from signed acts, by everybody alike, in whatever order they arrived.

The states are those of the Dataspace Protocol's contract negotiation, and three that a running agreement needs
besides: suspended, revoked, expired. An *act* is one party's signed statement "I move this agreement from … to …".
Rules:
1. Only parties to the agreement act, and only where their role lets them (`TRANSITIONS`): researchers and users ask
   (the protocol's consumers), owners offer (its providers). Where nobody has such a role, every party has it.
2. The state is a function of the agreement, the set of acts and the time. The order of arrival, and acts that came
   twice, make no difference.
3. Nothing is agreed before every party has signed the document.
4. Any party can stop an agreement at any time, alone: terminated while it is negotiated, revoked once it is finalized.
   Both are for ever, whatever else is said before or after, at whatever time.
5. Any party can suspend; only the one that suspended can resume, by a later act. As long as one suspension stands, the
   agreement is suspended.
6. Acts dated in the future do not count yet. An agreement past its end is expired, unless it was stopped before.

Sources: Dataspace Protocol 2025-1, "Contract Negotiation Protocol", states and transitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.agreements.clauses import Instant, Line
from cloister.agreements.signing import AgreementView
from cloister.agreements.terms import Terms
from cloister.claims.offers import Digest
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.digests import digest_json
from cloister.foundation.documents import invalid
from cloister.foundation.errors import Conflict, Refused
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PartyId, SecretKeys

ACT_TYPE = "application/vnd.cloister.agreement-act+json"
CLOCK_DRIFT = 120
"""Seconds that an act's time may be ahead of ours without counting as in the future."""


class State(StrEnum):
    """Where an agreement stands."""

    NONE = "none"
    REQUESTED = "requested"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    AGREED = "agreed"
    VERIFIED = "verified"
    FINALIZED = "finalized"
    TERMINATED = "terminated"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"


ENDED = frozenset({State.TERMINATED, State.REVOKED, State.EXPIRED})
"""Nothing leads on from these; as a `StrEnum`'s, its members are the words that programs use, too."""

Side: TypeAlias = Literal["consumer", "provider", "any"]

TRANSITIONS: dict[tuple[State, State], Side] = {
    (State.NONE, State.REQUESTED): "consumer",
    (State.NONE, State.OFFERED): "provider",
    (State.REQUESTED, State.OFFERED): "provider",
    (State.REQUESTED, State.AGREED): "provider",
    (State.OFFERED, State.REQUESTED): "consumer",
    (State.OFFERED, State.ACCEPTED): "consumer",
    (State.ACCEPTED, State.AGREED): "provider",
    (State.AGREED, State.VERIFIED): "consumer",
    (State.VERIFIED, State.FINALIZED): "provider",
    (State.REQUESTED, State.TERMINATED): "any",
    (State.OFFERED, State.TERMINATED): "any",
    (State.ACCEPTED, State.TERMINATED): "any",
    (State.AGREED, State.TERMINATED): "any",
    (State.VERIFIED, State.TERMINATED): "any",
    (State.FINALIZED, State.SUSPENDED): "any",
    (State.SUSPENDED, State.FINALIZED): "any",
    (State.FINALIZED, State.REVOKED): "any",
    (State.SUSPENDED, State.REVOKED): "any",
}
"""(from, to) → who may make the act."""

_RANK = {state: number for number, state in enumerate(State)}
_PROGRESS = tuple(State)[: tuple(State).index(State.FINALIZED) + 1]
_SIGNED = (State.AGREED, State.VERIFIED, State.FINALIZED)


class Act(BaseModel):
    """One party's statement that it moves an agreement from one state to another.

    Attributes:
        agreement: the agreement's digest.
        before, to: the states; `before` is written `from` in the document.
        by: who acts, and signs.
        time: when.
        reason: why, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    type: Literal["cloister/agreement-act@1"] = "cloister/agreement-act@1"
    agreement: Digest
    before: State = Field(alias="from", strict=False)
    to: State = Field(strict=False)
    by: PartyId
    time: Instant
    reason: Line | None = None

    def document(self) -> dict[str, Any]:
        """The act as JSON."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def digest(self) -> str:
        """The digest of its canonical form."""
        return digest_json(self.document())


def act(
    agreement: AgreementView, before: State, to: State, by: str, now: int, reason: str | None = None
) -> Act:
    """A party's act, now. Raises `Refused` if the party may not make it, `Conflict` if there is no such step."""
    check_entitled(agreement.terms, before, to, by)
    return Act(agreement=agreement.digest, before=before, to=to, by=by, time=rfc3339(now), reason=reason)


def sign_act(item: Act, keys: SecretKeys) -> Envelope:
    """The act, signed by the party that makes it."""
    return envelopes.sign(ACT_TYPE, item.document(), item.by, keys)


def open_act(envelope: Envelope, directory: KeyDirectory) -> Act:
    """The act, if the party that it names signed it. Raises `NotTrusted` or `BadInput`."""
    try:
        found = Act.model_validate_json(canonical(envelope.document()))
    except ValidationError as error:
        raise invalid(error, "An act on an agreement") from None
    envelopes.verify(envelope, ACT_TYPE, [found.by], directory)
    return found


def sides(terms: Terms, party: str) -> frozenset[Side]:
    """On which sides of the negotiation a party stands; empty for strangers."""
    if terms.member(party) is None:
        return frozenset()
    consumers = set(terms.having("researcher")) | set(terms.having("user"))
    found: set[Side] = {"any"}
    if party in consumers or not consumers:
        found.add("consumer")
    if party in terms.owners or not terms.owners:
        found.add("provider")
    return frozenset(found)


def check_entitled(terms: Terms, before: State, to: State, by: str) -> None:
    """Raises `Conflict` if there is no such step, `Refused` if this party may not make it (rule 1)."""
    side = TRANSITIONS.get((before, to))
    if side is None:
        raise Conflict(
            f"An agreement that is {before} cannot become {to}.",
            "The lifecycle has no such step.",
            f"From here: {', '.join(sorted(end for start, end in TRANSITIONS if start == before)) or 'nothing'}.",
        )
    if side not in sides(terms, by):
        raise Refused(
            f"This party may not make the agreement {to}.",
            {"consumer": "A researcher or user does that.", "provider": "An owner of data does that."}.get(
                side, "It is not a party to the agreement."
            ),
            "Ask a party that may.",
            clause="lifecycle",
        )


def state_of(agreement: AgreementView, acts: Iterable[Act], now: int) -> State:
    """The agreement's state at `now`, from verified acts (`open_act`), in any order (rules 2 to 6).

    Args:
        agreement: with its checked signatures.
        acts: acts of any agreements; those of others, of strangers and of the future do not count.
        now: seconds.
    """
    counted = _counted(agreement, acts, now)
    for stopped in (State.TERMINATED, State.REVOKED):
        if any(item.to is stopped for item in counted):
            return stopped
    state = _negotiated(agreement, counted)
    if now >= agreement.terms.valid.stop:
        return State.EXPIRED
    if state is State.FINALIZED and _suspended_by(counted):
        return State.SUSPENDED
    return state


def suspended_by(agreement: AgreementView, acts: Iterable[Act], now: int) -> frozenset[str]:
    """The parties whose suspensions stand; each has to lift its own (rule 5). Arguments as `state_of`."""
    return _suspended_by(_counted(agreement, acts, now))


def check_act(agreement: AgreementView, acts: Iterable[Act], new: Act, now: int) -> State:
    """The state after one more act. Raises `Conflict` or `Refused` if it cannot be made now."""
    known = list(acts)
    state = state_of(agreement, known, now)
    # Two parties may suspend or revoke one after the other; an act that says so again is no conflict.
    if new.before is not state and not (state is State.SUSPENDED and new.to is State.SUSPENDED):
        raise Conflict(
            f"The agreement is {state}, not {new.before}.",
            "The act belongs to another state.",
            "Look at the agreement again.",
        )
    check_entitled(agreement.terms, new.before, new.to, new.by)
    if new.to in _SIGNED and not agreement.complete:
        names = ", ".join(agreement.terms.name_of(party) for party in agreement.missing)
        raise Refused(
            f"The agreement cannot become {new.to} yet.",
            f"Not signed by: {names}.",
            "Wait until every party has signed.",
            clause="signatures",
        )
    if state is State.SUSPENDED and new.to is State.FINALIZED:
        _check_resuming(agreement, known, new, now)
    return state_of(agreement, [*known, new], now)


def _check_resuming(agreement: AgreementView, known: list[Act], new: Act, now: int) -> None:
    if new.by not in _suspended_by(_counted(agreement, known, now)):
        raise Refused(
            "This party cannot resume the agreement.",
            "Only a party that suspended it can.",
            "Ask the party that suspended it.",
            clause="lifecycle",
        )
    if new.by in _suspended_by(_counted(agreement, [*known, new], now)):
        raise Conflict(
            "The agreement cannot be resumed yet.",
            "The act is not dated after the suspension that it is to lift.",
            "Try again in a second.",
        )


def _counted(agreement: AgreementView, acts: Iterable[Act], now: int) -> list[Act]:
    """The acts that count, once each, in one order that depends on them alone: time, rank, digest."""
    found = {
        item.digest: item
        for item in acts
        if item.agreement == agreement.digest
        and parse_rfc3339(item.time) <= now + CLOCK_DRIFT
        and TRANSITIONS.get((item.before, item.to)) in sides(agreement.terms, item.by)
    }
    return sorted(found.values(), key=lambda item: (parse_rfc3339(item.time), _RANK[item.to], item.digest))


def _negotiated(agreement: AgreementView, counted: list[Act]) -> State:
    # A counter-offer is another document with another digest, so that acts on one document only ever lead onwards: the
    # state is the furthest that they reach. Parties' clocks need not agree for that.
    steps = {(item.before, item.to) for item in counted if agreement.complete or item.to not in _SIGNED}
    reached = {State.NONE}
    while found := {to for before, to in steps if before in reached and to in _PROGRESS} - reached:
        reached |= found
    return max(reached, key=_PROGRESS.index)


def _suspended_by(counted: list[Act]) -> frozenset[str]:
    standing: set[str] = set()
    for item in counted:
        if item.to is State.SUSPENDED:
            standing.add(item.by)
        elif item.before is State.SUSPENDED and item.to is State.FINALIZED:
            standing.discard(item.by)
    return frozenset(standing)
