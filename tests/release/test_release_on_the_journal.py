"""Training, then release, by the journal's own runner: lossy links, and nodes that are killed anywhere."""

from __future__ import annotations

import random

import pytest
from release_world import HOLDERS, World

from cloister.journal.ports import Following
from cloister.journal.runner import POINTS
from cloister.release import release_program
from protections import federation as f
from simulators.bus import TASK, Bus, Crash, Fate, Ports, _Seat

TRAINING, RELEASE = "protection", "release"


class ChainedSeat(_Seat):
    """A node that goes on from the protection's program to the release's."""

    def __init__(self, bus, party, world, ports, crashes):
        self.world, self.context = world, world.contexts[party]
        self.seat = world.plan.offer.seat_of(party)
        super().__init__(bus, party, None, ports, crashes)

    def program(self, task):
        if task.program == RELEASE:
            return release_program(task.seat, self.context)
        return self.world.protection(task.seat, self.party)

    def later(self, task):
        return () if task.program == RELEASE else (release_program(task.seat, self.context),)

    def finished(self, tx, task, candidate):
        if task.program == RELEASE:
            return None
        tx.after_commit(lambda: setattr(self.context, "candidate", candidate))
        return Following(RELEASE)

    def start(self):
        first = RELEASE if self.seat == "recipient" else TRAINING
        self.runner.start(TASK, self.seat, self.world.plan.offer.seats, first)


def run(world, *, fate=lambda _sent: Fate.DELIVER, crashes=(), seed=0):
    return run_on(Bus(fate, seed), world, crashes=crashes)


def run_on(bus, world, *, crashes=(), until=lambda _rows: False):
    """Runs a task until nobody has anything to do, or until a condition on its rows holds."""
    for node in world.loop.nodes.values():
        ports = Ports(
            datasets=node.ports, contents=node.contents, engines={"jax": node.worker, "examiner": node.worker}
        )
        own = [crash for crash in crashes if crash.party == node.party]
        bus.seats[node.party] = ChainedSeat(bus, node.party, world, ports, own)
    for seat in bus.seats.values():
        seat.start()

    def rows():
        return {party: seat.runner.task(TASK) for party, seat in bus.seats.items()}

    bus.settle(until=lambda: until(rows()))
    return rows()


def released(world, rows):
    assert {row.status for row in rows.values()} == {"done"}, {
        party: row.failure for party, row in rows.items()
    }
    (release,) = world.contexts[f.USER].shelf
    assert len(release.certificate.signed_by) >= 2
    return release


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_task_ends_in_a_release_at_every_party(holder):
    world = World(holder=holder)
    release = released(world, run(world))
    for name in world.owners:
        assert world.contexts[name].shelf[0].certificate == release.certificate


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("seed", range(3))
def test_lost_repeated_and_delayed_messages_change_nothing(holder, seed):
    chance = random.Random(seed)
    world = World(holder=holder)
    rows = run(
        world,
        fate=lambda sent: Fate.DELIVER if sent.attempt > 4 else chance.choice(list(Fate)),
        seed=seed,
    )
    released(world, rows)


@pytest.mark.parametrize("point", POINTS)
def test_nodes_that_are_killed_anywhere_still_end_in_the_same_release(point):
    world = World(preferences={"rounds": 2, "round_seconds": 30})
    seats = world.plan.offer.seats
    crashes = [
        Crash(seats["coordinator"][0], point, 3),
        Crash(seats["coordinator"][0], point, 9),
        Crash(seats["owner"][0], point, 5),
        Crash(seats["owner"][1], point, 6),
        Crash(seats["recipient"][0], point, 1),
    ]
    released(world, run(world, crashes=crashes))
    assert len(world.contexts[world.owners[0]].counted) == 1


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_refused_release_fails_everywhere_by_the_phases_name(holder):
    world = World(holder=holder)
    for name in world.owners:
        world.contexts[name].figure = 0.0
    rows = run(world)
    assert {row.status for row in rows.values()} == {"failed"}
    assert rows[f.LAB].failure["phase"] == "votes"
    assert not [context for context in world.contexts.values() if context.shelf]


@pytest.mark.parametrize("holder", HOLDERS)
def test_an_owner_whose_gate_breaks_does_not_stop_the_others(holder):
    world = World(holder=holder, agreement={"dropouts": 1})

    def broken(_local, _content, _metric):
        raise f.Refused("The worker was killed.")

    world.contexts[world.owners[0]].evaluate = broken
    rows = run(world)
    assert rows[world.owners[0]].status == "failed"
    assert rows[f.LAB].status == "done"
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[1:])
