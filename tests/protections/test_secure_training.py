"""Training behind secure sums: what comes out is what training in the clear gives, and nobody sees more than was said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cloister.foundation.errors import Tampered, TaskFailed
from cloister.privacy import lattice
from cloister.privacy.filters import Loss
from cloister.protections.federated import contribution, secure_owner
from cloister.protections.federated.settings import Settings
from protections import federation as f
from protections.private_world import PrivateEngine, settings, weights_of, world


def owners_of(loop):
    return [node for node in loop.nodes.values() if node.seat == "owner"]


def expected(of, engine, owners=3):
    """The average in the clear, from the same worker."""
    weights = f.INITIAL.copy()
    for number in range(1, of.rounds + 1):
        updates = []
        for party in f.OWNERS[:owners]:
            arguments = {"dataset": f"/data/{party}", "recipe": f.recipe(), "steps": of.local_steps}
            model = np.frombuffer(f.MODEL, np.uint8)
            _, found = engine.call("train", arguments, {"model": model, "weights": weights})
            updates.append(found["weights"].astype(np.float64) - weights)
        weights = (weights + np.mean(updates, axis=0)).astype(np.float32)
        assert number
    return weights


def test_owners_end_with_the_average_that_training_in_the_clear_gives():
    of = settings()
    loop = world(of)
    loop.run()
    found = [weights_of(node) for node in owners_of(loop)]
    assert all((item == found[0]).all() for item in found)
    # Rounding to the ring: 3 · 2^-30 a number and round or so, and float32.
    np.testing.assert_allclose(found[0], expected(of, PrivateEngine()), atol=1e-5)


def test_the_coordinator_ends_with_a_name_and_no_content():
    loop = world(settings())
    loop.run()
    lab, owner = loop.nodes[f.LAB], owners_of(loop)[0]
    assert lab.error is None
    assert lab.candidate.content == b""
    assert dict(lab.candidate.facts) == dict(owner.candidate.facts)
    assert lab.candidate.facts["content"] == f.digest(owner.candidate.content)
    assert lab.candidate.facts["size"] == len(owner.candidate.content)


def test_nothing_that_crosses_has_an_update_a_sum_or_the_model_in_it():
    of = settings()
    loop = world(of)
    loop.run()
    weights = weights_of(owners_of(loop)[0])
    crossed = b"".join(message.body for _, message in loop.sent)
    for vector in (weights, weights - f.INITIAL):
        for form in (vector.astype("<f4"), vector.astype("<f8")):
            for number in form:
                assert number.tobytes() not in crossed


def test_the_coordinator_is_never_given_weights_or_data():
    loop = world(settings())
    loop.run()
    lab = loop.nodes[f.LAB]
    assert not lab.ports
    assert not lab.contents  # not even the model file


def test_with_noise_the_whole_loss_is_charged_once_before_any_record_is_given():
    of = settings(epsilon=2.0)
    engine = PrivateEngine()
    loop = world(of, engine=engine)
    order = []
    for node in owners_of(loop):
        node.charge = lambda cost, node=node: (order.append("charge"), node.spent.append(cost))
    engine.call = lambda *a, call=engine.call, **k: (order.append(a[0]), call(*a, **k))[1]
    loop.run()
    for node in owners_of(loop):
        assert node.error is None
        (cost,) = node.spent
        assert Loss.decode(cost.loss) == of.private.run.loss()
        assert cost.dataset == next(iter(node.ports))
        assert 0 < cost.epsilon <= 2.0 * (1 + 1e-6)
    assert [item for item in order if item in {"charge", "private-sum"}][:3] == ["charge"] * 3


def test_without_noise_nothing_is_charged():
    loop = world(settings())
    loop.run()
    assert not any(node.spent for node in owners_of(loop))


def test_with_little_noise_private_steps_go_where_the_gradients_go():
    of = settings(epsilon=300.0, rounds=20)
    engine = PrivateEngine()
    loop = world(of, engine=engine)
    loop.run()
    found = [weights_of(node) for node in owners_of(loop)]
    assert all((item == found[0]).all() for item in found)
    before, after = np.abs(f.INITIAL - 1).mean(), np.abs(found[0] - 1).mean()
    assert after < 0.5 * before


def test_the_noise_in_a_step_has_the_variance_of_all_shares():
    """Over owners and numbers: what came out less what the gradients alone would have given."""
    of = settings(epsilon=1.0, rounds=1)
    run, moves = of.private.run, []
    for seed in range(30):
        engine = PrivateEngine()
        loop = world(of, engine=engine)
        for node in loop.nodes.values():
            node.seed = f"seed {seed}"
        loop.run()
        clean = np.sum([total for _, _, total in engine.sums[:3]], axis=0, dtype=np.float64)
        moved = (weights_of(owners_of(loop)[0]).astype(np.float64) - f.INITIAL) / 0.5
        moves.append(-moved * run.rate * run.units * 3 - clean)
    deviation = np.std(np.concatenate(moves))
    # 180 numbers: the standard error of a deviation is 5 %.
    assert deviation == pytest.approx(run.mechanism.deviation, rel=0.25)


def test_two_rounds_never_use_the_same_noise(monkeypatch):
    """What leaves an owner less its gradients is the noise alone: of two rounds, and of two attempts at a task."""
    of = settings(epsilon=1.0, rounds=2)
    mechanism, original, noise = of.private.run.mechanism, contribution.noisy_sum, []
    for attempt in (1, 2):
        engine = PrivateEngine()

        def watched(local, *arguments, engine=engine, attempt=attempt):
            found = original(local, *arguments)
            clean = lattice.encode(engine.sums[-1][2], mechanism.exponent, mechanism.bound)
            noise.append((local.party, attempt, found - clean))
            return found

        monkeypatch.setattr(contribution, "noisy_sum", watched)
        loop = world(of, engine=engine)
        for node in loop.nodes.values():
            node.attempt = attempt
        loop.run()
    assert len(noise) == 2 * 2 * 3
    for (_, _, one), (_, _, other) in itertools.combinations(noise, 2):
        assert (one != other).any()


def test_only_the_trained_numbers_move():
    of = settings(trained=3, epsilon=1.0)
    loop = world(of, engine=PrivateEngine(trained=((1, 2), (4, 6))))
    loop.run()
    moved = weights_of(owners_of(loop)[0]) != f.INITIAL
    assert moved.tolist() == [False, True, False, False, True, True]


def test_an_update_over_the_agreed_norm_is_shortened_to_it():
    vector = np.array([3.0, 4.0], np.float32)
    assert (contribution.shortened(vector, 6.0) == vector).all()
    short = contribution.shortened(vector, 1.0)
    assert np.linalg.norm(short.astype(np.float64)) <= 1.0
    np.testing.assert_allclose(short, [0.6, 0.8], rtol=1e-5)


def test_a_sum_that_an_owner_has_made_too_long_is_not_used(monkeypatch):
    """Within the bound of every number, and over that of the whole: nobody saw whose it was."""
    of = settings(aggregation={"name": "secure-sum", "colluders": 1, "update_norm": 0.5})
    honest = world(of)
    honest.run()
    assert not [node.error for node in owners_of(honest) if node.error]
    vector = secure_owner._Owner._vector

    def lie(self, local, state, key, weights):
        found = vector(self, local, state, key, weights)
        return np.full_like(found, 0.5) if (local.party, state.round) == (f.OWNERS[0], 2) else found

    monkeypatch.setattr(secure_owner._Owner, "_vector", lie)
    loop = world(of)
    loop.run()
    for node in owners_of(loop):
        assert isinstance(node.error, Tampered)
        assert node.error.clause == "training-sum"
        assert node.candidate is None
    assert loop.nodes[f.LAB].candidate is None


@pytest.mark.parametrize("behaviour", ["diverges", "huge"])
def test_an_update_that_may_not_leave_ends_its_owners_part(behaviour):
    loop = world(settings(5, dropouts=1), 5, engine=PrivateEngine({f.OWNERS[0]: behaviour}))
    loop.run()
    assert isinstance(loop.nodes[f.OWNERS[0]].error, TaskFailed)
    rest = [node for node in owners_of(loop) if node.party != f.OWNERS[0]]
    assert len({node.candidate.content for node in rest}) == 1
    assert loop.nodes[f.LAB].candidate.facts["answers"] == [4, 4, 4]


@pytest.mark.parametrize("kind", ["announce-1", "share-2", "mask-2", "endorse-1", "reveal-3"])
def test_an_owner_that_is_cut_off_is_left_out_and_the_others_end_alike(kind):
    of = settings(5, dropouts=1)
    gone = f.OWNERS[2]
    loop = world(of, 5)
    loop.tamper = lambda node, message: None if (node.party, message.kind) == (gone, kind) else message
    loop.run()
    rest = [node for node in owners_of(loop) if node.party != gone]
    assert len({node.candidate.content for node in rest}) == 1
    lab = loop.nodes[f.LAB]
    assert lab.candidate.facts["content"] == f.digest(rest[0].candidate.content)


def test_with_more_dropouts_than_agreed_it_ends_by_a_phases_name():
    loop = world(settings(5, dropouts=1), 5)
    loop.silent = set(f.OWNERS[:2])
    loop.run()
    assert isinstance(loop.nodes[f.LAB].error, TaskFailed)
    assert not any(node.candidate for node in owners_of(loop))


def test_an_owner_with_other_weights_is_left_out_and_none_is_tricked():
    """A node that was restored, or whose model file differs, would train on something else: its context differs."""
    of = settings(5, dropouts=1)
    loop = world(of, 5)
    other = f.OWNERS[1]
    node = loop.nodes[other]
    node.contents = {f.digest(f.MODEL): f.model_bytes(f.INITIAL + 1)}
    loop.run()
    assert node.candidate is None
    rest = [item for item in owners_of(loop) if item.party != other]
    assert len({item.candidate.content for item in rest}) == 1


def test_a_step_that_is_run_twice_before_its_commit_changes_nothing():
    of = settings(epsilon=1.0)
    calm, crashed = world(of), world(of, crash=True)
    calm.run()
    crashed.run()
    assert weights_of(owners_of(calm)[0]).tobytes() == weights_of(owners_of(crashed)[0]).tobytes()


def test_a_training_that_changed_nothing_is_no_candidate():
    engine = PrivateEngine(dict.fromkeys(f.OWNERS, "nothing"))
    loop = world(settings(), engine=engine)
    loop.run()
    assert all(isinstance(node.error, TaskFailed) for node in owners_of(loop))


def test_owners_that_end_with_other_models_have_no_candidate():
    loop = world(settings())
    liar = f.OWNERS[0]

    def tamper(node, message):
        if node.party == liar and message.kind == "result":
            body = message.body.replace(b'"size":', b'"size":1')
            return type(message)(message.to, message.kind, body)
        return message

    loop.tamper = tamper
    loop.run()
    assert isinstance(loop.nodes[f.LAB].error, TaskFailed)
    assert loop.nodes[f.LAB].candidate is None


def test_the_worker_is_told_what_the_units_are_and_how_many_there_may_be():
    of = settings(epsilon=2.0, rounds=1)
    engine = PrivateEngine()
    asked = []
    engine.call = lambda method, arguments, *a, call=engine.call, **k: (
        asked.append((method, arguments)), call(method, arguments, *a, **k),
    )[1]  # fmt: skip
    loop = world(of, engine=engine)
    for node in owners_of(loop):
        for port in node.ports.values():
            port.description = {"unit_of_privacy": {"kind": "column", "column": "customer"}}
    loop.run()
    told = [arguments for method, arguments in asked if method == "private-sum"]
    assert len(told) == 3
    for arguments in told:
        assert arguments["unit_column"] == "customer"
        assert arguments["units"] == of.private.run.units
        assert arguments["clip"] == of.private.run.mechanism.clip
        assert arguments["capacity"] == of.private.run.capacity


def test_all_secrets_of_a_training_come_from_one_that_is_on_disk_before_it_is_charged():
    """A node restored to any later moment masks and noises as it did: no second noisy vector under the same masks."""
    loop = world(settings(epsilon=2.0, rounds=2))
    asked = []
    for node in owners_of(loop):
        secret, charge = node.secret, node.charge
        node.secret = lambda label, size, secret=secret: (asked.append(label), secret(label, size))[1]
        node.charge = lambda cost, charge=charge: (asked.append("charge"), charge(cost))
    loop.run()
    # Of the one under "training" all of a training is made; the other decides this owner's vote at the release.
    assert set(asked) == {"training", "quality", "charge", "training-1", "training-2"}
    assert set(asked[: asked.index("charge")]) == {"training", "quality"}


def test_a_rounds_secrets_are_gone_when_it_is_over_and_cannot_be_found_from_the_next_ones():
    """The task's first secret is forgotten with the first step; of a round's key nothing is left in the states after it."""
    loop = world(settings(epsilon=2.0, rounds=3))
    loop.run()
    node = owners_of(loop)[0]
    assert node.forgotten == ["training", "training-1", "training-2"]
    first = contribution.secret(node.secret("training", 32), "chain")
    keys = [first, contribution.next_key(first), contribution.next_key(contribution.next_key(first))]
    disks = [
        (int(phase.rpartition("-")[2]), disk)
        for who, phase, disk, _ in loop.history
        if who is node and "-" in phase
    ]
    assert {number for number, _ in disks} == {1, 2, 3}
    for number, disk in disks:
        assert disk.secrets == {f"training-{number}": keys[number - 1]}
        assert not [
            kept for kept in disk.everything for key in keys if key in kept or key.hex().encode() in kept
        ]


def test_a_plan_that_claims_finer_sums_than_workers_make_is_refused():
    document = settings(epsilon=2.0).model_dump(mode="json")
    document["noise"]["run"]["bits"] = 53
    with pytest.raises(ValueError, match="the noise is for another training"):
        Settings.model_validate(document)


def test_a_plan_that_cannot_be_run_costs_nothing():
    """Its first weights could not be made: the budget is charged last."""
    of = settings(epsilon=2.0)
    loop = world(of)
    for node in owners_of(loop):
        node.contents = {f.digest(f.MODEL): f.model_bytes(f.INITIAL[:3])}
    loop.run()
    assert all(node.error is not None and not node.spent for node in owners_of(loop))


def test_asked_about_other_weights_a_round_has_other_noise_and_other_coins(monkeypatch):
    """A coordinator that lies to a node which was set back gets no two answers whose noise cancels; the honest one the same."""
    of, seeds = settings(epsilon=2.0), []

    def nothing(*_arguments, seed, trained, **_options):
        seeds.append(seed)
        return np.zeros(trained, np.float32), {}

    monkeypatch.setattr(contribution.worker, "private_sum", nothing)
    node = owners_of(world(of))[0]

    def answer(weights):
        return contribution.noisy_sum(node, of, of.private, "model", {}, None, weights, 1, bytes(32))

    one, other = np.zeros(of.parameters, np.float32), np.ones(of.parameters, np.float32)
    first, again, second = answer(one), answer(one), answer(other)
    assert (first == again).all()
    assert (first != second).mean() > 0.9
    assert seeds[0] == seeds[1] != seeds[2]
