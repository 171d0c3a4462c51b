"""A participant that lies spoils an aggregation at worst; it never makes others accept a wrong sum."""

from __future__ import annotations

import hashlib
from unittest.mock import patch

import pytest

from aggregation.world import CARDS, COORDINATOR, NAMES, World, context, vectors
from cloister import aggregation
from cloister.aggregation import keys, messages, parcels, states, transcript
from cloister.aggregation.messages import Reveal, SharingMessage, SignedMasked, read, write
from cloister.aggregation.participant import Participant
from cloister.aggregation.turns import keep, load
from cloister.aggregation.vectors import wire_size
from cloister.foundation.errors import NotTrusted, Tampered, TaskFailed
from cloister.identity.keys import b64, unb64


def world(n=3, liar=None, dropouts=0, **options):
    of = context(n, dropouts=dropouts)
    run = World(of, vectors(of), **options)
    if liar is not None:
        party = of.roster[0]
        signing = aggregation.PartySigning(CARDS, CARDS.of[party])
        run.nodes[party] = liar(of, party, signing, b"x" * 32)
    return run


class WrongShares(Participant):
    """Sends shares that it did not commit to."""

    def _commit(self, kind, sender, recipient, share):
        if sender == self.party and kind == "mask seed":
            share = b"\x00" * 32
        return super()._commit(kind, sender, recipient, share)


class Unopenable(Participant):
    """Commits to, and sends, shares of something else than it announced."""

    def _split(self, parties):
        shares = super()._split(parties)
        return {party: (seed, keys.tagged("wrong", party.encode())) for party, (seed, _) in shares.items()}


class UnopenableSeed(Participant):
    """As above, of its round seed; and then it drops out."""

    def _split(self, parties):
        shares = super()._split(parties)
        return {party: (keys.tagged("wrong", party.encode()), mask) for party, (_, mask) in shares.items()}


class WrongPair(Participant):
    """Uses another pair key than it told, with one that comes after it."""

    def _pair(self, other, parcel, first):
        pair = super()._pair(other, parcel, first)
        return keys.tagged("other", pair) if other.party == self.context.roster[2] else pair


class WrongConfirmation(Participant):
    """Confirms another key than that of the pair, to those who come after it."""

    def _parcel(self, other, shares, first):
        with patch.object(keys, "confirmation", return_value=bytes(32)):
            return super()._parcel(other, shares, first)


class TwoGroups(Participant):
    """Tells one participant another contribution to the group key."""

    def _parcel(self, other, shares, first):
        secrets = self._secrets
        if other.party == self.context.roster[1]:
            self._secrets = keys.Secrets(
                secrets.round_seed, secrets.mask_seed, secrets.channel, b"g" * 32, secrets.coefficients
            )
        try:
            return super()._parcel(other, shares, first)
        finally:
            self._secrets = secrets


@pytest.mark.parametrize("liar", [WrongShares, TwoGroups])
def test_what_was_not_committed_to_is_noticed_by_who_gets_it(liar):
    """Rule 3 of `participant`, rule 2 of `parcels`."""
    run = world(liar=liar).run()
    assert not run.opened
    told = [run.errors[party] for party in NAMES[1:3] if party in run.errors]
    assert any(isinstance(error, Tampered) and "committed" in error.why for error in told)


def test_a_wrong_confirmation_is_noticed_before_anything_is_masked():
    """Rule 3 of `participant`."""
    run = world(liar=WrongConfirmation).run()
    assert [item[1] for item in run.said if item[0] == "mask"] == [NAMES[0]]
    for party in NAMES[1:3]:
        assert "not confirmed" in run.errors[party].why


def test_the_key_of_a_pair_takes_both_secrets_the_transcript_and_the_attempt():
    one, other, third = (keys.KemKeys.of(bytes([number]) * 32) for number in (1, 2, 3))
    point, k, first = other.public[0], b"k" * 32, b"t" * 32
    key = keys.pair_key(one, point, k, first, 1)
    assert key == keys.pair_key(other, one.public[0], k, first, 1)
    assert key not in {
        keys.pair_key(third, point, k, first, 1),
        keys.pair_key(one, third.public[0], k, first, 1),
        keys.pair_key(one, point, b"l" * 32, first, 1),
        keys.pair_key(one, point, k, b"u" * 32, 1),
        keys.pair_key(one, point, k, first, 2),
    }


