"""Who may do what at a node: rights, and the roles that are sets of them.

Rules:
1. A right is named by what it lets one do; nothing is allowed that no right names.
2. A role is a fixed set of rights. A person has one role or several, and the rights of all of them.
3. Whoever runs the node does not thereby speak for the organisation: an operator neither signs agreements nor approves tasks.
4. An auditor reads everything that a person here can read about agreements, tasks, budgets, the log and what people did, and
   changes nothing.
5. What is handed on (a token) has no right that its maker lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

Right: TypeAlias = Literal[
    "own-account",
    "tools.use",
    "tools.install",
    "samples.read",
    "samples.write",
    "samples.manage",
    "datasets.read",
    "datasets.write",
    "disclosures.read",
    "disclosures.give",
    "disclosures.receive",
    "agreements.read",
    "agreements.draft",
    "agreements.sign",
    "agreements.stop",
    "budgets.read",
    "budgets.write",
    "tasks.read",
    "tasks.ask",
    "tasks.approve",
    "tasks.stop",
    "results.read",
    "results.revoke",
    "parties.read",
    "parties.trust",
    "log.read",
    "people.read",
    "people.manage",
    "node.manage",
]
Role: TypeAlias = Literal["operator", "approver", "analyst", "tool-user", "auditor"]

ALL: frozenset[Right] = frozenset(get_args(Right))
_READ: frozenset[Right] = frozenset(right for right in ALL if right.endswith(".read")) - {
    "samples.read",
    "people.read",
}
_TOOLS: frozenset[Right] = frozenset({"own-account", "tools.use", "samples.read", "samples.write"})

RIGHTS: Mapping[Role, frozenset[Right]] = MappingProxyType(
    {
        "tool-user": _TOOLS,
        "analyst": _TOOLS | _READ | {"agreements.draft", "tasks.ask", "disclosures.receive"},
        "approver": _READ
        | {
            "own-account",
            "agreements.draft",
            "agreements.sign",
            "agreements.stop",
            "tasks.approve",
            "tasks.stop",
            "results.revoke",
            "disclosures.give",
            "parties.trust",
            "budgets.write",
        },
        "auditor": _READ | {"own-account", "people.read"},
        "operator": _TOOLS
        | _READ
        | {
            "tools.install",
            "samples.manage",
            "datasets.write",
            "tasks.stop",
            "people.read",
            "people.manage",
            "node.manage",
        },
    }
)
"""What each role may do."""

WORDS: Mapping[Role, str] = MappingProxyType(
    {
        "operator": "Runs this server: people, data, tools, settings. Does not sign for the organisation.",
        "approver": "Signs and stops agreements, approves tasks, revokes results, discloses records, sets budgets and trusts organisations.",
        "analyst": "Asks for computations and works with what comes of them, and with records that others disclosed.",
        "tool-user": "Uses the tools.",
        "auditor": "Reads agreements, organisations, datasets, tasks, results, budgets, the log and what people did; changes nothing.",
    }
)
"""Each role in a sentence, for whoever gives it to somebody."""

ROLE_NAMES: Mapping[Role, str] = MappingProxyType(
    {
        "operator": "Operator",
        "approver": "Approver",
        "analyst": "Analyst",
        "tool-user": "Tool user",
        "auditor": "Auditor",
    }
)
"""Each role as people read it."""

RIGHT_WORDS: Mapping[Right, str] = MappingProxyType(
    {
        "own-account": "Look after the own account",
        "tools.use": "Use the tools",
        "tools.install": "Install tools",
        "samples.read": "See samples and their results",
        "samples.write": "Keep samples, and remove one's own",
        "samples.manage": "Label and remove samples of others",
        "datasets.read": "See which datasets there are",
        "datasets.write": "Register datasets",
        "disclosures.read": "See which records were disclosed, to whom and what for",
        "disclosures.give": "Disclose records to another organisation, and withdraw them",
        "disclosures.receive": "Open records that were disclosed to this organisation, and delete them",
        "agreements.read": "Read agreements",
        "agreements.draft": "Write drafts of agreements",
        "agreements.sign": "Sign agreements",
        "agreements.stop": "Suspend and end agreements",
        "budgets.read": "See privacy budgets",
        "budgets.write": "Set privacy budgets",
        "tasks.read": "See tasks",
        "tasks.ask": "Ask for computations",
        "tasks.approve": "Approve tasks",
        "tasks.stop": "Stop tasks",
        "results.read": "See approved results",
        "results.revoke": "Revoke results",
        "parties.read": "See other organisations",
        "parties.trust": "Trust other organisations",
        "log.read": "Read the tamper-evident log",
        "people.read": "See people and what they did",
        "people.manage": "Manage people",
        "node.manage": "Manage this server",
    }
)
"""Each right in a few words."""


def rights_of(roles: Iterable[str]) -> frozenset[Right]:
    """The rights of all of these roles together; an unknown role has none."""
    found: frozenset[Right] = frozenset()
    for role in roles:
        found |= RIGHTS.get(role, frozenset())  # type: ignore[call-overload]
    return found
