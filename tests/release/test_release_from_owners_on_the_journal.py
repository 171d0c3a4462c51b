"""The release of what owners hold, by the journal's own runner: nodes that are killed, away or late at any point.

Rules are those of `release.program` and `release.delivery`.
"""

from __future__ import annotations

import numpy as np
import pytest
from release_world import HELD, World, f

from cloister.claims.offers import Computation
from cloister.foundation.digests import digest
from cloister.foundation.errors import Refused
from cloister.journal.runner import POINTS
from cloister.release import messages
from cloister.release.delivery import ARRIVAL
from cloister.storage.blobs import INLINE
from release.test_release_from_owners import TO_USER, parts
from release.test_release_on_the_journal import run_on
from simulators.bus import TASK, Bus, Crash, Fate


def made(**changes):
    return World(holder="owner", **changes)


def hurried():
    """With less patience: repeating what does not arrive takes time, also where time is simulated."""
    world = made()
    for context in world.contexts.values():
        context.patience, context.waiting = 10.0, 25.0
    return world


def on_bus(world, fate=lambda _sent: Fate.DELIVER, **options):
    bus = Bus(fate, 0)
    return bus, run_on(bus, world, **options)


def statuses(rows):
    return {row.status for row in rows.values()}


def contents(world, *parties):
    return [[item.content for item in world.contexts[name].shelf] for name in parties]


def over(party):
    return lambda rows: rows[party].status != "running"


@pytest.mark.parametrize("who", [{}, TO_USER, TO_USER | {"recipients": (f.LAB,)}])
def test_undisturbed_it_ends_as_soon_as_everybody_has_answered(who):
    world = made(**who)
    bus, rows = on_bus(world)
    assert statuses(rows) == {"done"}
    assert bus.timer.time < world.contexts[f.LAB].grace
    events = [event for seat in bus.seats.values() for event in seat.runner.events()]
    refused = [event.facts for event in events if event.kind == "message.refused"]
    # A recipient's task is over once it has the content: whoever sends it second is told so.
    assert {(item["kind"], item["clause"]) for item in refused} <= {(messages.CONTENT, "task-over")}


@pytest.mark.parametrize("point", POINTS)
def test_everybody_is_killed_again_and_again_and_the_release_is_the_same(point):
    world = made()
    crashes = [Crash(party, point, nth) for party in world.plan.parties for nth in range(1, 7)]
    bus, rows = on_bus(world, crashes=crashes)
    assert statuses(rows) == {"done"}, {party: row.failure for party, row in rows.items()}
    assert contents(world, f.USER, f.LAB) == [[HELD], [HELD]]
    assert contents(world, *world.owners) == [[None]] * 3
    kept = [context.shelf[0].certificate.envelope.digest for context in world.contexts.values()]
    assert len(set(kept)) == 1
    assert all(len(world.contexts[name].counted) == 1 for name in world.owners)
    assert all(seat._passed[point] >= 1 for seat in bus.seats.values() if not point.startswith("accept"))


def test_rule_7_nothing_of_it_crosses_to_a_coordinator_that_is_no_recipient_however_often_it_is_sent():
    weights = np.random.default_rng(7).normal(1.0, 0.1, 20_000).astype(np.float32)
    large = f.model_bytes(weights)
    assert len(large) > INLINE
    model = f.model_bytes(np.zeros(20_000))
    agreement = TO_USER["agreement"] | {"release": {"quorum": 2, "max_bytes": 1 << 20}}
    world = made(
        **(TO_USER | {"agreement": agreement}),
        held=dict.fromkeys(f.OWNERS, large),
        model=model,
        parameters=20_000,
        computation=Computation(kind="training", contents={"model": digest(model)}, settings=f.recipe()),
    )
    bus, rows = on_bus(
        world, lambda sent: Fate.DUPLICATE if sent.attempt > 1 else Fate.LOSE_ANSWER, until=over(f.USER)
    )
    assert contents(world, f.USER) == [[large]]
    looked_for = parts(large, 16)[:: 16 * 50]
    crossed = [sent.body for sent in bus.transcript if sent.to == f.LAB]
    assert len(crossed) > 9
    assert not [1 for body in crossed for part in looked_for if part in body]
    assert [1 for sent in bus.transcript if sent.to == f.USER and all(p in sent.body for p in looked_for)]
    assert rows[f.LAB].status != "failed"
    assert not list(bus.seats[f.LAB].durable.blobs.names())


