"""Secrets at rest: encrypted files in one folder, opened by a passphrase or by the system's keyring.

A random master key encrypts every secret; it lies in `unlock.json`, itself encrypted under a key that is derived from
the passphrase (Argon2id; scrypt where the platform's OpenSSL lacks it), or in the system's keyring. Recovery keys go
to a file of their own with a passphrase of their own, to be moved off the machine.

Rules:
1. Nothing secret is written unencrypted, printed, logged or taken from a program's arguments.
2. Each file's header (its kind, label, derivation and nonce) is authenticated with its content: a changed or swapped
   file does not open.
3. A wrong passphrase and a changed file have one symptom for `unlock.json` (the key does not open it); the error says
   both. Any other file that does not open was changed or belongs to another keystore.
4. Derivation parameters that a file asks for are bounded before any work is done.
5. Files are written whole or not at all, readable by their owner only.

Not protected: a running node's memory (Python cannot erase it), a restored older copy of a file, a person who may
read the node's memory or type its passphrase.

Sources: RFC 9106 (Argon2, second recommended option), RFC 7914 (scrypt), SP 800-38D (GCM), RFC 5869 (HKDF).
"""

from __future__ import annotations

import re
import secrets as random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, NotTrusted, Tampered
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.keys import SecretKeys, b64, unb64

SERVICE = "cloister"
MAX_FILE = 1 << 20
MAX_MEMORY_KIB = 1 << 20
PARTY_KEYS = "party-keys"
RECOVERY_KEYS = "recovery-keys"
MASTER = "master"
_ONE_AT_A_TIME = threading.Lock()
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_KIND = "cloister/sealed-file@1"


@dataclass(frozen=True)
class Cost:
    """How hard a passphrase is to guess: Argon2id passes, lanes and memory. The default takes about 0.1 s."""

    iterations: int = 3
    lanes: int = 4
    memory_kib: int = 64 << 10


class Unlock(Protocol):
    """Where the key that opens a file comes from."""

    def new(self) -> tuple[bytes, dict[str, Any]]:
        """A fresh 32-byte key and the public facts by which `again` finds it."""
        ...

    def again(self, facts: Mapping[str, Any]) -> bytes:
        """The key that belongs to `facts`. Raises `CloisterError`."""
        ...


@dataclass(frozen=True)
class Passphrase:
    """A key derived from a passphrase (see `passphrases` for where it may come from)."""

    text: bytes = field(repr=False)
    cost: Cost = Cost()

    def new(self) -> tuple[bytes, dict[str, Any]]:
        """Derives a key with a fresh salt, by Argon2id where offered."""
        salt = random.token_bytes(16)
        facts: dict[str, Any] = {
            "name": "argon2id",
            "salt": b64(salt),
            "iterations": self.cost.iterations,
            "lanes": self.cost.lanes,
            "memory_kib": self.cost.memory_kib,
        }
        try:
            return self.again(facts), facts
        except UnsupportedAlgorithm:
            facts = {"name": "scrypt", "salt": b64(salt), "n": 1 << 17, "r": 8, "p": 1}
            return self.again(facts), facts

    def again(self, facts: Mapping[str, Any]) -> bytes:
        """Derives the key again; refuses parameters beyond the limits (rule 4)."""
        name = facts.get("name")
        if name == "os-keyring":
            raise BadInput(
                "These secrets are opened by the system's keyring.",
                "No passphrase was set for them.",
                "Open them without a passphrase.",
            )
        salt = unb64(str(facts.get("salt", "")))
        if name == "argon2id" and _within(facts, iterations=64, lanes=64, memory_kib=MAX_MEMORY_KIB):
            derivation = Argon2id(
                salt=salt,
                length=32,
                iterations=facts["iterations"],
                lanes=facts["lanes"],
                memory_cost=facts["memory_kib"],
            )
            # Two derivations at once wait for each other's threads for ever in OpenSSL's pool.
            with _ONE_AT_A_TIME:
                return derivation.derive(self.text)
        if name == "scrypt" and _within(facts, n=1 << 20, r=8, p=16) and facts["n"] & (facts["n"] - 1) == 0:
            return Scrypt(salt=salt, length=32, n=facts["n"], r=facts["r"], p=facts["p"]).derive(self.text)
        raise _malformed()


