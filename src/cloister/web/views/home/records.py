"""What others ask of our pictures, sealed packages that arrived, and deletions that are overdue."""

from __future__ import annotations

from collections.abc import Iterable

from cloister.foundation.clock import parse_rfc3339
from cloister.node.node import Node
from cloister.people.roles import Right
from cloister.web.filters import last_day
from cloister.web.views.home.items import Item

_DECIDE: frozenset[Right] = frozenset({"tasks.approve"})
_OPEN: frozenset[Right] = frozenset({"disclosures.receive"})
_CARE: frozenset[Right] = frozenset({"disclosures.give"})


def of_figures(node: Node) -> Iterable[Item]:
    """Questions about a tool's figures that wait for a person."""
    for asked in node.figures.answering.waiting():
        yield Item(
            "/datasets",
            _DECIDE,
            f"{node.parties.name(asked['researcher'])} asks how a tool does on {asked['dataset']}, for “{asked['purpose']}”.",
            f"/figures#{asked['question'].removeprefix('sha256:')}",
            "Decide",
            parse_rfc3339(asked["made"]),
        )


def of_disclosures(node: Node) -> Iterable[Item]:
    """Packages to open or delete; deletions that a recipient has not confirmed in time."""
    for item in node.disclosures.arriving.listing():
        if item["whole"]:
            yield Item(
                "/datasets",
                _OPEN,
                f"{node.parties.name(item['owner'])} sent a sealed package of records. It can be opened until"
                f" {last_day(item['until'])}.",
                "/disclosures",
                "Open or delete it",
            )
    for item in node.disclosures.giving.listing():
        if item["state"] == "overdue":
            yield Item(
                "/datasets",
                _CARE,
                f"{node.parties.name(item['recipient'])} has not confirmed that it deleted what you disclosed of"
                f" {item['dataset']}. Ask them.",
                f"/disclosures/{item['disclosure']}",
                "See the disclosure",
                parse_rfc3339(item["deletion_due"]),
                "bad",
            )
