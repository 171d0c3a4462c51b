"""An agreement as a plant manager reads it: plain sentences, each with the machine's name of its clause beside it.

Every clause of the terms has a sentence here, so that nothing is signed that was not shown; `sections` is what a web
page prints, `describe` the same for a terminal. Each sentence says where its clause stands in the machine's form. Names
are those printed in the agreement; where the reader's own address book has another name for a fingerprint, both are shown.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from cloister.agreements import promises, uses
from cloister.agreements.places import Places
from cloister.agreements.plain import Reader, Section, Sentence, join
from cloister.agreements.terms import Terms
from cloister.agreements.uses import WORK

__all__ = ["WORK", "Section", "Sentence", "describe", "join", "printed", "sections"]


def sections(terms: Terms, names: Mapping[str, str] | None = None) -> tuple[Section, ...]:
    """The agreement in plain sentences.

    Args:
        terms: what was, or is to be, signed.
        names: the reader's own names for fingerprints.
    """
    reader = Reader(terms, Places(terms), names or {})
    found = (
        Section("Who takes part", uses.members(reader)),
        Section("Which data may be used", uses.datasets(reader)),
        Section("What may be done with it", uses.computations(reader)),
        Section("What each one gets to see", uses.sees(reader)),
        Section("What is promised", promises.promised(reader)),
        Section("What is not promised", promises.not_promised(reader)),
        Section("How much privacy may be spent", promises.budgets(reader)),
        Section("When a result may leave", promises.release(reader)),
        Section("Who watches", promises.witnesses(reader)),
        Section("What the servers do besides", promises.duties(reader)),
        Section("Until when, and how to stop", promises.ending(reader)),
    )
    return tuple(section for section in found if section.sentences)


def describe(terms: Terms, names: Mapping[str, str] | None = None, width: int = 100) -> str:
    """The agreement as text, the clauses' machine names in a column at the right.

    Args:
        terms: what was, or is to be, signed.
        names: the reader's own names for fingerprints.
        width: of the terminal, in characters; under 72 the clause's name follows its sentence.
    """
    version = f", version {terms.version}" if terms.version > 1 else ""
    lines = [f"{terms.title}{version}", "=" * min(width, len(terms.title) + len(version)), ""]
    lines.extend(printed(sections(terms, names), width))
    lines.append(f"Agreement {terms.digest}")
    return "\n".join(lines) + "\n"


def printed(found: Iterable[Section], width: int) -> list[str]:
    """Sections as lines, each with an empty line behind it; `width` as in `describe`."""
    lines = []
    for section in found:
        lines.append(section.title)
        for sentence in section.sentences:
            lines.extend(_columns(sentence.text, sentence.clause, width))
        lines.append("")
    return lines


def _columns(text: str, clause: str, width: int) -> list[str]:
    """A sentence as a list item with a clause's name at the right (`width` ≥ 72) or behind it."""
    if width < 72:
        return textwrap.wrap(
            f"{text} [{clause}]", max(20, width), initial_indent="  - ", subsequent_indent="    "
        )
    margin = 18
    wrapped = textwrap.wrap(text, width - margin - 2, initial_indent="  - ", subsequent_indent="    ")
    wrapped[0] = f"{wrapped[0]:<{width - margin}}[{clause}]"
    return wrapped