@dataclass(frozen=True)
class SystemKeyring:
    """A random key kept by the operating system's keyring under the service name `cloister`."""

    def new(self) -> tuple[bytes, dict[str, Any]]:
        """Stores a fresh key. Raises `CloisterError` if the system has no keyring."""
        entry, key = random.token_hex(16), random.token_bytes(32)
        import keyring
        from keyring.errors import KeyringError

        try:
            keyring.set_password(SERVICE, entry, b64(key))
        except KeyringError:
            raise _no_keyring() from None
        return key, {"name": "os-keyring", "entry": entry}

    def again(self, facts: Mapping[str, Any]) -> bytes:
        """Fetches the key. Raises `BadInput` if a passphrase opens the file, `NotFound` if the keyring lacks it."""
        if facts.get("name") != "os-keyring":
            raise BadInput(
                "These secrets are opened by a passphrase.",
                "The system's keyring does not hold a key for them.",
                "Give the passphrase (for example by CLOISTER_PASSPHRASE_FILE).",
            )
        import keyring
        from keyring.errors import KeyringError

        try:
            text = keyring.get_password(SERVICE, str(facts.get("entry", "")))
        except KeyringError:
            raise _no_keyring() from None
        if text is None:
            raise NotFound(
                "The system's keyring has no key for these secrets.",
                "It may belong to another user or machine.",
                "Run as the user who set the server up, or restore the keyring from a backup.",
            )
        return unb64(text)


class Keystore:
    """The encrypted secrets of one node, in `folder`. Use `create` once, then `open`."""

    def __init__(self, folder: Path, master: bytes) -> None:
        self._folder = folder
        self._master = master

    def __repr__(self) -> str:
        return f"Keystore({self._folder})"

    @classmethod
    def create(cls, folder: Path, unlock: Unlock) -> Keystore:
        """A new, empty keystore. Raises `Conflict` if there is one already."""
        path = folder / "unlock.json"
        if path.exists():
            raise Conflict(
                "There is a keystore here already.",
                f"{path} exists.",
                "Use it, or choose another folder; never delete keys you may need.",
            )
        master = random.token_bytes(32)
        key, facts = unlock.new()
        write_atomically(path, _seal(key, MASTER, facts, master), private=True)
        return cls(folder, master)

    @classmethod
    def open(cls, folder: Path, unlock: Unlock) -> Keystore:
        """The keystore in `folder`. Raises `NotFound`, `NotTrusted` (wrong passphrase or changed file), `BadInput`."""
        data = read_limited(folder / "unlock.json", MAX_FILE)
        try:
            return cls(folder, _unseal(data, MASTER, unlock))
        except Tampered as error:
            raise _or_wrong_passphrase(error) from None

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether `folder` holds a keystore."""
        return (folder / "unlock.json").is_file()

    def change_unlock(self, unlock: Unlock) -> None:
        """From now on `unlock` opens the keystore, and what opened it before does not."""
        key, facts = unlock.new()
        write_atomically(self._folder / "unlock.json", _seal(key, MASTER, facts, self._master), private=True)

    def put(self, label: str, secret: bytes) -> None:
        """Keeps a secret of at most 700 kB under `label`, replacing what was there."""
        facts = {"name": "master"}
        write_atomically(self._path(label), _seal(self._key(label), label, facts, secret), private=True)

    def get(self, label: str) -> bytes:
        """The secret. Raises `NotFound`, or `Tampered` if the file was changed or is another keystore's."""
        return _unseal(read_limited(self._path(label), MAX_FILE), label, _Fixed(self._key(label)))

    def has(self, label: str) -> bool:
        """Whether there is a secret of that label."""
        return self._path(label).is_file()

    def get_or_create(self, label: str, size: int = 32) -> bytes:
        """The secret, made of `size` random bytes on first use (for example a dataset's salt)."""
        if not self.has(label):
            self.put(label, random.token_bytes(size))
        return self.get(label)

    def remove(self, label: str) -> None:
        """Deletes a secret if it is there. Copies on backups or worn flash cells are not reached."""
        self._path(label).unlink(missing_ok=True)

    def save_keys(self, keys: SecretKeys, label: str = PARTY_KEYS) -> None:
        """Keeps a party's keys."""
        self.put(label, keys.encode())

    def load_keys(self, label: str = PARTY_KEYS) -> SecretKeys:
        """The party's keys. Raises `NotFound` or `Tampered`."""
        return SecretKeys.decode(self.get(label))

    def _path(self, label: str) -> Path:
        if not _LABEL.fullmatch(label):
            raise BadInput(
                "A secret's label is malformed.",
                "Labels have lower-case letters, digits, dots, hyphens and underscores.",
                "Choose another label.",
            )
        return self._folder / f"{label}.sealed"

    def _key(self, label: str) -> bytes:
        info = b"cloister/keystore@1/" + label.encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._master)


