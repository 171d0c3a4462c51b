"""Which records are kept apart for validation: decided for each by itself.

Private training promises that one unit more or less hardly changes what comes out. So a unit's fate may not depend on
another's: not on its position (removing the first record would move all others), not on how many there are.

Rules:
1. A unit is kept apart or trained on by a hash of its own content (of its key, where rows belong to customers), so the
   same in every round, run and order of the files.
2. Equal units are told apart by counting them. Take one away, and the others' fates, as a multiset, stay.
3. Where nothing would be kept apart, the last unit is; where nothing would be trained on, the first is trained on.
4. Rule 3 makes a unit's fate depend on others: with a newcomer, such a unit would change sides. So where differential
   privacy is claimed (`alone`), it does not hold: fates alone decide, and either side may be empty. One unit more then adds
   one to exactly one side and changes nothing on the other, which is what lets training and a check of its result on what
   was kept apart cost no more than one of them (`docs/proofs/quality-gate.md`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_PURPOSE = b"cloister/validation/2\0"


@dataclass(frozen=True)
class Split:
    """Places of units, ascending.

    Attributes:
        train: to train on.
        kept: kept apart.
        units: those in `train` that are there by their own fate: what private training may draw.
    """

    train: tuple[int, ...]
    kept: tuple[int, ...]
    units: tuple[int, ...]


def identities(contents: Iterable[bytes]) -> list[bytes]:
    """A name for each unit, of its content and of how many equal ones came before it."""
    seen: Counter[bytes] = Counter()
    names = []
    for content in contents:
        name = hashlib.sha256(content).digest()
        names.append(name + seen[name].to_bytes(8, "big"))
        seen[name] += 1
    return names


def kept_apart(name: bytes, share: float) -> bool:
    """Whether the unit of that name belongs to validation."""
    return int.from_bytes(hashlib.sha256(_PURPOSE + name).digest()[:8], "big") < share * 2**64


def split(names: Sequence[bytes], share: float, *, alone: bool = False) -> Split:
    """What becomes of each unit.

    Args:
        names: from `identities`.
        share: of units kept apart, 0 to 1; 0 keeps none.
        alone: each unit's fate is its own (rule 4).
    """
    fates = [kept_apart(name, share) for name in names]
    units = [place for place, kept in enumerate(fates) if not kept]
    if alone:
        kept = tuple(place for place, apart in enumerate(fates) if apart)
        return Split(tuple(units), kept, tuple(units))
    if share > 0 and len(units) == len(names):
        units = units[:-1]
    train = units or list(range(min(len(names), 1)))
    chosen = set(train)
    return Split(
        tuple(train), tuple(place for place in range(len(names)) if place not in chosen), tuple(units)
    )
