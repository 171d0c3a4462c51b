"""The keys of one participant in one aggregation, and what two participants derive between them.

From one journalled secret, bound to the aggregation's context, a participant derives:

- a *round seed* s, which is Shamir-shared: from it come an X25519 and an ML-KEM-768 key, and for each participant v
  that comes after it the pair secret k_v = HKDF(s, v), which v gets encrypted to its ML-KEM key;
- a *self-mask seed* b, which is Shamir-shared;
- *channel keys*, under which parcels with shares are sealed to it; not derived from s, so that opening s opens no
  parcel;
- a contribution g to the group key, and the coefficients of both sharings.

The pair's key is HKDF-SHA-256(X25519 secret ‖ k; transcript, attempt): who breaks only one of the two algorithms does
not learn it. Who is given s, and what is public, derives every pair key of that participant: that is how the masks of
one who dropped out are taken off. `encapsulate()` of the library takes no randomness, therefore k is not the
encapsulated secret but encrypted under it.

Rules:
1. Each derivation has its own label, and its inputs are framed by their lengths.
2. Nothing here outlives the aggregation: no long-term key takes part, so none that leaks later opens a mask.

Sources: Bonawitz et al. 2017, figure 4; RFC 5869 (HKDF); RFC 7748 (X25519); FIPS 203 (ML-KEM); RFC 9180 (HPKE).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.foundation.errors import NotTrusted

SEED = 32
X25519_KEY = 32
MLKEM_KEY = 1184
PAIR_CIPHERTEXT = 1088 + SEED + 16
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SEAL_OVERHEAD = KEM.MLKEM768_X25519.enc_length() + 16
# A nonce may be constant where each key encrypts once.
_NONCE = bytes(12)


def framed(label: str, *parts: bytes) -> bytes:
    """One byte string per list of parts: the label and each part, each behind its length."""
    items = (b"cloister/aggregation@1", label.encode("ascii"), *parts)
    return b"".join(len(item).to_bytes(8, "big") + item for item in items)


def tagged(label: str, *parts: bytes) -> bytes:
    """SHA-256 of `framed`: 32 bytes."""
    return hashlib.sha256(framed(label, *parts)).digest()


def derive(secret: bytes, label: str, *parts: bytes, size: int = SEED) -> bytes:
    """HKDF-SHA-256 of a uniform secret, for one purpose (rule 1). At most 8160 bytes."""
    return HKDF(hashes.SHA256(), size, None, framed(label, *parts)).derive(secret)


def stretched(secret: bytes, label: str, size: int) -> bytes:
    """Any number of uniform bytes from a uniform secret: SHAKE-256 keyed by a derived key."""
    return hashlib.shake_256(derive(secret, label)).digest(size)


@dataclass(frozen=True, repr=False)
class KemKeys:
    """An X25519 and an ML-KEM-768 private key, from one seed."""

    classical: x25519.X25519PrivateKey
    lattice: mlkem.MLKEM768PrivateKey

    @classmethod
    def of(cls, seed: bytes) -> KemKeys:
        """The keys that belong to a seed of 32 bytes."""
        return cls(
            x25519.X25519PrivateKey.from_private_bytes(derive(seed, "x25519")),
            mlkem.MLKEM768PrivateKey.from_seed_bytes(derive(seed, "ml-kem-768", size=64)),
        )

    @property
    def public(self) -> tuple[bytes, bytes]:
        """Both public keys, raw."""
        return self.classical.public_key().public_bytes_raw(), self.lattice.public_key().public_bytes_raw()


@dataclass(frozen=True, repr=False)
class Secrets:
    """Everything secret that one participant brings into one aggregation."""

    round_seed: bytes
    mask_seed: bytes
    channel: KemKeys
    group: bytes
    coefficients: bytes

    @classmethod
    def of(cls, secret: bytes, context: bytes) -> Secrets:
        """The secrets from a journalled secret of 32 bytes or more, for the context of this digest only."""
        base = derive(secret, "aggregation", context)
        return cls(
            derive(base, "round seed"),
            derive(base, "mask seed"),
            KemKeys.of(derive(base, "channel")),
            derive(base, "group"),
            derive(base, "coefficients"),
        )


def usable(classical: bytes, lattice: bytes) -> bool:
    """Whether both are public keys that can be used; for foreign keys."""
    try:
        mlkem.MLKEM768PublicKey.from_public_bytes(lattice)
        # A point of small order gives a secret that everybody knows.
        probe = x25519.X25519PrivateKey.from_private_bytes(b"\x08" * 32)
        probe.exchange(x25519.X25519PublicKey.from_public_bytes(classical))
    except ValueError:
        return False
    return True


def pair_secret(round_seed: bytes, other: str) -> bytes:
    """What goes to the participant `other`, who comes after the seed's owner: k = HKDF(s, v)."""
    return derive(round_seed, "pair", other.encode("ascii"))


