"""The usage of quotas, kept in the database beside what it counts (the rules are in `foundation.quotas`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloister.foundation.errors import Refused
from cloister.foundation.quotas import Allowed, Quota, Standing, Usage, consider
from cloister.storage.database import Transaction
from cloister.storage.settings import Settings

_PREFIX = "quota/"


def charge(
    tx: Transaction,
    quota: Quota,
    kind: str,
    sender: str,
    name: str,
    size: int,
    now: int,
    standing: Callable[[str], Standing] | None = None,
) -> tuple[str, ...]:
    """Counts one thing against its sender, in the transaction that keeps it. Returns what made room and is to be forgotten.

    Args:
        tx: the transaction.
        quota: the sender's for this kind.
        kind: of things, in words.
        sender: who really sent it: as the transport or a signature that holds says.
        name: of the thing.
        size: bytes.
        now: seconds.
        standing: of a thing that is held; all wait if absent. Asked only where a quota may be full.

    Raises:
        Refused: the quota is used up (clause `quota`); nothing is counted.
    """
    key = f"{_PREFIX}{kind}/{sender}"
    settings = Settings(tx)
    usage = Usage.from_json(settings.get(key))
    decision = consider(quota, usage, name, size, now, {}, kind=kind)
    if standing is not None and (isinstance(decision, Refused) or len(usage.held) * 2 >= quota.number):
        known: Mapping[str, Standing] = {item: standing(item) for item in usage.held}
        decision = consider(quota, usage, name, size, now, known, kind=kind)
    if isinstance(decision, Refused):
        raise decision
    assert isinstance(decision, Allowed)
    if decision.usage != usage:
        settings.put(key, decision.usage.to_json())
    return decision.forget


def pace(tx: Transaction, quota: Quota, kind: str, sender: str, now: int) -> None:
    """Counts one thing against its sender's rate alone: for what is limited elsewhere, or has to be kept all the same.

    Raises:
        Refused: too many came too fast (clause `quota`).
    """
    key = f"{_PREFIX}{kind}/{sender}"
    settings = Settings(tx)
    usage = Usage(filled=Usage.from_json(settings.get(key)).filled)
    decision = consider(quota, usage, "", 0, now, {}, kind=kind)
    if isinstance(decision, Refused):
        raise decision
    settings.put(key, Usage(filled=decision.usage.filled).to_json())


def uncharge(tx: Transaction, kind: str, sender: str, name: str) -> None:
    """No longer counts a thing that turned out not to be kept. What it cost of the rate stays spent."""
    key = f"{_PREFIX}{kind}/{sender}"
    settings = Settings(tx)
    usage = Usage.from_json(settings.get(key))
    if name in usage.held:
        left = {other: item for other, item in usage.held.items() if other != name}
        settings.put(key, Usage(left, usage.filled).to_json())


def forget_about(tx: Transaction, about: str) -> None:
    """Removes the usage of every sender `…/about` (see `node.peers.quotas`)."""
    settings = Settings(tx)
    for key in settings.names(_PREFIX):
        if key.endswith(f"/{about}"):
            settings.remove(key)


def tidy(tx: Transaction, now: int) -> int:
    """Removes the usage that holds nothing and slows nobody down at `now` (seconds); returns how many senders' it was."""
    settings, removed = Settings(tx), 0
    for key in settings.names(_PREFIX):
        usage = Usage.from_json(settings.get(key))
        if not usage.held and usage.filled <= now * 1000:
            settings.remove(key)
            removed += 1
    return removed
