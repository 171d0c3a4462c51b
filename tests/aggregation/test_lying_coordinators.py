"""A coordinator that lies gets no sum but the endorsed one, no single vector, and no wrong sum accepted."""

from __future__ import annotations

import pytest

from aggregation.world import (
    CARDS,
    COORDINATOR,
    NAMES,
    World,
    context,
    coordinator,
    digest,
    participant,
    vectors,
)
from cloister import aggregation
from cloister.aggregation import messages, states
from cloister.aggregation.messages import (
    Announcements,
    Deliveries,
    Endorsements,
    Reveal,
    SignedAnnouncement,
    SignedEndorsement,
    SignedMasked,
    Survivors,
    Total,
    read,
    write,
)
from cloister.aggregation.turns import keep, load
from cloister.aggregation.vectors import wire_size
from cloister.foundation.errors import BadInput, Conflict, NotTrusted, Tampered, TaskFailed


class Puppets:
    """Participants driven by hand, up to a stage, by a coordinator that may do as it likes."""

    def __init__(self, of, parties=None):
        self.context, self.vectors = of, vectors(of)
        self.nodes = {party: participant(of, party) for party in parties or of.roster}
        self.states: dict[str, bytes] = {}

    def announce(self):
        return {party: self.take(party, node.announce()) for party, node in self.nodes.items()}

    def take(self, party, turn):
        self.states[party] = turn.state
        return turn.send[COORDINATOR]

    def share(self, bodies):
        return {
            party: self.take(party, self.nodes[party].share(self.states[party], body))
            for party, body in bodies.items()
        }

    def mask(self, bodies):
        return {
            party: self.take(party, self.nodes[party].mask(self.states[party], body, self.vectors[party]))
            for party, body in bodies.items()
        }

    def endorse(self, bodies):
        return {
            party: self.take(party, self.nodes[party].endorse(self.states[party], body))
            for party, body in bodies.items()
        }

    def until_masked(self):
        """Honestly up to the masked vectors; the coordinator's state, and what the participants sent."""
        centre = coordinator(self.context)
        turn = centre.gather(self.announce())
        turn = centre.relay(turn.state, self.share(turn.send))
        return turn.state, self.mask(turn.send)

    def masked(self, bodies, parties):
        of = self.context.encoding
        size = wire_size(of)
        return Survivors(
            masked=tuple(read(SignedMasked, bodies[party], size)[0] for party in sorted(parties))
        )


def endorsements(bodies, parties):
    items = tuple(read(SignedEndorsement, bodies[party])[0] for party in sorted(parties))
    return write(Endorsements(endorsements=items))


def announcements(bodies):
    return [read(SignedAnnouncement, body)[0] for _, body in sorted(bodies.items())]


def test_other_weights_to_one_participant_are_noticed_before_any_share_leaves():
    """Rule 1 of `context`; rules 1 and 2 of `participant`."""
    of, other = context(3), context(3, weights=digest("others"))
    puppets = Puppets(of)
    puppets.nodes[NAMES[1]] = participant(other, NAMES[1])
    body = write(Announcements(announcements=tuple(announcements(puppets.announce()))))
    for party, node in puppets.nodes.items():
        with pytest.raises(Tampered) as caught:
            node.share(puppets.states[party], body)
        assert caught.value.clause == "aggregation-context"


@pytest.mark.parametrize(
    "change",
    [
        {"computation": digest("x")},
        {"hyperparameters": digest("x")},
        {"attempt": 2},
        {"label": "round-2"},
        {"task": "another"},
        {"roster": (*NAMES[:2], NAMES[3])},
        {"coordinator": NAMES[9]},
        {"encoding": aggregation.integers(20, 3, 999)},
    ],
)
def test_whatever_differs_is_another_context(change):
    """Rule 1 of `context`."""
    of = context(3)
    puppets = Puppets(of)
    puppets.nodes[NAMES[1]] = participant(context(3, **change), NAMES[1])
    bodies = puppets.nodes[NAMES[1]].announce().send
    said = {
        party: node.announce().send[COORDINATOR] for party, node in puppets.nodes.items() if party != NAMES[1]
    }
    said[NAMES[1]] = next(iter(bodies.values()))
    with pytest.raises(TaskFailed) as caught:
        coordinator(of).gather(said)
    assert set(caught.value.detail["left_out"]) == {NAMES[1]}


def test_an_announcement_of_an_earlier_attempt_is_refused():
    """Rule 3 of `context`: replayed keys."""
    old, new = Puppets(context(3)), Puppets(context(3, attempt=2))
    items = announcements(new.announce())
    items[1] = announcements(old.announce())[1]
    for party in (NAMES[0], NAMES[1]):
        with pytest.raises(Tampered):
            new.nodes[party].share(new.states[party], write(Announcements(announcements=tuple(items))))


