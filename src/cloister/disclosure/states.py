"""How a disclosure stands: a function of its signed documents and the time, the same at both sides.

| state | what is known |
|---|---|
| offered | made and sealed; the recipient has confirmed nothing |
| received | the recipient's node has opened the records |
| withdrawn | the owner has taken it back; the deletion is not confirmed yet |
| expired | its last day is over; the deletion is not confirmed yet |
| overdue | the confirmation of the deletion has not come in the days that it may take |
| deleted | the recipient has confirmed, under its signature, that its node deleted its copies |

Rules:
1. Only documents that were verified are looked at (`documents`); their order of arrival makes no difference.
2. `deleted` is for ever. It says what the recipient signed, not that no copy exists.
3. From its end on a disclosure permits nothing: `usable` is false in every state but offered and received.
4. Overdue begins `deletion_days` after the end, which is the earlier one of `until` and the withdrawal's time; a withdrawal that
   bears a time before the disclosure's counts from the disclosure's first second.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from cloister.disclosure.documents import DAY, Disclosure, Receipt, Withdrawal
from cloister.foundation.clock import parse_rfc3339


class State(StrEnum):
    """Where a disclosure stands."""

    OFFERED = "offered"
    RECEIVED = "received"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    OVERDUE = "overdue"
    DELETED = "deleted"


USABLE = frozenset({State.OFFERED, State.RECEIVED})
"""In these the records may be opened and used."""


def state_of(
    disclosure: Disclosure, withdrawal: Withdrawal | None, receipts: Iterable[Receipt], now: int
) -> State:
    """The state at `now` (seconds since the epoch), from verified documents about this disclosure."""
    done = {receipt.what for receipt in receipts}
    if "deleted" in done:
        return State.DELETED
    if now >= due(disclosure, withdrawal):
        return State.OVERDUE
    if withdrawal is not None:
        return State.WITHDRAWN
    if now >= disclosure.until_at:
        return State.EXPIRED
    return State.RECEIVED if "received" in done else State.OFFERED


def end(disclosure: Disclosure, withdrawal: Withdrawal | None) -> int:
    """When it ends or ended, seconds since the epoch (rule 4)."""
    if withdrawal is None:
        return disclosure.until_at
    return min(disclosure.until_at, max(disclosure.made_at, parse_rfc3339(withdrawal.time)))


def due(disclosure: Disclosure, withdrawal: Withdrawal | None) -> int:
    """From when on a deletion that was not confirmed is overdue, seconds since the epoch."""
    return end(disclosure, withdrawal) + disclosure.deletion_days * DAY
