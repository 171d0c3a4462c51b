"""What an owner's node computes on records on the way is for its own people: nothing of it crosses, ends a task or scales a step."""

from __future__ import annotations

import numpy as np
import pytest

from cloister.protections.federated.contribution import step_of
from cloister.protections.federated.coordinator import coordinator
from cloister.protections.federated.owner import owner
from protections import federation as f
from protections.private_world import PrivateEngine, request, settings, world

CALM = {"sampled": 40, "left_out": 0, "clipped": 0.5, "zeroed": 0, "loss": 0.25}
TELLING = {
    "sampled": 987654321,
    "left_out": 8675309,
    "clipped": 0.98123456789,
    "zeroed": 5318008,
    "loss": 7.654321e30,
}


class Telling(PrivateEngine):
    """Gives the same sums, whatever figures about the sample come with them."""

    def __init__(self, figures):
        super().__init__()
        self.figures = figures

    def call(self, method, arguments, arrays=None, deadline=600.0):
        figures, found = super().call(method, arguments, arrays, deadline)
        return (dict(self.figures) if method == "private-sum" else figures), found


def run(figures, *, secure):
    of = settings(epsilon=2.0, rounds=2, secure=secure)
    made = None
    if not secure:
        asked = request()
        model = asked.computation.contents["model"]
        made = {
            "owner": owner(of, model, asked.computation.settings, dict(asked.datasets), f.LAB),
            "coordinator": coordinator(of, model, tuple(sorted(asked.datasets))),
        }
    loop = world(of, engine=Telling(figures), made=made)
    if not secure:
        loop.nodes[f.LAB].contents = {f.digest(f.MODEL): f.MODEL}
    loop.run()
    assert all(node.error is None for node in loop.nodes.values())
    return loop


@pytest.mark.parametrize("secure", [True, False])
def test_figures_about_the_sample_reach_the_owners_own_people_and_nobody_else(*, secure):
    """Losses, counts and clipped shares: neither in a message nor in what is said of the result, nor does anything hang on them."""
    calm, telling = run(CALM, secure=secure), run(TELLING, secure=secure)
    for party in f.OWNERS[:3]:
        assert any(report.get("sampled") == TELLING["sampled"] for report in telling.nodes[party].reports)

    def crossed(loop):
        return [(who, message.to, message.kind, len(message.body)) for who, message in loop.sent]

    assert crossed(calm) == crossed(telling)
    said = b"".join(message.body for _, message in telling.sent)
    facts = repr([dict(node.candidate.facts) for node in telling.nodes.values() if node.candidate])
    facts += repr(telling.nodes[f.LAB].reports)
    for value in TELLING.values():
        assert repr(value).encode() not in said
        assert repr(value) not in facts
    for node in calm.nodes.values():
        if node.candidate:
            assert node.candidate.content == telling.nodes[node.party].candidate.content


def test_a_step_is_divided_by_a_constant_of_the_plan_whatever_was_sampled():
    """How many units were drawn is nobody's to know: the divisor is rate times the public bound of units, and the owners."""
    private = settings(epsilon=2.0).private
    total = (
        np.arange(1, 1 + private.run.mechanism.dimension, dtype=np.int64) << private.run.mechanism.exponent
    )
    expected = -np.arange(1, 1 + private.run.mechanism.dimension) / (private.run.rate * private.run.units * 3)
    np.testing.assert_allclose(step_of(private, total, 3), expected, rtol=1e-12)