def test_keys_that_the_coordinator_put_in_are_refused():
    of = context(3)
    puppets = Puppets(of)
    items = announcements(puppets.announce())
    own = participant(of, NAMES[1], "the coordinator's").announce().send[COORDINATOR]
    forged = read(SignedAnnouncement, own)[0].content
    for signature in (
        items[1].signature,
        messages.signed(forged, aggregation.PartySigning(CARDS, CARDS.of[COORDINATOR])),
    ):
        changed = (items[0], SignedAnnouncement(content=forged, signature=signature), items[2])
        with pytest.raises(NotTrusted):
            puppets.nodes[NAMES[0]].share(
                puppets.states[NAMES[0]], write(Announcements(announcements=changed))
            )


def test_a_participant_whose_own_keys_were_swapped_notices():
    """Rule 1 of `participant`: even keys under its own, earlier signature."""
    of = context(3)
    puppets = Puppets(of)
    items = announcements(puppets.announce())
    items[0] = read(SignedAnnouncement, participant(of, NAMES[0], "b").announce().send[COORDINATOR])[0]
    with pytest.raises(Tampered):
        puppets.nodes[NAMES[0]].share(
            puppets.states[NAMES[0]], write(Announcements(announcements=tuple(items)))
        )


@pytest.mark.parametrize("how", ["twice", "order", "few", "stranger", "none"])
def test_lists_that_are_not_lists_of_members_are_refused(how):
    """Rules 1 and 2 of `transcript`."""
    of = context(4, dropouts=0)
    puppets = Puppets(of)
    items = announcements(puppets.announce())
    stranger = announcements(Puppets(context(4, roster=tuple(NAMES[1:5]))).announce())[3]
    wrong = {
        "twice": [items[0], *items],
        "order": items[::-1],
        "few": items[:3],
        "stranger": [*items[:3], stranger],
        "none": [],
    }[how]
    with pytest.raises((Tampered, TaskFailed)):
        puppets.nodes[NAMES[0]].share(
            puppets.states[NAMES[0]], write(Announcements(announcements=tuple(wrong)))
        )


def test_participants_that_were_shown_different_announcements_notice_before_masking():
    """Rule 2 of `participant`: n = 5, one dropout permitted, two different sets of four."""
    puppets = Puppets(context(5, dropouts=1))
    items = announcements(puppets.announce())
    sets = {party: items[:4] if party < NAMES[2] else items[1:] for party in NAMES[:5]}
    shared = {}
    for party in (NAMES[0], NAMES[1], NAMES[2], NAMES[3]):
        shared |= puppets.share({party: write(Announcements(announcements=tuple(sets[party])))})
    messages_ = {party: read(messages.SharingMessage, body)[0] for party, body in shared.items()}
    me = NAMES[1]
    body = write(
        Deliveries(
            sharings=tuple(item.sharing for _, item in sorted(messages_.items())),
            parcels={party: item.parcels[me] for party, item in messages_.items() if party != me},
        )
    )
    with pytest.raises(Tampered, match="shown something else"):
        puppets.mask({me: body})


def test_of_two_sets_of_survivors_none_or_one_is_opened():
    """Rule 5 of `participant`: every way of telling five participants, one of whom colludes, of two sets."""
    of = context(5, dropouts=1)
    roster = list(of.roster)
    puppets = Puppets(of)
    _, bodies = puppets.until_masked()
    sets = [set(roster[:4]), set(roster[1:])]
    lists = [write(puppets.masked(bodies, parties)) for parties in sets]
    masked_states = dict(puppets.states)
    said = [
        {
            party: (turn.state, turn.send[COORDINATOR])
            for party in parties
            for turn in [puppets.nodes[party].endorse(masked_states[party], body)]
        }
        for parties, body in zip(sets, lists, strict=True)
    ]
    colluder = roster[2]
    for choice in range(2**3):
        told = {party: choice >> place & 1 for place, party in enumerate([roster[1], roster[3], roster[4]])}
        told |= {roster[0]: 0, roster[4]: 1}
        opened = []
        for which in (0, 1):
            there = [party for party in sorted(sets[which]) if party == colluder or told.get(party) == which]
            body = endorsements({party: said[which][party][1] for party in there}, there)
            for party in there:
                if party == colluder:
                    continue
                try:
                    puppets.nodes[party].reveal(said[which][party][0], body)
                except TaskFailed:
                    continue
                opened.append(which)
        assert len(set(opened)) <= 1


