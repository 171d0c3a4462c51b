"""New keys for this party, or the end of them: the next card of its chain, made while its node is stopped.

At its next start the node publishes the chain to the hub and to the parties it works with; each accepts the new card
by the rules of `identity.cards`. What was signed before a routine rotation stays valid; what was signed by keys that
are called compromised does not, unless a cosigned log proves that it is older.

Rules:
1. The node's folder is locked meanwhile: no running node signs with keys that are being replaced.
2. The new keys are on disk (as `party-keys.next`) before the card that names them is; after a crash in between, the
   same call or the node's next start goes on with them. The old keys are replaced last.
3. After a revocation the node starts no more; its folder stays readable.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError, NotTrusted
from cloister.identity.cards import Card, check_genesis, check_next, succeed
from cloister.identity.cards import revoke as revoke_card
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.identity.keystore import Keystore, Unlock, read_recovery
from cloister.node.folder import Folder
from cloister.node.setup import RECOVERY_FILE, read_cards, write_cards
from cloister.storage.locking import FolderLock

_NEXT = "party-keys.next"


@dataclass(frozen=True)
class Changed:
    """What a rotation or revocation made: the latest card's number and state."""

    party: str
    sequence: int
    status: str


def rotate_keys(folder: Path, unlock: Unlock, clock: Clock) -> Changed:
    """Replaces this party's keys by fresh ones, announced by a card that the old ones sign.

    Args:
        folder: the node's, which must not be running.
        unlock: opens its secrets.
        clock: for the card's dates.

    Raises:
        Conflict: the node is running.
        NotTrusted: the passphrase is wrong, or the party was revoked.
    """
    place = Folder(folder.absolute())
    place.config()
    lock = FolderLock(place.root)
    try:
        store = Keystore.open(place.secrets, unlock)
        current = store.load_keys()
        cards = read_cards(place.card_file)
        latest = _latest(cards, clock)
        fresh = store.load_keys(_NEXT) if store.has(_NEXT) else SecretKeys.generate()
        if latest.keys != fresh.public:
            if not store.has(_NEXT):
                store.save_keys(fresh, _NEXT)
            envelope = succeed(latest, fresh, clock.now(), current=current)
            latest = check_next(latest, envelope, clock.now())
            write_cards(place, [*cards, envelope])
        store.save_keys(fresh)
        store.remove(_NEXT)
        return Changed(latest.party, latest.sequence, latest.status)
    finally:
        lock.release()


def recover_keys(
    folder: Path, unlock: Unlock, recovery_unlock: Unlock, clock: Clock, *,
    compromised_since: int | None = None, recovery_file: Path | None = None,
) -> Changed:  # fmt: skip
    """Replaces keys that are lost or stolen: the card is signed by the recovery keys.

    Args:
        folder: the node's, which must not be running.
        unlock: opens its secrets.
        recovery_unlock: opens the recovery keys.
        clock: for the card's dates.
        compromised_since: from when on the old keys may be in other hands, seconds since the epoch.
        recovery_file: where the recovery keys are; in the folder if absent.
    """
    place = Folder(folder.absolute())
    place.config()
    lock = FolderLock(place.root)
    try:
        store = Keystore.open(place.secrets, unlock)
        recovery = read_recovery(recovery_file or place.root / RECOVERY_FILE, recovery_unlock)
        cards = read_cards(place.card_file)
        latest = _latest(cards, clock)
        fresh = SecretKeys.generate()
        store.save_keys(fresh, _NEXT)
        envelope = succeed(latest, fresh, clock.now(), recovery=recovery, compromised_since=compromised_since)
        latest = check_next(latest, envelope, clock.now())
        write_cards(place, [*cards, envelope])
        store.save_keys(fresh)
        store.remove(_NEXT)
        return Changed(latest.party, latest.sequence, latest.status)
    finally:
        lock.release()


def revoke(
    folder: Path, recovery_unlock: Unlock, clock: Clock, *,
    compromised_since: int | None = None, recovery_file: Path | None = None,
) -> Changed:  # fmt: skip
    """Ends this identity for good: the last card, signed by the recovery keys. It cannot be undone.

    Hand the card file to the hub's operator and to the other parties: a revoked node starts no more to do it.

    Args:
        folder: the node's, which must not be running.
        recovery_unlock: opens the recovery keys.
        clock: for the card's date.
        compromised_since: from when on the keys may be in other hands, seconds since the epoch.
        recovery_file: where the recovery keys are; in the folder if absent.
    """
    place = Folder(folder.absolute())
    place.config()
    lock = FolderLock(place.root)
    try:
        recovery = read_recovery(recovery_file or place.root / RECOVERY_FILE, recovery_unlock)
        cards = read_cards(place.card_file)
        latest = _latest(cards, clock)
        if latest.status == "revoked":
            return Changed(latest.party, latest.sequence, latest.status)
        envelope = revoke_card(latest, clock.now(), recovery=recovery, compromised_since=compromised_since)
        latest = check_next(latest, envelope, clock.now())
        write_cards(place, [*cards, envelope])
        return Changed(latest.party, latest.sequence, latest.status)
    finally:
        lock.release()


def load_current(store: Keystore, latest: Card) -> SecretKeys:
    """The keys that the latest card announces; ends a rotation that was interrupted.

    Raises:
        NotTrusted: the keys on this disk are not those of the card: one of them was restored from a backup.
    """
    keys = store.load_keys()
    if keys.public == latest.keys:
        return keys
    if store.has(_NEXT) and (fresh := store.load_keys(_NEXT)).public == latest.keys:
        store.save_keys(fresh)
        store.remove(_NEXT)
        return fresh
    raise NotTrusted(
        "This server's keys are not those of its card.",
        "One of the two was restored from a backup older than the last rotation.",
        "Restore both from the newest backup, or use the recovery keys.",
        clause="own-keys",
    )


def _latest(cards: list[Envelope], clock: Clock) -> Card:
    if not cards:
        raise CloisterError(
            "This server has no card.", "Its card file is empty.", "Restore it from a backup."
        )
    latest = check_genesis(cards[0], clock.now())
    for envelope in cards[1:]:
        latest = check_next(latest, envelope, clock.now())
    return latest
