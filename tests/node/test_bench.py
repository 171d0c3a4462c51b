"""A node measures what work costs, on nothing that is anybody's, and its plans use the figures (`node.bench`)."""

from __future__ import annotations

import math

import pytest

from cloister.claims.offers import Computation
from cloister.foundation.errors import BadInput
from cloister.node.bench import figures
from cloister.protections.federated.estimates import BENCH
from cloister.training import measuring
from node.town import LAB, PAIR, model, pair_terms, recipe, town


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(measuring, "SECONDS", 0.05)


def training(known: str, **changes) -> dict:
    return {"kind": "training", "contents": {"model": known}, "settings": recipe(**changes)}


def kept(node, computation) -> dict[str, float]:
    with node.durable.database.read() as tx:
        return figures(tx, Computation.model_validate(computation))


def test_what_was_measured_is_kept_and_used_for_plans(tmp_path):
    """Rule 2; no dataset is here when it is measured, so that nothing is measured on records (rule 1)."""
    with town(tmp_path, names=PAIR) as here:
        here.start(LAB)
        lab = here[LAB]
        for document in (
            {"kind": "query", "contents": {}, "settings": {}},
            {"kind": "training", "contents": {}, "settings": recipe()},
            {"kind": "sorcery", "contents": {}, "settings": {}},
            {"kind": "training", "contents": {"model": "sha256:" + "0" * 64}, "settings": {"steps": 1}},
        ):
            with pytest.raises(BadInput):
                lab.bench.measure(document)
        computation = training(lab.computations.add_model(model())["digest"])
        assert kept(lab, computation) == {}
        told = lab.bench.measure(computation)
        assert set(told["figures"]) == {*BENCH, "seconds_per_private_unit"} - {"bytes_per_second"}
        assert all(math.isfinite(value) and value > 0 for value in told["figures"].values())
        assert kept(lab, computation) == told["figures"]

        # Another recipe's steps were not measured; the node's own figures hold for it too.
        other = kept(lab, training(computation["contents"]["model"], batch=64))
        assert set(other) == {name for name in BENCH if name.startswith("seconds_per_million")} | {
            "seconds_per_exchange"
        }

        here.start("Ash")
        here.meet()
        here.data("Ash")
        agreement = here.agree(pair_terms(here))
        here.catalogued()
        before = here.plan(agreement).offer.cost
        with lab.durable.database.transaction() as tx:
            from cloister.storage.settings import Settings

            key = f"bench/{Computation.model_validate(computation).digest}"
            Settings(tx).put(
                key, {"figures": {"seconds_per_step": 100.0}, "measured": "2027-01-01T00:00:00Z"}
            )
        after = here.plan(agreement).offer.cost
        assert after.seconds > before.seconds + 1000  # two rounds of ten steps
        assert (after.bytes_up, after.epsilon) == (before.bytes_up, before.epsilon)
