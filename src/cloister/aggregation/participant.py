"""A participant's side: five messages to the coordinator, then the sum.

```
announce ─► share ─► mask ─► endorse ─► reveal ─► open
```

Each step takes the state that the one before left, the aggregation's journalled secret, and the coordinator's message.
What masks the vector is a function of secret and transcript; sealed bytes and signatures are fresh each time, so only
what was committed is ever sent.

Rules:
1. The coordinator is believed nothing: whatever it relays is checked by the participants' signatures, and this
   participant's own part must be in it as it was sent.
2. Everybody whose part is used has the same context, and the same transcript.
3. Shares and group contributions are those that their sender committed to; keys of a pair are confirmed both ways.
4. The masked vector leaves under its own self mask, a mask for each other member, and the outer mask.
5. One set of survivors is endorsed, and a share is revealed only for a set that t survivors have endorsed: of a
   survivor the self mask's, of any other the round seed's, never both.
6. A sum counts only if it is over that set and its check value is right.

Source: Bonawitz et al. 2017, figure 4, with the consistency check; the differences are listed in
`docs/proofs/secure-aggregation.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from cloister.aggregation import integrity, keys, messages, transcript
from cloister.aggregation.context import Context
from cloister.aggregation.messages import (
    Announcements,
    Deliveries,
    Endorsements,
    Masked,
    Reveal,
    Sharing,
    SharingMessage,
    SignedAnnouncement,
    SignedEndorsement,
    SignedMasked,
    SignedSharing,
    Survivors,
    Total,
    pieces,
)
from cloister.aggregation.parcels import NOTHING, Holder
from cloister.aggregation.signing import Signing
from cloister.aggregation.states import Announced, Endorsed, Hidden, Revealed, Shared
from cloister.aggregation.turns import Opened, State, Turn, keep, load, out_of_order
from cloister.aggregation.vectors import Blinded, wire_size
from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, Conflict
from cloister.identity.keys import b64, unb64


class Participant(Holder):
    """One participant of one aggregation; holds nothing between steps.

    Args:
        context: what this participant wrote itself from what it knows.
        party: who it is.
        signing: signs as this party, and checks the others.
        secret: at least 32 uniform bytes, journalled before use, for this context only; erased afterwards. The same at
            each step.

    Every method raises a `CloisterError`, and nothing may be sent then: `Tampered` or `NotTrusted` if what was relayed
    does not hold, `TaskFailed` if too few take part, `BadInput` for bytes or vectors that cannot be used, `Conflict`
    for a step out of order.
    """

    def __init__(self, context: Context, party: str, signing: Signing, secret: bytes) -> None:
        if party not in context.roster or len(secret) < keys.SEED:
            raise BadInput(
                "This server cannot take part in a secure aggregation.",
                "It is not on the roster, or its secret is too short.",
                "Have the task planned again.",
            )
        super().__init__(context, party, secret)
        self._signing = signing

    def announce(self) -> Turn:
        """The first step, without a message: this aggregation's public keys."""
        content = self._announcement()
        item = SignedAnnouncement(content=content, signature=messages.signed(content, self._signing))
        return self._turn(Announced(context=self.context.name, party=self.party), messages.write(item))

    def share(self, state: bytes, body: bytes) -> Turn:
        """On everybody's announcements: shares of both seeds for each other participant."""
        load(Announced, state, self.context, self.party)
        items = messages.read(Announcements, body)[0].announcements
        transcript.require_listed(
            self.context, items, self.context.roster, self._signing, self.context.thresholds.survivors
        )
        transcript.require_keys(items)
        transcript.require_distinct(items)
        announcements = [item.content for item in items]
        if self._announcement() not in announcements:
            raise transcript.tampered(
                "This server's announcement is missing, or is not the one that it sent."
            )
        first = transcript.after_announcing(self.context, announcements)
        parties = [item.party for item in announcements]
        shares = self._split(parties)
        parcels = {
            item.party: self._parcel(item, shares[item.party], first)
            for item in announcements
            if item.party != self.party
        }
        content = Sharing(
            context=self.context.name,
            party=self.party,
            transcript=b64(first),
            group=b64(transcript.group_commitment(self.context, self.party, self._secrets.group)),
            parcels=b64(b"".join(parcels[party].hash if party in parcels else NOTHING for party in parties)),
            seed_shares=b64(
                b"".join(self._commit("round seed", self.party, party, shares[party][0]) for party in parties)
            ),
            mask_shares=b64(
                b"".join(self._commit("mask seed", self.party, party, shares[party][1]) for party in parties)
            ),
        )
        sharing = SignedSharing(content=content, signature=messages.signed(content, self._signing))
        kept = Shared(
            context=self.context.name,
            party=self.party,
            announcements=tuple(announcements),
            own=b64(content.hash),
        )
        return self._turn(kept, messages.write(SharingMessage(sharing=sharing, parcels=parcels)))

    def mask(self, state: bytes, body: bytes, vector: NDArray[Any]) -> Turn:
        """On everybody's sharings: this participant's vector, under all its masks.

        Args:
            state: as `share` left it.
            body: the coordinator's message.
            vector: shape (length,), as the context's encoding says.
        """
        before = load(Shared, state, self.context, self.party)
        steps = self.context.encoding.quantise(vector)
        message, _ = messages.read(Deliveries, body)
        parties = [item.party for item in before.announcements]
        announced = dict(zip(parties, before.announcements, strict=True))
        first = transcript.after_announcing(self.context, before.announcements)
        transcript.require_listed(
            self.context, message.sharings, parties, self._signing, self.context.thresholds.survivors
        )
        members = [item.content.party for item in message.sharings]
        if set(message.parcels) != set(members) - {self.party} or self.party not in members:
            raise transcript.tampered(
                "This server's own part is missing, or there is not one parcel of each."
            )
        shares = {self.party: self._split(parties)[self.party]}
        contributions = {self.party: self._secrets.group}
        pairs: dict[str, bytes] = {}
        place = parties.index(self.party)
        for item in message.sharings:
            sender = item.content.party
            transcript.require_transcript(item, first)
            transcript.require_lengths(item, len(parties))
            if sender == self.party:
                if not same(item.content.hash, unb64(before.own)):
                    raise transcript.tampered("This server's sharing is not the one that it sent.")
                continue
            parcel = message.parcels[sender]
            if not same(pieces(item.content.parcels)[place], parcel.hash):
                raise transcript.tampered("A parcel is not the one that its sender signed.")
            shares[sender], contributions[sender], confirmation = self._open(
                item.content, parcel, first, place
            )
            pairs[sender] = self._pair(announced[sender], parcel, first)
            expected = keys.confirmation(pairs[sender], sender, self.party)
            if sender < self.party and not same(confirmation, expected):
                raise transcript.tampered("The key of a pair is not confirmed.")
        second = transcript.after_sharing(first, [item.content for item in message.sharings])
        group = keys.derive(
            b"".join(contributions[party] for party in members),
            "group key",
            second,
            self.context.attempt.to_bytes(8, "big"),
        )
        total = Blinded(
            self.context.encoding.embed(steps), integrity.check_value(steps, keys.check_key(group))
        )
        total.add_mask(self._secrets.mask_seed)
        for other, pair in pairs.items():
            total.add_mask(pair, subtract=other < self.party)
        if self.party in self.context.outer:
            total.add_mask(keys.outer_key(group, self.party))
        packed = total.pack(self.context.encoding)
        content = Masked(
            context=self.context.name,
            party=self.party,
            transcript=b64(second),
            vector=b64(hashlib.sha256(packed).digest()),
            confirmations=b64(
                b"".join(
                    keys.confirmation(pairs[other], self.party, other)
                    for other in members
                    if other < self.party
                )
            ),
        )
        kept = Hidden(
            context=self.context.name,
            party=self.party,
            transcript=b64(second),
            members=tuple(members),
            shares={party: b64(b"".join(pair)) for party, pair in shares.items()},
            expected={
                other: b64(keys.confirmation(pairs[other], other, self.party))
                for other in members
                if other > self.party
            },
            group=b64(group),
            own=b64(content.hash),
        )
        masked = SignedMasked(content=content, signature=messages.signed(content, self._signing))
        return self._turn(kept, messages.write(masked, packed))

    def endorse(self, state: bytes, body: bytes) -> Turn:
        """On the list of survivors: this participant's signature that it will open for these and no others."""
        before = load(Hidden, state, self.context, self.party)
        items = messages.read(Survivors, body)[0].masked
        final = self._final(items, before.members, unb64(before.transcript))
        own = [item.content for item in items if item.content.party == self.party]
        if not own or not same(own[0].hash, unb64(before.own)):
            raise transcript.tampered(
                "This server's masked vector is missing, or is not the one that it sent."
            )
        for item in items:
            sender = item.content.party
            if sender > self.party:
                confirmations = pieces(item.content.confirmations)
                place = before.members.index(self.party)
                if len(confirmations) != before.members.index(sender) or not same(
                    confirmations[place], unb64(before.expected[sender])
                ):
                    raise transcript.tampered("The key of a pair is not confirmed.")
        content = transcript.endorsement_of(self.context, self.party, b64(final))
        kept = Endorsed(
            context=self.context.name,
            party=self.party,
            transcript=before.transcript,
            members=before.members,
            survivors=tuple(item.content.party for item in items),
            final=b64(final),
            shares=before.shares,
            group=before.group,
        )
        endorsement = SignedEndorsement(content=content, signature=messages.signed(content, self._signing))
        return self._turn(kept, messages.write(endorsement))

    def reveal(self, state: bytes, body: bytes) -> Turn:
        """On t endorsements: the shares that open this set of survivors."""
        before = load(Endorsed, state, self.context, self.party)
        items = messages.read(Endorsements, body)[0].endorsements
        self._require_endorsed(items, before.survivors, unb64(before.final))
        message = Reveal(
            context=self.context.name,
            transcript=before.final,
            mask_shares={party: b64(unb64(before.shares[party])[keys.SEED :]) for party in before.survivors},
            seed_shares={
                party: b64(unb64(before.shares[party])[: keys.SEED])
                for party in before.members
                if party not in before.survivors
            },
        )
        kept = Revealed(
            context=self.context.name,
            party=self.party,
            transcript=before.transcript,
            members=before.members,
            final=before.final,
            group=before.group,
        )
        return self._turn(kept, messages.write(message))

    def open(self, state: bytes, body: bytes) -> Opened:
        """The sum. Also for a member that the survivors went on without: state as any step since `mask` left it."""
        before = self._since_masking(state)
        encoding = self.context.encoding
        message, packed = messages.read(Total, body, wire_size(encoding))
        if message.context != self.context.name:
            raise transcript.tampered("The sum is another aggregation's.")
        final = self._final(message.masked, before.members, unb64(before.transcript))
        if not isinstance(before, Hidden) and not same(final, unb64(before.final)):
            raise transcript.tampered("The sum is over other survivors than those that were endorsed.")
        contributors = tuple(item.content.party for item in message.masked)
        self._require_endorsed(message.endorsements, contributors, final)
        total = Blinded.unpack(packed, encoding)
        group = unb64(before.group)
        for party in contributors:
            if party in self.context.outer:
                total.add_mask(keys.outer_key(group, party), subtract=True)
        steps = encoding.centre(total.values, len(contributors))
        integrity.require(steps, total.check, keys.check_key(group))
        return Opened(encoding.decode(steps), contributors)

    def _final(self, items: Sequence[SignedMasked], members: Sequence[str], second: bytes) -> bytes:
        """Transcript 3, if the list of survivors holds."""
        transcript.require_listed(
            self.context, items, members, self._signing, self.context.thresholds.survivors
        )
        for item in items:
            transcript.require_transcript(item, second)
        return transcript.after_masking(second, [item.content for item in items])

    def _require_endorsed(
        self, items: Sequence[SignedEndorsement], survivors: Sequence[str], final: bytes
    ) -> None:
        transcript.require_listed(
            self.context, items, survivors, self._signing, self.context.thresholds.threshold
        )
        for item in items:
            transcript.require_transcript(item, final)

    def _since_masking(self, state: bytes) -> Hidden | Endorsed | Revealed:
        kinds: tuple[type[Hidden | Endorsed | Revealed], ...] = (Revealed, Endorsed, Hidden)
        for kind in kinds:
            try:
                return load(kind, state, self.context, self.party)
            except Conflict:
                continue
        raise out_of_order()

    def _turn(self, state: State, body: bytes) -> Turn:
        return Turn(keep(state), {self.context.coordinator: body})
