"""The reference names everything that an agreement can say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.agreements.clauses import AllowedComputation, Budget, Duty, UsableDataset
from cloister.agreements.decision import RULES
from cloister.agreements.inputs import Inputs
from cloister.agreements.lifecycle import ACT_TYPE, State
from cloister.agreements.profile import (
    ACTION_REFINEMENTS,
    ACTIONS,
    CONSTRAINTS,
    DUTIES,
    PROFILE,
    TARGET_REFINEMENTS,
)
from cloister.agreements.signing import AGREEMENT_TYPE
from cloister.agreements.templates import TEMPLATES
from cloister.agreements.terms import Terms
from cloister.claims.vocabulary import Artefact, Assumption

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "agreements.md").read_text("utf-8")
EXPLANATION = (DOCS / "explanation" / "claims.md").read_text("utf-8")

MAPPED = (*CONSTRAINTS, *ACTION_REFINEMENTS, *TARGET_REFINEMENTS)


@pytest.mark.parametrize("item", MAPPED, ids=lambda item: f"{item.operand} {item.operator}")
def test_the_reference_has_every_mapping(item):
    assert f"| `{item.operand}` | `{item.operator}` | `{item.field}` |" in REFERENCE


@pytest.mark.parametrize(
    "name",
    [
        PROFILE,
        AGREEMENT_TYPE,
        ACT_TYPE,
        *ACTIONS,
        *DUTIES.values(),
        *TEMPLATES,
        *Inputs.model_fields,
        *(name for name, _ in RULES),
        *(str(state) for state in State),
        *Budget.model_fields,
    ],
)
def test_the_reference_names(name):
    assert name in REFERENCE


def test_every_term_is_mapped_or_a_key_of_the_document():
    written = {item.field.split(".")[0] for item in MAPPED} | {"forbidden", "duties"}
    keys = {"uid", "version", "previous", "title", "members", "datasets", "computations"}
    assert set(Terms.model_fields) == (written & set(Terms.model_fields)) | keys
    assert set(AllowedComputation.model_fields) - {"kind"} == {item.field for item in ACTION_REFINEMENTS}
    assert set(UsableDataset.model_fields) - {"owner", "name"} == {item.field for item in TARGET_REFINEMENTS}
    assert set(Duty.model_fields) == {"action", "days", "text", "by"}


@pytest.mark.parametrize("name", [*Artefact, *Assumption])
def test_the_explanation_names_the_vocabulary(name):
    assert f"`{name}`" in EXPLANATION
