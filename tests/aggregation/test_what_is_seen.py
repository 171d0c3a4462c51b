"""What the coordinator and c colluders see fits every input with the same sum: the simulation of the proof, for small vectors.

The view of the adversary is replayed from what really crossed: everything that the coordinator was sent, and all
secrets of one participant. From it the adversary takes off every mask that it can derive. What is left of an honest
vector is that vector plus masks between honest participants, which are uniform to it.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from aggregation.world import COORDINATOR, NAMES, World, context, participant, secret
from cloister import aggregation
from cloister.aggregation import keys, messages, shamir, transcript
from cloister.aggregation.keys import outer_key
from cloister.aggregation.messages import Announcements, Reveal, SharingMessage, SignedMasked, read
from cloister.aggregation.parcels import pair_header, parcel_header
from cloister.aggregation.ring import mask_of
from cloister.aggregation.vectors import Blinded, wire_size
from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import unb64

LENGTH = 6000


class View:
    """The coordinator's view of a finished run, with the secrets of one colluding participant (or of none)."""

    def __init__(self, run: World, colluder: str | None) -> None:
        self.run, self.colluder = run, colluder
        self.of = run.context
        body = next(body for stage, _, _, body in run.said if stage == "gather")
        self.announced = {
            item.content.party: item.content for item in read(Announcements, body)[0].announcements
        }
        self.first = transcript.after_announcing(self.of, list(self.announced.values()))
        self.sharings = {
            sender: read(SharingMessage, body)[0] for stage, sender, _, body in run.said if stage == "share"
        }
        self.masked = {
            sender: bytes(read(SignedMasked, body, wire_size(self.of.encoding))[1])
            for stage, sender, _, body in run.said
            if stage == "mask"
        }
        self.reveals = {
            sender: read(Reveal, body)[0] for stage, sender, _, body in run.said if stage == "reveal"
        }
        self.secrets = keys.Secrets.of(secret(colluder), self.of.id) if colluder else None
        self.held = self._held()

    def _held(self):
        """What the colluder's parcels hold: sender → (share of s, share of b, group contribution)."""
        found = {}
        if self.colluder:
            for sender, message in self.sharings.items():
                if sender != self.colluder:
                    plain = keys.unseal(
                        unb64(message.parcels[self.colluder].sealed),
                        self.secrets.channel,
                        parcel_header(self.of, self.first, sender, self.colluder),
                    )
                    found[sender] = tuple(plain[start : start + 32] for start in (0, 32, 64))
        return found

    def shares(self, kind, owner):
        """Every share of a seed that the adversary has: place → share."""
        found = {}
        for sender, message in self.reveals.items():
            given = message.mask_shares if kind == "mask" else message.seed_shares
            if owner in given:
                found[self.of.place(sender)] = unb64(given[owner])
        if owner in self.held:
            found[self.of.place(self.colluder)] = self.held[owner][kind == "mask"]
        return found

    def group(self):
        contributions = {**{party: item[2] for party, item in self.held.items()}}
        contributions[self.colluder] = self.secrets.group
        second = transcript.after_sharing(
            self.first, [message.sharing.content for _, message in sorted(self.sharings.items())]
        )
        joined = b"".join(contributions[party] for party in sorted(contributions))
        return keys.derive(joined, "group key", second, self.of.attempt.to_bytes(8, "big"))

    def pair(self, party):
        """The pair key of the colluder and an honest party."""
        own = keys.KemKeys.of(self.secrets.round_seed)
        if party < self.colluder:
            header = pair_header(self.of, self.first, party, self.colluder)
            k = keys.disclose(unb64(self.sharings[party].parcels[self.colluder].pair), own, header)
        else:
            k = keys.pair_secret(self.secrets.round_seed, party)
        return keys.pair_key(own, unb64(self.announced[party].round_x25519), k, self.first, self.of.attempt)

    def residue(self, party):
        """An honest vector with every mask taken off that this adversary can derive."""
        vector = Blinded.unpack(self.masked[party], self.of.encoding)
        seed = shamir.combine(self.shares("mask", party), self.of.thresholds.threshold)
        vector.add_mask(seed, subtract=True)
        if self.colluder:
            vector.add_mask(self.pair(party), subtract=party < self.colluder)
            if party in self.of.outer:
                vector.add_mask(outer_key(self.group(), party), subtract=True)
        return vector.values & vector.values.dtype.type(mask_of(self.of.encoding.bits))