def test_a_pair_key_that_is_not_the_one_confirmed_is_noticed():
    """Rule 3 of `participant`: both ways of a pair."""
    run = world(liar=WrongPair).run()
    assert not run.opened
    honest = world()
    honest.run()
    assert honest.right()

    def swap(stage, sender, recipient, body):
        if stage == "mask" and sender == NAMES[2]:
            size = wire_size(honest.context.encoding)
            item, packed = read(SignedMasked, body, size)
            content = item.content.model_copy(update={"confirmations": b64(b"\x00" * 64)})
            signing = aggregation.PartySigning(CARDS, CARDS.of[NAMES[2]])
            signed = SignedMasked(content=content, signature=messages.signed(content, signing))
            return write(signed, bytes(packed))
        return body

    run = world(tamper=swap).run()
    assert not run.opened
    for party in NAMES[:2]:
        assert isinstance(run.errors[party], Tampered)
        assert "not confirmed" in run.errors[party].why


def test_a_self_mask_that_cannot_be_opened_is_laid_at_its_owners_door():
    """Rule 3 of `coordinator`."""
    run = world(liar=Unopenable).run()
    assert not run.opened
    assert isinstance(run.errors[COORDINATOR], Tampered)
    assert run.context.roster[0] in run.errors[COORDINATOR].why


def test_a_round_seed_that_cannot_be_opened_is_laid_at_its_owners_door():
    """Rule 3 of `coordinator`."""
    run = world(5, UnopenableSeed, dropouts=1)
    run.drop = {run.context.roster[0]: "mask"}
    run.run()
    assert not run.opened
    assert isinstance(run.errors[COORDINATOR], Tampered)
    assert run.context.roster[0] in run.errors[COORDINATOR].why


@pytest.mark.parametrize("kind", ["mask_shares", "seed_shares"])
def test_wrong_shares_are_left_out_and_the_sum_is_right_without_them(kind):
    """Rule 1 of `coordinator`: six of seven participants, threshold five, one reveals wrong shares."""

    def lie(stage, sender, recipient, body):
        if stage == "reveal" and sender == NAMES[1]:
            message, _ = read(Reveal, body)
            wrong = {party: b64(bytes(32)) for party in getattr(message, kind)}
            return write(message.model_copy(update={kind: wrong}))
        return body

    run = world(7, dropouts=2, tamper=lie)
    run.drop = {NAMES[6]: "mask"}
    run.run()
    assert run.right(NAMES[:6])
    assert set(run.left_out["total"]) == {NAMES[1]}
    run = world(3, tamper=lie) if kind == "mask_shares" else None
    if run:
        run.run()
        assert not run.opened
        assert isinstance(run.errors[COORDINATOR], TaskFailed)


@pytest.mark.parametrize("stage", ["announce", "share", "mask", "endorse"])
def test_forged_signatures_are_left_out(stage):
    """Rule 1 of `coordinator`: someone who signs with other keys counts as a dropout."""

    class Impostor(Participant):
        pass

    run = world(7, dropouts=2)
    party = NAMES[3]
    genuine = aggregation.PartySigning(CARDS, CARDS.of[party])

    class Forging:
        def sign(self, payload_type, payload):
            own = genuine.sign(payload_type, payload)
            kinds = {
                "announce": "announcement",
                "share": "sharing",
                "mask": "masked",
                "endorse": "endorsement",
            }
            return own[:-1] + bytes([own[-1] ^ 1]) if f".{kinds[stage]}+" in payload_type else own

        def verify(self, *arguments):
            genuine.verify(*arguments)

    run.nodes[party] = Impostor(run.context, party, Forging(), b"i" * 32)
    run.run()
    place = {"announce": "gather", "share": "relay", "mask": "collect", "endorse": "confirm"}[stage]
    assert set(run.left_out[place]) == {party}
    early = stage in {"announce", "share", "mask"}
    assert run.right([name for name in NAMES[:7] if not early or name != party])


def test_a_participant_in_anothers_name_is_left_out():
    def rename(stage, sender, recipient, body):
        return run.said[1][3] if stage == "announce" and sender == NAMES[2] else body

    run = world(7, dropouts=2)
    run.tamper = rename
    run.run()
    assert set(run.left_out["gather"]) == {NAMES[2]}
    assert run.right([name for name in NAMES[:7] if name != NAMES[2]])