def test_a_participant_endorses_and_reveals_once():
    """Rule 1 of `turns`, rule 5 of `participant`: both shares of one participant never leave."""
    of = context(5, dropouts=1)
    puppets = Puppets(of)
    _, bodies = puppets.until_masked()
    first, second = of.roster[:4], of.roster[1:]
    said = puppets.endorse(dict.fromkeys(first, write(puppets.masked(bodies, first))))
    me = of.roster[1]
    node, state = puppets.nodes[me], puppets.states[me]
    with pytest.raises(Conflict):
        node.endorse(state, write(puppets.masked(bodies, second)))
    turn = node.reveal(state, endorsements(said, first))
    message, _ = read(Reveal, turn.send[COORDINATOR])
    assert not set(message.mask_shares) & set(message.seed_shares)
    assert set(message.mask_shares) == set(first)
    assert set(message.seed_shares) == {of.roster[4]}
    for step in (node.reveal, node.endorse):
        with pytest.raises(Conflict):
            step(turn.state, endorsements(said, first))


def test_shares_are_revealed_only_on_t_endorsements_of_survivors():
    """Rule 5 of `participant`."""
    of = context(5, dropouts=1)
    puppets = Puppets(of)
    _, bodies = puppets.until_masked()
    said = puppets.endorse(dict.fromkeys(of.roster[:4], write(puppets.masked(bodies, of.roster[:4]))))
    other = Puppets(of)
    _, others = other.until_masked()
    elsewhere = other.endorse(dict.fromkeys(of.roster[:4], write(other.masked(others, of.roster[:4]))))
    me = of.roster[0]
    items = [read(SignedEndorsement, said[party])[0] for party in of.roster[:4]]
    foreign = read(SignedEndorsement, elsewhere[of.roster[3]])[0]
    forged = SignedEndorsement(
        content=items[3].content.model_copy(update={"party": of.roster[4]}), signature=items[3].signature
    )
    for wrong in (items[:3], [*items[:3], items[2]], [*items[:3], foreign], [*items[:3], forged]):
        with pytest.raises((TaskFailed, NotTrusted)):
            puppets.nodes[me].reveal(puppets.states[me], write(Endorsements(endorsements=tuple(wrong))))
    puppets.nodes[me].reveal(puppets.states[me], write(Endorsements(endorsements=tuple(items))))


def test_a_survivor_that_is_left_out_or_misquoted_does_not_endorse():
    """Rule 1 of `participant`."""
    of = context(5, dropouts=1)
    puppets = Puppets(of)
    _, bodies = puppets.until_masked()
    with pytest.raises(Tampered):
        puppets.endorse({of.roster[0]: write(puppets.masked(bodies, of.roster[1:]))})
    twin = participant(of, of.roster[0])
    assert twin.party == of.roster[0]
    items = list(puppets.masked(bodies, of.roster[:4]).masked)
    content = items[0].content.model_copy(update={"vector": items[1].content.vector})
    signing = aggregation.PartySigning(CARDS, CARDS.of[of.roster[0]])
    items[0] = SignedMasked(content=content, signature=messages.signed(content, signing))
    with pytest.raises(Tampered):
        puppets.endorse({of.roster[0]: write(Survivors(masked=tuple(items)))})


def test_sharings_and_parcels_that_were_exchanged_are_refused():
    """Rule 1 of `participant`: a parcel that was not signed, and an own sharing of another run under its own signature."""
    of = context(3)
    puppets, me = Puppets(of), of.roster[2]
    gathered = coordinator(of).gather(puppets.announce())
    bodies = puppets.share(gathered.send)
    delivered, _ = read(Deliveries, coordinator(of).relay(gathered.state, bodies).send[me])
    sender = of.roster[0]
    parcel = delivered.parcels[sender]
    sealed = delivered.parcels[of.roster[1]].sealed
    changed = {**delivered.parcels, sender: parcel.model_copy(update={"sealed": sealed})}
    with pytest.raises(Tampered, match="one that its sender signed"):
        puppets.mask({me: write(delivered.model_copy(update={"parcels": changed}))})
    # The same node shares a second time, as if it had been restored from a backup.
    twin = participant(of, me)
    again = twin.share(twin.announce().state, gathered.send[me]).send[COORDINATOR]
    sharing = read(messages.SharingMessage, again)[0].sharing
    sharings = (*delivered.sharings[:2], sharing)
    with pytest.raises(Tampered, match="not the one that it sent"):
        puppets.mask({me: write(delivered.model_copy(update={"sharings": sharings}))})


