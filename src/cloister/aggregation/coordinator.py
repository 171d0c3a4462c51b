"""The coordinator's side: relays, sums masked vectors, takes off the masks that shares open; never sees the sum.

```
gather ─► relay ─► collect ─► confirm ─► total
```

What it sends on is signed by participants and checked by them again; nothing depends on its honesty but whether there
is a sum at all. Its checks are there to leave out what would spoil the sum, and to say whose fault it is.

Rules:
1. An answer that does not hold is left out, and its sender from here on; with fewer than the fewest survivors the
   aggregation ends.
2. The sum is over exactly the survivors that it named, whose vectors have the digests that they signed.
3. A seed that shares open must be the one that its owner announced.

Source: Bonawitz et al. 2017, figure 4, server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from cloister.aggregation import keys, messages, shamir, transcript
from cloister.aggregation.context import Context
from cloister.aggregation.messages import (
    Announcements,
    Deliveries,
    Endorsements,
    Parcel,
    Reveal,
    SharingMessage,
    SignedAnnouncement,
    SignedEndorsement,
    SignedMasked,
    SignedSharing,
    Survivors,
    Total,
    pieces,
)
from cloister.aggregation.parcels import pair_header
from cloister.aggregation.signing import Verifying
from cloister.aggregation.states import Collected, Confirmed, Finished, Gathered, Relayed
from cloister.aggregation.turns import Turn, keep, load, out_of_order
from cloister.aggregation.vectors import Blinded, wire_size
from cloister.foundation.digests import same
from cloister.foundation.errors import CloisterError
from cloister.identity.keys import b64, unb64

_Answer = TypeVar("_Answer")


class Coordinator:
    """The coordinator of one aggregation; holds nothing between steps, and has no secret.

    Args:
        context: the aggregation's.
        verifying: checks the participants' signatures.

    Each method takes the state that the one before left and participant → its answer, and raises `TaskFailed` if too
    few answers hold, `Tampered` if a participant's fault spoils the sum, `Conflict` for a step out of order.
    """

    def __init__(self, context: Context, verifying: Verifying) -> None:
        self.context, self._verifying = context, verifying
        self._packed = wire_size(context.encoding)

    def gather(self, inbox: Mapping[str, bytes]) -> Turn:
        """On announcements: all of them, to everybody who announced."""
        accepted: list[SignedAnnouncement] = []

        def check(party: str, body: bytes) -> SignedAnnouncement:
            item, _ = messages.read(SignedAnnouncement, body)
            transcript.require_said(self.context, item, party, self._verifying)
            transcript.require_keys([item])
            transcript.require_distinct([*accepted, item])
            accepted.append(item)
            return item

        valid, left_out = self._sift(inbox, self.context.roster, check)
        items = tuple(valid.values())
        body = messages.write(Announcements(announcements=items))
        state = Gathered(
            context=self.context.name,
            party=self.context.coordinator,
            announcements=tuple(item.content for item in items),
        )
        return Turn(keep(state), dict.fromkeys(valid, body), left_out)

    def relay(self, state: bytes, inbox: Mapping[str, bytes]) -> Turn:
        """On sharings: to each sender all of them, and the parcels for it."""
        before = load(Gathered, state, self.context, self.context.coordinator)
        parties = [item.party for item in before.announcements]
        first = transcript.after_announcing(self.context, before.announcements)

        def check(party: str, body: bytes) -> SharingMessage:
            item, _ = messages.read(SharingMessage, body)
            transcript.require_said(self.context, item.sharing, party, self._verifying)
            transcript.require_transcript(item.sharing, first)
            transcript.require_lengths(item.sharing, len(parties))
            digests = dict(zip(parties, pieces(item.sharing.content.parcels), strict=True))
            if set(item.parcels) != set(parties) - {party}:
                raise transcript.tampered("There is not one parcel for each other participant.")
            for recipient, parcel in item.parcels.items():
                if not same(parcel.hash, digests[recipient]) or bool(parcel.pair) != (party < recipient):
                    raise transcript.tampered("A parcel is not the one that was signed.")
                if parcel.pair and len(unb64(parcel.pair)) != keys.PAIR_CIPHERTEXT:
                    raise transcript.tampered("An encrypted pair secret is not as long as agreed.")
            return item

        valid, left_out = self._sift(inbox, parties, check)
        sharings: tuple[SignedSharing, ...] = tuple(item.sharing for item in valid.values())
        send = {}
        for recipient in valid:
            parcels: dict[str, Parcel] = {
                sender: item.parcels[recipient] for sender, item in valid.items() if sender != recipient
            }
            send[recipient] = messages.write(Deliveries(sharings=sharings, parcels=parcels))
        kept = Relayed(
            context=self.context.name,
            party=self.context.coordinator,
            announcements=before.announcements,
            sharings=tuple(item.content for item in sharings),
            pairs={
                sender: {other: parcel.pair for other, parcel in item.parcels.items() if parcel.pair}
                for sender, item in valid.items()
            },
        )
        return Turn(keep(kept), send, left_out)

    def collect(self, state: bytes, inbox: Mapping[str, bytes]) -> Turn:
        """On masked vectors: their sum, kept as the turn's `vector`; to the survivors, who they are."""
        before = load(Relayed, state, self.context, self.context.coordinator)
        members = [item.party for item in before.sharings]
        second = self._second(before)
        total = Blinded.zero(self.context.encoding)

        def check(party: str, body: bytes) -> SignedMasked:
            item, packed = messages.read(SignedMasked, body, self._packed)
            transcript.require_said(self.context, item, party, self._verifying)
            transcript.require_transcript(item, second)
            if len(pieces(item.content.confirmations)) != members.index(party):
                raise transcript.tampered("There is not one confirmation for each participant before it.")
            if not same(hashlib.sha256(packed).digest(), unb64(item.content.vector)):
                raise transcript.tampered("A masked vector is not the one that was signed.")
            total.add(Blinded.unpack(packed, self.context.encoding))
            return item

        valid, left_out = self._sift(inbox, members, check)
        masked = tuple(valid.values())
        body = messages.write(Survivors(masked=masked))
        packed = total.pack(self.context.encoding)
        kept = Collected(
            context=self.context.name,
            party=self.context.coordinator,
            announcements=before.announcements,
            sharings=before.sharings,
            pairs=before.pairs,
            masked=masked,
            sum=b64(hashlib.sha256(packed).digest()),
        )
        return Turn(keep(kept), dict.fromkeys(valid, body), left_out, packed)

    def confirm(self, state: bytes, inbox: Mapping[str, bytes]) -> Turn:
        """On endorsements: to the survivors, that t of them have endorsed this set."""
        before = load(Collected, state, self.context, self.context.coordinator)
        final = self._third(before)

        def check(party: str, body: bytes) -> SignedEndorsement:
            item, _ = messages.read(SignedEndorsement, body)
            transcript.require_said(self.context, item, party, self._verifying)
            transcript.require_transcript(item, final)
            return item

        survivors = [item.content.party for item in before.masked]
        valid, left_out = self._sift(inbox, survivors, check, self.context.thresholds.threshold)
        endorsements = tuple(valid.values())
        body = messages.write(Endorsements(endorsements=endorsements))
        kept = Confirmed(**{**dict(before), "stage": "confirmed", "endorsements": endorsements})
        return Turn(keep(kept), dict.fromkeys(valid, body), left_out)

    def total(self, state: bytes, inbox: Mapping[str, bytes], vector: bytes) -> Turn:
        """On shares: to every member the sum of the survivors' vectors, still under the outer mask.

        Args:
            state: as `confirm` left it.
            inbox: participant → its answer.
            vector: what `collect` kept beside its state.
        """
        before = load(Confirmed, state, self.context, self.context.coordinator)
        if not same(hashlib.sha256(vector).digest(), unb64(before.sum)):
            raise out_of_order()
        survivors = [item.content.party for item in before.masked]
        members = [item.party for item in before.sharings]
        dropped = [party for party in members if party not in survivors]
        final = self._third(before)
        parties = [item.party for item in before.announcements]
        committed = {
            (kind, item.party): dict(zip(parties, pieces(text), strict=True))
            for item in before.sharings
            for kind, text in (("mask seed", item.mask_shares), ("round seed", item.seed_shares))
        }

        def check(party: str, body: bytes) -> Reveal:
            item, _ = messages.read(Reveal, body)
            if item.context != self.context.name or not same(unb64(item.transcript), final):
                raise transcript.tampered("Shares are for other survivors.")
            if set(item.mask_shares) != set(survivors) or set(item.seed_shares) != set(dropped):
                raise transcript.tampered("There is not one share of each.")
            self._require_committed(committed, party, item)
            return item

        endorsers = [item.content.party for item in before.endorsements]
        valid, left_out = self._sift(inbox, endorsers, check, self.context.thresholds.threshold)
        total = Blinded.unpack(vector, self.context.encoding)
        announced = {item.party: item for item in before.announcements}
        for party in survivors:
            shares = {sender: item.mask_shares[party] for sender, item in valid.items()}
            seed = self._combine(shares)
            commitment = transcript.self_mask_commitment(self.context, party, seed)
            if not same(commitment, unb64(announced[party].self_mask)):
                raise transcript.tampered(f"What {party} shared is not its self mask.")
            total.add_mask(seed, subtract=True)
        for party in dropped:
            shares = {sender: item.seed_shares[party] for sender, item in valid.items()}
            self._take_off(total, before, party, self._combine(shares), survivors)
        result = Total(context=self.context.name, masked=before.masked, endorsements=before.endorsements)
        body = messages.write(result, total.pack(self.context.encoding))
        kept = Finished(
            context=self.context.name, party=self.context.coordinator, contributors=tuple(survivors)
        )
        return Turn(keep(kept), dict.fromkeys(members, body), left_out)

    def _take_off(
        self, total: Blinded, before: Confirmed, party: str, seed: bytes, survivors: list[str]
    ) -> None:
        """Takes off what the survivors' vectors have of their pairs with one who dropped out."""
        announced = {item.party: item for item in before.announcements}
        first = transcript.after_announcing(self.context, before.announcements)
        own = keys.KemKeys.of(seed)
        public = unb64(announced[party].round_x25519), unb64(announced[party].round_mlkem768)
        if own.public != public:
            raise transcript.tampered(f"What {party} shared is not the seed of its keys.")
        for other in survivors:
            if party < other:
                secret = keys.pair_secret(seed, other)
            else:
                enclosed = unb64(before.pairs[other][party])
                secret = keys.disclose(enclosed, own, pair_header(self.context, first, other, party))
            exchanged = unb64(announced[other].round_x25519)
            key = keys.pair_key(own, exchanged, secret, first, self.context.attempt)
            # The survivor added the mask if it comes first, and subtracted it otherwise.
            total.add_mask(key, subtract=other < party)

    def _combine(self, shares: Mapping[str, str]) -> bytes:
        places = {self.context.place(party): unb64(share) for party, share in shares.items()}
        return shamir.combine(places, self.context.thresholds.threshold)

    def _require_committed(
        self, committed: Mapping[tuple[str, str], Mapping[str, bytes]], holder: str, item: Reveal
    ) -> None:
        for kind, shares in (("mask seed", item.mask_shares), ("round seed", item.seed_shares)):
            for owner, share in shares.items():
                found = transcript.share_commitment(self.context, kind, owner, holder, unb64(share))
                if not same(committed[kind, owner][holder], found):
                    raise transcript.tampered("A share is not the one that its owner committed to.")

    def _second(self, before: Relayed | Collected) -> bytes:
        first = transcript.after_announcing(self.context, before.announcements)
        return transcript.after_sharing(first, before.sharings)

    def _third(self, before: Collected) -> bytes:
        return transcript.after_masking(self._second(before), [item.content for item in before.masked])

    def _sift(
        self,
        inbox: Mapping[str, bytes],
        expected: tuple[str, ...] | list[str],
        check: Callable[[str, bytes], _Answer],
        fewest: int | None = None,
    ) -> tuple[dict[str, _Answer], dict[str, str]]:
        """The answers that hold, in order, and why the others do not (rule 1)."""
        valid: dict[str, _Answer] = {}
        left_out: dict[str, str] = {}
        for party in sorted(set(inbox) & set(expected)):
            try:
                valid[party] = check(party, inbox[party])
            except CloisterError as error:
                left_out[party] = error.why or error.what
        needed = self.context.thresholds.survivors if fewest is None else fewest
        if len(valid) < needed:
            failure = transcript.too_few(len(valid), needed)
            failure.detail["left_out"] = left_out
            raise failure
        return valid, left_out