def enclose(secret: bytes, lattice: bytes, header: bytes) -> bytes:
    """A pair secret encrypted to a round's ML-KEM-768 key, bound to `header`: `PAIR_CIPHERTEXT` bytes."""
    shared, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(lattice).encapsulate()
    return ciphertext + AESGCM(derive(shared, "pair secret")).encrypt(_NONCE, secret, header)


def disclose(enclosed: bytes, keys: KemKeys, header: bytes) -> bytes:
    """The pair secret that `enclose` encrypted. Raises `NotTrusted`."""
    try:
        shared = keys.lattice.decapsulate(enclosed[:1088])
        secret = AESGCM(derive(shared, "pair secret")).decrypt(_NONCE, enclosed[1088:], header)
    except (InvalidTag, ValueError):
        raise _unreadable() from None
    if len(secret) != SEED:
        raise _unreadable()
    return secret


def pair_key(keys: KemKeys, other_classical: bytes, secret: bytes, transcript: bytes, attempt: int) -> bytes:
    """The key of a pair, equal at both: HKDF-SHA-256(X25519 secret ‖ k; transcript, attempt)."""
    try:
        exchanged = keys.classical.exchange(x25519.X25519PublicKey.from_public_bytes(other_classical))
    except ValueError:
        raise _unreadable() from None
    return derive(exchanged + secret, "pair key", transcript, attempt.to_bytes(8, "big"))


def confirmation(key: bytes, sender: str, recipient: str) -> bytes:
    """What shows `recipient` that `sender` has the pair's key; 32 bytes, says nothing of the mask's key."""
    names = framed("confirm", sender.encode("ascii"), recipient.encode("ascii"))
    return hmac.digest(derive(key, "confirmation"), names, "sha256")


def seal(plaintext: bytes, classical: bytes, lattice: bytes, header: bytes) -> bytes:
    """`plaintext` sealed to channel keys, bound to `header`; HPKE base mode, ML-KEM-768 + X25519."""
    key = MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(lattice),
        x25519.X25519PublicKey.from_public_bytes(classical),
    )
    return _SUITE.encrypt(plaintext, key, info=header)


def unseal(sealed: bytes, keys: KemKeys, header: bytes) -> bytes:
    """What `seal` sealed. Raises `NotTrusted`."""
    try:
        return _SUITE.decrypt(sealed, MLKEM768X25519PrivateKey(keys.lattice, keys.classical), info=header)
    except (InvalidTag, ValueError):
        raise _unreadable() from None


def outer_key(group: bytes, party: str) -> bytes:
    """The key of the outer mask that `party` adds."""
    return derive(group, "outer mask", party.encode())


def check_key(group: bytes) -> bytes:
    """The key of the check values."""
    return derive(group, "check value")


def _unreadable() -> NotTrusted:
    return NotTrusted(
        "A part of a secure aggregation could not be opened.",
        "It is not for this participant's keys, belongs to another aggregation, or was changed on the way.",
        "Start again; if it repeats, compare fingerprints with the sender.",
        clause="aggregation-sealed",
    )