def test_a_masked_vector_on_another_transcript_is_not_endorsed():
    """Rule 2 of `participant`."""
    of = context(3)
    puppets = Puppets(of)
    _, bodies = puppets.until_masked()
    items = list(puppets.masked(bodies, of.roster).masked)
    content = items[1].content.model_copy(update={"transcript": items[1].content.vector})
    signing = aggregation.PartySigning(CARDS, CARDS.of[of.roster[1]])
    items[1] = SignedMasked(content=content, signature=messages.signed(content, signing))
    with pytest.raises(Tampered, match="shown something else"):
        puppets.endorse({of.roster[0]: write(Survivors(masked=tuple(items)))})


def test_a_total_is_of_this_context_and_of_the_endorsed_survivors():
    """Rule 6 of `participant`."""
    of = context(3)
    run = World(of, vectors(of)).run()
    party = of.roster[0]
    body = next(body for stage, _, _, body in run.said if stage == "total")
    message, packed = read(Total, body, wire_size(of.encoding))
    renamed = message.model_copy(update={"context": context(3, attempt=2).name})
    with pytest.raises(Tampered, match="another aggregation"):
        run.nodes[party].open(run.states[party], write(renamed, bytes(packed)))
    kept = load(states.Revealed, run.states[party], of, party)
    elsewhere = keep(kept.model_copy(update={"final": kept.transcript}))
    with pytest.raises(Tampered, match="other survivors"):
        run.nodes[party].open(elsewhere, body)


def test_too_few_survivors_are_not_endorsed():
    of = context(5, dropouts=1)
    puppets = Puppets(of)
    _, bodies = puppets.until_masked()
    with pytest.raises(TaskFailed):
        puppets.endorse({of.roster[0]: write(puppets.masked(bodies, of.roster[:3]))})


@pytest.mark.parametrize("place", [0, 19, -1])
def test_a_sum_that_the_coordinator_changed_is_never_accepted(place):
    """Rule 6 of `participant`."""
    of = context(3)

    def change(stage, sender, recipient, body):
        if stage != "total":
            return body
        size = wire_size(of.encoding)
        vector = bytearray(body)
        start = len(body) - size
        where = start + place * size // 20 if place >= 0 else len(body) - 2
        vector[where] ^= 0x10
        return bytes(vector)

    run = World(of, vectors(of), tamper=change).run()
    assert not run.opened
    assert {type(error) for error in run.errors.values()} <= {Tampered, BadInput}
    assert len(run.errors) == 3


def test_the_sum_of_an_earlier_attempt_is_refused():
    runs = [World(of, vectors(of)).run() for of in (context(3), context(3, attempt=2))]
    old = next(body for stage, _, _, body in runs[0].said if stage == "total")
    for party, node in runs[1].nodes.items():
        with pytest.raises(Tampered):
            node.open(runs[1].states[party], old)


def test_a_sum_over_other_survivors_than_endorsed_is_refused():
    """Rule 6 of `participant`."""
    of = context(5, dropouts=1)
    run = World(of, vectors(of), drop={of.roster[4]: "mask"}).run()
    body = next(body for stage, _, _, body in run.said if stage == "total")
    size = wire_size(of.encoding)
    message, packed = read(Total, body, size)
    state = run.states[of.roster[0]]
    for wrong in (
        message.model_copy(update={"masked": message.masked[:3]}),
        message.model_copy(update={"endorsements": message.endorsements[:3]}),
        message.model_copy(update={"masked": ()}),
    ):
        with pytest.raises((Tampered, TaskFailed)):
            run.nodes[of.roster[0]].open(state, write(wrong, bytes(packed)))
    assert run.nodes[of.roster[0]].open(state, body).contributors == of.roster[:4]


def test_who_was_left_out_after_masking_can_open_the_sum():
    of = context(5, dropouts=1)
    late = of.roster[2]

    def lose(stage, sender, recipient, body):
        return None if stage == "mask" and sender == late else body

    run = World(of, vectors(of), tamper=lose).run()
    assert not run.errors
    assert late in run.opened
    assert run.right([party for party in of.roster if party != late])


def test_a_step_on_another_aggregations_state_is_refused():
    """Rule 1 of `turns`."""
    run = World(context(3), vectors(context(3))).run()
    other = participant(context(3, attempt=2), NAMES[0])
    for stage, party, state, body in run.history:
        if party != NAMES[0] or stage == "announce":
            continue
        extra = (run.vectors[party],) if stage == "mask" else ()
        with pytest.raises(Conflict):
            getattr(other, stage)(state, body, *extra)
        with pytest.raises(Conflict):
            getattr(run.nodes[NAMES[1]], stage)(state, body, *extra)
        for wrong in ("share", "endorse", "reveal"):
            if wrong != stage:
                with pytest.raises(Conflict):
                    getattr(run.nodes[party], wrong)(state, body)
