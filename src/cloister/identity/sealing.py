"""Sealing: bytes that only one party can read, bound to a public header.

HPKE in base mode, single shot, with the hybrid KEM ML-KEM-768 + X25519, HKDF-SHA-256 and AES-256-GCM. The header
goes into HPKE's `info`, so a sealed body opens only under the header it was sealed with. Sealing says nothing about
the sender: callers sign (see `transport.envelope`).

Source: RFC 9180 (section 5.1 for `info`), draft-ietf-hpke-pq for the hybrid KEM. Interface: `cryptography` 50, pinned.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import PublicKeys, SecretKeys, unb64

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
OVERHEAD = KEM.MLKEM768_X25519.enc_length() + 16
"""Bytes that sealing adds: the encapsulated keys and the tag."""


def seal(plaintext: bytes, recipient: PublicKeys, header: bytes) -> bytes:
    """`plaintext` sealed to `recipient`, bound to `header` (which is not secret and travels beside it)."""
    key = MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(unb64(recipient.mlkem768)),
        x25519.X25519PublicKey.from_public_bytes(unb64(recipient.x25519)),
    )
    return _SUITE.encrypt(plaintext, key, info=header)


def unseal(sealed: bytes, keys: SecretKeys, header: bytes) -> bytes:
    """The plaintext. Raises `NotTrusted` if it is not for these keys, not under this header, or was changed."""
    key = MLKEM768X25519PrivateKey(keys.sealing_mlkem768, keys.sealing_x25519)
    try:
        return _SUITE.decrypt(sealed, key, info=header)
    except (InvalidTag, ValueError):
        raise NotTrusted(
            "A sealed message could not be opened.",
            "It is not for this party's keys, belongs to another header, or was changed on the way.",
            "Ask the sender to send it again; if it repeats, compare fingerprints.",
            clause="sealed",
        ) from None
