"""Secrets of tasks: sealed with the node's storage key, erased when the task ends.

AES-256-GCM with a random 96-bit nonce per secret; task, attempt and label are associated data, so a sealed secret
cannot be moved to another place. SQLite overwrites erased rows (`secure_delete`); older copies in its log and in
backups are sealed still, and end with the storage key.

Source: NIST SP 800-38D, section 8.2.2 (random nonces).
"""

from __future__ import annotations

import secrets as system

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert, select

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, Tampered
from cloister.storage.database import Transaction
from cloister.storage.tables import secrets

KEY_BYTES = 32
_NONCE = 12
MAX_SECRET = 1 << 20


class Secrets:
    """The secrets in one transaction. `key` is the node's storage key, 32 bytes."""

    def __init__(self, tx: Transaction, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise BadInput(
                "The storage key has the wrong length.", "It must be 32 bytes.", "Check the key file."
            )
        self._connection = tx.connection
        self._cipher = AESGCM(key)

    def obtain(self, task: str, attempt: int, label: str, size: int) -> bytes:
        """`size` random bytes: fresh the first time, the same ones after that. Use them after the commit.

        Raises:
            BadInput: another size was asked for before under this label, or it is over 1 MiB.
            Tampered: the sealed secret was changed, or sealed with another key.
        """
        if not 0 < size <= MAX_SECRET:
            raise BadInput(
                "A secret of an impossible size was asked for.",
                f"At most {MAX_SECRET} bytes.",
                "Ask for less.",
            )
        found = self.get(task, attempt, label)
        if found is None:
            found = system.token_bytes(size)
            self.put(task, attempt, label, found)
        if len(found) != size:
            raise BadInput(
                "A secret was asked for twice in different sizes.",
                "One label names one secret.",
                "Use another label.",
            )
        return found

    def put(self, task: str, attempt: int, label: str, value: bytes) -> None:
        """Seals and keeps `value` under a new label."""
        nonce = system.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, value, _place(task, attempt, label))
        self._connection.execute(
            insert(secrets).values(task=task, attempt=attempt, label=label, sealed=sealed)
        )

    def get(self, task: str, attempt: int, label: str) -> bytes | None:
        """The secret, or `None`. Raises `Tampered` if it does not open."""
        sealed = self._connection.execute(
            select(secrets.c.sealed).where(
                secrets.c.task == task, secrets.c.attempt == attempt, secrets.c.label == label
            )
        ).scalar_one_or_none()
        if sealed is None:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _place(task, attempt, label))
        except (InvalidTag, ValueError):
            raise Tampered(
                "A stored secret could not be opened.",
                "It was changed, or sealed with another storage key.",
                "Restore the server's folder and key from the same backup.",
                clause="sealed-secret",
            ) from None


def erase(tx: Transaction, task: str, label: str | None = None) -> None:
    """Erases a task's secrets: those under a label, or all."""
    which = secrets.c.task == task
    if label is not None:
        which &= secrets.c.label == label
    tx.connection.execute(delete(secrets).where(which))


def _place(task: str, attempt: int, label: str) -> bytes:
    return canonical(["cloister/secret@1", task, attempt, label])
