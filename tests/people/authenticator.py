"""A security key in software (CTAP-like, ES256), which can also misbehave: what a browser would hand on."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Device:
    """One device with any number of passkeys.

    Args:
        counts: whether it counts its uses.
    """

    def __init__(self, counts: bool = True) -> None:
        self.counts, self.count = counts, 0
        self.keys: dict[str, tuple[ec.EllipticCurvePrivateKey, str, bytes]] = {}
        self.verified = True
        self.framed = False

    def create(self, options: dict[str, Any], origin: str, host: str | None = None) -> str:
        """Answers `navigator.credentials.create`."""
        page = host or options["rp"]["id"]
        key, name = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(32)
        self.keys[b64(name)] = (key, page, unb64(options["user"]["id"]))
        numbers = key.public_key().public_numbers()
        public = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        data = self._data(page, attested=bytes(16) + struct.pack(">H", len(name)) + name + public)
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": b64(self._told("webauthn.create", options["challenge"], origin)),
            "attestationObject": b64(attested),
        }
        return self._answer(b64(name), response)

    def get(self, options: dict[str, Any], origin: str, name: str | None = None) -> str:
        """Answers `navigator.credentials.get`."""
        allowed = [item["id"] for item in options.get("allowCredentials", ())]
        chosen = name or next(item for item in self.keys if not allowed or item in allowed)
        key, page, user = self.keys[chosen]
        told = self._told("webauthn.get", options["challenge"], origin)
        data = self._data(page)
        signature = key.sign(data + hashlib.sha256(told).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": b64(told),
            "authenticatorData": b64(data),
            "signature": b64(signature),
            "userHandle": b64(user),
        }
        return self._answer(chosen, response)

    def _data(self, page: str, attested: bytes = b"") -> bytes:
        self.count += self.counts
        flags = 0x01 | (0x04 if self.verified else 0) | (0x40 if attested else 0)
        return hashlib.sha256(page.encode()).digest() + struct.pack(">BI", flags, self.count) + attested

    def _told(self, kind: str, challenge: str, origin: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": self.framed}
        return json.dumps(told).encode()

    @staticmethod
    def _answer(name: str, response: dict[str, str]) -> str:
        return json.dumps(
            {
                "id": name,
                "rawId": name,
                "type": "public-key",
                "response": response,
                "clientExtensionResults": {},
                "authenticatorAttachment": "platform",
            }
        )
