"""Finds, in an agreement's document, every clause that no node can enforce, and names it.

A promise that a machine prints and then ignores is worse than none: people rely on it. So an agreement is signed only
if each of its clauses is of a kind that nodes enforce. Rules:
1. Every key, action, operand, operator and type that is not in the profile is found, wherever it stands.
2. Each finding has the clause's own name, where it stands, why nodes cannot enforce it, and what to do instead.
3. The findings' order depends on the document alone.

Source: ODRL Information Model 2.2, sections 2.1 to 2.7 for the terms; ODRL Vocabulary 2.2 for the names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cloister.agreements.profile import (
    ACTION_REFINEMENTS,
    ACTIONS,
    CONSTRAINTS,
    CONTEXT,
    DUTIES,
    FORBIDDEN,
    PROFILE,
    TARGET_REFINEMENTS,
    Mapped,
)

_TOP = {
    "@context", "@type", "uid", "profile", "conflict", "permission", "prohibition", "obligation",
    "cloister:version", "cloister:title", "cloister:parties", "cloister:previous",
}  # fmt: skip
_PARTY = {"uid", "cloister:name", "cloister:roles", "cloister:seats"}
_PERMISSION = {"uid", "assigner", "assignee", "target", "action", "constraint"}
_OBLIGATION = {"uid", "assignee", "action", "constraint", "cloister:by", "cloister:text"}
_CONSTRAINT = {"leftOperand", "operator", "rightOperand"}
_LOGICAL = ("or", "xone", "and", "andSequence")

_REASONS = {
    "compensate": "servers move no money.",
    "pay": "servers move no money.",
    "payAmount": "servers move no money.",
    "sell": "servers cannot see or stop a sale.",
    "obtainConsent": "consent is given outside; a server cannot check it.",
    "reviewPolicy": "a server cannot check that a person has read something.",
    "anonymize": "'anonymous' has no checkable meaning; ask for claims such as differential privacy.",
    "distribute": "what a recipient passes on cannot be watched; name the recipients instead.",
    "reproduce": "copies at a recipient cannot be watched.",
    "uninstall": "a server cannot reach into another party's machine.",
    "remedy": "penalties are for courts; a server can only refuse.",
    "consequence": "penalties are for courts; a server can only refuse.",
    "duty": "a permission that depends on a duty done elsewhere cannot be checked at the time.",
    "inheritFrom": "terms that stand in another document are not what is signed here.",
    "implies": "the profile's actions are closed.",
    "count": "uses at a recipient's own machine cannot be counted.",
    "industry": "what a party does elsewhere cannot be checked.",
    "event": "events outside the servers cannot be observed.",
    "spatial": "where somebody stands cannot be checked; data's country can: cloister:residency.",
    "systemDevice": "which machine a party uses cannot be checked.",
    "or": "logical constraints are not enforced: each clause holds by itself.",
    "xone": "logical constraints are not enforced: each clause holds by itself.",
    "and": "logical constraints are not enforced: each clause holds by itself.",
    "andSequence": "logical constraints are not enforced: each clause holds by itself.",
}  # fmt: skip
_REMEDY = "Take the clause out, or put it into a contract on paper, where people and courts enforce it."


@dataclass(frozen=True)
class Unenforceable:
    """One clause that no node can enforce.

    Attributes:
        name: the clause's own name, for example `odrl:payAmount`.
        where: its place in the document, for example `permission[0].constraint[3]`.
        reason: why not.
        remedy: what to do instead.
    """

    name: str
    where: str
    reason: str
    remedy: str = _REMEDY


def check_enforceable(document: Any) -> list[Unenforceable]:
    """Every clause of the document that no node can enforce; empty if all can be."""
    if not isinstance(document, dict):
        return [_unknown("document", "$", "an agreement is a JSON object.")]
    return list(_document(document))


def _document(document: dict[str, Any]) -> Iterator[Unenforceable]:
    if document.get("@type") != "Agreement":
        yield _unknown(
            _named(_text(document.get("@type"))), "@type", "only an Agreement binds parties to each other."
        )
    if document.get("@context") != CONTEXT:
        yield _unknown("@context", "@context", "another context gives the same words another meaning.")
    if document.get("profile") != PROFILE:
        yield _unknown("profile", "profile", f"servers enforce the profile {PROFILE} only.")
    if document.get("conflict") != "prohibit":
        yield _unknown("conflict", "conflict", "in a conflict, the prohibition holds.")
    yield from _keys(document, _TOP, "")
    for number, party in _items(document, "cloister:parties"):
        yield from _keys(party, _PARTY, f"cloister:parties[{number}].")
    permissions = list(_items(document, "permission"))
    if len(permissions) != 1:
        yield _unknown("permission", "permission", "the profile has exactly one permission.")
    for number, rule in permissions:
        yield from _permission(rule, f"permission[{number}].")
    for number, rule in _items(document, "prohibition"):
        yield from _prohibition(rule, f"prohibition[{number}].")
    for number, rule in _items(document, "obligation"):
        yield from _obligation(rule, f"obligation[{number}].")
    for key in ("permission", "prohibition", "obligation", "cloister:parties"):
        value = document.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            yield _unknown(key, key, "it is not a list of objects.")


def _permission(rule: dict[str, Any], where: str) -> Iterator[Unenforceable]:
    yield from _keys(rule, _PERMISSION, where)
    for number, target in _objects(rule.get("target")):
        place = f"{where}target[{number}]."
        if target.get("@type") != "AssetCollection":
            yield _unknown(_named(_text(target.get("@type"))), place + "@type", "targets are datasets.")
        yield from _keys(target, {"@type", "source", "refinement"}, place)
        yield from _constraints(target.get("refinement"), TARGET_REFINEMENTS, place + "refinement")
    for number, action in _objects(rule.get("action")):
        place = f"{where}action[{number}]."
        value = action.get("rdf:value")
        name = value.get("@id") if isinstance(value, dict) else value
        if name not in ACTIONS or (isinstance(value, dict) and set(value) != {"@id"}):
            yield _action(_text(name), place + "rdf:value")
        yield from _keys(action, {"rdf:value", "refinement"}, place)
        yield from _constraints(action.get("refinement"), ACTION_REFINEMENTS, place + "refinement")
    for key in ("target", "action"):
        value = rule.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            for item in value if isinstance(value, list) else [value]:
                if not isinstance(item, dict):
                    yield _action(_text(item), where + key)
    yield from _constraints(rule.get("constraint"), CONSTRAINTS, where + "constraint")


def _prohibition(rule: dict[str, Any], where: str) -> Iterator[Unenforceable]:
    yield from _keys(rule, _PERMISSION, where)
    match rule.get("action"):
        case "cloister:readOutside":
            yield from _constraints(rule.get("constraint", []), (), where + "constraint")
        case "cloister:compute":
            yield from _constraints(rule.get("constraint"), (FORBIDDEN,), where + "constraint")
        case other:
            yield _action(_text(other), where + "action")


def _obligation(rule: dict[str, Any], where: str) -> Iterator[Unenforceable]:
    yield from _keys(rule, _OBLIGATION, where)
    if rule.get("action") not in DUTIES.values():
        yield _action(_text(rule.get("action")), where + "action")
    elapsed = Mapped("days", "elapsedTime", "lteq", "plain")
    yield from _constraints(rule.get("constraint", []), (elapsed,), where + "constraint")


def _constraints(value: Any, mapped: tuple[Mapped, ...], where: str) -> Iterator[Unenforceable]:
    if not isinstance(value, list):
        yield _unknown("constraint", where, "it is not a list of constraints.")
        return
    operators: dict[str, list[str]] = {}
    for item in mapped:
        operators.setdefault(item.operand, []).append(item.operator)
    for number, constraint in enumerate(value):
        place = f"{where}[{number}]"
        if not isinstance(constraint, dict):
            yield _unknown("constraint", place, "it is not an object.")
            continue
        logical = [key for key in _LOGICAL if key in constraint]
        if logical:
            yield from (_unknown(f"odrl:{key}", place, _REASONS[key]) for key in logical)
            continue
        yield from _keys(constraint, _CONSTRAINT, place + ".")
        operand, operator = _text(constraint.get("leftOperand")), _text(constraint.get("operator"))
        if operand not in operators:
            yield _unknown(
                _named(operand), place, _REASONS.get(operand, "no server knows this operand here.")
            )
        elif operator not in operators[operand]:
            known = " or ".join(operators[operand])
            yield _unknown(
                f"{_named(operand)} {operator}", place, f"only the operator {known} is enforced here."
            )


def _keys(value: dict[str, Any], known: set[str], where: str) -> Iterator[Unenforceable]:
    for key in sorted(set(value) - known):
        yield _unknown(
            _named(_text(key)), where + _text(key), _REASONS.get(key, "no server knows this term.")
        )


def _items(document: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    return _objects(document.get(key))


def _objects(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            yield number, item


def _action(name: str, where: str) -> Unenforceable:
    return _unknown(_named(name), where, _REASONS.get(name, "servers do not know this action here."))


def _unknown(name: str, where: str, reason: str) -> Unenforceable:
    return Unenforceable(name, where[:200], reason)


def _named(name: str) -> str:
    return name if ":" in name or name.startswith("@") else f"odrl:{name}"


def _text(value: Any) -> str:
    # Names come from a foreign document and are printed: short, and nothing that a terminal would act on.
    text = value if isinstance(value, str) else type(value).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]