def test_a_vector_that_is_not_masked_as_told_makes_no_sum():
    """Rule 6 of `participant`: what no commitment shows, the check value does."""

    class OtherMask(Participant):
        def mask(self, state, body, vector):
            turn = super().mask(state, body, vector)
            size = wire_size(self.context.encoding)
            item, packed = read(SignedMasked, turn.send[COORDINATOR], size)
            changed = bytes([packed[0] ^ 1]) + bytes(packed[1:])
            content = item.content.model_copy(update={"vector": b64(hashlib.sha256(changed).digest())})
            signed = SignedMasked(content=content, signature=messages.signed(content, self._signing))
            kept = load(states.Hidden, turn.state, self.context, self.party)
            kept = kept.model_copy(update={"own": b64(content.hash)})
            return aggregation.Turn(keep(kept), {COORDINATOR: write(signed, changed)})

    run = world(liar=OtherMask).run()
    assert not run.opened
    assert all(isinstance(error, Tampered) for error in run.errors.values())


def test_inputs_that_wrap_around_make_no_sum():
    """Rule 6 of `participant`: a participant whose numbers are over the bound gains no other sum than an honest one."""

    class Unbounded(Participant):
        def mask(self, state, body, vector):
            with patch.object(type(self.context.encoding), "quantise", lambda _, given: given + (1 << 20)):
                return super().mask(state, body, vector)

    run = world(liar=Unbounded).run()
    assert not run.opened
    assert all(error.clause == "aggregation-sum" for error in run.errors.values())


def test_commitments_say_who_and_what_they_are_for():
    of, share = context(3), b"s" * 32
    found = {
        transcript.share_commitment(of, kind, sender, recipient, share)
        for kind in ("round seed", "mask seed")
        for sender in NAMES[:3]
        for recipient in NAMES[:3]
    }
    assert len(found) == 18
    other = context(3, attempt=2)
    assert transcript.share_commitment(other, "mask seed", *NAMES[:2], share) not in found
    assert transcript.self_mask_commitment(of, NAMES[0], share) not in found


def test_no_two_things_that_are_signed_are_of_one_payload_type():
    """Rule 2 of `messages`."""
    kinds = [messages.Announcement, messages.Sharing, messages.Masked, messages.Endorsement]
    assert len({kind.model_construct().payload_type for kind in kinds}) == len(kinds)


def test_parcels_open_for_one_recipient_sender_transcript_and_context_only():
    """Rule 1 of `parcels`."""
    run = world().run()
    of, other = run.context, context(3, attempt=2)
    body = next(body for stage, sender, _, body in run.said if stage == "share" and sender == NAMES[0])
    message, _ = read(SharingMessage, body)
    parcel, first = message.parcels[NAMES[1]], unb64(message.sharing.content.transcript)
    node = run.nodes[NAMES[1]]
    here = (of, first, NAMES[0], NAMES[1])
    for find, data, own, header in (
        (keys.unseal, parcel.sealed, "channel", parcels.parcel_header),
        (keys.disclose, parcel.pair, "round", parcels.pair_header),
    ):
        mine = {"channel": node._secrets.channel, "round": node._round}[own]
        theirs = run.nodes[NAMES[2]]
        assert find(unb64(data), mine, header(*here))
        for wrong in (
            (other, first, NAMES[0], NAMES[1]),
            (of, bytes(32), NAMES[0], NAMES[1]),
            (of, first, NAMES[2], NAMES[1]),
            (of, first, NAMES[0], NAMES[2]),
        ):
            with pytest.raises(NotTrusted):
                find(unb64(data), mine, header(*wrong))
        with pytest.raises(NotTrusted):
            find(
                unb64(data), {"channel": theirs._secrets.channel, "round": theirs._round}[own], header(*here)
            )


@pytest.mark.parametrize("how", ["copied", "weak"])
def test_copied_and_weak_keys_are_left_out(how):
    """Rule 3 of `transcript`."""

    class Copycat(Participant):
        def _announcement(self):
            own = super()._announcement()
            other = read(messages.SignedAnnouncement, run.said[0][3])[0].content
            point = other.round_x25519 if how == "copied" else b64(bytes(32))
            return own.model_copy(update={"round_x25519": point})

    run = world(7, dropouts=2)
    party = NAMES[3]
    run.nodes[party] = Copycat(
        run.context, party, aggregation.PartySigning(CARDS, CARDS.of[party]), b"c" * 32
    )
    run.run()
    assert set(run.left_out["gather"]) == {party}
    assert run.right([name for name in NAMES[:7] if name != party])
    # Who relays it nonetheless is noticed.
    items = [read(messages.SignedAnnouncement, item[3])[0] for item in run.said[:7]]
    body = write(messages.Announcements(announcements=tuple(items)))
    state = next(item[2] for item in run.history if item[0] == "share" and item[1] == NAMES[0])
    with pytest.raises(Tampered, match="public key"):
        run.nodes[NAMES[0]].share(state, body)
