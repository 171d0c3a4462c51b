"""The written form of an agreement: a profile of ODRL 2.2 as JSON-LD, one form for each meaning.

One permission carries everything: its assigners are the owners, its assignees those who may request, its targets the
datasets with refinements, its actions the kinds of computation with refinements, its constraints the rest. Two
prohibitions state what never happens; obligations are the duties that nodes carry out. Rules:
1. `read(write(terms)) == terms`, and `write(read(document))` has the same canonical bytes as `document`.
2. What the profile does not know is never skipped: `read` refuses it by name (see `enforceable`).
3. A document in any other form, even one that would mean the same, is refused: what is signed has one byte form.

Sources: ODRL Information Model 2.2 (W3C Recommendation 2018-02-15) sections 2.1 to 2.7; ODRL Vocabulary 2.2;
JSON-LD 1.1 section 4.2.2 for JSON literals; RFC 8785.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from cloister.agreements.enforceable import check_enforceable
from cloister.agreements.profile import (
    ACTION_REFINEMENTS,
    CLAUSE,
    CONSTRAINTS,
    CONTEXT,
    DATASET,
    DUTIES,
    FORBIDDEN,
    PARTY,
    PROFILE,
    TARGET_REFINEMENTS,
    Form,
    Mapped,
)
from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, Refused


def write(terms: Terms) -> dict[str, Any]:
    """The agreement as an ODRL document (JSON values). Its canonical bytes are what parties sign."""
    data = terms.model_dump(mode="json")
    owners = [PARTY + party for party in terms.owners]
    everybody = [PARTY + party for party in terms.parties]
    sources = [f"{DATASET}{item.owner}:{item.name}" for item in terms.datasets]
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "Agreement",
        "uid": terms.uid,
        "profile": PROFILE,
        "conflict": "prohibit",
        "cloister:version": terms.version,
        "cloister:title": terms.title,
        "cloister:parties": [
            {
                "uid": PARTY + member.party,
                "cloister:name": member.name,
                "cloister:roles": list(member.roles),
                "cloister:seats": list(member.seats),
            }
            for member in terms.members
        ],
        "permission": [
            {
                "uid": CLAUSE + "permission",
                "assigner": owners,
                "assignee": [PARTY + party for party in terms.having("researcher")],
                "target": [
                    {
                        "@type": "AssetCollection",
                        "source": source,
                        "refinement": _constraints(item, TARGET_REFINEMENTS),
                    }
                    for source, item in zip(sources, data["datasets"], strict=True)
                ],
                "action": [
                    {
                        "rdf:value": {"@id": "cloister:" + item["kind"]},
                        "refinement": _constraints(item, ACTION_REFINEMENTS),
                    }
                    for item in data["computations"]
                ],
                "constraint": _constraints(data, CONSTRAINTS),
            }
        ],
        "prohibition": [
            _prohibition("reading-outside", "cloister:readOutside", owners, everybody, sources),
        ],
        "obligation": [_obligation(number, duty, everybody) for number, duty in enumerate(data["duties"])],
    }
    if terms.previous is not None:
        document["cloister:previous"] = terms.previous
    if terms.forbidden:
        rule = _prohibition("forbidden", "cloister:compute", owners, everybody, sources)
        document["prohibition"].append({**rule, "constraint": _constraints(data, (FORBIDDEN,))})
    return document


def _prohibition(
    name: str, action: str, owners: list[str], everybody: list[str], sources: list[str]
) -> dict[str, Any]:
    # The same dataset may be named in several versions; a prohibition needs it once.
    return {
        "uid": CLAUSE + name,
        "assigner": owners,
        "assignee": everybody,
        "target": list(dict.fromkeys(sources)),
        "action": action,
    }


def _obligation(number: int, duty: dict[str, Any], everybody: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "uid": f"{CLAUSE}duty-{number + 1}",
        "assignee": [PARTY + duty["by"]] if duty["by"] else everybody,
        "action": DUTIES[duty["action"]],
        "cloister:by": "member" if duty["by"] else "every-member",
    }
    if duty["days"] is not None:
        period = {"@value": f"P{duty['days']}D", "@type": "xsd:duration"}
        rule["constraint"] = [
            {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": period},
        ]
    if duty["text"] is not None:
        rule["cloister:text"] = duty["text"]
    return rule


def _constraints(data: dict[str, Any], mapped: tuple[Mapped, ...]) -> list[dict[str, Any]]:
    found = []
    for item in mapped:
        value = _get(data, item.field)
        if value is None or value == []:
            continue
        for single in value if item.form == "each" else [value]:
            right = _right(single, item.form)
            found.append({"leftOperand": item.operand, "operator": item.operator, "rightOperand": right})
    return found


def _right(value: Any, form: Form) -> Any:
    match form:
        case "parties":
            return [PARTY + party for party in value]
        case "time":
            return {"@value": value, "@type": "xsd:dateTime"}
        case "json" | "each":
            return {"@value": value, "@type": "@json"}
        case _:
            return value


def read(document: Any) -> Terms:
    """The terms that a document means.

    Raises:
        Refused: it has clauses that no node can enforce; `clause` is the first one's name, `unenforceable` in the
            detail lists them all.
        BadInput: something is missing, malformed, contradicts itself, or is not in the one written form.
    """
    found = check_enforceable(document)
    if found:
        raise Refused(
            "The agreement has clauses that no server can enforce.",
            " ".join(f"{item.name} ({item.where}): {item.reason}" for item in found[:8]),
            found[0].remedy,
            clause=found[0].name,
            unenforceable=[item.name for item in found],
        )
    try:
        terms = Terms.model_validate_json(canonical(_meaning(document)))
    except ValidationError as error:
        raise invalid(error, "The agreement") from None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise _malformed("A part is missing or of the wrong kind.") from None
    written = terms.to_odrl()
    if canonical(written) != canonical(document):
        different = sorted(k for k in {*written, *document} if written.get(k) != document.get(k))
        raise _malformed(
            f"Not in the one form in which Cloister writes it, at: {', '.join(different)[:200]}."
        )
    return terms


def _malformed(why: str) -> BadInput:
    return BadInput(
        "The agreement's document is malformed.", why, "Have it written by Cloister (cloister agreement new)."
    )


def _meaning(document: dict[str, Any]) -> dict[str, Any]:
    permission = document["permission"][0]
    data: dict[str, Any] = {"release": {}}
    data.update(
        uid=document["uid"],
        version=document["cloister:version"],
        title=document["cloister:title"],
        previous=document.get("cloister:previous"),
        members=[
            {
                "party": _cut(item["uid"], PARTY),
                "name": item["cloister:name"],
                "roles": item["cloister:roles"],
                "seats": item["cloister:seats"],
            }
            for item in document["cloister:parties"]
        ],
        datasets=[_target(item) for item in permission["target"]],
        computations=[
            {
                "kind": _cut(item["rdf:value"]["@id"], "cloister:"),
                **_values(item["refinement"], ACTION_REFINEMENTS),
            }
            for item in permission["action"]
        ],
        duties=[_duty(item) for item in document["obligation"]],
    )
    data.update(_values(permission["constraint"], CONSTRAINTS, data))
    for rule in document["prohibition"]:
        data.update(_values(rule.get("constraint", []), (FORBIDDEN,)))
    return data


def _target(item: dict[str, Any]) -> dict[str, Any]:
    owner, name = _cut(item["source"], DATASET).split(":", 1)
    return {"owner": owner, "name": name, **_values(item["refinement"], TARGET_REFINEMENTS)}


def _duty(rule: dict[str, Any]) -> dict[str, Any]:
    duty: dict[str, Any] = {
        "action": next(name for name, action in DUTIES.items() if action == rule["action"]),
        "text": rule.get("cloister:text"),
    }
    if rule["cloister:by"] == "member":
        duty["by"] = _cut(rule["assignee"][0], PARTY)
    for constraint in rule.get("constraint", []):
        text = str(constraint["rightOperand"]["@value"])
        if not (text.startswith("P") and text.endswith("D") and len(text) < 10):
            raise ValueError(text)
        duty["days"] = int(text[1:-1])
    return duty


def _values(
    constraints: list[dict[str, Any]], mapped: tuple[Mapped, ...], into: dict[str, Any] | None = None
) -> dict[str, Any]:
    data: dict[str, Any] = {} if into is None else into
    known = {(item.operand, item.operator): item for item in mapped}
    for constraint in constraints:
        item = known[constraint["leftOperand"], constraint["operator"]]
        right = constraint["rightOperand"]
        match item.form:
            case "parties":
                value: Any = [_cut(party, PARTY) for party in right]
            case "json" | "each" | "time":
                value = right["@value"]
            case _:
                value = right
        _put(data, item, value)
    return data


def _get(data: dict[str, Any], field: str) -> Any:
    for part in field.split("."):
        data = data[part]
    return data


def _put(data: dict[str, Any], item: Mapped, value: Any) -> None:
    *path, last = item.field.split(".")
    for part in path:
        data = data[part]
    if item.form == "each":
        data.setdefault(last, []).append(value)
    elif last in data:
        raise ValueError(item.operand)
    else:
        data[last] = value


def _cut(text: Any, prefix: str) -> str:
    if not isinstance(text, str) or not text.startswith(prefix):
        raise ValueError(prefix)
    return text[len(prefix) :]