@cache
def run() -> World:
    of = context(4, encoding=aggregation.integers(LENGTH, 4, 2), colluders=1)
    given = {party: np.full(LENGTH, value) for party, value in zip(of.roster, (2, -2, 1, 0), strict=True)}
    return World(of, given).run()


def is_uniform(values, bits):
    """Chi-squared over all ring values, at a level that chance reaches once in 10^9 runs."""
    counts = np.bincount(values, minlength=2**bits)
    expected = len(values) / 2**bits
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = 2**bits - 1
    return statistic < degrees + 6 * np.sqrt(2 * degrees) * 2


@pytest.mark.parametrize("colluder", [None, *NAMES[:4]])
def test_what_is_left_of_one_vector_is_uniform_and_their_sum_is_the_sum(colluder):
    """Rule 4 of `participant`: self mask, pair masks, outer mask."""
    world = run()
    assert not world.errors
    view, bits = View(world, colluder), world.context.encoding.bits
    honest = [party for party in world.context.roster if party != colluder]
    residues = {party: view.residue(party) for party in honest}
    for party in honest:
        assert is_uniform(residues[party][:LENGTH], bits), party
    for some in itertools.chain(
        itertools.combinations(honest, 2), itertools.combinations(honest, len(honest) - 1)
    ):
        part = sum(residues[party] for party in some) & np.uint32(mask_of(bits))
        assert is_uniform(part[:LENGTH], bits), some
    total = sum(residues.values()) & np.uint32(mask_of(bits))
    right = world.context.encoding.embed(world.sum(honest)) & np.uint32(mask_of(bits))
    if colluder:
        # With a participant's group key the honest sum is seen: that is what an owner sees anyway.
        assert (total[:LENGTH] == right).all()
    else:
        assert is_uniform(total[:LENGTH], bits)


def test_every_other_input_of_the_same_sum_explains_the_same_view():
    """For each other input of the honest there are masks between the honest, as likely, that give the same bytes."""
    world = run()
    colluder = NAMES[3]
    view, bits = View(world, colluder), world.context.encoding.bits
    ring, honest = 2**bits, [party for party in world.context.roster if party != colluder]
    residues = np.array([int(view.residue(party)[0]) for party in honest])
    bound = world.context.encoding.bound
    target = sum(int(world.vectors[party][0]) for party in honest)
    others = [
        values for values in itertools.product(range(-bound, bound + 1), repeat=3) if sum(values) == target
    ]
    assert len(others) > 5
    explanations = []
    for values in others:
        # Unknown masks of the three honest pairs (0,1), (0,2), (1,2): vector 0 has +a +b, 1 has -a +c, 2 has -b -c.
        count = 0
        for a, b in itertools.product(range(ring), repeat=2):
            c = (residues[1] - values[1] + a) % ring
            if (values[0] + a + b - residues[0]) % ring == 0 and (
                values[2] - b - c - residues[2]
            ) % ring == 0:
                count += 1
        explanations.append(count)
    assert set(explanations) == {ring}  # equally many for each: the view says nothing of which it was


@pytest.mark.parametrize("colluder", NAMES[:4])
def test_no_seed_of_an_honest_participant_but_self_masks_is_within_reach(colluder):
    world = run()
    view, threshold = View(world, colluder), world.context.thresholds.threshold
    for party in world.context.roster:
        if party == colluder:
            continue
        assert len(view.shares("mask", party)) >= threshold
        seeds = view.shares("seed", party)
        assert set(seeds) == {world.context.place(colluder)}
        assert len(seeds) < threshold


def test_shares_below_the_threshold_fit_any_seed():
    """The colluders' shares of a seed leave each seed possible, by one polynomial for each choice of the rest."""
    world = run()
    view, of = View(world, NAMES[0]), world.context
    for guess in (bytes(32), b"\xff" * 32, bytes(range(32))):
        held = view.shares("seed", NAMES[1])
        fill = {
            place: bytes([place]) * 32 for place in range(100, 100 + of.thresholds.threshold - 1 - len(held))
        }
        # t - 1 shares and the guess at 0 make one polynomial; its shares open to the guess.
        points = {**held, **fill}
        extra = interpolate({0: guess, **points}, 200)
        assert shamir.combine({**points, 200: extra}, of.thresholds.threshold) == guess


def interpolate(points, place):
    value = np.zeros(32, np.uint8)
    for own, share in points.items():
        weight = 1
        for other in points:
            if other != own:
                weight = shamir._product(weight, shamir._product(place ^ other, shamir._inverse(own ^ other)))
        value ^= shamir.times(np.frombuffer(share, np.uint8), np.uint8(weight))
    return value.tobytes()


