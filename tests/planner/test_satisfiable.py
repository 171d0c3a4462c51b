"""Templates and terms that nothing installed can satisfy are told by their clause (`planner.satisfiable`)."""

from __future__ import annotations

import pytest
from test_planner_with_federated_training import Federated

from cloister.agreements.clauses import Floor
from cloister.agreements.templates import TEMPLATES, new_from_template
from cloister.claims.vocabulary import Adversary, Artefact, Claim, Hidden
from cloister.node.protections import installed
from cloister.planner.satisfiable import unmet

PARTY = {name: name[0] * 51 + "a" for name in ("ash", "birch", "cedar", "dora", "lab")}


OWNERS = [{"party": PARTY[name], "name": name, "dataset": "tests"} for name in ("ash", "birch", "cedar")]


def terms(template, **changes):
    inputs = {
        "title": "Together",
        "owners": OWNERS,
        "researchers": [{"party": PARTY["lab"], "name": "lab"}],
        "users": [{"party": PARTY["dora"], "name": "dora"}],
        "purposes": ["Count"],
        "starts": "2026-11-01T00:00:00Z",
    } | changes
    return new_from_template(template, inputs)


def clauses(made, protections=None):
    return {
        item.kind: item.clause for item in unmet(made, installed() if protections is None else protections)
    }


def test_what_the_demonstration_uses_can_be_done():
    assert clauses(terms("factories-and-lab")) == {}


def test_listed_computations_columns_and_countries_are_no_obstacle_by_themselves():
    """Rule 2."""
    owners = [owner | {"columns": ["heat", "strength"]} for owner in OWNERS]
    listed = {"digests": ["sha256:" + "0" * 64], "residency": ["FR"]}
    assert clauses(terms("factories-and-lab", owners=owners, **listed)) == {}


def test_terms_that_ask_for_differential_privacy_can_be_done_unless_they_contradict_it():
    """Rule 1."""
    assert clauses(terms("factories-and-lab", epsilon=3.0)) == {}
    (found,) = unmet(terms("factories-and-lab", epsilon=3.0, delta=0.0), installed())
    assert (found.kind, found.clause) == (
        "training",
        "protection",
    )  # the method itself declines, and says why
    assert "delta is zero" in found.reason
    assert found.remedy


@pytest.mark.parametrize("unit", ["record", "image", "customer"])
def test_whatever_a_budget_counts_a_dataset_may_count_as_well(unit):
    """Rule 2."""
    assert clauses(terms("factories-and-lab", epsilon=3.0, unit=unit)) == {}
    owners = [owner | {"columns": ["heat", "strength"]} for owner in OWNERS]
    found = clauses(terms("factories-and-lab", epsilon=3.0, unit=unit, owners=owners))
    assert found == ({"training": "protection"} if unit == "image" else {})  # a table has no images


@pytest.mark.parametrize("length", [61, 200])
def test_a_unit_with_too_long_a_name_is_told_as_such(length):
    (found,) = unmet(terms("factories-and-lab", epsilon=3.0, unit="x" * length), installed())
    assert "too long a name" in found.reason


def test_owners_that_may_drop_out_until_two_are_left_are_all_awaited_by_a_secure_sum():
    made = terms("factories-and-lab", dropouts=1)
    assert clauses(made) == {}
    # Seen by the coordinator, two answers would break the promise between owners.
    assert clauses(made, [Federated(("plain",))]) == {"training": "claims"}


def test_a_floor_that_no_method_reaches_is_told_by_its_clause():
    hidden = Claim(artefact=Artefact.AGGREGATE, against=Adversary(seats=("owner",)), reached=Hidden())
    made = terms("factories-and-lab")
    impossible = made.model_copy(
        update={"floors": (*made.floors, Floor(party=PARTY["ash"], claims=(hidden,)))}
    )
    assert clauses(impossible) == {"training": "claims"}


def test_methods_that_are_not_installed_are_named():
    found = {item.kind: item for item in unmet(terms("banks"), installed())}
    assert set(found) == {"query", "join"}
    assert found["query"].clause == "protection"
    assert "clean-room" in found["query"].reason


def test_without_any_method_nothing_can_be_done():
    assert clauses(terms("factories-and-lab"), []) == {"training": "protection"}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_template_is_looked_at_without_a_fault(name):
    for item in unmet(terms(name), installed()):
        assert item.clause
        assert item.reason
