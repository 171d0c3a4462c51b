"""The release of a candidate that the owners hold and the coordinator never sees, with parties that lie or are gone.

Rules are those of `release.program` (rule 7), of `release.delivery` and of `release.gate` (rule 7).
"""

from __future__ import annotations

import numpy as np
import pytest
from release_world import HELD, KEYS, World, f

from cloister.foundation.digests import digest
from cloister.foundation.errors import NotTrusted, Tampered, TaskFailed
from cloister.journal.live import check_program
from cloister.journal.program import Candidate, Message
from cloister.release import Expectations, messages, release_program, verify_certificate
from cloister.release.delivery import ARRIVAL, SENDERS
from protections.contract import RELEASE_KINDS

OTHER = f.model_bytes(np.full(f.LENGTH, 0.75))
TO_USER = {"agreement": {"recipients": [f.LAB, f.USER, *f.OWNERS[:3]]}, "recipients": (f.USER,)}


def made(**changes):
    return World(holder="owner", **changes)


def failures(world):
    return {name: node.error for name, node in world.loop.nodes.items() if node.error}


def sent(world, kind):
    return [(sender, message.to) for sender, message in world.loop.sent if message.kind == kind]


def parts(content, size=8):
    """Every stretch of a content's weights that could give it away, its tag apart."""
    return [content[at : at + size] for at in range(len(f.TAG), len(content) - size + 1)]


@pytest.mark.parametrize("crash", [False, True])
def test_what_owners_hold_reaches_its_recipients_with_a_certificate_that_holds(crash):
    world = made(crash=crash).run()
    assert not failures(world)
    (release,) = world.contexts[f.USER].shelf
    assert release.content == HELD
    assert release.certificate.signed_by == frozenset(world.owners)
    checked = verify_certificate(
        release.certificate.envelope, HELD, KEYS, Expectations.of(world.terms, world.plan, f.NOW)
    )
    assert checked.content_digest == digest(HELD)
    assert checked.predicate.size == len(HELD)
    assert checked.predicate.facts == world.making.facts(HELD)
    assert [item.content for item in world.contexts[f.LAB].shelf] == [HELD]
    for name in world.owners:
        (kept,) = world.contexts[name].shelf
        assert kept.content is None
        assert kept.certificate.content_digest == digest(HELD)


def test_rule_7_nothing_of_the_content_goes_to_a_coordinator_that_is_no_recipient():
    world = made(**TO_USER).run()
    assert not failures(world)
    assert world.contexts[f.USER].shelf[0].content == HELD
    assert [item.content for item in world.contexts[f.LAB].shelf] == [None]
    seen = [message.body for _, message in world.loop.sent if message.to == f.LAB]
    assert len(seen) == 1 + 3 * 3  # what the owners told, votes and acknowledgements, and the recipient's
    for body in [
        *seen,
        *(kept for node, _, disk, _ in world.loop.history if node.party == f.LAB for kept in disk.everything),
    ]:
        assert not [part for part in parts(HELD) if part in body or part.hex().encode() in body.lower()]
    # The scan finds it where it is: a test that could find nothing would say nothing.
    assert any(part in message.body for _, message in world.loop.sent for part in parts(HELD))
    assert {to for _, to in sent(world, messages.CONTENT)} == {f.USER}


def test_rule_7_a_coordinator_that_is_no_recipient_has_no_phase_that_takes_a_content():
    world = made(**TO_USER)
    program = release_program("coordinator", world.contexts[f.LAB])
    assert ARRIVAL not in program.phases
    assert not [phase for phase in program.phases.values() if messages.CONTENT in phase.accepts]


def test_the_content_comes_from_owners_and_the_certificate_from_the_coordinator():
    world = made()
    for seat, parties in world.plan.offer.seats.items():
        program = release_program(seat, world.contexts[parties[0]])
        check_program(program)
        kinds = {kind: sender for phase in program.phases.values() for kind, sender in phase.accepts.items()}
        assert set(kinds) <= RELEASE_KINDS
        assert messages.RELEASE not in kinds
        assert kinds.get(messages.CONTENT, "owner") == "owner"
        for phase in program.phases.values():
            assert phase.enough is None or set(phase.largest) == set(phase.accepts)


def test_rule_2_the_first_two_signers_send_it_to_each_recipient():
    world = made()
    world.contexts[world.owners[0]].figure = 0.1
    world.run()
    assert not failures(world)
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[1:])
    expected = {(name, to) for name in sorted(world.owners)[1 : 1 + SENDERS] for to in (f.LAB, f.USER)}
    assert sorted(sent(world, messages.CONTENT)) == sorted(expected)
    # The one that refused holds the same, and is told that it was released.
    assert world.contexts[world.owners[0]].shelf[0].certificate.content_digest == digest(HELD)


