"""How long a release waits: not for those that are away when the rest suffices, not at all when it cannot come about."""

from __future__ import annotations

import pytest
from release_world import HOLDERS, World

from cloister.foundation.errors import Refused
from cloister.identity.envelopes import EnvelopeSignature, with_signatures
from cloister.journal.runner import POINTS
from protections import federation as f
from release.test_release_on_the_journal import run_on
from simulators.bus import Bus, Crash, Fate, Sent


def bus_of(world, fate=lambda _sent: Fate.DELIVER, **options):
    bus = Bus(fate, 0)
    return bus, run_on(bus, world, **options)


def silent(party, kind="vote"):
    return lambda sent: Fate.DROP if (sent.sender, sent.kind) == (party, kind) else Fate.DELIVER


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_6_a_quorum_waits_only_the_grace_for_the_others(holder):
    world = World(holder=holder, agreement={"dropouts": 1})
    gone = world.owners[2]
    bus = Bus(silent(gone), 0)
    rows = run_on(bus, world, until=lambda rows: rows[f.USER].status == "done")
    assert rows[f.USER].status == "done"
    assert bus.timer.time < world.contexts[f.LAB].patience
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[:2])


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_6_votes_within_the_grace_are_in_the_certificate(holder):
    world = World(holder=holder)
    slow = world.owners[2]

    def fate(sent: Sent) -> Fate:
        late = (sent.sender, sent.kind) == (slow, "vote") and sent.attempt < 4
        return Fate.DROP if late else Fate.DELIVER

    _, rows = bus_of(world, fate)
    assert {row.status for row in rows.values()} == {"done"}
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners)


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_6_a_later_vote_is_acknowledged_and_its_sender_gets_the_certificate(holder):
    world = World(holder=holder)
    slow = world.owners[2]
    bus = Bus(
        lambda sent: (
            Fate.DROP
            if (sent.sender, sent.kind) == (slow, "vote") and not world.contexts[f.USER].shelf
            else Fate.DELIVER
        ),
        0,
    )
    rows = run_on(bus, world)
    assert {row.status for row in rows.values()} == {"done"}
    (kept,) = world.contexts[slow].shelf
    assert kept.certificate.signed_by == frozenset(world.owners[:2])
    assert bus.timer.time < world.contexts[f.LAB].patience
    assert not [event for event in bus.seats[slow].runner.events() if event.kind == "message.refused"]


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_6_a_release_that_cannot_come_about_is_refused_at_once_with_the_reason(holder):
    world = World(holder=holder)
    for name in world.owners[:2]:
        world.contexts[name].figure = 0.0
    bus = Bus(silent(world.owners[2]), 0)
    rows = run_on(bus, world, until=lambda rows: rows[f.USER].status == "failed")
    assert rows[f.LAB].failure["title"].startswith("The release was refused by 2 of 3 owners: not approved")
    assert bus.timer.time < world.contexts[f.LAB].grace


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_6_an_owner_that_left_is_not_hoped_for(holder):
    world = World(holder=holder, agreement={"dropouts": 1})
    world.contexts[world.owners[0]].figure = 0.0

    def broken(_local, _content, _metric):
        raise Refused("The worker was killed.")

    world.contexts[world.owners[1]].evaluate = broken
    bus = Bus(silent(world.owners[2]), 0)
    run_on(bus, world, until=lambda rows: rows[f.LAB].status == "failed")
    assert bus.timer.time < world.contexts[f.LAB].grace
    assert not world.contexts[f.USER].shelf


@pytest.mark.parametrize("holder", HOLDERS)
def test_rule_6_votes_that_do_not_hold_are_not_enough(holder):
    """Two claimed permits of which one is forged: the third owner's is waited for, and makes the quorum."""
    world = World(holder=holder)
    forger, slow = world.owners[0], world.owners[2]
    real = world.contexts[forger].sign
    world.contexts[forger].sign = lambda kind, document: real(kind, {"another": "statement"})
    bus = Bus(
        lambda sent: (
            Fate.DROP
            if (sent.sender, sent.kind) == (slow, "vote") and bus.timer.time < 20.0
            else Fate.DELIVER
        ),
        0,
    )
    run_on(bus, world)
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[1:])


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("place", [0, 1])
def test_rule_3_a_vote_with_another_entry_beside_its_signature_is_none_and_spoils_nothing(holder, place):
    """The others' votes make the quorum; the entry, which nobody checked, is not in the certificate."""
    world = World(holder=holder, agreement={"dropouts": 1})
    liar, slow = world.owners[0], world.owners[2]
    real = world.contexts[liar].sign

    def padded(kind, document):
        envelope = real(kind, document)
        junk = EnvelopeSignature(keyid=f"{liar}/x", sig="AAAA")
        both = (junk, *envelope.signatures) if place == 0 else (*envelope.signatures, junk)
        return with_signatures(envelope, both)

    world.contexts[liar].sign = padded
    # Longer than the grace that a quorum with the liar's vote would have had.
    bus = Bus(
        lambda sent: (
            Fate.DROP
            if (sent.sender, sent.kind) == (slow, "vote") and bus.timer.time < 30.0
            else Fate.DELIVER
        ),
        0,
    )
    rows = run_on(bus, world)
    assert rows[f.USER].status == "done"
    certificate = world.contexts[f.USER].shelf[0].certificate
    assert certificate.signed_by == frozenset(world.owners[1:])
    assert len(certificate.envelope.signatures) == 2


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_coordinator_waits_for_recipients_but_not_for_owners_that_are_away(holder):
    world = World(holder=holder)
    gone = world.owners[2]
    bus = Bus(
        lambda sent: Fate.DROP if sent.to == gone and sent.kind == "certificate" else Fate.DELIVER,
        0,
    )
    rows = run_on(bus, world, until=lambda rows: rows[f.LAB].status == "done")
    assert rows[f.LAB].status == "done"
    assert bus.timer.time < world.contexts[f.LAB].patience


@pytest.mark.parametrize("point", POINTS)
def test_a_coordinator_killed_between_quorum_and_certificate_makes_the_same_certificate(point):
    world = World(preferences={"rounds": 1, "round_seconds": 30})
    lab, gone = world.plan.offer.seats["coordinator"][0], world.owners[2]
    crashes = [Crash(lab, point, nth) for nth in (4, 6, 7, 8, 9)]
    bus = Bus(silent(gone), 0)
    rows = run_on(
        bus, world, crashes=crashes, until=lambda rows: rows[lab].status == rows[f.USER].status == "done"
    )
    (release,) = world.contexts[f.USER].shelf
    assert release.certificate.signed_by == frozenset(world.owners[:2])
    assert len({kept.certificate.envelope.digest for kept in world.contexts[lab].shelf}) == 1
    assert rows[lab].status == "done"
