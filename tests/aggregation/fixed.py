"""Makes the library's own randomness repeatable within a test, so that a step can be compared with itself.

Encapsulation takes no randomness from its caller and ML-DSA signs with fresh randomness. Here each is done once for the
same inputs, and what came out is given again: whatever still differs is not a function of state, secret and message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

from cloister.aggregation import keys
from cloister.aggregation.signing import PartySigning


@contextmanager
def fixed_randomness() -> Iterator[None]:
    seal, enclose, plain = cache(keys.seal), cache(keys.enclose), PartySigning.sign
    signed: dict[tuple[str, str, bytes], bytes] = {}

    def sign(self, payload_type, payload):
        at = (self._keys.public.keyset, payload_type, payload)
        if at not in signed:
            signed[at] = plain(self, payload_type, payload)
        return signed[at]

    with (
        patch.object(keys, "seal", seal),
        patch.object(keys, "enclose", enclose),
        patch.object(PartySigning, "sign", sign),
    ):
        yield