def test_rule_3_owners_that_are_recipients_have_it_and_are_sent_nothing():
    recipients = (f.USER, f.OWNERS[0], f.OWNERS[2])
    world = made(**(TO_USER | {"recipients": recipients})).run()
    assert not failures(world)
    shelves = {name: [item.content for item in context.shelf] for name, context in world.contexts.items()}
    assert {name for name, kept in shelves.items() if kept == [HELD]} == set(recipients)
    assert shelves[f.LAB] == shelves[f.OWNERS[1]] == [None]
    assert {to for _, to in sent(world, messages.CONTENT)} == {f.USER}


def test_rule_3_without_other_recipients_nobody_sends_anything():
    world = made(**(TO_USER | {"recipients": (f.OWNERS[0],)})).run()
    assert not failures(world)
    assert world.contexts[f.OWNERS[0]].shelf[0].content == HELD
    assert not sent(world, messages.CONTENT)


def test_rule_3_a_coordinator_that_is_the_only_recipient_gets_it_from_the_owners():
    world = made(**(TO_USER | {"recipients": (f.LAB,)})).run()
    assert not failures(world)
    assert [item.content for item in world.contexts[f.LAB].shelf] == [HELD]
    assert {to for _, to in sent(world, messages.CONTENT)} == {f.LAB}


# A coordinator that lies.


def proposing(change):
    """A coordinator that changes what it was told before it proposes it."""

    def lie(_node, message):
        if message.kind != messages.CANDIDATE:
            return message
        header, content = messages.read(messages.CandidateHeader, message.body)
        assert content == b""
        return Message(message.to, message.kind, messages.write(change(header)))

    return lie


@pytest.mark.parametrize(
    "said",
    [
        {"content": digest(OTHER)},
        {"size": len(HELD) + 1},
        {"rounds": 4},
        {"rounds": True},
        {"noise": {"sigma": 0.25}},
        {"noise": None},
        {"audited": "by an authority"},
    ],
)
def test_facts_that_the_coordinator_changed_are_refused_by_every_owner(said):
    change = lambda header: header.model_copy(update={"facts": header.facts | said})  # noqa: E731
    world = made(tamper=proposing(change)).run()
    assert world.error(f.LAB).what == "The release was refused by 3 of 3 owners: facts."
    assert not [context for context in world.contexts.values() if context.shelf]
    assert all(world.contexts[name].evaluated == 0 for name in world.owners)


@pytest.mark.parametrize("left_out", ["content", "size", "rounds", "noise"])
def test_facts_that_the_coordinator_left_out_are_refused_by_every_owner(left_out):
    def change(header):
        facts = {key: value for key, value in header.facts.items() if key != left_out}
        return header.model_copy(update={"facts": facts})

    world = made(tamper=proposing(change)).run()
    assert world.error(f.LAB).what == "The release was refused by 3 of 3 owners: facts."


def test_another_kind_is_refused_by_every_owner():
    world = made(tamper=proposing(lambda header: header.model_copy(update={"kind": "table"}))).run()
    assert world.error(f.LAB).what == "The release was refused by 3 of 3 owners: kind."


def test_a_content_beside_the_proposal_is_not_read():
    """Each owner judges what it holds; a coordinator has nothing to show."""

    def lie(_node, message):
        return (
            Message(message.to, message.kind, message.body + OTHER)
            if message.kind == messages.CANDIDATE
            else message
        )

    world = made(tamper=lie).run()
    assert {type(world.error(name)).__name__ for name in world.owners} == {"BadInput"}
    assert not world.contexts[f.USER].shelf


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"content": digest(HELD)},
        {"size": len(HELD)},
        {"content": "HELD", "size": len(HELD)},
        {"content": digest(HELD), "size": 0},
        {"content": digest(HELD), "size": True},
        {"content": digest(HELD), "size": "96"},
    ],
)
def test_a_candidate_that_is_not_named_is_not_proposed(facts):
    world = made()
    context = world.contexts[f.LAB]
    program = release_program("coordinator", context)
    for context.candidate in (None, Candidate("model", b"", facts)):
        with pytest.raises(TaskFailed) as failed:
            program.phases["propose"].step(world.loop.nodes[f.LAB], [])
        assert failed.value.detail["phase"] == "propose"


