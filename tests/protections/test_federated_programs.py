"""Federated averaging as the parties run it: rounds, faults, and a coordinator that lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloister.claims.offers import Computation
from cloister.foundation.digests import digest
from cloister.foundation.errors import Refused, Tampered, TaskFailed
from cloister.journal.program import Message
from cloister.protections.federated import FederatedAveraging, framing, messages
from protections.federation import (
    INITIAL,
    LAB,
    LENGTH,
    MODEL,
    OWNERS,
    FakeEngine,
    FakePort,
    model_bytes,
    party,
    recipe,
)
from protections.federation import plan as make_plan
from protections.federation import request as make_request
from protections.federation import terms as make_terms
from protections.loop import Loop, Node


def world(
    owners=3,
    behaviour=None,
    tamper=None,
    crash=False,
    settings=None,
    agreement=None,
    seed="seed",
    **preferences,
):
    agreed = make_terms(owners, **(agreement or {}))
    computation = Computation(
        kind="training", contents={"model": digest(MODEL)}, settings=recipe(**(settings or {}))
    )
    asked = make_request(
        agreed, computation=computation, preferences={"rounds": 3, "round_seconds": 30} | preferences
    )
    plan = make_plan(agreed, asked)
    nodes = []
    for seat, parties in plan.offer.seats.items():
        for name in parties:
            if seat == "recipient":
                continue
            program = FederatedAveraging().program(plan.offer, plan.request, seat)
            ports = {}
            if name in asked.datasets:
                ports = {asked.datasets[name]: FakePort(asked.datasets[name], Path("/data") / name)}
            nodes.append(
                Node(name, seat, program, {digest(MODEL): MODEL}, ports, FakeEngine(behaviour), seed=seed)
            )
    return Loop(nodes, tamper=tamper, crash=crash)


def run(**options):
    loop = world(**options)
    loop.run()
    return loop


def final_weights(loop):
    content = loop.nodes[LAB].candidate.content
    return np.frombuffer(content[len(model_bytes(np.zeros(0))) :], "<f4")


def rewrite(message, kind, change, vector=None):
    """The message with its header changed."""
    fields, old = framing.decode(message.body)
    header = messages.parse_header(kind, fields)
    return Message(
        message.to, message.kind, messages.write(change(header), old if vector is None else vector)
    )


def test_three_owners_train_a_model_that_none_of_them_started_with():
    loop = run(rounds=8, local_steps=10)
    assert not [node.error for node in loop.nodes.values() if node.error]
    candidate = loop.nodes[LAB].candidate
    assert candidate.kind == "model"
    assert np.linalg.norm(final_weights(loop) - 1) < 0.5 * np.linalg.norm(INITIAL - 1)
    assert candidate.facts["answers"] == [3] * 8
    assert candidate.facts["weights"] == framing.vector_digest(final_weights(loop))
    for name in OWNERS[:3]:
        seen = loop.nodes[name].candidate
        assert (seen.kind, seen.content) == ("trail", b"")
        assert seen.facts["trail"] == candidate.facts["trail"]


def test_one_round_is_the_mean_of_what_the_owners_would_reach_alone():
    loop = run(rounds=1, local_steps=4)
    engine = FakeEngine()
    alone = [
        engine.call(
            "train",
            {"dataset": f"/data/{name}", "steps": 4, "recipe": recipe()},
            {"model": np.frombuffer(MODEL, np.uint8), "weights": INITIAL},
        )[1]["weights"]
        for name in OWNERS[:3]
    ]
    np.testing.assert_allclose(final_weights(loop), np.mean(alone, axis=0), atol=1e-6)


def test_agreed_weights_weigh_the_average_and_equal_ones_are_the_default():
    agreed = run(rounds=1, weights={OWNERS[0]: 8, OWNERS[1]: 1, OWNERS[2]: 1})
    equal = run(rounds=1)
    assert not np.array_equal(final_weights(agreed), final_weights(equal))


def test_fedprox_pulls_the_owners_towards_the_rounds_weights():
    plain, prox = run(rounds=1, local_steps=20), run(rounds=1, local_steps=20, settings={"proximal": 5.0})
    assert np.linalg.norm(final_weights(prox) - INITIAL) < np.linalg.norm(final_weights(plain) - INITIAL)
    assert prox.nodes[LAB].candidate.facts["algorithm"] == "fedprox"


def test_a_step_that_runs_again_after_a_crash_sends_the_same_bytes():
    calm, crashed = run(), run(crash=True)
    assert [message for _, message in calm.sent] == [message for _, message in crashed.sent]
    assert calm.nodes[LAB].candidate == crashed.nodes[LAB].candidate


def test_a_round_goes_on_without_an_owner_that_dropped_out_as_far_as_agreed():
    loop = world()
    loop.silent = {OWNERS[2]}
    loop.run()
    assert loop.nodes[LAB].candidate.facts["answers"] == [2, 2, 2]


@pytest.mark.parametrize("silent", [OWNERS[:2], OWNERS[:3]])
def test_a_task_with_too_few_answers_fails_by_the_phases_name(silent):
    loop = world()
    loop.silent = set(silent)
    loop.run()
    lab = loop.nodes[LAB]
    assert isinstance(lab.error, TaskFailed)
    assert lab.error.detail["phase"] == "collect-1"
    assert lab.candidate is None


def test_owners_that_drop_out_later_fail_that_rounds_phase():
    def silence(node, message):
        return (
            None
            if node.seat == "owner" and message.kind == "update-2" and node.party != OWNERS[0]
            else message
        )

    loop = run(tamper=silence)
    assert loop.nodes[LAB].error.detail["phase"] == "collect-2"
    assert loop.nodes[LAB].candidate is None


def test_an_untrained_model_is_never_a_candidate():
    loop = run(behaviour=dict.fromkeys(OWNERS, "nothing"))
    lab = loop.nodes[LAB]
    assert isinstance(lab.error, TaskFailed)
    assert lab.error.detail["phase"] == "collect-3"
    assert lab.candidate is None


@pytest.mark.parametrize("how", ["diverges", "huge", "crashes"])
def test_a_bad_update_is_refused_by_its_sender_and_the_others_go_on(how):
    loop = run(behaviour={OWNERS[1]: how})
    node = loop.nodes[OWNERS[1]]
    assert node.error is not None
    assert not [1 for sender, message in loop.sent if sender == OWNERS[1]]
    assert loop.nodes[LAB].candidate.facts["answers"] == [2, 2, 2]


def spoil(change, vector=None, kind=messages.UpdateHeader, only="update-1"):
    def tamper(node, message):
        if node.party == OWNERS[0] and message.kind == only:
            return rewrite(message, kind, change, vector)
        return message

    return tamper


@pytest.mark.parametrize(
    "tamper",
    [
        spoil(lambda h: h.model_copy(update={"round": 2})),
        spoil(lambda h: h.model_copy(update={"attempt": 2})),
        spoil(lambda h: h.model_copy(update={"on": "sha256:" + "0" * 64})),
        spoil(lambda h: h, np.full(LENGTH, np.nan, np.float32)),
        spoil(lambda h: h, np.full(LENGTH, 1e9, np.float32)),
        spoil(lambda h: h, np.zeros(LENGTH + 1, np.float32)),
        lambda node, m: (
            Message(m.to, m.kind, b"rubbish") if (node.party, m.kind) == (OWNERS[0], "update-1") else m
        ),
    ],
)
def test_an_answer_that_does_not_fit_is_left_out_and_the_round_goes_on(tamper):
    loop = run(tamper=tamper)
    assert loop.nodes[LAB].candidate.facts["answers"] == [2, 3, 3]
    assert list(loop.nodes[LAB].reports[0]["left_out"]) == [OWNERS[0]]


def test_too_many_answers_that_do_not_fit_fail_the_phase():
    def tamper(node, message):
        return Message(message.to, message.kind, b"") if message.kind == "update-2" else message

    loop = run(tamper=tamper)
    assert loop.nodes[LAB].error.detail["phase"] == "collect-2"


def test_a_coordinator_that_begins_with_other_weights_than_the_models_is_caught():
    other = INITIAL + 1

    def lie(node, message):
        if message.kind != "weights-1":
            return message
        trail = (messages.link(framing.vector_digest(other), {}),)
        return rewrite(
            message, messages.WeightsHeader, lambda h: h.model_copy(update={"trail": trail}), other
        )

    loop = run(tamper=lie)
    assert all(isinstance(loop.nodes[name].error, Tampered) for name in OWNERS[:3])
    assert not [1 for sender, _ in loop.sent if sender in OWNERS]


def test_a_coordinator_that_sends_other_weights_than_its_trail_names_is_caught():
    def lie(node, message):
        if message.kind == "weights-2" and message.to == OWNERS[0]:
            return rewrite(message, messages.WeightsHeader, lambda h: h, np.zeros(LENGTH, np.float32))
        return message

    loop = run(tamper=lie)
    assert isinstance(loop.nodes[OWNERS[0]].error, Tampered)


def test_a_coordinator_that_rewrites_the_past_is_caught():
    def lie(node, message):
        if message.kind != "weights-3":
            return message

        def change(header):
            trail = list(header.trail)
            trail[1] = messages.link("sha256:" + "7" * 64, {})
            return header.model_copy(update={"trail": tuple(trail)})

        return rewrite(message, messages.WeightsHeader, change)

    loop = run(tamper=lie)
    assert all(isinstance(loop.nodes[name].error, Tampered) for name in OWNERS[:3])


def test_a_coordinator_that_lists_an_answer_which_was_not_sent_is_caught():
    def lie(node, message):
        if message.kind != "weights-2" or message.to != OWNERS[0]:
            return message

        def change(header):
            answered = dict(header.answered) | {OWNERS[0]: "sha256:" + "5" * 64}
            trail = (*header.trail[:-1], messages.link(header.trail[-1].weights, answered))
            return header.model_copy(update={"trail": trail, "answered": answered})

        return rewrite(message, messages.WeightsHeader, change)

    loop = run(tamper=lie)
    assert isinstance(loop.nodes[OWNERS[0]].error, Tampered)
    assert loop.nodes[OWNERS[0]].error.clause == "training-trail"


@pytest.mark.parametrize("kind", ["weights-2", "finished"])
@pytest.mark.parametrize("whose", ["alone", "strangers"])
def test_a_coordinator_that_averages_fewer_owners_than_the_plan_needs_is_caught(kind, whose):
    """A result of one owner's update alone must not be signed as one of three."""

    def lie(node, message):
        if message.kind != kind or message.to != OWNERS[0]:
            return message

        def change(header):
            answered = {OWNERS[0]: header.answered[OWNERS[0]]}
            if whose == "strangers":
                answered |= {party(name): "sha256:" + "5" * 64 for name in ("x", "y")}
            trail = (*header.trail[:-1], messages.link(header.trail[-1].weights, answered))
            return header.model_copy(update={"trail": trail, "answered": answered})

        header = messages.FinishedHeader if kind == "finished" else messages.WeightsHeader
        return rewrite(message, header, change)

    loop = run(tamper=lie)
    assert isinstance(loop.nodes[OWNERS[0]].error, Tampered)
    assert loop.nodes[OWNERS[0]].error.clause == "training-trail"


