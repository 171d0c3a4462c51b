"""Checks that both sides make on what was said so far, and the transcripts that name it.

A transcript is a digest over the context and everything signed up to a point. Who holds the same transcript holds the
same announcements (1), sharings (2) and masked vectors' names (3); each later signature covers the one before.

Rules:
1. A list is in the order of fingerprints, without repetition, of members only, signed by each, all of this context and
   of this transcript.
2. A list that has fewer than the fewest survivors ends the aggregation.
3. Public keys are usable, and no two of an aggregation are the same: nobody can hand on another's key as its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cloister.aggregation import keys
from cloister.aggregation.context import Context
from cloister.aggregation.messages import (
    Announcement,
    Endorsement,
    Masked,
    Sharing,
    Signed,
    SignedAnnouncement,
    SignedEndorsement,
    SignedMasked,
    SignedSharing,
    pieces,
    require_signature,
)
from cloister.aggregation.signing import Verifying
from cloister.foundation.digests import same
from cloister.foundation.errors import Tampered, TaskFailed
from cloister.identity.keys import unb64


def after_announcing(context: Context, items: Sequence[Announcement]) -> bytes:
    """Transcript 1."""
    return keys.tagged("announced", context.id, *(item.hash for item in items))


def after_sharing(first: bytes, items: Sequence[Sharing]) -> bytes:
    """Transcript 2."""
    return keys.tagged("shared", first, *(item.hash for item in items))


def after_masking(second: bytes, items: Sequence[Masked]) -> bytes:
    """Transcript 3: the survivors, and which vectors they sent."""
    return keys.tagged("masked", second, *(item.hash for item in items))


def require_listed(
    context: Context, items: Sequence[Signed], members: Collection[str], verifying: Verifying, fewest: int
) -> None:
    """Rules 1 and 2, but for the transcript. Raises `Tampered`, `NotTrusted` or `TaskFailed`."""
    parties = [item.content.party for item in items]
    if parties != sorted(set(parties)) or not set(parties) <= set(members):
        raise tampered("A list names somebody twice, out of order, or who does not belong to it.")
    if len(parties) < fewest:
        raise too_few(len(parties), fewest)
    for item in items:
        require_said(context, item, item.content.party, verifying)


def require_said(context: Context, item: Signed, party: str, verifying: Verifying) -> None:
    """Raises `Tampered` or `NotTrusted` unless `party` signed this, in this context."""
    if item.content.context != context.name:
        raise Tampered(
            "Participants do not compute on the same.",
            "One is on other weights, another computation, settings, roster or attempt than this server.",
            "Start again; if it repeats, compare what the coordinator sent to each of you.",
            clause="aggregation-context",
        )
    if item.content.party != party:
        raise tampered("A message was sent in somebody else's name.")
    require_signature(item, verifying)


def require_transcript(item: SignedSharing | SignedMasked | SignedEndorsement, transcript: bytes) -> None:
    """Raises `Tampered` unless the signer had the same transcript."""
    if not same(unb64(item.content.transcript), transcript):
        raise tampered("A participant was shown something else than this one.")


def require_keys(items: Sequence[SignedAnnouncement]) -> None:
    """Rule 3, that keys are usable. Raises `Tampered`."""
    for item in items:
        if not all(keys.usable(*pair) for pair in _public(item)):
            raise tampered("A public key cannot be used.")


def require_distinct(items: Sequence[SignedAnnouncement]) -> None:
    """Rule 3, that no two keys are the same. Raises `Tampered`."""
    found = [key for item in items for pair in _public(item) for key in pair]
    if len(set(found)) != len(found):
        raise tampered("Two public keys are the same.")


def _public(item: SignedAnnouncement) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    content = item.content
    return (
        (unb64(content.round_x25519), unb64(content.round_mlkem768)),
        (unb64(content.channel_x25519), unb64(content.channel_mlkem768)),
    )


def require_lengths(item: SignedSharing, announced: int) -> None:
    """Raises `Tampered` unless there is one commitment of each kind for each who announced."""
    content = item.content
    for text in (content.parcels, content.seed_shares, content.mask_shares):
        if len(pieces(text)) != announced:
            raise tampered("A participant committed to more or fewer shares than there are participants.")


def share_commitment(context: Context, kind: str, sender: str, recipient: str, share: bytes) -> bytes:
    """What a sender commits to for one share; a share is uniform, so this says nothing of it."""
    return keys.tagged(f"share of {kind}", context.id, sender.encode(), recipient.encode(), share)


def self_mask_commitment(context: Context, party: str, seed: bytes) -> bytes:
    """What an announcement commits to."""
    return keys.tagged("self mask", context.id, party.encode(), seed)


def group_commitment(context: Context, party: str, contribution: bytes) -> bytes:
    """What a sharing commits to: one contribution to the group key, the same for everybody."""
    return keys.tagged("group contribution", context.id, party.encode(), contribution)


def endorsement_of(context: Context, party: str, transcript: str) -> Endorsement:
    """The statement that `party` signs on transcript 3."""
    return Endorsement(context=context.name, party=party, transcript=transcript)


def tampered(why: str) -> Tampered:
    """This participant leaves."""
    return Tampered(
        "Something in a secure aggregation cannot be.",
        why,
        "This server takes no further part in it. Start again; if it repeats, find out whose server is at fault.",
        clause="aggregation",
    )


def too_few(there: int, fewest: int) -> TaskFailed:
    """The aggregation ends without a sum."""
    return TaskFailed(
        "Too few take part in a secure aggregation.",
        f"There are {there}; at least {fewest} must be.",
        "See which servers are connected, and start again.",
        phase="aggregation",
    )
