"""The release from candidate to recipients, with a coordinator that lies."""

from __future__ import annotations

import numpy as np
import pytest
from release_world import ADMISSIONS, HOLDERS, KEYS, World, f

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import NotTrusted, Refused, Tampered, TaskFailed
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope
from cloister.journal.program import Candidate, Message
from cloister.release import Expectations, messages, release_program, verify_certificate
from cloister.release.certificate import PAYLOAD_TYPE

SECRET = 0.123456789


def test_a_trained_model_reaches_its_recipients_with_a_certificate_that_holds():
    world = World().run()
    assert not [node.error for node in world.loop.nodes.values() if node.error]
    (release,) = world.contexts[f.USER].shelf
    assert release.content == world.loop.nodes[f.LAB].candidate.content
    assert release.certificate.signed_by == frozenset(world.owners)
    checked = verify_certificate(
        release.certificate.envelope,
        release.content,
        KEYS,
        Expectations.of(world.terms, world.plan, f.NOW),
    )
    assert checked.predicate.evidence.admissions == {p: ADMISSIONS[p] for p in world.plan.parties}
    assert world.contexts[f.LAB].shelf[0].content == release.content
    for name in world.owners:
        (kept,) = world.contexts[name].shelf
        assert kept.content is None
        assert kept.certificate.content_digest == digest(release.content)


def test_a_step_that_runs_again_after_a_crash_ends_in_the_same_release():
    world = World(crash=True).run()
    assert not [node.error for node in world.loop.nodes.values() if node.error]
    assert len(world.contexts[f.USER].shelf) == 1
    assert len(world.contexts[world.owners[0]].counted) == 1


def test_owners_that_are_recipients_get_the_content_too():
    world = World(
        agreement={"recipients": [f.LAB, f.USER, *f.OWNERS[:3]]}, recipients=(f.USER, f.OWNERS[0])
    ).run()
    assert world.contexts[f.OWNERS[0]].shelf[0].content is not None
    assert world.contexts[f.OWNERS[1]].shelf[0].content is None
    assert world.contexts[f.LAB].shelf[0].content is None


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_quorum_is_enough_and_the_one_that_refused_still_gets_the_certificate(holder):
    world = World(holder=holder)
    world.contexts[world.owners[0]].figure = 0.1
    world.run()
    (release,) = world.contexts[f.USER].shelf
    assert release.certificate.signed_by == frozenset(world.owners[1:])
    assert world.contexts[world.owners[0]].shelf[0].certificate.signed_by == frozenset(world.owners[1:])


def refused_by(world, count):
    for name in world.owners[:count]:
        world.contexts[name].figure = SECRET
    return world.run()


@pytest.mark.parametrize("holder", HOLDERS)
def test_below_the_quorum_nothing_is_released_and_everybody_is_told(holder):
    world = refused_by(World(holder=holder), 2)
    lab = world.error(f.LAB)
    assert isinstance(lab, TaskFailed)
    assert lab.detail["phase"] == "votes"
    assert lab.what == "The release was refused by 2 of 3 owners: not approved."
    assert isinstance(world.error(f.USER), TaskFailed)
    assert all(not context.shelf for context in world.contexts.values())
    assert not [
        1 for _, kind in world.told() if kind in {messages.RELEASE, messages.CERTIFICATE, messages.CONTENT}
    ]


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_recipient_never_gets_content_before_the_quorum(holder):
    seen = []
    told = {
        "coordinator": {messages.RELEASE, messages.WITHDRAWN},
        "owner": {messages.CERTIFICATE, messages.CONTENT, messages.WITHDRAWN},
    }

    def watch(node, message):
        if message.kind in {messages.RELEASE, messages.CONTENT}:
            votes = [m for _, m in world.loop.sent if m.kind == messages.VOTE]
            seen.append(len(votes))
        if message.to == f.USER:
            assert message.kind in told[holder]
        return message

    world = World(holder=holder, tamper=watch)
    world.run()
    assert set(seen) == {3}


@pytest.mark.parametrize("holder", HOLDERS)
def test_no_figure_of_the_gate_leaves_an_owners_node(holder):
    world = refused_by(World(holder=holder), 3)
    for _, message in world.loop.sent:
        if message.kind == messages.VOTE:
            header, content = messages.read(messages.VoteHeader, message.body)
            assert header == messages.VoteHeader(vote="refuse", told="not approved")
            assert content == b""
            assert b"0.123" not in message.body
    reports = world.loop.nodes[world.owners[0]].reports
    assert any("0.1235" in str(report) for report in reports)


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_public_check_is_named_to_the_others(holder):
    world = World(holder=holder, agreement={"release": {"quorum": 2, "max_bytes": 10}}).run()
    assert world.error(f.LAB).what == "The release was refused by 3 of 3 owners: size."


