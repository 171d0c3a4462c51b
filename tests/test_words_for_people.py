"""People read of servers and relays, never of nodes and hubs (the words of the design): in errors, plans, events and commands.

The sources speak these words themselves; nothing translates afterwards.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cloister.claims.offers import Offer
from cloister.claims.statements import statements
from cloister.node import diagnosis
from cloister.node.tasks.happenings import in_words
from cloister.planner.cost import sentences as costs
from protections import federation as f
from protections.test_federated_offers import found as ways_under
from protections.test_federated_offers import private_terms

SOURCES = Path(__file__).parents[1] / "src" / "cloister"
WORD = re.compile(r"(?<![\w/`.:@-])(?:hubs?|nodes?)(?![\w/:@(=-])", re.IGNORECASE)
COMMAND = re.compile(r"\bcloister (?:node|hub)\b|\bnode\.json\b")
ELSEWHERE = {
    ("identity/enrolment.py", "Cloister hub"),  # a certificate's name, which programs compare
    ("ledger/tree.py", "The ledger's tree lacks a node."),  # of a Merkle tree
    ("transport/carrier.py", "no such node"),
}
OTHER_NODES = {"models/support.py", "privacy/mechanisms.py", "privacy/runs.py"}
"""Where a node is one of a model's graph, or a number in a formula."""


def amiss(text: str) -> bool:
    return WORD.search(COMMAND.sub("", text)) is not None


def sentences(path: Path) -> list[tuple[int, str]]:
    """The texts of a module with at least two words that are no documentation of the code."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = {id(item.value) for item in ast.walk(tree) if isinstance(item, ast.Expr)}
    return [
        (item.lineno, item.value)
        for item in ast.walk(tree)
        if isinstance(item, ast.Constant)
        and isinstance(item.value, str)
        and id(item) not in documented
        and " " in item.value.strip()
    ]


def test_no_text_of_the_sources_speaks_of_nodes_and_hubs():
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        name = path.relative_to(SOURCES).as_posix()
        if name in OTHER_NODES:
            continue
        found += [
            f"{name}:{line}: {text[:100]}"
            for line, text in sentences(path)
            if amiss(text) and (name, text) not in ELSEWHERE
        ]
    assert not found, "\n".join(found)


def test_no_screen_speaks_of_nodes_and_hubs():
    found = []
    for path in sorted((SOURCES / "web" / "templates").rglob("*.html")):
        text = re.sub(
            r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", path.read_text("utf-8"), flags=re.DOTALL
        )
        if amiss(text):
            found.append(path.name)
    assert not found


@pytest.mark.parametrize("terms", [f.terms(3), private_terms()], ids=["exact", "with noise"])
def test_what_plans_say_names_the_relay(terms):
    offers = [item for item in ways_under(terms).values() if isinstance(item, Offer)]
    assert offers
    for offer in offers:
        promised, left_open = statements(offer.claims)
        lines = [
            *promised,
            *left_open,
            *costs(offer.cost),
            *(line for told in offer.discloses.values() for line in told),
        ]
        assert not [line for line in lines if amiss(line)]
        assert any("The relay sees" in line for line in left_open)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        *(
            (kind, {})
            for kind in ("task.proposed", "task.admitted", "task.refused", "task.started", "task.finished")
        ),
        *(
            (kind, {})
            for kind in ("task.stopped", "task.failed", "phase.entered", "message.accepted", "party.left")
        ),
        *(("figures", {"figures": {"counted": counted, "round": 1}}) for counted in (True, False)),
        ("figures", {"figures": {"gate": "refused", "why": "Too low."}}),
    ],
)
def test_what_happens_is_told_of_servers(kind, facts):
    assert not amiss(in_words({"kind": kind, "facts": facts}, {}))


def test_a_diagnosis_of_everything_that_can_be_wrong_speaks_of_servers_and_the_relay():
    status = {
        "name": "Ash", "party": "a" * 52, "locked": {"why": "It is older."}, "relay_contradicts": True, "twin": True,
        "budgets": {"title": "Older.", "remedy": "Look.", "clause": "budget-restored"}, "time": 0, "here": ["b"],
        "cards_not_learned": [{"card": "c" * 64, "reason": "Odd."}],
        "agreements_not_readable": [{"agreement": "d" * 64, "reason": "Odd."}],
        "engines": {"one": {"network": "missing"}, "two": {"network": "enforced"}},
    }  # fmt: skip
    datasets = [{"name": "tests", "private": {"looks_unchanged": False}}]
    mine = {"party": "a" * 52, "signed": False}
    agreements = [{"agreement": "e" * 64, "title": "Strength", "state": "offered", "parties": [mine]}]
    tasks = [{"task": "sha256:" + "f" * 64, "status": "pending"}]
    found = diagnosis.installation()
    for relay in ({"hub": None}, {"hub": "r", "reached": False}, {"hub": "r", "reached": True}):
        found += diagnosis.running(
            status | {"relay": relay}, datasets, agreements, tasks, "relay.example:7447"
        )
    assert len(found) > 30
    lines = [line for item in found for line in (item.about, item.what, item.remedy)]
    assert not [line for line in lines if amiss(line)]


def test_the_test_finds_them():
    assert amiss("The hub sees who talks to whom.")
    assert amiss("Nodes move no money.")
    assert not amiss("Start it with `cloister hub up`, or: cloister node up --folder here")
    assert not amiss("an unauthorised node.json")
    assert not amiss("Servers meet at a relay.")
