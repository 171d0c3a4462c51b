"""Whether enough witnesses saw a checkpoint.

Rules:
1. Each witness counts once, however many names, keysets or lines it has.
2. Only witnesses that the reader named count; the log never counts as its own witness.
3. A cosignature from the future (beyond the tolerance) does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import PublicKeys
from cloister.ledger.checkpoints import Checkpoint, cosigned_at
from cloister.ledger.notes import Note

TOLERANCE = 300


def cosigners(
    note: Note, witnesses: Mapping[str, Sequence[PublicKeys]], now: int | None = None
) -> dict[str, int]:
    """Which of `witnesses` (key name → its keysets) cosigned, and when. Lines that do not hold count for nothing."""
    origin = Checkpoint.parse(note.text).origin
    found: dict[str, int] = {}
    for name, keysets in witnesses.items():
        try:
            time = None if name == origin else cosigned_at(note, name, keysets)
        except NotTrusted:
            continue
        if time is not None and (now is None or time <= now + TOLERANCE):
            found[name] = time
    return found


def enough(
    note: Note, witnesses: Mapping[str, Sequence[PublicKeys]], threshold: int, now: int | None = None
) -> bool:
    """Whether at least `threshold` distinct witnesses cosigned. Witnesses that share keys count once."""
    names = cosigners(note, witnesses, now)
    distinct: set[frozenset[str]] = set()
    for name in names:
        keys = frozenset(item.keyset for item in witnesses[name])
        if not any(keys & other for other in distinct):
            distinct.add(keys)
    return len(distinct) >= threshold


def require(
    note: Note, witnesses: Mapping[str, Sequence[PublicKeys]], threshold: int, now: int | None = None
) -> None:
    """Raises `NotTrusted` unless `enough`."""
    if not enough(note, witnesses, threshold, now):
        raise NotTrusted(
            "A checkpoint lacks witnesses.",
            f"{len(cosigners(note, witnesses, now))} of the {threshold} that are needed cosigned it.",
            "Wait for the witnesses, or ask why they refuse.",
            clause="witness-quorum",
        )