@pytest.mark.parametrize("holder", HOLDERS)
def test_records_are_not_looked_at_when_a_public_check_fails(holder):
    world = World(
        holder=holder,
        agreement={
            "release": {"quorum": 2, "max_bytes": 10, "quality": {"metric": "accuracy", "minimum": 0.5}}
        },
    ).run()
    assert all(world.contexts[name].evaluated == 0 for name in world.owners)
    assert all(not world.contexts[name].counted for name in world.owners)


@pytest.mark.parametrize("holder", HOLDERS)
def test_candidates_over_the_agreed_number_are_refused_without_looking(holder):
    world = World(holder=holder)
    for name in world.owners:
        world.contexts[name].earlier = 3
    world.run()
    assert isinstance(world.error(f.LAB), TaskFailed)
    assert all(world.contexts[name].evaluated == 0 for name in world.owners)


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_silent_owner_does_not_stop_a_quorum(holder):
    world = World(holder=holder, agreement={"dropouts": 1})
    gone = world.owners[2]

    def silence(node, message):
        return None if node.party == gone and message.kind == messages.VOTE else message

    world.loop.tamper = silence
    world.run()
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[:2])


@pytest.mark.parametrize("holder", HOLDERS)
def test_too_few_votes_fail_the_phase_votes(holder):
    world = World(holder=holder)
    world.loop.tamper = lambda node, m: None if m.kind == messages.VOTE else m
    world.run()
    assert world.error(f.LAB).detail["phase"] == "votes"
    assert not world.contexts[f.USER].shelf


# A coordinator that lies. The messages of its honest program are changed on their way out.


def rewritten(message, kind, change, content=None):
    header, old = messages.read(kind, message.body, max_content=1 << 20)
    return Message(
        message.to, message.kind, messages.write(change(header), old if content is None else content)
    )


OTHER = f.model_bytes(np.full(f.LENGTH, 9.0, np.float32))


def test_content_that_was_swapped_after_the_votes_is_noticed_by_recipients():
    def lie(node, message):
        if message.kind == messages.RELEASE:
            return rewritten(message, messages.ReleaseHeader, lambda h: h, OTHER)
        return message

    world = World(tamper=lie).run()
    error = world.error(f.USER)
    assert isinstance(error, NotTrusted)
    assert error.clause == "certificate-content"
    assert not world.contexts[f.USER].shelf


def test_a_candidate_that_the_training_did_not_end_with_is_refused_by_every_owner():
    def lie(node, message):
        if message.kind == messages.CANDIDATE:
            return rewritten(message, messages.CandidateHeader, lambda h: h, OTHER)
        return message

    world = World(tamper=lie).run()
    assert "facts" in world.error(f.LAB).what or isinstance(world.error(f.LAB), TaskFailed)
    assert not world.contexts[f.USER].shelf
    reports = world.loop.nodes[world.owners[0]].reports
    assert {"facts"} == {report["check"] for report in reports if "check" in report}


def test_a_candidate_with_matching_lies_about_its_weights_is_refused_by_what_owners_saw():
    weights = digest(np.full(f.LENGTH, 9.0, "<f4").tobytes())

    def lie(node, message):
        if message.kind == messages.CANDIDATE:
            change = lambda h: h.model_copy(update={"facts": h.facts | {"weights": weights}})  # noqa: E731
            return rewritten(message, messages.CandidateHeader, change, OTHER)
        return message

    world = World(tamper=lie).run()
    assert not world.contexts[f.USER].shelf
    assert isinstance(world.error(f.LAB), TaskFailed)


def test_different_candidates_for_different_owners_gather_no_quorum():
    def lie(node, message):
        if message.kind == messages.CANDIDATE:
            number = f.OWNERS.index(message.to)
            later = 60 * number
            return rewritten(
                message,
                messages.CandidateHeader,
                lambda h: h.model_copy(update={"created": h.created + later}),
            )
        return message

    world = World(tamper=lie).run()
    # Each owner signs a statement of its own; only the one that the coordinator wrote itself counts.
    assert "another statement" in world.error(f.LAB).what
    assert not world.contexts[f.USER].shelf


