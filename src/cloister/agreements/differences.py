"""What has changed between two versions of an agreement: in words, field by field, and what that means for whom.

Rules:
1. Every field of the terms that differs is named, and none that does not. What only changed its order is named, too.
2. `more` means that something is permitted afterwards that was refused before: less protection. `less` means the reverse: more
   protection. Where both are true, or neither, it is `other`. Turning the two versions round turns `more` into `less`.
3. Only what the terms say counts; what an owner decides at its own server besides (its population's own limit, its approvals) is
   not known here.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloister.agreements.changes import Difference, Effect, Kind
from cloister.agreements.changes_of_limits import limits
from cloister.agreements.changes_of_use import uses
from cloister.agreements.terms import Terms

__all__ = ["Difference", "Effect", "Kind", "differences"]

_HEADER = frozenset({"uid", "version", "previous"})


def differences(old: Terms, new: Terms, names: Mapping[str, str] | None = None) -> tuple[Difference, ...]:
    """Every difference, in the order in which an agreement is read; empty only if the terms are the same but for versions.

    Args:
        old: the earlier version.
        new: the later version.
        names: the reader's own names for fingerprints.
    """
    found = [*uses(old, new, names or {}), *limits(old, new, names or {})]
    named = {item.field.partition(".")[0] for item in found}
    for field in Terms.model_fields:
        if field in _HEADER or field in named or getattr(old, field) == getattr(new, field):
            continue
        text = f"The order in “{field.replace('_', ' ')}” has changed, and nothing else there."
        found.append(Difference(field, "changed", text, "other"))
    return tuple(found)
