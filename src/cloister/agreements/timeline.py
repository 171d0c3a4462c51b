"""An agreement's life in the order in which it happened, from what a node knows of it.

Rules:
1. When somebody signed is when this node learnt of it; a signature has no time of its own. When somebody suspended or ended it is
   what the signed act says.
2. What nodes say to each other by themselves once everybody has signed is one line: it came into force.
3. The same facts give the same lines, in whatever order they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cloister.agreements.lifecycle import Act, State
from cloister.agreements.signing import AgreementView
from cloister.foundation.clock import parse_rfc3339

Tone: TypeAlias = Literal["", "done", "now", "warn", "bad"]

PROPOSED, SIGNED, IN_FORCE, DID, MOVED, STOPPED = range(6)
_ACTS: dict[State, tuple[str, Tone]] = {
    State.REQUESTED: ("{name} proposed it.", ""),
    State.OFFERED: ("{name} proposed it.", ""),
    State.SUSPENDED: ("{name} suspended it.", "warn"),
    State.REVOKED: ("{name} revoked it, for ever.", "bad"),
    State.TERMINATED: ("{name} declined it: it does not come into force.", "bad"),
}


@dataclass(frozen=True)
class Happening:
    """One line of the life of an agreement.

    Attributes:
        at: when, seconds since the epoch.
        text: what happened.
        more: a reason, or details.
        tone: how to show it.
        about: the digest of the task, release or version that it is about, if any.
        kind: of what `about` names.
        order: among what happened in the same second (`PROPOSED` to `STOPPED`).
    """

    at: int
    text: str
    more: str = ""
    tone: Tone = ""
    about: str = ""
    kind: Literal["", "task", "release", "agreement"] = ""
    order: int = DID


def timeline(
    found: AgreementView,
    signatures: Sequence[tuple[int, Iterable[str]]],
    acts: Iterable[Act],
    others: Iterable[Happening],
    now: int,
    name: Callable[[str], str],
) -> tuple[Happening, ...]:
    """The lines, oldest first.

    Args:
        found: the agreement.
        signatures: when this node learnt of which parties' signatures; later entries may repeat earlier ones.
        acts: verified acts on it.
        others: what else belongs into it: tasks, releases, versions, this node's people.
        now: seconds since the epoch.
        name: of a party.
    """
    lines = [*_signed(found, signatures, name), *_moved(found, acts, name), *others]
    if now >= found.terms.valid.stop:
        lines.append(Happening(found.terms.valid.stop, "It ended, as agreed.", tone="warn", order=MOVED))
    return tuple(sorted(lines, key=lambda line: (line.at, line.order, line.text, line.about)))


def _signed(
    found: AgreementView, signatures: Sequence[tuple[int, Iterable[str]]], name: Callable[[str], str]
) -> list[Happening]:
    known: dict[str, int] = {}
    for at, parties in sorted((at, sorted(parties)) for at, parties in signatures):
        for party in parties:
            if party in found.signed_by:
                known.setdefault(party, at)
    return [Happening(at, f"{name(party)} signed.", tone="done", order=SIGNED) for party, at in known.items()]


def _moved(found: AgreementView, acts: Iterable[Act], name: Callable[[str], str]) -> list[Happening]:
    own = sorted(
        {item.digest: item for item in acts if item.agreement == found.digest}.values(),
        key=lambda item: (item.time, item.digest),
    )
    lines, in_force = [], False
    for item in own:
        at = parse_rfc3339(item.time)
        if item.to in _ACTS:
            text, tone = _ACTS[item.to]
            order = PROPOSED if item.before is State.NONE else MOVED
            lines.append(Happening(at, text.format(name=name(item.by)), item.reason or "", tone, order=order))
        elif item.to is State.FINALIZED and item.before is State.SUSPENDED:
            text = f"{name(item.by)} resumed it."
            lines.append(Happening(at, text, item.reason or "", "done", order=MOVED))
        elif item.to is State.FINALIZED and not in_force:
            in_force = True
            text = "It came into force: everybody has signed."
            lines.append(Happening(at, text, tone="done", order=IN_FORCE))
    return lines
