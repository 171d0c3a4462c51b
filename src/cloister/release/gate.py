"""An owner's gate: what its node asks of a candidate before it signs a release.

The checks run in a fixed order. Those on public things come first and may be named to the others; the ones that look at
this owner's records come last, and outward only "not approved" is said of them.

Rules:
1. `agreement`: the plan is under these terms, they hold now, and the computation is not forbidden.
2. `recipients`: everyone who is to receive the result may, by the agreement.
3. `claims`: the plan's guarantees are not below any party's floor.
4. `kind`, `size`: the output is of the kind that the computation makes, and not over the agreed size.
5. `model`: the candidate is the admitted model, byte for byte, but for its weights.
6. `finite`, `trained`: every weight is finite, and some differ from the admitted model's.
7. `facts`: what is said of the making agrees with what this owner's node saw of it, with the plan, and with the
   weights themselves; nothing else is said. Owners sign the facts: what they cannot know is not theirs to say. Where
   owners hold the candidate, they know all: the facts are this owner's own, and name digest and size of what it holds.
8. `time`, `evidence`: the statement was made now, names the admissions that this node knows, and exactly one head of the
   coordinator's log, signed by it at the statement's time (within the tolerance of clocks), and no smaller than what
   this node as a witness had seen of that log well before.
9. `attempts`: not more tasks of this computation than agreed got answers from these records: retrying until one passes
   selects on them.
10. `quality`: on this owner's own validation records the candidate is not below the agreed floor; where the plan claims
   differential privacy, as decided with noise (`quality`). The figure stays here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cloister.agreements.clauses import QualityFloor
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import PublicKeys
from cloister.release.evidence import require_signed
from cloister.release.quality import Judged

CLOCK_TOLERANCE = 3600
"""Seconds that a statement's time may differ from this node's clock."""

OUTPUTS: Mapping[str, str] = {"training": "model"}
"""What a kind of computation makes."""

NOT_APPROVED = "not approved"
"""All that is said outward of a check that looks at records."""


@dataclass(frozen=True)
class Submission:
    """A candidate, what is said about it, and what this owner's node knows to hold it against.

    Attributes:
        plan: the admitted plan.
        terms: the agreement.
        now: this node's time, seconds since the epoch.
        kind, content, facts: the candidate.
        created: the statement's time, seconds since the epoch.
        admissions: party → digest of its signed admission, as the coordinator says.
        known_admissions: the same, as this node knows it.
        seen: what this node's own part of the task ended with (see `Candidate.facts`); `None` if it saw nothing. Where
            owners hold the candidate, `content` is this node's own, too.
        rebuilt: digest of the admitted model with the candidate's weights put in; `None` if there are none.
        weights: the candidate's weights, shape (n,), float32; `None` if it is no model.
        initial: the admitted model's weights, shape (n,), float32.
        checkpoints: log heads that the statement is to name, as signed notes.
        log_keys: the keys of the coordinator's log, as this node knows them.
        witnessed: size of the coordinator's log that this node has cosigned last, and when, seconds since the epoch;
            `None` if it never has.
    """

    plan: Plan
    terms: Terms
    now: int
    kind: str
    content: bytes = field(repr=False)
    facts: Mapping[str, JSON]
    created: int
    admissions: Mapping[str, str]
    known_admissions: Mapping[str, str]
    seen: Mapping[str, JSON] | None
    rebuilt: str | None = None
    weights: NDArray[np.float32] | None = field(default=None, repr=False)
    initial: NDArray[np.float32] | None = field(default=None, repr=False)
    checkpoints: tuple[str, ...] = ()
    log_keys: tuple[PublicKeys, ...] = ()
    witnessed: tuple[int, int] | None = None


@dataclass(frozen=True)
class Passed:
    """Every check held.

    Attributes:
        checks: their names.
        why: for this owner's own people only.
    """

    checks: tuple[str, ...]
    why: str = field(default="", compare=False)


@dataclass(frozen=True)
class Failed:
    """A check did not hold.

    Attributes:
        check: its name.
        why: for this owner's own people only.
        told: what the others are told: the check's name, or `NOT_APPROVED` if it looked at records.
    """

    check: str
    why: str
    told: str


class Gate:
    """The checks. Pure: the same submission, attempts and judgement give the same verdict."""

    def public(self, submission: Submission) -> Passed | Failed:
        """The checks that look at no record, in order; the first that fails."""
        for name, ask in _PUBLIC.items():
            why = ask(submission)
            if why is not None:
                return Failed(name, why, name)
        return Passed(tuple(_PUBLIC))

    def unopened(self, submission: Submission) -> Failed | None:
        """The first failure among the checks that come before anybody looks into the candidate (rules 1 to 4)."""
        for name in _UNOPENED:
            why = _PUBLIC[name](submission)
            if why is not None:
                return Failed(name, why, name)
        return None

    def own(
        self, terms: Terms, attempts: int, judge: Callable[[QualityFloor], Judged] | None
    ) -> Passed | Failed:
        """The checks on this owner's records; ask only when the public ones hold.

        Args:
            terms: the agreement.
            attempts: how many tasks of this computation got answers from these records, this one included.
            judge: holds the candidate on the owner's validation records against the agreed floor; asked only if attempts
                are left. `None`: nothing can.
        """
        if attempts > terms.release.attempts:
            return Failed(
                "attempts",
                f"{attempts} tasks tried this computation here; the agreement allows {terms.release.attempts}.",
                NOT_APPROVED,
            )
        floor, why = terms.release.quality, ""
        if floor is not None:
            judged = Judged(False, "Nothing could be computed.") if judge is None else judge(floor)
            why = judged.why
            if not judged.holds:
                return Failed("quality", why, NOT_APPROVED)
        return Passed(("attempts", "quality"), why)


def _agreement(s: Submission) -> str | None:
    if s.terms.digest != s.plan.request.agreement:
        return "The plan is under another agreement."
    if s.now not in s.terms.valid:
        return "The agreement does not hold now."
    computation = s.plan.request.computation
    if computation.digest in s.terms.forbidden or s.terms.computation(computation.kind) is None:
        return "The agreement does not permit this computation."
    return None


def _recipients(s: Submission) -> str | None:
    wrong = set(s.plan.request.recipients) - set(s.terms.recipients)
    if wrong:
        return f"{len(wrong)} of its recipients may not receive results."
    return None if s.plan.request.recipients else "It has no recipients."


def _claims(s: Submission) -> str | None:
    return "The plan's guarantees are below a floor." if s.terms.below_floor(s.plan.offer.claims) else None


def _kind(s: Submission) -> str | None:
    expected = OUTPUTS.get(s.plan.request.computation.kind)
    return None if s.kind == expected else f"It is a {s.kind[:40]}, and the computation makes a {expected}."


def _size(s: Submission) -> str | None:
    if not s.content:
        return "It is empty."
    limit = s.terms.release.max_bytes
    return None if len(s.content) <= limit else f"It has {len(s.content)} bytes; {limit} are agreed."


def _model(s: Submission) -> str | None:
    if s.weights is None or s.initial is None or s.rebuilt is None:
        return "Its weights could not be read as those of the admitted model."
    if s.weights.shape != s.initial.shape:
        return "It has another number of weights than the admitted model."
    return (
        None if s.rebuilt == digest(s.content) else "It differs from the admitted model in more than weights."
    )


def _finite(s: Submission) -> str | None:
    assert s.weights is not None
    return None if bool(np.all(np.isfinite(s.weights))) else "A weight is not finite."


def _trained(s: Submission) -> str | None:
    assert s.weights is not None
    assert s.initial is not None
    return "Its weights are those of the admitted model." if np.array_equal(s.weights, s.initial) else None


def _facts(s: Submission) -> str | None:
    assert s.weights is not None
    if s.seen is None:
        return "This server did not see how it was made."
    if s.plan.offer.holder == "owner":
        return _own_facts(s, s.seen)
    if s.facts.get("model") != s.plan.request.computation.contents.get("model"):
        return "It is said to be made from another model."
    if s.facts.get("weights") != digest(np.ascontiguousarray(s.weights, dtype="<f4").tobytes()):
        return "Its weights are not those that the making ended with."
    differing = sorted(key for key, value in s.seen.items() if key not in s.facts or s.facts[key] != value)
    if differing:
        return "This server saw otherwise: " + ", ".join(differing)[:200] + "."
    parameters = s.plan.offer.parameters
    for key in sorted(set(s.facts) - set(s.seen) - {"model", "weights"}):
        known = _answers(s) if key == "answers" else key in parameters and s.facts[key] == parameters[key]
        if not known:
            return f"It says more than this server can know: {key[:100]}."
    return None


def _own_facts(s: Submission, own: Mapping[str, JSON]) -> str | None:
    # As canonical JSON, which is what is signed: in Python True equals 1, and a tuple equals no list.
    differing = sorted(
        key
        for key in {*own, *s.facts}
        if key not in own or key not in s.facts or canonical(own[key]) != canonical(s.facts[key])
    )
    if differing:
        return "This server would say otherwise: " + ", ".join(differing)[:200] + "."
    if s.facts.get("content") != digest(s.content) or s.facts.get("size") != len(s.content):
        return "It is said to be something else than this server holds."
    return None


def _answers(s: Submission) -> bool:
    """Whether the answers counted in each round are as many as the plan allows. Their exact number only the coordinator knows."""
    said, parameters = s.facts["answers"], s.plan.offer.parameters
    least, most = parameters.get("minimum_answers", 1), len(s.plan.offer.seats.get("owner", ()))
    if not isinstance(said, list | tuple) or len(said) != parameters.get("rounds", len(said)):
        return False
    return all(isinstance(item, int) and item is not True and least <= item <= most for item in said)


def _time(s: Submission) -> str | None:
    if s.created not in s.terms.valid or abs(s.created - s.now) > CLOCK_TOLERANCE:
        return "The statement's time is not now, or not inside the agreement."
    return None


def _evidence(s: Submission) -> str | None:
    if any(s.admissions.get(party) != known for party, known in s.known_admissions.items()):
        return "An admission that this server knows is missing or another."
    if not set(s.admissions) <= s.plan.parties:
        return "An admission is of a party outside the task."
    if len(s.checkpoints) != 1:
        return f"It names {len(s.checkpoints)} log heads; it takes one, of the coordinator's log."
    try:
        head = require_signed(s.checkpoints[0], s.plan.offer.seats["coordinator"][0], s.log_keys)
    except BadInput:
        return "A log head could not be read."
    except NotTrusted:
        return "A log head is not signed by the coordinator's log."
    if head.at is None or abs(head.at - s.created) > CLOCK_TOLERANCE:
        return "The log head was not signed when the candidate was proposed."
    # What was witnessed about that time or later may be larger: a log goes on growing after the proposal.
    if s.witnessed is not None and s.witnessed[1] < head.at - CLOCK_TOLERANCE and head.size < s.witnessed[0]:
        return "The log head is smaller than one that this server has witnessed before."
    return None


_PUBLIC: Mapping[str, Callable[[Submission], str | None]] = {
    "agreement": _agreement,
    "recipients": _recipients,
    "claims": _claims,
    "kind": _kind,
    "size": _size,
    "model": _model,
    "finite": _finite,
    "trained": _trained,
    "facts": _facts,
    "time": _time,
    "evidence": _evidence,
}

_UNOPENED = ("agreement", "recipients", "claims", "kind", "size")

CHECKS: tuple[str, ...] = (*_PUBLIC, "attempts", "quality")
"""Every check's name, in order; certificates state them."""