def test_different_weights_for_different_owners_end_in_trails_that_do_not_agree():
    split = {}

    def lie(node, message):
        """A second, consistent story for one owner from round 2 on."""
        if message.to != OWNERS[0] or message.kind not in {"weights-2", "weights-3", "finished"}:
            return message
        kind = messages.FinishedHeader if message.kind == "finished" else messages.WeightsHeader
        fields, vector = framing.decode(message.body)
        header = messages.parse_header(kind, fields)
        other = vector + 1 if len(vector) else vector
        trail = [*header.trail[:1], *split.get("trail", [])]
        answered = header.answered
        mark = framing.vector_digest(other) if len(vector) else header.trail[-1].weights
        split.setdefault("trail", []).append(messages.link(mark, answered))
        trail = [*trail, split["trail"][-1]]
        changed = header.model_copy(update={"trail": tuple(trail), "answered": answered})
        return Message(message.to, message.kind, messages.write(changed, other if len(vector) else None))

    loop = run(tamper=lie)
    deceived, honest = loop.nodes[OWNERS[0]], loop.nodes[OWNERS[1]]
    assert deceived.error is None
    assert deceived.candidate.facts["trail"] != honest.candidate.facts["trail"]


def test_an_owner_that_missed_rounds_takes_up_the_newest():
    loop = world(agreement={"dropouts": 1})
    loop.silent = {OWNERS[0]}
    original = loop.turn

    def turn(overdue=None):
        # The owner comes back when the coordinator has gone on to round 3.
        if loop.nodes[LAB].phase == "collect-3":
            loop.silent = set()
        return original(overdue)

    loop.turn = turn
    loop.run()
    assert loop.nodes[LAB].candidate.facts["answers"] == [2, 2, 3]
    assert [m.kind for s, m in loop.sent if s == OWNERS[0]] == ["update-3"]