def forged(world, signer, keep=0):
    """Makes the coordinator send a certificate with `keep` real signatures and others by `signer`."""

    def lie(node, message):
        if message.kind not in {messages.RELEASE, messages.CERTIFICATE}:
            return message

        def change(header):
            envelope = Envelope.from_json(header.envelope)
            fake = envelopes.sign(PAYLOAD_TYPE, envelope.document(), signer, KEYS.secret[signer])
            renamed = [
                fake.signatures[0].model_copy(update={"keyid": f"{name}/{KEYS.secret[name].public.keyset}"})
                for name in world.owners
            ]
            kept = envelope.signatures[:keep]
            extra = (fake.signatures[0], *renamed) if not keep else fake.signatures
            both = Envelope(payloadType=PAYLOAD_TYPE, payload=envelope.payload, signatures=(*kept, *extra))
            return messages.ReleaseHeader(envelope=both.model_dump(mode="json"))

        return rewritten(message, messages.ReleaseHeader, change)

    return lie


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("keep", [0, 1])
def test_votes_that_the_coordinator_forged_are_noticed(holder, keep):
    world = World(holder=holder)
    world.loop.tamper = forged(world, f.LAB, keep)
    world.run()
    for name in (f.USER, *world.owners):
        assert isinstance(world.error(name), NotTrusted)
        assert world.error(name).clause == "certificate-quorum"
        assert not world.contexts[name].shelf


@pytest.mark.parametrize("holder", HOLDERS)
def test_one_owners_vote_counts_once(holder):
    world = World(holder=holder)

    def lie(node, message):
        if message.kind not in {messages.RELEASE, messages.CERTIFICATE}:
            return message

        def change(header):
            envelope = Envelope.from_json(header.envelope)
            twice = (envelope.signatures[0],) * 3
            return messages.ReleaseHeader(
                envelope=envelope.model_copy(update={"signatures": twice}).model_dump(mode="json")
            )

        return rewritten(message, messages.ReleaseHeader, change)

    world.loop.tamper = lie
    world.run()
    assert world.error(f.USER).clause == "certificate-quorum"


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_vote_signed_by_somebody_else_does_not_count(holder):
    world = World(holder=holder)
    victim = world.owners[0]

    def lie(node, message):
        if node.party != victim or message.kind != messages.VOTE:
            return message
        header, _ = messages.read(messages.VoteHeader, message.body)
        signed = envelopes.sign(
            PAYLOAD_TYPE, Envelope.from_json(header.envelope).document(), f.LAB, KEYS.secret[f.LAB]
        )
        vote = messages.VoteHeader(vote="permit", envelope=signed.model_dump(mode="json"))
        return Message(message.to, message.kind, messages.write(vote))

    world.loop.tamper = lie
    world.run()
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == frozenset(world.owners[1:])


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("body", [b"", b"CLR1", b"x" * 100, b"CLR1\x00\x00\x00\x02{}"])
def test_votes_that_cannot_be_read_count_as_none(holder, body):
    world = World(holder=holder)
    world.loop.tamper = lambda node, m: Message(m.to, m.kind, body) if m.kind == messages.VOTE else m
    world.run()
    assert "unreadable" in world.error(f.LAB).what
    assert not world.contexts[f.USER].shelf


def test_an_owner_notices_a_certificate_about_another_result_than_it_was_shown():
    """A quorum of one: the coordinator shows one owner another candidate than the others, and releases that."""
    world = World(agreement={"release": {"quorum": 1}})
    alone = world.owners[0]

    def lie(node, message):
        if message.kind == messages.CANDIDATE and message.to != alone:
            # Others are shown a candidate that they refuse.
            return rewritten(message, messages.CandidateHeader, lambda h: h, OTHER)
        return message

    world.loop.tamper = lie
    world.run()
    assert world.contexts[f.USER].shelf[0].certificate.signed_by == {alone}
    for name in world.owners[1:]:
        assert isinstance(world.error(name), Tampered)
        assert world.error(name).clause == "release-candidate"


def test_a_task_without_a_candidate_releases_nothing():
    world = World()
    world.contexts[f.LAB].candidate = None
    program = release_program("coordinator", world.contexts[f.LAB])
    with pytest.raises(TaskFailed):
        program.phases["propose"].step(world.loop.nodes[f.LAB], [])
    world.contexts[f.LAB].candidate = Candidate("model", b"", {})
    with pytest.raises(TaskFailed):
        program.phases["propose"].step(world.loop.nodes[f.LAB], [])


def test_other_seats_have_no_part_in_a_release():
    world = World()
    with pytest.raises(Refused):
        release_program("hub", world.contexts[f.LAB])


@pytest.mark.parametrize("holder", HOLDERS)
def test_owners_write_the_same_statement_from_their_own_documents(holder):
    world = World(holder=holder).run()
    payloads = set()
    for _, message in world.loop.sent:
        if message.kind == messages.VOTE:
            header, _ = messages.read(messages.VoteHeader, message.body)
            payloads.add(canonical(Envelope.from_json(header.envelope).document()))
    assert len(payloads) == 1
