"""What one participant holds of its own, and the parcels that it sends and gets.

A parcel has, sealed to its recipient's channel keys: a share of the sender's round seed, one of its self-mask seed, its
contribution to the group key, and a confirmation of the pair's key; beside them, for who comes later on the roster, the pair
secret, encrypted to the recipient's round key.

Rules:
1. Parcels and pair secrets are bound to context, transcript, sender and recipient: none can be handed on as another.
2. What a parcel holds is what its sender committed to, for this recipient.

Source: Bonawitz et al. 2017, figure 4, rounds 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloister.aggregation import keys, messages, shamir, transcript
from cloister.aggregation.context import Context
from cloister.aggregation.messages import Announcement, Parcel, Sharing, pieces
from cloister.foundation.digests import same
from cloister.identity.keys import b64, unb64

NOTHING = bytes(messages.HASH)


class Holder:
    """One participant's secrets in one aggregation, derived from its journalled secret."""

    def __init__(self, context: Context, party: str, secret: bytes) -> None:
        self.context, self.party = context, party
        self._secrets = keys.Secrets.of(secret, context.id)
        self._round = keys.KemKeys.of(self._secrets.round_seed)

    def _announcement(self) -> Announcement:
        round_x25519, round_mlkem768 = self._round.public
        channel_x25519, channel_mlkem768 = self._secrets.channel.public
        return Announcement(
            context=self.context.name,
            party=self.party,
            round_x25519=b64(round_x25519),
            round_mlkem768=b64(round_mlkem768),
            channel_x25519=b64(channel_x25519),
            channel_mlkem768=b64(channel_mlkem768),
            self_mask=b64(transcript.self_mask_commitment(self.context, self.party, self._secrets.mask_seed)),
        )

    def _split(self, parties: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Each party's shares of the round seed and of the self-mask seed."""
        threshold = self.context.thresholds.threshold
        size = shamir.coefficient_bytes(keys.SEED, threshold)
        randomness = keys.stretched(self._secrets.coefficients, "sharing", 2 * size)
        places = {party: self.context.place(party) for party in parties}
        seeds = shamir.split(self._secrets.round_seed, threshold, list(places.values()), randomness[:size])
        masks = shamir.split(self._secrets.mask_seed, threshold, list(places.values()), randomness[size:])
        return {party: (seeds[place], masks[place]) for party, place in places.items()}

    def _commit(self, kind: str, sender: str, recipient: str, share: bytes) -> bytes:
        return transcript.share_commitment(self.context, kind, sender, recipient, share)

    def _parcel(self, other: Announcement, shares: tuple[bytes, bytes], first: bytes) -> Parcel:
        pair, confirmation = b"", NOTHING
        if self.party < other.party:
            secret = keys.pair_secret(self._secrets.round_seed, other.party)
            header = pair_header(self.context, first, self.party, other.party)
            pair = keys.enclose(secret, unb64(other.round_mlkem768), header)
            key = keys.pair_key(self._round, unb64(other.round_x25519), secret, first, self.context.attempt)
            confirmation = keys.confirmation(key, self.party, other.party)
        sealed = keys.seal(
            b"".join((*shares, self._secrets.group, confirmation)),
            unb64(other.channel_x25519),
            unb64(other.channel_mlkem768),
            parcel_header(self.context, first, self.party, other.party),
        )
        return Parcel(sealed=b64(sealed), pair=b64(pair))

    def _open(
        self, sharing: Sharing, parcel: Parcel, first: bytes, place: int
    ) -> tuple[tuple[bytes, bytes], bytes, bytes]:
        """A parcel's shares, group contribution and confirmation (rule 2)."""
        sender = sharing.party
        header = parcel_header(self.context, first, sender, self.party)
        plain = keys.unseal(unb64(parcel.sealed), self._secrets.channel, header)
        if len(plain) != messages.PARCEL:
            raise transcript.tampered("A parcel is not as long as agreed.")
        seed, mask, group, confirmation = (
            plain[start : start + keys.SEED] for start in range(0, messages.PARCEL, keys.SEED)
        )
        committed = (
            (pieces(sharing.seed_shares)[place], self._commit("round seed", sender, self.party, seed)),
            (pieces(sharing.mask_shares)[place], self._commit("mask seed", sender, self.party, mask)),
            (unb64(sharing.group), transcript.group_commitment(self.context, sender, group)),
        )
        if not all(same(left, right) for left, right in committed):
            raise transcript.tampered("A participant sent something else than it committed to.")
        return (seed, mask), group, confirmation

    def _pair(self, other: Announcement, parcel: Parcel, first: bytes) -> bytes:
        if other.party < self.party:
            header = pair_header(self.context, first, other.party, self.party)
            secret = keys.disclose(unb64(parcel.pair), self._round, header)
        else:
            secret = keys.pair_secret(self._secrets.round_seed, other.party)
        return keys.pair_key(self._round, unb64(other.round_x25519), secret, first, self.context.attempt)


def parcel_header(context: Context, first: bytes, sender: str, recipient: str) -> bytes:
    """What a sealed parcel is bound to."""
    return keys.tagged("parcel", context.id, first, sender.encode(), recipient.encode())


def pair_header(context: Context, first: bytes, sender: str, recipient: str) -> bytes:
    """What an encrypted pair secret is bound to."""
    return keys.tagged("pair secret", context.id, first, sender.encode(), recipient.encode())
