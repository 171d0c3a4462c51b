"""The agreed quality under a privacy budget: decided with noise, once for each task, or refused; rules of `release.quality`."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_world import World, f

from cloister.agreements.clauses import QualityFloor
from cloister.claims.offers import Declined
from cloister.foundation.errors import Refused, TaskFailed
from cloister.planner.satisfiable import unmet
from cloister.privacy import charging, threshold
from cloister.privacy.accounting import Run
from cloister.privacy.filters import of_run
from cloister.protections.federated import FederatedAveraging, contribution
from cloister.protections.federated.offers import offers
from cloister.protections.federated.settings import read_recipe, read_settings
from cloister.release import messages, quality
from cloister.training.metrics import METRICS, PER_UNIT
from protections.private_world import PrivateEngine

WISHES = {"rounds": 1, "units": 100, "batch": 100, "epsilon": 2.0, "round_seconds": 30}
FLOOR = {"metric": "count-accuracy", "minimum": 0.5}


def private(floor=FLOOR, **changes):
    """Changes to a world in which owners' records have budgets."""
    parties = [f.LAB, f.USER, *f.OWNERS[:3]]
    release = {"quorum": 2, "max_bytes": 10_000} | ({} if floor is None else {"quality": floor})
    agreement = {
        "budgets": f.budgets(),
        "owners_per_unit": 1,
        "recipients": parties,
        "dropouts": 0,
        "release": release,
    }
    return {"agreement": agreement, "variant": "secure-private", "preferences": WISHES, **changes}


def world(good=True, floor=FLOOR, **changes):
    """Owners with 200 units each, all good or all bad: over twenty standard deviations of the noise from the floor."""
    made = World(holder="owner", **private(floor), **changes)
    for context in made.contexts.values():
        context.by_unit = [0.9 if good else 0.1] * 200
        context.figure = float("nan")  # nothing exact is asked
    return made


def votes(made):
    found = {}
    for sender, message in made.loop.sent:
        if message.kind == messages.VOTE:
            header, _ = messages.read(messages.VoteHeader, message.body)
            found[sender] = (header.vote, header.told)
    return found


def reports(made, name):
    return [item for item in made.loop.nodes[name].reports if "gate" in item]


def test_the_worlds_votes_are_far_from_chance():
    run = charging.stated(world().plan.offer.parameters)
    assert 0.4 * 200 / threshold.deviation(run, 0.5) > 20


def test_rule_1_under_a_budget_the_vote_follows_from_units_scores_and_no_exact_figure_is_asked():
    good, bad = world().run(), world(good=False).run()
    assert set(votes(good).values()) == {("permit", "")}
    assert set(votes(bad).values()) == {("refuse", "not approved")}
    assert isinstance(bad.error(f.LAB), TaskFailed)
    assert all(good.contexts[name].evaluated == 1 for name in good.owners)


def test_rule_1_without_a_budget_the_exact_figure_decides():
    made = World(holder="owner").run()
    assert set(votes(made).values()) == {("permit", "")}
    assert all(made.contexts[name].judged == {} for name in made.owners)


def test_the_exact_figure_is_shown_to_the_owners_own_people_and_to_nobody_else():
    made = world(good=False).run()
    assert "is 0.1 (200 kept apart)" in quality_of(made, made.owners[0])
    crossed = b"".join(message.body for _, message in made.loop.sent)
    assert b"kept apart" not in crossed


def quality_of(made, name):
    (shown,) = reports(made, name)
    return shown["why"]


def at_the_floor(seed, crash):
    made = world(crash=crash)
    for node in made.loop.nodes.values():
        node.seed = seed
    for context in made.contexts.values():
        context.by_unit = [0.5] * 200
    return made.run()


def test_rule_3_a_step_that_runs_again_votes_the_same():
    """With every score at the floor noise alone decides: what is drawn anew would differ."""
    found = []
    for seed in ("a", "b"):
        calm, crashed = (at_the_floor(seed, crash) for crash in (False, True))
        assert votes(calm) == votes(crashed)
        for name in calm.owners:
            assert [*reports(calm, name), *reports(calm, name)] == reports(crashed, name)
        found += [vote for vote, _ in votes(calm).values()]
    assert set(found) == {"permit", "refuse"}


def fake_local(store, attempt=1):
    def secret(label, size):
        return store.setdefault(
            (attempt, label), hashlib.sha256(f"{attempt} {label} {len(store)}".encode()).digest()
        )

    return SimpleNamespace(secret=secret, attempt=attempt)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_rule_3_a_resumed_node_finds_the_same_noise_and_another_candidate_or_attempt_another(seed):
    plan, floor = PLAN, QualityFloor(**FLOOR)
    scores = np.random.default_rng(seed).uniform(size=20)
    disk = {}
    told = [
        quality.noisy(plan, floor, scores, quality.secret_for(fake_local(disk, attempt), candidate)).why
        for attempt, candidate in ((1, "sha256:a"), (1, "sha256:a"), (1, "sha256:b"), (2, "sha256:a"))
    ]
    assert told[0] == told[1]
    assert len(set(told)) == 3


def test_rule_3_a_private_training_puts_the_votes_secret_on_disk_before_it_charges():
    order = []
    local = SimpleNamespace(
        secret=lambda label, size: order.append(label) or bytes(size),
        charge=lambda cost: order.append("charged"),
    )
    contribution.charge(local, read_settings(PLAN.offer.parameters, PLAN.offer.seats["owner"]), "dataset")
    assert quality.SECRET in order[: order.index("charged")]