def test_no_figure_of_an_owner_leaves_its_node():
    loop = run()
    node = loop.nodes[OWNERS[0]]
    loss = next(report["loss"] for report in node.reports if "loss" in report)
    for sender, message in loop.sent:
        if sender == OWNERS[0]:
            fields, vector = framing.decode(message.body)
            assert set(fields) == {"round", "attempt", "on", "salt"}
            assert np.float32(loss) not in vector


def test_an_owner_trains_only_on_its_own_agreed_dataset():
    loop = world()
    node = loop.nodes[OWNERS[0]]
    node.ports = {}
    loop.run()
    assert isinstance(node.error, Refused)


def test_what_an_owner_may_see_of_the_others_is_only_who_answered():
    loop = run(rounds=2)
    for _, message in loop.sent:
        if message.kind == "weights-2":
            fields, _ = framing.decode(message.body)
            assert set(fields) == {"round", "attempt", "trail", "answered"}
            assert set(fields["answered"]) == set(OWNERS[:3])


def test_salts_differ_from_task_to_task_so_that_commitments_do():
    first, second = run(rounds=1), run(rounds=1, seed="other")
    one = {
        messages.parse_header(messages.UpdateHeader, framing.decode(m.body)[0]).salt
        for _, m in first.sent
        if m.kind == "update-1"
    }
    two = {
        messages.parse_header(messages.UpdateHeader, framing.decode(m.body)[0]).salt
        for _, m in second.sent
        if m.kind == "update-1"
    }
    assert len(one) == 3
    assert not one & two