def test_rule_4_the_first_content_is_taken_and_the_second_not_waited_for():
    world = made()
    late = sorted(world.owners)[1]
    bus, rows = on_bus(
        world,
        lambda sent: Fate.DROP if (sent.sender, sent.kind) == (late, messages.CONTENT) else Fate.DELIVER,
        until=lambda rows: rows[f.USER].status == "done" and rows[f.LAB].status == "done",
    )
    assert rows[f.USER].status == rows[f.LAB].status == "done"
    assert contents(world, f.USER, f.LAB) == [[HELD], [HELD]]
    assert bus.timer.time < world.contexts[f.LAB].patience


def test_rule_2_a_signer_that_dies_before_it_delivers_holds_nobody_up():
    world = made()
    dead = min(world.owners)

    def die(_release):
        raise Refused("Its disk is gone.")

    world.contexts[dead].store = die
    bus, rows = on_bus(world, until=lambda rows: rows[f.USER].status == rows[f.LAB].status == "done")
    assert rows[dead].status == "failed"
    assert contents(world, f.USER, f.LAB) == [[HELD], [HELD]]
    assert bus.timer.time < world.contexts[f.LAB].patience


def test_rule_5_once_both_have_left_nobody_waits_for_them():
    world = made()

    def die(_release):
        raise Refused("Its disk is gone.")

    for name in sorted(world.owners)[:2]:
        world.contexts[name].store = die
    bus, rows = on_bus(world)
    for name in (f.USER, f.LAB):
        assert rows[name].status == "failed"
        assert rows[name].phase == ARRIVAL
        assert rows[name].failure["phase"] == ARRIVAL
        assert not world.contexts[name].shelf
    assert bus.timer.time < world.contexts[f.LAB].patience


def test_rule_5_while_both_are_silent_recipients_wait_as_long_as_for_a_release_and_then_say_what_for():
    world = hurried()
    bus, rows = on_bus(
        world, lambda sent: Fate.DROP if sent.kind == messages.CONTENT else Fate.DELIVER, until=over(f.USER)
    )
    assert rows[f.USER].failure["phase"] == ARRIVAL
    assert bus.timer.time >= world.contexts[f.USER].waiting


def test_senders_that_come_back_within_that_time_still_deliver():
    world = hurried()
    back = 1.5 * world.contexts[f.LAB].patience
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    bus.fate = lambda sent: (
        Fate.DROP if sent.kind == messages.CONTENT and bus.timer.time < back else Fate.DELIVER
    )
    rows = run_on(bus, world)
    assert statuses(rows) == {"done"}
    assert contents(world, f.USER, f.LAB) == [[HELD], [HELD]]


def test_a_content_that_comes_before_the_certificate_waits_for_it():
    world = made()
    bus, rows = on_bus(
        world,
        lambda sent: (
            Fate.DROP
            if (sent.to, sent.kind) == (f.USER, messages.CERTIFICATE) and sent.attempt < 5
            else Fate.DELIVER
        ),
    )
    assert statuses(rows) == {"done"}
    first = [sent.kind for sent in bus.transcript if sent.to == f.USER and sent.kind == messages.CONTENT]
    assert len(first) > 2  # told to come again
    assert contents(world, f.USER) == [[HELD]]


def test_a_recipient_that_was_away_finds_certificate_and_content_when_it_comes():
    world = made()
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    away = 2 * world.contexts[f.LAB].patience
    bus.fate = lambda sent: Fate.DROP if sent.to == f.USER and bus.timer.time < away else Fate.DELIVER
    rows = run_on(bus, world)
    assert statuses(rows) == {"done"}
    assert contents(world, f.USER, f.LAB) == [[HELD], [HELD]]


def test_a_content_to_a_coordinator_that_is_no_recipient_is_refused_unread():
    world = made(**TO_USER)
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    run_on(bus, world, until=lambda rows: rows[f.LAB].program == "release")
    body = messages.write(messages.ContentHeader(content="sha256:" + "0" * 64), HELD)
    with pytest.raises(Refused) as refused:
        bus.seats[f.LAB].runner.deliver(TASK, world.owners[0], ARRIVAL, messages.CONTENT, 99, body)
    assert refused.value.clause == "message-wrong-kind"
