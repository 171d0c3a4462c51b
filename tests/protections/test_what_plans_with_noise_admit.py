"""A plan with noise says where its noise does not reach, and when nothing is to be expected of it."""

from __future__ import annotations

import pytest

from cloister.protections.federated.settings import Settings
from protections import federation as f
from protections.private_world import settings
from protections.test_federated_offers import QUICK, found, offered, private_terms


@pytest.mark.parametrize("wishes", [{}, {"aggregation": "none"}])
def test_what_noise_does_not_cover_is_named(wishes):
    variant = "private" if wishes else "secure-private"
    gaps = offered(private_terms(), variant, **QUICK, **wishes).claims.not_protected
    for part in (
        "How long an owner takes for a step",
        "what all those of one owner have in common",
        "An owner that has more than 100 of the kind record leaves the training",
        "nobody can check it",
    ):
        assert any(part in gap for gap in gaps), part
    # Whoever pools more than is provided for: a matter of shares, which only a sum has.
    assert any("pool what they hold" in gap for gap in gaps) == (not wishes)


def test_where_noise_outweighs_what_can_be_learned_no_gain_is_promised():
    """Few records and many numbers: six hundred units in all, a hundred steps over all of them, epsilon 2, 174,000 numbers."""
    wishes = {"rounds": 100, "units": 200, "batch": 200, "epsilon": 2.0}
    small = found(private_terms(), wishes, parameters=174_000, trained=174_000)["secure-private"].prediction
    assert small.noise > 1
    assert any("expect no gain" in sentence for sentence in small.sentences)
    block = found(private_terms(), wishes, parameters=174_000, trained=34)["secure-private"].prediction
    assert block.noise < small.noise / 50
    assert not any("expect no gain" in sentence for sentence in block.sentences)


@pytest.mark.parametrize(
    "changes",
    [
        {"local_steps": 2},
        {"rounds": 4},
        {"trained": 3},
        {"dropouts": 1, "minimum_answers": 2},
        {"aggregation": {"name": "secure-sum", "colluders": 2, "update_norm": 0.0}},
        {"aggregation": {"name": "none"}},
        {"weighting": {"rule": "agreed", "weights": dict.fromkeys(f.OWNERS[:3], 1)}},
    ],
)
def test_noise_that_was_planned_for_another_training_is_refused(changes):
    """Steps, numbers, owners, dropouts, colluders: each would make what is claimed of the noise untrue."""
    document = settings(epsilon=2.0).model_dump(mode="json")
    assert Settings.model_validate(document).private is not None
    with pytest.raises(ValueError, match="noise is for another training"):
        Settings.model_validate({**document, **changes})