def test_rule_4_a_second_candidate_of_a_task_gets_no_draw():
    made = world()
    context = made.contexts[made.owners[0]]
    context.judged[1] = "sha256:" + "0" * 64
    made.run()
    assert votes(made)[made.owners[0]] == ("refuse", "not approved")
    assert context.evaluated == 0
    assert "Another candidate" in quality_of(made, made.owners[0])


@pytest.mark.parametrize("good", [True, False])
def test_rule_1_it_holds_too_where_the_coordinator_shows_the_candidate(good):
    """Noise alone, no secure sums: the whole training, then the votes."""
    changes = private(preferences=WISHES | {"aggregation": "none"}, variant="private")
    made = World(worker=PrivateEngine(), **changes)
    for context in made.contexts.values():
        context.by_unit = [0.9 if good else 0.1] * 200
    votes_are = {("permit", "")} if good else {("refuse", "not approved")}
    assert set(votes(made.run()).values()) == votes_are
    assert {name for name in made.owners if made.contexts[name].judged} == set(made.owners)


def test_no_agreed_floor_asks_for_no_noise():
    made = world(floor=None).run()
    assert set(votes(made).values()) == {("permit", "")}
    assert all(made.contexts[name].evaluated == 0 for name in made.owners)


# Floors that noise cannot decide ---------------------------------------------------------------------------------------


def refused(floor, **settings):
    with pytest.raises(Refused) as caught:
        quality.require_decidable(QualityFloor(**floor), read_recipe(f.recipe(**settings)))
    assert caught.value.clause == "quality"
    assert caught.value.remedy
    return caught.value.why


@pytest.mark.parametrize("metric", sorted(set(METRICS) - set(PER_UNIT)))
def test_rule_2_a_metric_without_a_bound_per_unit_is_refused_by_name(metric):
    assert metric in refused({"metric": metric, "minimum": 0.5})


def test_rule_2_floors_outside_of_the_scores_and_recipes_that_keep_nothing_apart_are_refused():
    assert "between 0 and 1" in refused({"metric": "accuracy", "minimum": 1.5})
    assert "between 0 and 1" in refused({"metric": "accuracy", "minimum": -0.5})
    assert "keeps no records apart" in refused({"metric": "accuracy", "minimum": 0.5}, validation=0.0)


@pytest.mark.parametrize("metric", ["r2", "loss", "mean-absolute-error"])
def test_rule_2_no_plan_is_made_under_a_budget_for_such_a_floor(metric):
    terms = f.terms(**private({"metric": metric, "minimum": 0.2})["agreement"])
    (found,) = offers(f.request(terms, preferences=WISHES), f.facts(terms), ("secure-private",))
    assert isinstance(found, Declined)
    assert metric in found.reason
    assert "count-accuracy" in found.remedy


def test_rule_2_who_writes_such_an_agreement_is_told():
    for metric, words in (("r2", "r2"), ("count-accuracy", None)):
        terms = f.terms(**private({"metric": metric, "minimum": 0.2})["agreement"])
        found = [item.reason for item in unmet(terms, [FederatedAveraging()])]
        assert [words in reason for reason in found] == ([True] if words else [])


def test_rule_2_a_plan_of_somebody_else_for_such_a_floor_is_not_admitted():
    plan = PLAN
    good = f.terms(**private()["agreement"])
    quality.require_planned(plan, good)
    for floor, words in (
        ({"metric": "r2", "minimum": 0.2}, "r2"),
        ({"metric": "accuracy", "minimum": 0.2}, "preparation"),
        ({"metric": "count-accuracy", "minimum": 1.1}, "between 0 and 1"),
    ):
        with pytest.raises(Refused, match="quality") as caught:
            quality.require_planned(plan, f.terms(**private(floor)["agreement"]))
        assert caught.value.clause == "quality"
        assert words in caught.value.why
    quality.require_planned(plan, f.terms(**private(None)["agreement"]))
    exact = f.terms(release={"quorum": 2, "quality": {"metric": "r2", "minimum": 0.2}})
    quality.require_planned(f.plan(exact), exact)


def test_rule_1_a_plan_that_states_no_run_lets_nothing_decide():
    parameters = {key: value for key, value in PLAN.offer.parameters.items() if key != "noise"}
    plan = PLAN.model_copy(update={"offer": PLAN.offer.model_copy(update={"parameters": parameters})})
    assert quality.private(plan)
    with pytest.raises(Refused):
        quality.require_planned(plan, f.terms(**private()["agreement"]))
    with pytest.raises(Refused):
        quality.noisy(plan, QualityFloor(**FLOOR), np.ones(3), bytes(32))


PLAN = world().plan


def test_what_is_charged_is_the_runs_loss_and_covers_the_votes():
    """One unit, either trained on or checked on: the charge is no less than either, in epsilon, delta and every order."""
    run = charging.stated(PLAN.offer.parameters)
    due = charging.foreseen(PLAN.offer)
    vote = threshold.noise(run, FLOOR["minimum"])
    checked = of_run(Run(vote.noise_multiplier, run.rate, vote.steps), run.delta, "renyi")
    assert due.epsilon >= checked.epsilon
    assert due.delta >= checked.delta
    assert all(mine >= its for mine, its in zip(due.curve, checked.curve, strict=True))
    price = charging.price(PLAN.offer)
    assert (price.epsilon, price.delta) == (PLAN.offer.cost.epsilon, run.delta)


def test_plans_say_how_votes_are_decided_and_how_far_they_are_off():
    told = PLAN.offer.discloses
    assert any("noise decides it" in item for item in told["coordinator"])
    assert any("noise decides it" in item for item in told["owner"])
    assert any("with 10 kept apart" in item for item in PLAN.offer.prediction.sentences)
    assert not any("no noise covers" in item for item in PLAN.offer.claims.not_protected)
