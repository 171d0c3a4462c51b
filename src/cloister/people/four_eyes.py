"""Four eyes: when a second person is needed before the organisation binds itself, and who may be the second.

The first person *wishes* for one exact thing, named by its digest; the second looks at the same thing and confirms it; only then is
it done. Rules:
1. A person is an account. Roles do not count: one account with two roles is one person.
2. The second is another account than the first. Both are enabled and have the right at the moment of the confirmation, the first
   too: who has left, or may no longer sign, has no wish any more.
3. What is confirmed is what was wished for: the same kind of act, on the same digest.
4. A wish lapses after `LASTS` seconds.
5. Whoever runs the machine, at its socket, is not known by an account and is neither the first nor the second.
6. One person may switch this on, if there are two who can go on; switching it off takes two.

What it does not protect from: somebody who manages people can make a second account. That is seen in the list of people and in what
people did, and is for that reason a role of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cloister.foundation.errors import Conflict, Refused
from cloister.people.roles import Right
from cloister.people.sessions import Person

LASTS = 7 * 24 * 3600
"""Seconds that a wish waits for a second person."""

Kind: TypeAlias = Literal["sign", "offer", "resume", "one-person"]
"""What two people do: sign an agreement that is here, offer one of this organisation's, lift this organisation's suspension of
one, switch four eyes off."""

RIGHT: Right = "agreements.sign"
"""The right that both need."""

_CLAUSE = "four-eyes"


@dataclass(frozen=True)
class Wish:
    """What a first person wants done.

    Attributes:
        kind: of act.
        subject: the digest of what exactly; empty where there is only one thing.
        account: whose wish.
        name: the person's, as it was then.
        at: when, seconds since the epoch.
        ends: when it lapses.
    """

    kind: Kind
    subject: str
    account: str
    name: str
    at: int
    ends: int

    def alive(self, now: int) -> bool:
        """Whether it still waits for somebody (rule 4)."""
        return self.at <= now + 60 and now < self.ends


def may_bind(person: Person | None) -> bool:
    """Whether an account counts as one of the two."""
    return person is not None and person.enabled and RIGHT in person.rights


def wish(kind: Kind, subject: str, first: Person | None, now: int) -> Wish:
    """The first person's wish. Raises `Refused` if this is nobody that counts (rules 2 and 5)."""
    if first is None or not may_bind(first):
        raise _nobody()
    return Wish(kind, subject, first.account, first.name, now, now + LASTS)


def check_second(
    wished: Wish, kind: Kind, subject: str, first: Person | None, second: Person | None, now: int
) -> None:
    """Returns if `second` may confirm `wished` now.

    Args:
        wished: what the first wants.
        kind: the act that is about to be done.
        subject: on what.
        first: the first person's account as it is now; `None` if it is gone.
        second: the confirming person's; `None` for the machine's operator.
        now: seconds since the epoch.

    Raises:
        Conflict: it lapsed, or is not about this.
        Refused: the two are not two people who may.
    """
    if (wished.kind, wished.subject) != (kind, subject):
        raise Conflict(
            "This is not what was asked for.",
            "The first person asked for something else, or it was changed since.",
            "Look at it again; ask anew.",
        )
    if not wished.alive(now):
        raise Conflict("The first person's wish has lapsed.", "It waited too long.", "Ask anew.")
    if second is None or not may_bind(second):
        raise _nobody()
    if second.account == wished.account:
        raise Refused(
            "A second person is needed.",
            "You have asked for this yourself; two roles of one person are one person.",
            "Ask somebody else who may sign for your organisation.",
            clause=_CLAUSE,
        )
    if first is None or first.account != wished.account or not may_bind(first):
        raise Refused(
            "The first person may not sign any more.",
            "Both need the right at the moment of the confirmation.",
            "Ask anew.",
            clause=_CLAUSE,
        )


def check_enough(people: Iterable[Person]) -> None:
    """Raises `Refused` unless there are two who can do together what takes two (rule 6)."""
    if len({person.account for person in people if may_bind(person)}) < 2:
        raise Refused(
            "There are not two people yet who may sign.",
            "With fewer than two nothing could be signed any more, and this could not be switched off.",
            "Give another account the role of an approver first.",
            clause=_CLAUSE,
        )


def _nobody() -> Refused:
    return Refused(
        "Two people sign here, each with an account of their own.",
        "This was not asked by a person who may sign for the organisation.",
        "Sign in on the page of this server, and sign there.",
        clause=_CLAUSE,
    )
