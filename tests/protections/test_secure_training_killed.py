"""Kill matrix of a private training behind secure sums: whoever dies or freezes wherever, it ends right or refuses clearly.

On the journal's own runner, in one process: a kill is what a power cut leaves on disk. After each run three things are held
against everything that crossed: owners end with one model; each owner's budget was charged once, in full; and no owner ever
sent two masked vectors for one round, which together would give away what the masks hide. That the last would be found is
shown with a planted fault.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.aggregation import PartySigning
from cloister.foundation.errors import CloisterError
from cloister.journal.program import Program
from cloister.journal.runner import POINTS
from cloister.privacy.filters import EPSILON_GRAIN
from cloister.protections.federated import contribution
from protections import federation as f
from protections.private_world import KEYS, PrivateEngine, programs, request, settings
from simulators.bus import TASK, Bus, Crash, Fate, Ports, run_task
from simulators.crossed import second_vectors

PRIVATE = settings(epsilon=4.0, rounds=2)
LOOSE = settings(5, dropouts=1, epsilon=4.0, rounds=2)
STEPS = 11
"""Steps of an owner: one to begin with, five for each of two rounds."""


def run(of=PRIVATE, owners=3, *, fate=lambda _sent: Fate.DELIVER, seed=0, faulty=None, **options):
    """`faulty`: what becomes of the program of the first owner, given the bus."""
    asked, made = request(owners), programs(of, owners)
    parties = sorted(asked.datasets)
    ports = {}
    for party in (*parties, f.LAB):
        own = (
            {}
            if party == f.LAB
            else {asked.datasets[party]: f.FakePort(asked.datasets[party], Path("/data") / party)}
        )
        ports[party] = Ports(
            datasets=own, contents={f.digest(f.MODEL): f.MODEL}, engines={"jax": PrivateEngine()}
        )
        ports[party].signing = PartySigning(KEYS, KEYS.secret[party])
    bus = Bus(fate, seed)
    seats = {"owner": tuple(parties), "coordinator": (f.LAB,)}
    of_seat = {**dict.fromkeys(parties, made["owner"]), f.LAB: made["coordinator"]}
    if faulty is not None:
        of_seat[f.OWNERS[0]] = faulty(made["owner"], bus)
    results = run_task(of_seat, seats, ports, bus=bus, fate=fate, seed=seed, **options)
    return results, bus, ports


def crossed(bus):
    """Each transmission as `second_vectors` takes it."""
    return [(sent.sender, sent.to, TASK, sent.kind, sent.body) for sent in bus.transcript]


def never_wrong(results, bus, ports, of=PRIVATE):
    """What holds however the task ended."""
    owners = [party for party in results if party != f.LAB]
    models = {results[party].candidate.content for party in owners if results[party].candidate}
    assert len(models) <= 1
    for party in owners:
        assert len(ports[party].spent) <= 1, "charged twice"
        if any(sent.sender == party and sent.kind.startswith("mask-") for sent in bus.transcript):
            (charge,) = ports[party].spent
            assert charge.epsilon == pytest.approx(of.private.run.loss().epsilon * EPSILON_GRAIN)
    assert not second_vectors(crossed(bus)), "two vectors under the same masks"
    said = {}
    for sender, to, _, kind, body in crossed(bus):
        assert said.setdefault((sender, to, kind), body) == body, f"two bodies of {kind}"
    return models


def right(results, bus, ports, of=PRIVATE):
    """The task is done, with one model at all owners."""
    assert {result.status for result in results.values()} == {"done"}, {
        party: result.failure for party, result in results.items()
    }
    (model,) = never_wrong(results, bus, ports, of)
    assert results[f.LAB].candidate.facts["content"] == f.digest(model)
    assert all(len(ports[party].spent) == 1 for party in results if party != f.LAB)


def test_undisturbed_it_ends_with_one_model():
    right(*run())


@pytest.mark.parametrize("point", POINTS)
def test_everybody_killed_once_at_every_point_ends_right(point):
    right(
        *run(crashes=[Crash(party, point, 1 + place) for place, party in enumerate((*f.OWNERS[:3], f.LAB))])
    )


@pytest.mark.parametrize("nth", range(1, STEPS + 1))
def test_killed_in_every_phase_just_before_and_just_after_it_is_on_disk_it_ends_right(nth):
    """The n-th step is the n-th phase."""
    crashes = [
        Crash(f.OWNERS[0], "commit.before", nth),
        Crash(f.OWNERS[1], "commit.after", nth),
        Crash(f.LAB, "commit.before", nth),
        Crash(f.LAB, "commit.after", nth + 1),
    ]
    right(*run(crashes=crashes))


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "party", [f.OWNERS[0], f.OWNERS[2], f.LAB], ids=["an owner", "the last owner", "coordinator"]
)
@pytest.mark.parametrize("point", POINTS)
def test_each_party_killed_at_every_passing_of_every_point_ends_right(point, party):
    for nth in itertools.count(1):
        found, bus, ports = run(crashes=[Crash(party, point, nth)])
        right(found, bus, ports)
        if bus.seats[party].passings(point) < nth:
            break
    # An owner sends a message in each step but the last, and hears one in each but the first.
    assert nth >= STEPS


def hasty(program: Program, bus: Bus) -> Program:
    """The program of an owner whose node sends what a step made before that is on disk."""

    def made(name, phase):
        def step(local, inbox):
            done = phase.step(local, inbox)
            for message in done.send:
                with contextlib.suppress(CloisterError):
                    bus.carry(local.party, message.to, TASK, name, message.kind, 1 << 40, message.body)
            return done

        return replace(phase, step=step)

    return Program(program.first, {name: made(name, phase) for name, phase in program.phases.items()})


def draw_noise_anew(monkeypatch):
    """Plants noise that is not journalled: a step that runs again draws another."""
    journalled = contribution.secret
    monkeypatch.setattr(
        contribution,
        "secret",
        lambda local, label: os.urandom(32) if label.startswith("noise-") else journalled(local, label),
    )


MASKING = 3
"""The step in which an owner masks its first vector."""


def test_a_vector_that_crossed_before_it_was_on_disk_is_made_again_alike():
    """The noise is journalled, so not even this fault, which the check of whole messages finds, gives a second vector."""
    found = run(faulty=hasty, crashes=[Crash(f.OWNERS[0], "commit.before", MASKING)])
    assert not second_vectors(crossed(found[1]))
    with pytest.raises(AssertionError, match="two bodies of mask-1"):
        never_wrong(*found)


def test_a_second_noisy_vector_under_the_same_masks_would_be_found(monkeypatch):
    """Planted: the node sends before it commits, and draws its noise anew when the step runs again."""
    draw_noise_anew(monkeypatch)
    found = run(faulty=hasty, crashes=[Crash(f.OWNERS[0], "commit.before", MASKING)])
    with pytest.raises(AssertionError, match="two vectors under the same masks"):
        never_wrong(*found)
    assert second_vectors(crossed(found[1])) == [(f.OWNERS[0], TASK, "mask-1")]


def set_back(folder: Path, at: int) -> list[tuple[str, str, str, str, bytes]]:
    """Runs a task twice: the first owner goes on from its disk as it was before its step `at`. What crossed, of both."""
    steps = itertools.count(1)

    def kept(program: Program, _bus: Bus) -> Program:
        def made(phase):
            def step(local, inbox):
                if next(steps) == at:
                    shutil.copytree(folder / "first" / local.party[:8], folder / "older")
                return phase.step(local, inbox)

            return replace(phase, step=step)

        return Program(program.first, {name: made(phase) for name, phase in program.phases.items()})

    first = run(faulty=kept, folder=folder / "first")
    right(*first)
    shutil.copytree(folder / "first", folder / "second")
    shutil.rmtree(folder / "second" / f.OWNERS[0][:8])
    (folder / "older").rename(folder / "second" / f.OWNERS[0][:8])
    _, bus, _ = run(folder=folder / "second")
    assert any(sent.kind.startswith("mask-") for sent in bus.transcript), "it never got to its vector again"
    return crossed(first[1]) + crossed(bus)


@pytest.mark.parametrize("at", [MASKING, MASKING + 5])
def test_an_owner_set_back_to_an_older_disk_makes_no_second_vector(tmp_path, at):
    assert not second_vectors(set_back(tmp_path, at))


def test_a_second_vector_from_an_older_disk_would_be_found(tmp_path, monkeypatch):
    """Planted: noise that is not journalled."""
    draw_noise_anew(monkeypatch)
    assert second_vectors(set_back(tmp_path, MASKING)) == [(f.OWNERS[0], TASK, "mask-1")]


@pytest.mark.parametrize("seed", range(3))
def test_lost_repeated_and_delayed_messages_change_nothing(seed):
    chance = random.Random(seed)

    def fate(sent):
        return Fate.DELIVER if sent.attempt > 4 else chance.choice(list(Fate))

    right(*run(fate=fate, seed=seed))


@pytest.mark.parametrize("stage", ["announce", "share", "mask", "endorse", "reveal"])
def test_an_owner_frozen_in_a_phase_is_waited_for(stage):
    """SIGSTOP: it hears and says nothing for a while, and goes on."""
    frozen = f.OWNERS[1]

    def fate(sent):
        still = sent.kind in (f"{stage}-1", f"{stage}-2") and sent.sender == frozen and sent.attempt < 4
        return Fate.DROP if still else Fate.DELIVER

    right(*run(fate=fate))


@pytest.mark.parametrize("stage", ["announce", "share", "mask", "endorse", "reveal"])
def test_an_owner_that_never_comes_back_is_gone_without_and_nothing_is_opened_twice(stage):
    gone = f.OWNERS[3]

    def fate(sent):
        return Fate.DROP if sent.sender == gone and sent.kind == f"{stage}-2" else Fate.DELIVER

    results, bus, ports = run(LOOSE, 5, fate=fate)
    models = never_wrong(results, bus, ports, LOOSE)
    assert len(models) == 1
    rest = [party for party in results if party not in (gone, f.LAB)]
    assert {results[party].status for party in rest} == {"done"}


def test_when_too_many_never_come_back_it_refuses_clearly():
    gone = set(f.OWNERS[:2])

    def fate(sent):
        return Fate.DROP if sent.sender in gone and sent.kind == "mask-1" else Fate.DELIVER

    results, bus, ports = run(LOOSE, 5, fate=fate)
    assert not never_wrong(results, bus, ports, LOOSE)
    assert results[f.LAB].status == "failed"
    assert results[f.LAB].phase == "collect-1"


def test_the_coordinator_that_never_comes_back_leaves_no_model():
    def fate(sent):
        return Fate.DROP if sent.sender == f.LAB and sent.kind == "confirm-2" else Fate.DELIVER

    results, bus, ports = run(fate=fate)
    assert not never_wrong(results, bus, ports)
    assert {results[party].status for party in f.OWNERS[:3]} == {"failed"}
