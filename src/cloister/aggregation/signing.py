"""How a participant signs and checks what others must be able to hold against it.

Trust logic gets this passed in; `PartySigning` is the one that speaks with a party's own keys.
"""

from __future__ import annotations

from typing import Protocol

from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.envelopes import KeyDirectory, pae
from cloister.identity.keys import SecretKeys, Signature

KEYSET = 16
SIGNATURE = KEYSET + Signature.SIZE
"""Bytes of a signature by `PartySigning`."""
MAX_SIGNATURE = 8192


class Verifying(Protocol):
    """Knows whose signature is whose."""

    def verify(self, party: str, payload_type: str, payload: bytes, signature: bytes) -> None:
        """Raises `NotTrusted` unless `party` signed exactly this, as this type of payload."""
        ...


class Signing(Verifying, Protocol):
    """Also signs, as one party."""

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """At most `MAX_SIGNATURE` bytes."""
        ...


class PartySigning:
    """Signatures with party keys, Ed25519 and ML-DSA-65, behind the name of the keyset that made them.

    Args:
        directory: knows the parties' keys.
        keys: this party's own; a coordinator that only checks has none here.
    """

    def __init__(self, directory: KeyDirectory, keys: SecretKeys | None = None) -> None:
        self._directory, self._keys = directory, keys

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """See `Signing`."""
        if self._keys is None:
            raise BadInput("Nothing can be signed here.", "There are no keys.", "Pass the party's keys.")
        signature = self._keys.sign(pae(payload_type, payload))
        return bytes.fromhex(self._keys.public.keyset) + signature.encode()

    def verify(self, party: str, payload_type: str, payload: bytes, signature: bytes) -> None:
        """See `Verifying`."""
        if len(signature) != SIGNATURE:
            raise NotTrusted(
                "A signature is malformed.", "It has the wrong length.", "Start again.", clause="signature"
            )
        keys = self._directory.keys(party, signature[:KEYSET].hex())
        keys.verify(pae(payload_type, payload), Signature.decode(signature[KEYSET:]))