def test_a_dropouts_late_vector_stays_hidden_though_its_round_seed_is_opened():
    """Its vector reached the coordinator after the survivors were named: the self mask is still on it."""
    of = context(5, encoding=aggregation.integers(LENGTH, 5, 2), dropouts=1)
    late = of.roster[2]
    given = {party: np.full(LENGTH, 1) for party in of.roster}
    caught = {}

    def delay(stage, sender, recipient, body):
        if stage == "mask" and sender == late:
            caught["late"] = body
            return None
        return body

    world = World(of, given, tamper=delay).run()
    assert world.right([party for party in of.roster if party != late])
    view = View(world, of.roster[4])
    seed = shamir.combine(view.shares("seed", late), of.thresholds.threshold)
    opened = keys.KemKeys.of(seed)
    assert opened.public[0] == unb64(view.announced[late].round_x25519)
    vector = Blinded.unpack(view.masked[late], of.encoding)
    for other in of.roster:
        if other == late:
            continue
        if late < other:
            k = keys.pair_secret(seed, other)
        else:
            header = pair_header(of, view.first, other, late)
            k = keys.disclose(unb64(view.sharings[other].parcels[late].pair), opened, header)
        pair = keys.pair_key(opened, unb64(view.announced[other].round_x25519), k, view.first, of.attempt)
        vector.add_mask(pair, subtract=late < other)
    if late in of.outer:
        vector.add_mask(outer_key(view.group(), late), subtract=True)
    vector.values &= np.uint32(mask_of(of.encoding.bits))
    assert is_uniform(vector.values, of.encoding.bits)
    assert len(view.shares("mask", late)) < of.thresholds.threshold
    # With the self mask as well it would be open: the test would notice.
    own = keys.Secrets.of(secret(late), of.id).mask_seed
    vector.add_mask(own, subtract=True)
    assert (vector.values & np.uint32(mask_of(of.encoding.bits)) == 1).all()


def test_opening_a_round_seed_opens_no_parcel():
    """Channel keys are not derived from the round seed (`keys`)."""
    world = run()
    view = View(world, None)
    for party, other in itertools.permutations(world.context.roster, 2):
        seed = keys.Secrets.of(secret(party), world.context.id).round_seed
        sealed = unb64(view.sharings[other].parcels[party].sealed)
        with pytest.raises(NotTrusted):
            keys.unseal(sealed, keys.KemKeys.of(seed), parcel_header(world.context, view.first, other, party))


def test_all_long_term_keys_together_open_nothing():
    """Rule 2 of `keys`: the same parties' keys, other journalled secrets."""
    run_, of = run(), run().context
    view = View(run_, None)
    for party, other in itertools.permutations(of.roster, 2):
        again = participant(of, party, "another")
        assert again._signing._keys is run_.nodes[party]._signing._keys
        header = parcel_header(of, view.first, other, party)
        sealed = unb64(view.sharings[other].parcels[party].sealed)
        with pytest.raises(NotTrusted):
            keys.unseal(sealed, again._secrets.channel, header)
        keys.unseal(sealed, run_.nodes[party]._secrets.channel, header)
        if other < party:
            enclosed = unb64(view.sharings[other].parcels[party].pair)
            with pytest.raises(NotTrusted):
                keys.disclose(enclosed, again._round, pair_header(of, view.first, other, party))


def test_nothing_secret_is_in_the_clear_on_the_way():
    world = run()
    for party in world.context.roster:
        secrets = keys.Secrets.of(secret(party), world.context.id)
        for value in (
            secrets.round_seed,
            secrets.mask_seed,
            secrets.group,
            secrets.coefficients,
            secret(party),
        ):
            text = messages.b64(value).rstrip("=")[:40].encode()
            for _, _, _, body in world.said:
                assert value not in body
                assert text not in body


def test_names_and_attempts_separate_all_keys():
    """Rule 1 of `keys`."""
    of, later = context(3), context(3, attempt=2)
    found = set()
    for one in (of, later):
        for party in of.roster:
            secrets = keys.Secrets.of(b"s" * 32 + party.encode(), one.id)
            found |= {secrets.round_seed, secrets.mask_seed, secrets.group, secrets.coefficients}
            found |= {keys.pair_secret(secrets.round_seed, other) for other in of.roster}
    assert len(found) == 2 * 3 * (4 + 3)
    assert keys.framed("a", b"bc", b"d") != keys.framed("a", b"b", b"cd")
    assert COORDINATOR not in of.roster
