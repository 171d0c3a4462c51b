"""Where each clause of an agreement stands in its written form, as JSON Pointers (RFC 6901).

The plain sentences carry these pointers, so that a page can show both forms side by side and a reader can see that the one
says what the other enforces. The places are found by the same tables that the writer uses (`profile`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloister.agreements.profile import ACTION_REFINEMENTS, CLAUSE, CONSTRAINTS, TARGET_REFINEMENTS, Mapped
from cloister.agreements.terms import Terms

_PERMISSION = "/permission/0"


class Places:
    """The places of one agreement's clauses.

    Args:
        terms: the agreement's.
    """

    def __init__(self, terms: Terms) -> None:
        self._document = terms.to_odrl()
        permission = self._document["permission"][0]
        self._terms = _placed(permission["constraint"], CONSTRAINTS, f"{_PERMISSION}/constraint")
        self._actions = [
            _placed(item["refinement"], ACTION_REFINEMENTS, f"{_PERMISSION}/action/{number}/refinement")
            for number, item in enumerate(permission["action"])
        ]
        self._targets = [
            _placed(item["refinement"], TARGET_REFINEMENTS, f"{_PERMISSION}/target/{number}/refinement")
            for number, item in enumerate(permission["target"])
        ]

    @property
    def document(self) -> dict[str, Any]:
        """The written form."""
        return self._document

    def term(self, field: str, number: int = 0) -> str | None:
        """The constraint that a field of the terms is written as; the `number`th of several. `None`: not written."""
        found = self._terms.get(field, [])
        return found[number] if number < len(found) else None

    def claim(self, floor: int, number: int) -> str | None:
        """One claim of a floor."""
        found = self.term("floors", floor)
        return None if found is None else f"{found}/rightOperand/@value/claims/{number}"

    def member(self, number: int) -> str:
        """A member."""
        return f"/cloister:parties/{number}"

    def dataset(self, number: int, field: str | None = None) -> str | None:
        """A dataset, or one of its refinements."""
        return _one(self._targets, number, field, f"{_PERMISSION}/target/{number}")

    def computation(self, number: int, field: str | None = None) -> str | None:
        """A kind of work, or one of its refinements."""
        return _one(self._actions, number, field, f"{_PERMISSION}/action/{number}")

    def duty(self, number: int) -> str:
        """A duty."""
        return f"/obligation/{number}"

    def prohibition(self, name: str) -> str | None:
        """What never happens: `reading-outside` or `forbidden`."""
        for number, rule in enumerate(self._document["prohibition"]):
            if rule["uid"] == CLAUSE + name:
                return f"/prohibition/{number}"
        return None


def resolve(document: Any, pointer: str) -> Any:
    """The value at a JSON Pointer. Raises `KeyError` or `IndexError` where there is none."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def _placed(constraints: list[dict[str, Any]], mapped: Iterable[Mapped], where: str) -> dict[str, list[str]]:
    fields = {(item.operand, item.operator): item.field for item in mapped}
    found: dict[str, list[str]] = {}
    for number, constraint in enumerate(constraints):
        field = fields[constraint["leftOperand"], constraint["operator"]]
        found.setdefault(field, []).append(f"{where}/{number}")
    return found


def _one(places: list[dict[str, list[str]]], number: int, field: str | None, whole: str) -> str | None:
    if field is None:
        return whole
    found = places[number].get(field)
    return None if found is None else found[0]
