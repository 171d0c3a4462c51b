"""Agreements as pages show them and the interface tells them: their state in words, both forms side by side, what has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from fastapi import Request

from cloister.agreements.changes import Difference
from cloister.agreements.differences import differences
from cloister.agreements.lifecycle import ENDED, State
from cloister.agreements.places import resolve
from cloister.agreements.signing import read_terms
from cloister.agreements.terms import Terms
from cloister.agreements.words import sections
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError, NotFound
from cloister.node.node import Node
from cloister.node.signing import Signer
from cloister.people.four_eyes import Wish
from cloister.web.doors import SITE, Visit
from cloister.web.guard import Caller, allow, caller_of, require_fresh

Mark: TypeAlias = Literal["", "good", "warn", "bad"]

STATES: Mapping[str, tuple[str, Mark]] = {
    "none": ("not offered yet", ""),
    "requested": ("waiting for signatures", "warn"),
    "offered": ("waiting for signatures", "warn"),
    "accepted": ("waiting for signatures", "warn"),
    "agreed": ("signed by all; servers confirm it", ""),
    "verified": ("signed by all; servers confirm it", ""),
    "finalized": ("in force", "good"),
    "suspended": ("suspended", "warn"),
    "revoked": ("revoked", "bad"),
    "terminated": ("declined", "bad"),
    "expired": ("ended", ""),
}
"""A state of the lifecycle in words, and how to show it."""
KINDS: Mapping[str, str] = {
    "training": "train a model",
    "query": "count and average",
    "join": "compare lists",
    "scoring": "score records",
    "statement": "prove a statement",
}
"""A kind of work as people say it."""
OPEN = frozenset({"requested", "offered", "accepted", "none"})
_WIDTH, _BESIDE = 88, 60


def signer(request: Request) -> Signer:
    """Who asks, as it is written down at this node."""
    caller = caller_of(request)
    visit = request.scope.get(SITE)
    return Signer(caller.account, caller.name, visit.remote if isinstance(visit, Visit) else "")


def wish_about(node: Node, digest: str) -> Wish | None:
    """What a first person wants done to an agreement that is here: signed, or resumed."""
    return node.signing.wish("sign", digest) or node.signing.wish("resume", digest)


def require_may_move(caller: Caller, to: State) -> None:
    """What a step takes beyond the right to stop: signing again for what is in force again, the password for what is for ever.

    A suspension takes neither: what protects must not wait. Raises `NotAllowed` or `NotFresh`.
    """
    if to is State.FINALIZED:
        allow(caller, "agreements.sign")
    elif to in {State.REVOKED, State.TERMINATED}:
        require_fresh(caller, "This ends the agreement for everybody, for ever.")


def card(node: Node, digest: str) -> dict[str, Any]:
    """An agreement as lists show it: its summary, its state in words, whom it waits for."""
    told = node.agreements.summary(digest)
    text, kind = STATES[told["state"]]
    missing = [item["name"] for item in told["parties"] if not item["signed"]]
    mine = any(item["party"] == node.party and not item["signed"] for item in told["parties"])
    waits = mine and told["state"] not in ENDED
    return {
        **told,
        "words": "waits for your signature" if waits else text,
        "mark": "warn" if waits else kind,
        "missing": missing,
        "waits": waits,
        "over": told["state"] in ENDED,
        "asked": waits and node.signing.wish("sign", digest) is not None,
        "until": parse_rfc3339(told["valid_until"]),
        "from": parse_rfc3339(told["valid_from"]),
    }


def listing(node: Node) -> dict[str, list[dict[str, Any]]]:
    """Every agreement, by what is to be done with it: `waiting` for a first person of ours, for `others`, `running`, `over`; newest first."""
    found = [card(node, digest) for digest in reversed(node.agreements.digests())]
    return {
        "waiting": [item for item in found if item["waits"] and not item["asked"]],
        "others": [item for item in found if not item["waits"] and item["state"] in OPEN],
        "running": [
            item for item in found if not item["waits"] and item["state"] not in OPEN and not item["over"]
        ],
        "over": [item for item in found if item["over"]],
    }


def second_people(node: Node) -> list[dict[str, Any]]:
    """What waits for a second person: the wish, a title, and where to confirm it."""
    found: list[dict[str, Any]] = []
    wishes = node.signing.wishes()
    if not wishes:
        return found
    drafts = {Terms.from_odrl(item.document).digest: item for item in node.drafts.all()}
    for wish in wishes:
        draft = drafts.get(wish.subject)
        path, title = "/agreements/two-people", "One person may sign again"
        if wish.kind in ("sign", "resume"):
            try:
                title = node.agreements.get(wish.subject).terms.title
            except CloisterError:
                continue
            path = f"/agreements/{wish.subject}/{wish.kind}"
        elif wish.kind == "offer":
            if draft is None:
                continue
            title, path = str(draft.document["cloister:title"]), f"/agreements/drafts/{draft.id}/sign"
        found.append({"wish": wish, "title": title, "path": path})
    return found


# Both forms ----------------------------------------------------------------------------------------------------------


def side_by_side(terms: Terms, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The agreement's sections: each sentence with the clause that it stands for, as the machine's form has it."""
    document = terms.to_odrl()
    return [
        {
            "title": section.title,
            "sentences": [
                {
                    "text": item.text,
                    "clause": item.clause,
                    "care": item.weight == "care",
                    "pointers": list(item.pointers),
                    "machine": "\n".join(tight(resolve(document, pointer)) for pointer in item.pointers),
                }
                for item in section.sentences
            ],
        }
        for section in sections(terms, names)
    ]


def cares(terms: Terms, names: Mapping[str, str]) -> list[str]:
    """The sentences that say that something is not protected, or less than usual; each once."""
    found = (
        item.text for section in sections(terms, names) for item in section.sentences if item.weight == "care"
    )
    return list(dict.fromkeys(found))


def pretty(value: Any, indent: str = "") -> str:
    """JSON in few lines: what fits on one stays on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{inner}{_name(key)}{pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{inner}{pretty(item, inner)}" for item in value) + f"\n{indent}]"


def tight(value: Any, column: int = 0) -> str:
    """JSON in fewer lines still, to stand beside a sentence: brackets have no lines of their own."""
    line = json.dumps(value, ensure_ascii=False)
    if column + len(line) <= _BESIDE or not isinstance(value, dict | list) or not value:
        return line
    gap = ",\n" + " " * (column + 1)
    if isinstance(value, dict):
        parts = [_name(key) + tight(item, column + 1 + len(_name(key))) for key, item in value.items()]
        return "{" + gap.join(parts) + "}"
    return "[" + gap.join(tight(item, column + 1) for item in value) + "]"


def _name(key: str) -> str:
    return json.dumps(key, ensure_ascii=False) + ": "


# Versions ------------------------------------------------------------------------------------------------------------


def changes(node: Node, terms: Terms) -> tuple[Difference, ...] | None:
    """What a version changes of the one before; `None` if it is the first, or the one before is not here."""
    if terms.previous is None:
        return None
    try:
        before = read_terms(node.agreements.envelope(terms.previous))
    except NotFound:
        return None
    return differences(before, terms, node.parties.names())


def difference(item: Difference) -> dict[str, str]:
    """A difference as JSON."""
    return {
        "field": item.field,
        "kind": item.kind,
        "text": item.text,
        "effect": item.effect,
        "meaning": item.meaning,
    }


def wish_of(item: Wish | None) -> dict[str, Any] | None:
    """A wish as JSON."""
    if item is None:
        return None
    return {"kind": item.kind, "subject": item.subject, "name": item.name, "at": item.at, "ends": item.ends}
