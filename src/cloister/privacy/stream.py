"""A keystream for noise: AES-256-CTR under a key derived from a secret, so that a resumed step gets the same bytes.

Noise must be unpredictable to whoever sees the noisy values: a general-purpose generator can be recovered from its
output. The secret comes from the journal (`Local.secret`), which keeps it before it is used and erases it afterwards.

Rules:
1. Secret and label determine every byte; other labels give independent streams.
2. The same secret and label must not serve two different vectors: the label names the task's attempt, step and node.

Sources: NIST SP 800-38A (CTR), RFC 5869 (HKDF).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

SECRET_BYTES: Final = 32
_MAX_LABEL: Final = 1000
_PURPOSE: Final = b"cloister/noise@1\0"


class NoiseStream:
    """The keystream of one secret and label.

    Args:
        secret: 32 secret bytes.
        label: what the noise is for, for example `round/3/step/0`.

    Raises:
        BadInput: the secret has another length, or the label is too long.
    """

    def __init__(self, secret: bytes, label: str) -> None:
        name = label.encode()
        if len(secret) != SECRET_BYTES or len(name) > _MAX_LABEL:
            raise BadInput(
                "Noise cannot be made from this secret and label.",
                f"A secret has {SECRET_BYTES} bytes, a label at most {_MAX_LABEL}.",
                "Take the secret from the journal.",
            )
        keys = HKDF(SHA256(), 64, None, _PURPOSE + name).derive(secret)
        self._words = Cipher(algorithms.AES256(keys[:32]), modes.CTR(bytes(16))).encryptor()
        self._more_key = keys[32:]

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words of 64 independent, uniform bits."""
        return np.frombuffer(self._words.update(bytes(8 * count)), dtype="<u8")

    def more(self, place: int, purpose: int, words: int) -> int:
        """64 · `words` further bits for one place and purpose, as an integer; a longer answer begins with a shorter one.

        They lie in a stream of their own, so that asking for them moves nothing else.
        """
        # The counter block's last 48 bits count; places and purposes never meet.
        start = place.to_bytes(8, "big") + purpose.to_bytes(2, "big") + bytes(6)
        stream = Cipher(algorithms.AES256(self._more_key), modes.CTR(start)).encryptor()
        return int.from_bytes(stream.update(bytes(8 * words)), "big")
