"""A hub (or disk) that changes, swaps, replays, drops or repeats anything: the sum is right, or there is none."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregation.world import COORDINATOR, World, context, coordinator, vectors
from cloister.aggregation import PARTICIPANT_STAGES, Coordinator
from cloister.aggregation.messages import read, write
from cloister.foundation.errors import CloisterError


def mangled(chance: random.Random, body: bytes, others: list[bytes]) -> bytes | None:
    kind = chance.randrange(6)
    if kind == 0:
        return None
    if kind == 1 and others:
        return chance.choice(others)
    if kind == 2:
        return body[: chance.randrange(len(body))]
    if kind == 3:
        return body + b"\x00"
    place = chance.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :]


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_on_the_way_no_wrong_sum_is_accepted(seed):
    chance = random.Random(seed)
    of = context(5, dropouts=1)
    earlier = World(context(5, dropouts=1, attempt=2), vectors(of)).run() if seed % 6 == 0 else None

    def hub(stage, sender, recipient, body):
        if chance.random() > 0.06:
            return body
        pool = [item[3] for item in run.said if item[0] == stage]
        if earlier:
            pool += [item[3] for item in earlier.said if item[0] == stage]
        return mangled(chance, body, pool)

    run = World(of, vectors(of, seed), tamper=hub)
    run.run()
    assert run.never_wrong()


def test_bodies_that_were_swapped_between_participants_are_refused_or_left_out():
    for swapped in ("announce", "share", "mask", "endorse"):
        of = context(5, dropouts=1)
        first, second = of.roster[:2]
        held: dict[str, bytes] = {}

        def hub(stage, sender, recipient, body, swapped=swapped, first=first, second=second, held=held):
            if stage != swapped or sender not in {first, second}:
                return body
            held[sender] = body
            return held.get(first) if sender == second else None

        run = World(of, vectors(of), tamper=hub).run()
        assert run.never_wrong()
        assert not run.opened  # two of five are missing
        assert first not in run.left_out or second not in run.left_out


def outcome(step, *arguments):
    try:
        return step(*arguments)
    except CloisterError as error:
        return error


@cache
def honest() -> World:
    of = context(3)
    return World(of, vectors(of)).run()


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_bytes_instead_of_a_body_or_state_are_an_error_and_no_crash(data):
    """Rule 1 of `messages`, rule 2 of `turns`: participants."""
    run = honest()
    stage, party, state, body = data.draw(
        st.sampled_from([item for item in run.history if item[0] != "announce"])
    )
    chance = data.draw(st.randoms(use_true_random=False))
    on_state = data.draw(st.booleans())
    right, pool = (
        (state, [item[2] for item in run.history]) if on_state else (body, [item[3] for item in run.history])
    )
    wrong = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.just(mangled(chance, right, pool) or b""),
            st.binary(max_size=60).map(lambda tail: b"CLA1" + len(tail).to_bytes(4, "big") + tail),
            st.just(b"CLA1\xff\xff\xff\xff"),
            st.just(b"CLA1\x00\x00\x00\x02{}"),
        )
    )
    arguments = (wrong, body) if on_state else (state, wrong)
    extra = (run.vectors[party],) if stage == "mask" else ()
    node = run.nodes[party]
    found = outcome(getattr(node, stage), *arguments, *extra)
    if isinstance(found, CloisterError):
        assert found.what
        return
    assert not on_state or wrong == state or stage == "open"
    # What still works was the right message after all, or only bits that this step does not rely on.
    if stage == "open":
        assert (found.total == run.sum(found.contributors)).all()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_bytes_to_the_coordinator_are_left_out_or_an_error(data):
    """Rule 1 of `coordinator`."""
    run = honest()
    stage, state, inbox = data.draw(st.sampled_from(run.centre_history))
    chance = data.draw(st.randoms(use_true_random=False))
    party = data.draw(st.sampled_from(sorted(inbox)))
    body = data.draw(st.one_of(st.binary(max_size=80), st.just(mangled(chance, inbox[party], []) or b"")))
    changed = {**inbox, party: body, "stranger": body, COORDINATOR: body}
    centre: Coordinator = coordinator(run.context)
    before = () if stage == "gather" else (state,)
    if body == inbox[party]:
        return
    beside = (run.vector,) if stage == "total" else ()
    turn = outcome(getattr(centre, stage), *before, changed, *beside)
    if isinstance(turn, CloisterError):
        assert turn.what
        return
    assert set(turn.send) <= set(run.context.roster)


def test_frames_have_one_byte_form():
    """Rule 1 of `messages`."""
    run = honest()
    for stage, _, _, body in run.said:
        if stage in {"mask", "total"}:
            continue
        for wrong in (body + b" ", body[:-1], body[:8] + b" " + body[8:], b"CLA2" + body[4:]):
            with pytest.raises(CloisterError):
                read(type_of(stage), wrong)
        found, rest = read(type_of(stage), body)
        assert write(found) == body
        assert not rest


def type_of(stage):
    from cloister.aggregation import messages

    return {
        "announce": messages.SignedAnnouncement,
        "gather": messages.Announcements,
        "share": messages.SharingMessage,
        "relay": messages.Deliveries,
        "collect": messages.Survivors,
        "endorse": messages.SignedEndorsement,
        "confirm": messages.Endorsements,
        "reveal": messages.Reveal,
    }[stage]


def test_a_step_run_again_masks_the_vector_alike():
    """A resumed participant: what masks the vector is a function of its secret and what it was shown."""
    run = honest()
    for stage, party, state, body in run.history:
        if stage != "mask":
            continue
        node = run.nodes[party]
        twice = [node.mask(state, body, run.vectors[party]).send[COORDINATOR] for _ in range(2)]
        size = len(twice[0]) - 8 - int.from_bytes(twice[0][4:8], "big")
        assert size > 0
        assert twice[0][-size:] == twice[1][-size:]
        again = World(run.context, run.vectors).nodes[party]  # a new process has only what is on disk
        assert again.mask(state, body, run.vectors[party]).send[COORDINATOR][-size:] == twice[0][-size:]
    assert PARTICIPANT_STAGES[2] == "mask"
