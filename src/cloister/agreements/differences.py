"""What has changed between two versions of an agreement, in words.

The sentences of both versions are compared, so that a difference reads as the agreement itself reads; clauses whose
change alters no sentence (for example an order) are named by their field.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloister.agreements.terms import Terms
from cloister.agreements.words import sections

_HEADER = frozenset({"uid", "version", "previous", "title"})


def differences(old: Terms, new: Terms, names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Sentences such as `No longer: …` and `New: …`; empty only if the terms are the same but for version numbers.

    Args:
        old: the earlier version.
        new: the later version.
        names: the reader's own names for fingerprints.
    """
    before, after = _told(old, names), _told(new, names)
    found = []
    if old.title != new.title:
        found.append(f"The title was “{old.title}” and is “{new.title}”.")
    gone, come = set(before) - set(after), set(after) - set(before)
    found += [f"No longer ({title.lower()}): {text}" for title, text in before if (title, text) in gone]
    found += [f"New ({title.lower()}): {text}" for title, text in after if (title, text) in come]
    for name in Terms.model_fields:
        if name in _HEADER or getattr(old, name) == getattr(new, name):
            continue
        alone = _told(old.model_copy(update={name: getattr(new, name)}), names)
        if set(alone) == set(before):
            found.append(f"Changed: {name.replace('_', ' ')}.")
    return tuple(found)


def _told(terms: Terms, names: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return [(section.title, item.text) for section in sections(terms, names) for item in section.sentences]