def test_the_servers_optimiser_goes_on_over_rounds_and_crashes_change_no_bit():
    adam = {"server": {"name": "adam", "learning_rate": 0.2}}
    plain, calm, shaken = (
        run(rounds=6),
        run(rounds=6, settings=adam),
        run(rounds=6, settings=adam, crash=True),
    )
    assert not [node.error for node in calm.nodes.values() if node.error]
    assert not np.array_equal(final_weights(plain), final_weights(calm))
    assert final_weights(calm).tobytes() == final_weights(shaken).tobytes()
    assert calm.nodes[LAB].candidate.facts["server"]["name"] == "adam"
    assert np.linalg.norm(final_weights(calm) - 1) < np.linalg.norm(INITIAL - 1)


def test_a_plan_with_another_server_optimiser_than_the_recipes_is_refused():
    agreed = make_terms(3)
    asked = make_request(agreed, preferences={"rounds": 3})
    plan = make_plan(agreed, asked)
    changed = {**plan.offer.parameters, "server": {**plan.offer.parameters["server"], "name": "adam"}}
    offer = plan.offer.model_copy(update={"parameters": changed})
    with pytest.raises(Refused) as caught:
        FederatedAveraging().program(offer, plan.request, "coordinator")
    assert caught.value.clause == "plan-parameters"
