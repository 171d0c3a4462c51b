"""What no node can enforce is found by name, wherever it stands, and refused at signing."""

from __future__ import annotations

import copy

import pytest
from agreement_cases import NOW, People, any_terms, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.agreements.enforceable import check_enforceable
from cloister.agreements.signing import AGREEMENT_TYPE, cosign_agreement
from cloister.agreements.terms import Terms
from cloister.foundation.errors import Refused
from cloister.identity import envelopes


def _change(document, change):
    changed = copy.deepcopy(document)
    change(changed)
    return changed


def _permission(document):
    return document["permission"][0]


CASES = {
    "odrl:payAmount": lambda d: _permission(d)["constraint"].append(
        {"leftOperand": "payAmount", "operator": "eq", "rightOperand": 5}
    ),
    "odrl:purpose neq": lambda d: _permission(d)["constraint"][0].update(operator="neq"),
    "odrl:or": lambda d: _permission(d)["constraint"].append({"or": [{"@id": "urn:x"}]}),
    "odrl:andSequence": lambda d: _permission(d)["constraint"].append({"andSequence": []}),
    "odrl:spatial": lambda d: _permission(d)["constraint"].append(
        {"leftOperand": "spatial", "operator": "eq", "rightOperand": "DE"}
    ),
    "odrl:unit": lambda d: _permission(d)["constraint"][0].update(unit="EUR"),
    "odrl:duty": lambda d: _permission(d).update(duty=[]),
    "odrl:use": lambda d: _permission(d)["action"].append({"rdf:value": {"@id": "use"}, "refinement": []}),
    "odrl:sell": lambda d: _permission(d)["action"].append("sell"),
    "odrl:inheritFrom": lambda d: d.update(inheritFrom="urn:x"),
    "odrl:reproduce": lambda d: d["prohibition"][0].update(action="reproduce"),
    "odrl:compensate": lambda d: d["obligation"].append({"action": "compensate", "assignee": []}),
    "odrl:consequence": lambda d: d["obligation"].append(
        {"action": "delete", "assignee": [], "consequence": []}
    ),
    "odrl:Offer": lambda d: d.update({"@type": "Offer"}),
    "profile": lambda d: d.update(profile="https://other.example/"),
    "conflict": lambda d: d.update(conflict="perm"),
    "@context": lambda d: d.update({"@context": ["https://other.example/"]}),
    "odrl:cloister:column": None,
    "odrl:hasPolicy": lambda d: _permission(d)["target"][0].update(hasPolicy="urn:x"),
    "permission": lambda d: d["permission"].append(d["permission"][0]),
}
CASES["cloister:epsilon"] = lambda d: _permission(d)["target"][0]["refinement"].append(
    {"leftOperand": "cloister:epsilon", "operator": "lteq", "rightOperand": 1}
)
del CASES["odrl:cloister:column"]


@pytest.mark.parametrize("name", CASES)
def test_a_clause_that_no_node_can_enforce_is_found_by_name(name):
    document = _change(terms().to_odrl(), CASES[name])
    found = check_enforceable(document)
    assert name in [item.name for item in found]
    assert all(item.reason and item.remedy and item.where for item in found)
    with pytest.raises(Refused) as caught:
        Terms.from_odrl(document)
    assert name in caught.value.detail["unenforceable"]
    assert caught.value.clause == found[0].name


def test_a_clause_that_no_node_can_enforce_is_refused_at_signing():
    people = People(2)
    document = _change(terms().to_odrl(), CASES["odrl:payAmount"])
    envelope = envelopes.sign(AGREEMENT_TYPE, document, people.ids[0], people.secret[0])
    with pytest.raises(Refused) as caught:
        cosign_agreement(envelope, people.ids[1], people.secret[1], NOW)
    assert caught.value.clause == "odrl:payAmount"
    assert "money" in caught.value.why


@given(any_terms(), st.text(min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_an_unknown_term_is_found_wherever_it_stands(agreement, key, data):
    document = agreement.to_odrl()
    places = [document, *document["permission"], *document["prohibition"], *document["obligation"]]
    places += [
        *document["cloister:parties"],
        *_permission(document)["constraint"],
        *_permission(document)["target"],
    ]
    place = data.draw(st.sampled_from(places))
    if key in place:
        return
    place[key] = 1
    assert check_enforceable(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["permission", "action", "constraint", "target", "refinement", "@type", "leftOperand", "rdf:value"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
@settings(max_examples=150, deadline=None)
def test_any_other_document_is_refused_and_breaks_nothing(value):
    assert check_enforceable(value)
    with pytest.raises(Refused):
        Terms.from_odrl(value)


def test_names_from_a_foreign_document_cannot_act_on_a_terminal():
    document = _change(terms().to_odrl(), lambda d: d.update({"\x1b[2Jevil\u202e": 1}))
    (found,) = check_enforceable(document)
    assert found.name.isprintable()
    assert found.where.isprintable()
