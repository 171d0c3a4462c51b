"""How a task's program embeds an aggregation: one phase for each step, on the journal's words; also the example to copy."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest

from aggregation.fixed import fixed_randomness
from aggregation.world import CARDS, COORDINATOR, context, vectors
from cloister.aggregation import (
    COORDINATOR_STAGES,
    PARTICIPANT_STAGES,
    Coordinator,
    Participant,
    PartySigning,
)
from cloister.foundation.errors import TaskFailed
from cloister.journal.program import Candidate, Message, Phase, Program, Step
from cloister.journal.runner import POINTS
from protections.loop import Loop, Node
from simulators.bus import Bus, Crash, Fate, run_task

SAYS = dict(zip(COORDINATOR_STAGES, PARTICIPANT_STAGES, strict=False))
"""Coordinator's stage → the participants' message that it waits for; a kind is named after the stage that sent it."""
HEARS = dict(zip(PARTICIPANT_STAGES[1:], COORDINATOR_STAGES, strict=True))


def participants(of, given):
    """An owner's program. Whoever the others went on without takes the sum where it waited for something else."""

    def step(stage, local, inbox):
        signing = PartySigning(CARDS, CARDS.of[local.party])
        node = Participant(of, local.party, signing, local.secret(f"aggregation-{of.label}", 32))
        total = [item.body for item in inbox if item.kind == "total"]
        if total:
            opened = node.open(local.state, total[0])
            return Step(b"", None, candidate=Candidate("sum", opened.total.tobytes(), {}))
        if stage == "announce":
            turn = node.announce()
        elif stage == "mask":
            turn = node.mask(local.state, inbox[0].body, given[local.party])
        else:
            turn = getattr(node, stage)(local.state, inbox[0].body)
        after = PARTICIPANT_STAGES[PARTICIPANT_STAGES.index(stage) + 1]
        return Step(turn.state, after, tuple(Message(to, stage, body) for to, body in turn.send.items()))

    phases = {"announce": Phase({}, 0, 600.0, partial(step, "announce"))}
    for stage, kind in HEARS.items():
        late = {"total": "coordinator"} if stage in {"endorse", "reveal"} else {}
        phases[stage] = Phase({kind: "coordinator", **late}, 1, 9000.0, partial(step, stage))
    return Program("announce", phases)


def centre(of):
    def step(stage, local, inbox):
        node = Coordinator(of, PartySigning(CARDS))
        before = () if stage == "gather" else (local.state,)
        beside = (local.part("sum"),) if stage == "total" else ()
        turn = getattr(node, stage)(*before, {item.sender: item.body for item in inbox}, *beside)
        local.report({"stage": stage, "left_out": dict(turn.left_out)})
        place = COORDINATOR_STAGES.index(stage) + 1
        after = COORDINATOR_STAGES[place] if place < len(COORDINATOR_STAGES) else None
        sent = tuple(Message(to, stage, body) for to, body in turn.send.items())
        return Step(turn.state, after, sent, parts={"sum": turn.vector} if turn.vector else {})

    fewest = of.thresholds.survivors
    phases = {
        stage: Phase({kind: "owner"}, fewest, 600.0, partial(step, stage)) for stage, kind in SAYS.items()
    }
    return Program("gather", phases)


def loop(n=5, dropouts=1, **options):
    of = context(n, dropouts=dropouts)
    given = vectors(of)
    nodes = [Node(party, "owner", participants(of, given), {}, {}, None) for party in of.roster]
    nodes.append(Node(COORDINATOR, "coordinator", centre(of), {}, {}, None))
    return of, given, Loop(nodes, **options)


def sums(found):
    return {
        node.party: np.frombuffer(node.candidate.content, np.int64)
        for node in found.nodes.values()
        if node.candidate
    }


def test_an_aggregation_is_a_handful_of_phases():
    of, given, found = loop()
    found.run()
    assert set(sums(found)) == set(of.roster)
    for total in sums(found).values():
        assert (total == sum(given.values())).all()


def test_a_step_that_is_run_twice_before_its_commit_changes_no_sum():
    of, given, found = loop(crash=True)
    found.run()
    assert len(sums(found)) == len(of.roster)
    for total in sums(found).values():
        assert (total == sum(given.values())).all()


@pytest.mark.parametrize("kind", ["announce", "share", "mask", "endorse", "reveal"])
def test_an_owner_that_is_cut_off_costs_no_sum(kind):
    of, given, found = loop()
    gone = of.roster[1]
    found.tamper = lambda node, message: None if (node.party, message.kind) == (gone, kind) else message
    found.run()
    early = kind in {"announce", "share", "mask"}
    right = sum(vector for party, vector in given.items() if not early or party != gone)
    assert set(sums(found)) >= set(of.roster) - {gone}
    for total in sums(found).values():
        assert (total == right).all()
    # From masking on it is a member, and is told the sum.
    assert (gone in sums(found)) == (kind in {"mask", "endorse", "reveal"})


def test_too_few_owners_end_it_by_a_phases_name():
    of, _, found = loop()
    found.silent = set(of.roster[:2])
    found.run()
    assert not sums(found)
    assert isinstance(found.nodes[COORDINATOR].error, TaskFailed)


def test_but_for_sealing_and_signing_a_step_is_a_function_of_what_is_on_disk():
    with fixed_randomness():
        of, given, calm = loop()
        calm.run()
        _, _, crashed = loop(crash=True)
        crashed.run()
        assert calm.sent == crashed.sent
        programs = {"owner": participants(of, given), "coordinator": centre(of)}
        for node, phase, disk, inbox in calm.history:
            node.restore(disk)
            again = programs[node.seat].phases[phase].step(node, inbox)
            assert again == programs[node.seat].phases[phase].step(node, inbox)
            assert set(again.send) <= {message for _, message in calm.sent}


def on_the_bus(of, given, **options):
    bus = Bus(lambda _sent: Fate.DELIVER, options.get("seed", 0))
    programs = {**dict.fromkeys(of.roster, participants(of, given)), COORDINATOR: centre(of)}
    seats = {"owner": of.roster, "coordinator": (COORDINATOR,)}
    results = run_task(programs, seats, bus=bus, **options)
    return bus, results


def right(results, of, given):
    found = [result.candidate for result in results.values() if result.candidate]
    assert len(found) == len(of.roster), {party: result.failure for party, result in results.items()}
    for candidate in found:
        assert candidate.content == sum(given.values()).tobytes()


def one_body_of_each(bus):
    """Whatever crossed more than once crossed with the same bytes: there is no second vector under the same masks."""
    seen = {}
    for sent in bus.transcript:
        at = (sent.sender, sent.to, sent.kind)
        assert seen.setdefault(at, sent.body) == sent.body, at
    return seen


@pytest.mark.parametrize("point", POINTS)
def test_whoever_is_killed_wherever_sends_the_same_bytes_and_the_sum_is_right(point):
    of = context(3)
    given = vectors(of)
    for nth in (1, 4):
        crashes = [Crash(party, point, nth) for party in (*of.roster, COORDINATOR)]
        bus, results = on_the_bus(of, given, crashes=crashes)
        right(results, of, given)
        assert len(one_body_of_each(bus)) == 10 * 3


@pytest.mark.parametrize("seed", range(4))
def test_lost_repeated_and_delayed_messages_change_nothing(seed):
    chance = random.Random(seed)

    def fate(sent):
        return Fate.DELIVER if sent.attempt > 4 else chance.choice(list(Fate))

    of = context(3)
    given = vectors(of)
    bus, results = on_the_bus(of, given, fate=fate, seed=seed)
    right(results, of, given)
    one_body_of_each(bus)