def write_recovery(path: Path, keys: SecretKeys, unlock: Unlock) -> None:
    """Writes recovery keys to a file of their own, to be moved offline. Raises `Conflict` rather than overwrite."""
    if path.exists():
        raise Conflict(f"{path} exists.", "Recovery keys are never overwritten.", "Choose another file.")
    key, facts = unlock.new()
    write_atomically(path, _seal(key, RECOVERY_KEYS, facts, keys.encode()), private=True)


def read_recovery(path: Path, unlock: Unlock) -> SecretKeys:
    """The recovery keys. Raises `NotFound`, `NotTrusted` (wrong passphrase or changed file) or `BadInput`."""
    try:
        return SecretKeys.decode(_unseal(read_limited(path, MAX_FILE), RECOVERY_KEYS, unlock))
    except Tampered as error:
        raise _or_wrong_passphrase(error) from None


@dataclass(frozen=True)
class _Fixed:
    key: bytes = field(repr=False)

    def new(self) -> tuple[bytes, dict[str, Any]]:
        return self.key, {"name": "master"}

    def again(self, facts: Mapping[str, Any]) -> bytes:
        if facts.get("name") != "master":
            raise _malformed()
        return self.key


def _seal(key: bytes, label: str, facts: Mapping[str, Any], secret: bytes) -> bytes:
    nonce = random.token_bytes(12)
    header = canonical({"type": _KIND, "label": label, "key": dict(facts), "nonce": b64(nonce)})
    document = {"header": b64(header), "sealed": b64(AESGCM(key).encrypt(nonce, secret, header))}
    data = canonical(document) + b"\n"
    if len(data) > MAX_FILE:
        raise BadInput(
            "A secret is too large to keep.", f"The limit is {MAX_FILE} bytes.", "Keep it elsewhere."
        )
    return data


def _unseal(data: bytes, label: str, unlock: Unlock) -> bytes:
    try:
        document = parse_canonical(data.removesuffix(b"\n"))
        raw_header, sealed = unb64(document["header"]), unb64(document["sealed"])
        header = parse_canonical(raw_header)
        facts, nonce, named = header["key"], unb64(header["nonce"]), header["label"]
        if not isinstance(facts, dict) or len(nonce) != 12 or header["type"] != _KIND:
            raise _malformed()
    except (CloisterError, KeyError, TypeError, AttributeError, IndexError):
        raise _malformed() from None
    if named != label:
        raise Tampered(
            "A secret's file was swapped for another.",
            f"It should hold {label}.",
            "Restore the keystore from a backup.",
            clause="keystore",
        )
    try:
        key = unlock.again(facts)
        return AESGCM(key).decrypt(nonce, sealed, raw_header)
    except UnsupportedAlgorithm:
        raise BadInput(
            "These secrets cannot be opened on this machine.",
            "They need Argon2id, which this platform's OpenSSL lacks.",
            "Open them where they were made, or install the `cryptography` wheel.",
        ) from None
    except (InvalidTag, ValueError):
        raise Tampered(
            f"The secret {label} could not be opened.",
            "Its file was changed, or belongs to another keystore.",
            "Restore the keystore from a backup.",
            clause="keystore",
        ) from None


def _within(facts: Mapping[str, Any], **limits: int) -> bool:
    return all(
        isinstance(facts.get(name), int) and not isinstance(facts[name], bool) and 1 <= facts[name] <= limit
        for name, limit in limits.items()
    )


def _malformed() -> Tampered:
    return Tampered(
        "A secret's file could not be read.",
        "It is not in the form that Cloister writes.",
        "Restore the keystore from a backup.",
        clause="keystore-format",
    )


def _or_wrong_passphrase(error: Tampered) -> NotTrusted:
    if error.clause != "keystore":
        return error
    return NotTrusted(
        "The keys could not be opened.",
        "The passphrase is wrong, or the file was changed.",
        "Try the passphrase again; if it is right, restore the file from a backup.",
        clause="passphrase",
    )


def _no_keyring() -> CloisterError:
    return CloisterError(
        "The system's keyring is not available.",
        "This machine offers none, or it is locked.",
        "Use a passphrase (for example by CLOISTER_PASSPHRASE_FILE).",
    )
