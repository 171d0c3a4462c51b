"""The words of Cloister's profile of ODRL 2.2: every name that an agreement's document may contain, in tables.

`odrl` writes and reads by these tables and `enforceable` refuses by them, so that what is written, what is understood
and what is enforced cannot come apart.

Sources: ODRL Information Model 2.2 (W3C Recommendation 2018-02-15); ODRL Vocabulary 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

PROFILE = "https://cloister.example/ns/agreement/1"
CONTEXT: list[Any] = [
    "http://www.w3.org/ns/odrl.jsonld",
    {
        "cloister": PROFILE + "#",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
    },
]
PARTY = "urn:cloister:party:"
DATASET = "urn:cloister:dataset:"
CLAUSE = "urn:cloister:clause:"

Form = Literal["plain", "list", "parties", "json", "each", "time"]


@dataclass(frozen=True)
class Mapped:
    """How one term is written as an ODRL constraint: its left operand, operator and the right operand's form."""

    field: str
    operand: str
    operator: str
    form: Form


CONSTRAINTS = (
    Mapped("purposes", "purpose", "isAnyOf", "list"),
    Mapped("recipients", "recipient", "isAnyOf", "parties"),
    Mapped("valid_from", "dateTime", "gteq", "time"),
    Mapped("valid_until", "dateTime", "lt", "time"),
    Mapped("residency", "cloister:residency", "isAnyOf", "list"),
    Mapped("minimum_parties", "cloister:minimumParties", "gteq", "plain"),
    Mapped("minimum_group", "cloister:minimumGroup", "gteq", "plain"),
    Mapped("dropouts", "cloister:dropouts", "lteq", "plain"),
    Mapped("colluders", "cloister:colluders", "gteq", "plain"),
    Mapped("owners_per_unit", "cloister:ownersPerUnit", "lteq", "plain"),
    Mapped("floors", "cloister:claims", "gteq", "each"),
    Mapped("budgets", "cloister:privacyBudget", "lteq", "each"),
    Mapped("release.quorum", "cloister:releaseQuorum", "gteq", "plain"),
    Mapped("release.attempts", "cloister:gateAttempts", "lteq", "plain"),
    Mapped("release.max_bytes", "cloister:releaseBytes", "lteq", "plain"),
    Mapped("release.quality", "cloister:quality", "gteq", "json"),
    Mapped("witnesses", "cloister:witnesses", "gteq", "json"),
)
"""The permission's constraints, in their order."""

ACTION_REFINEMENTS = (
    Mapped("protections", "cloister:protection", "isAnyOf", "list"),
    Mapped("experimental", "cloister:experimental", "isAnyOf", "list"),
    Mapped("approval", "cloister:approval", "eq", "plain"),
    Mapped("digests", "cloister:computation", "isAnyOf", "list"),
    Mapped("records", "cloister:records", "eq", "plain"),
    Mapped("digests_with_records", "cloister:computationWithRecords", "isAnyOf", "list"),
)
TARGET_REFINEMENTS = (
    Mapped("commitment", "cloister:commitment", "eq", "plain"),
    Mapped("columns", "cloister:column", "isAnyOf", "list"),
    Mapped("sensitivity", "cloister:sensitivity", "lteq", "plain"),
    Mapped("samples", "cloister:disclosedRecords", "lteq", "plain"),
    Mapped("figures", "cloister:answeredFigures", "lteq", "plain"),
)
FORBIDDEN = Mapped("forbidden", "cloister:computation", "isAnyOf", "list")
KINDS = ("training", "query", "join", "scoring", "statement")
ACTIONS = tuple("cloister:" + kind for kind in KINDS)
DUTIES = {
    "delete": "delete",
    "inform": "inform",
    "attribute": "attribute",
    "report": "cloister:report",
}
"""A duty's name → its ODRL action."""