def test_different_proposals_for_different_owners_gather_no_quorum():
    def lie(_node, message):
        if message.kind != messages.CANDIDATE:
            return message
        header, _ = messages.read(messages.CandidateHeader, message.body)
        later = header.created + 60 * f.OWNERS.index(message.to)
        return Message(message.to, message.kind, messages.write(header.model_copy(update={"created": later})))

    world = made(tamper=lie).run()
    assert "another statement" in world.error(f.LAB).what
    assert not world.contexts[f.USER].shelf


# Owners that hold something else, or lie.


def test_an_owner_with_another_content_refuses_and_notices_what_was_released():
    odd = f.OWNERS[0]
    world = made(held={odd: OTHER}).run()
    assert isinstance(world.error(odd), Tampered)
    assert world.error(odd).clause == "release-candidate"
    assert not world.contexts[odd].shelf
    (release,) = world.contexts[f.USER].shelf
    assert release.content == HELD
    assert release.certificate.signed_by == frozenset(world.owners[1:])


def test_owners_that_hold_different_things_release_nothing():
    held = dict(zip(f.OWNERS[:3], (HELD, OTHER, f.model_bytes(np.full(f.LENGTH, 2.0))), strict=True))
    world = made(held=held).run()
    assert isinstance(world.error(f.LAB), TaskFailed)
    assert not [context for context in world.contexts.values() if context.shelf]


def test_an_owner_without_a_candidate_leaves_and_accuses_nobody():
    world = made()
    without = world.owners[0]
    loop_following = world.loop.following

    def following(node):
        if node.party == without:
            node.candidate = None
        return loop_following(node)

    world.loop.following = following
    world.run()
    error = world.error(without)
    assert isinstance(error, TaskFailed)
    assert error.detail["phase"] == "candidate"
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[1:])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"CLR1\x00\x00\x00\x02{}",
        messages.write(messages.ContentHeader(content=digest(OTHER)), OTHER),
        messages.write(messages.ContentHeader(content=digest(HELD)), OTHER),
        messages.write(messages.ContentHeader(content=digest(HELD)), HELD + b"x"),
        messages.write(messages.ContentHeader(content=digest(HELD)), HELD[:-1]),
        messages.write(messages.ContentHeader(content=digest(OTHER)), HELD),
        messages.write(messages.ContentHeader(content=digest(HELD))),
    ],
)
def test_rule_4_what_the_certificate_does_not_name_counts_as_nothing(body):
    """Of the first sender; the second's is taken. Where both send it, nothing is released."""
    world = made()
    liar = min(world.owners)

    def lie(node, message):
        wrong = message.kind == messages.CONTENT and node.party == liar
        return Message(message.to, message.kind, body) if wrong else message

    world.loop.tamper = lie
    world.run()
    assert world.contexts[f.USER].shelf[0].content == HELD

    world = made(tamper=lambda _, m: Message(m.to, m.kind, body) if m.kind == messages.CONTENT else m).run()
    for name in (f.USER, f.LAB):
        assert isinstance(world.error(name), TaskFailed)
        assert world.error(name).detail["phase"] == ARRIVAL
        assert not world.contexts[name].shelf


# Who is gone.


def test_rule_2_a_signer_that_is_gone_before_it_delivers_is_one_too_few_to_matter():
    world = made()
    gone = min(world.owners)
    world.loop.tamper = lambda node, m: None if (node.party, m.kind) == (gone, messages.CONTENT) else m
    world.run()
    assert not failures(world)
    for name in (f.USER, f.LAB):
        assert world.contexts[name].shelf[0].content == HELD


def test_rule_5_without_both_the_recipients_fail_by_the_phases_name():
    world = made(tamper=lambda _, m: None if m.kind == messages.CONTENT else m).run()
    for name in (f.USER, f.LAB):
        assert isinstance(world.error(name), TaskFailed)
        assert world.error(name).detail["phase"] == ARRIVAL
        assert not world.contexts[name].shelf
    assert all(world.contexts[name].shelf for name in world.owners)


def test_a_release_that_was_revoked_meanwhile_is_not_taken():
    world = made()

    def revoke(_node, message):
        if message.kind == messages.CONTENT:
            world.contexts[f.USER].revoked = frozenset({(world.plan.digest, digest(HELD))})
        return message

    world.loop.tamper = revoke
    world.run()
    assert isinstance(world.error(f.USER), NotTrusted)
    assert world.error(f.USER).clause == "certificate-revoked"
    assert not world.contexts[f.USER].shelf
