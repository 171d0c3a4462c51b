"""A party's keys: every signature is Ed25519 and ML-DSA-65, every sealing ML-KEM-768 and X25519.

Two algorithms each, so that a break of either one (a quantum computer for the classical, a mistake in the younger
one) does not break a signature or a sealed body: both must hold.

Sources: RFC 8032 (Ed25519), FIPS 204 (ML-DSA), FIPS 203 (ML-KEM), RFC 7748 (X25519).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.errors import BadInput, NotTrusted

ED25519_SIGNATURE = 64
MLDSA65_SIGNATURE = 3309
PARTY_PATTERN = r"^[a-z2-7]{52}$"
PartyId = Annotated[str, Field(pattern=PARTY_PATTERN)]
"""A party's fingerprint: 52 base32 letters of a SHA-256 (see `party_id`). Fit for a certificate's common name."""


def b64(data: bytes) -> str:
    """Standard base64 text of `data`."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """The bytes of standard, padded base64 text. Raises `BadInput` for anything else."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise BadInput(
            "A base64 value is malformed.",
            "It has characters or padding that do not belong.",
            "Copy it again.",
        ) from None
    if b64(data) != text:
        raise BadInput(
            "A base64 value is malformed.", "It is not the one canonical encoding.", "Copy it again."
        )
    return data


def _sized(size: int) -> AfterValidator:
    def check(text: str) -> str:
        try:
            data = unb64(text)
        except BadInput:
            raise ValueError("not base64") from None
        if len(data) != size:
            raise ValueError("wrong length for a key")
        return text

    return AfterValidator(check)


class PublicKeys(BaseModel):
    """The public half of a party's keys, each raw and base64-encoded."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ed25519: Annotated[str, _sized(32)]
    mldsa65: Annotated[str, _sized(1952)]
    mlkem768: Annotated[str, _sized(1184)]
    x25519: Annotated[str, _sized(32)]

    @property
    def keyset(self) -> str:
        """A short name of exactly these keys: 32 hexadecimal digits of the SHA-256 of their canonical form."""
        return _keyset(self.ed25519, self.mldsa65, self.mlkem768, self.x25519)

    def verify(self, message: bytes, signature: Signature) -> None:
        """Raises `NotTrusted` unless both signatures over `message` are by these keys."""
        try:
            classical, quantum_safe = _read(self.ed25519, self.mldsa65)
            classical.verify(signature.ed25519, message)
            quantum_safe.verify(signature.mldsa65, message)
        except (InvalidSignature, ValueError):
            raise NotTrusted(
                "A signature does not hold.",
                "It is not by the keys it names, or what was signed has changed since.",
                "Ask the signer for the document again and compare fingerprints.",
                clause="signature",
            ) from None


# The same few parties' keys are asked for with every message.


@lru_cache(maxsize=1024)
def _read(classical: str, quantum_safe: str) -> tuple[ed25519.Ed25519PublicKey, mldsa.MLDSA65PublicKey]:
    return (
        ed25519.Ed25519PublicKey.from_public_bytes(unb64(classical)),
        mldsa.MLDSA65PublicKey.from_public_bytes(unb64(quantum_safe)),
    )


@lru_cache(maxsize=1024)
def _keyset(ed25519: str, mldsa65: str, mlkem768: str, x25519: str) -> str:
    named: dict[str, JSON] = {"ed25519": ed25519, "mldsa65": mldsa65, "mlkem768": mlkem768, "x25519": x25519}
    return hashlib.sha256(canonical(named)).hexdigest()[:32]


@dataclass(frozen=True)
class Signature:
    """Both signatures over one message; neither counts without the other."""

    ed25519: bytes
    mldsa65: bytes

    SIZE: ClassVar[int] = ED25519_SIGNATURE + MLDSA65_SIGNATURE

    def encode(self) -> bytes:
        """64 bytes of Ed25519, then 3309 of ML-DSA-65."""
        return self.ed25519 + self.mldsa65

    @classmethod
    def decode(cls, data: bytes) -> Signature:
        """Reads what `encode` wrote. Raises `BadInput` on any other length."""
        if len(data) != cls.SIZE:
            raise BadInput(
                "A signature is malformed.", "It has the wrong length.", "Ask for the document again."
            )
        return cls(data[:ED25519_SIGNATURE], data[ED25519_SIGNATURE:])


@dataclass(frozen=True, repr=False)
class SecretKeys:
    """The secret half. Never printed, logged or passed as an argument of a program; see `keystore`."""

    signing_ed25519: ed25519.Ed25519PrivateKey
    signing_mldsa65: mldsa.MLDSA65PrivateKey
    sealing_mlkem768: mlkem.MLKEM768PrivateKey
    sealing_x25519: x25519.X25519PrivateKey
    public: PublicKeys = field(init=False)

    def __post_init__(self) -> None:
        public = PublicKeys(
            ed25519=b64(self.signing_ed25519.public_key().public_bytes_raw()),
            mldsa65=b64(self.signing_mldsa65.public_key().public_bytes_raw()),
            mlkem768=b64(self.sealing_mlkem768.public_key().public_bytes_raw()),
            x25519=b64(self.sealing_x25519.public_key().public_bytes_raw()),
        )
        object.__setattr__(self, "public", public)

    def __repr__(self) -> str:
        return f"SecretKeys(keyset={self.public.keyset})"

    @classmethod
    def generate(cls) -> SecretKeys:
        """New keys from the system's generator."""
        return cls(
            ed25519.Ed25519PrivateKey.generate(),
            mldsa.MLDSA65PrivateKey.generate(),
            mlkem.MLKEM768PrivateKey.generate(),
            x25519.X25519PrivateKey.generate(),
        )

    def sign(self, message: bytes) -> Signature:
        """Both signatures over `message`. Callers separate domains (see `envelopes.pae`)."""
        return Signature(self.signing_ed25519.sign(message), self.signing_mldsa65.sign(message))

    def encode(self) -> bytes:
        """160 secret bytes: Ed25519 seed 32, ML-DSA-65 seed 32, ML-KEM-768 seed 64, X25519 key 32."""
        return (
            self.signing_ed25519.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            + self.signing_mldsa65.private_bytes_raw()
            + self.sealing_mlkem768.private_bytes_raw()
            + self.sealing_x25519.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        )

    @classmethod
    def decode(cls, data: bytes) -> SecretKeys:
        """Reads what `encode` wrote. Raises `BadInput` on any other length."""
        if len(data) != 160:
            raise BadInput(
                "A key file is malformed.",
                "Its content has the wrong length.",
                "Restore the key file from a backup.",
            )
        return cls(
            ed25519.Ed25519PrivateKey.from_private_bytes(data[:32]),
            mldsa.MLDSA65PrivateKey.from_seed_bytes(data[32:64]),
            mlkem.MLKEM768PrivateKey.from_seed_bytes(data[64:128]),
            x25519.X25519PrivateKey.from_private_bytes(data[128:160]),
        )


def party_id(genesis: PublicKeys, recovery: str) -> str:
    """The party's fingerprint: base32 of SHA-256 over its first keys and the digest of its recovery keys.

    It stays the same when keys rotate; cards chain the rotation. Both are bound, so that nobody can attach other
    recovery keys to a known party.
    """
    content = canonical({"type": "cloister/party@1", "keys": genesis.model_dump(), "recovery": recovery})
    return base64.b32encode(hashlib.sha256(content).digest()).decode("ascii").rstrip("=").lower()


def grouped(fingerprint: str) -> str:
    """A fingerprint as people compare it aloud: thirteen groups of four letters."""
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))
