"""What is masked and summed: a vector over Z_{2^k}, and beside it its check value modulo 2^61 - 1.

On the wire: the packed vector, then the check value in eight bytes, little-endian.

Rules:
1. Each mask key is used for one vector; the ring's and the check value's masks are derived from it apart.
2. One sum, one byte form: a check value of the modulus or more is refused, as are stray bits (`ring`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloister.aggregation import keys, ring
from cloister.aggregation.encoding import Encoding
from cloister.aggregation.integrity import MODULUS
from cloister.foundation.errors import BadInput

CHECK = 8


@dataclass(repr=False)
class Blinded:
    """A vector and its check value, under whatever masks were added; changed in place.

    Attributes:
        values: ring elements, in words of `ring.word`.
        check: 0 to `MODULUS` - 1.
    """

    values: ring.Ring
    check: int

    @classmethod
    def zero(cls, encoding: Encoding) -> Blinded:
        """Where a sum begins."""
        return cls(np.zeros(encoding.length, ring.word(encoding.bits)), 0)

    def add(self, other: Blinded) -> None:
        """Adds another one."""
        np.add(self.values, other.values, out=self.values)
        self.check = (self.check + other.check) % MODULUS

    def add_mask(self, secret: bytes, *, subtract: bool = False) -> None:
        """Adds the masks that belong to a secret of 32 bytes, or takes them off."""
        ring.add_mask(self.values, keys.derive(secret, "vector mask"), subtract=subtract)
        # 128 bits modulo a prime of 61: uniform but for 2^-67.
        mask = int.from_bytes(keys.derive(secret, "check mask", size=16), "big") % MODULUS
        self.check = (self.check - mask if subtract else self.check + mask) % MODULUS

    def pack(self, encoding: Encoding) -> bytes:
        """The bytes that travel: `wire_size` of them."""
        return ring.pack(self.values, encoding.bits) + self.check.to_bytes(CHECK, "little")

    @classmethod
    def unpack(cls, data: bytes | memoryview, encoding: Encoding) -> Blinded:
        """What `pack` packed, as the caller's own copy. Raises `BadInput`."""
        check = int.from_bytes(data[-CHECK:], "little")
        if len(data) != wire_size(encoding) or check >= MODULUS:
            raise BadInput(
                "A masked vector could not be read.",
                "It is not as long as agreed, or its check value is out of range.",
                "Have the sender run the same version of Cloister.",
            )
        return cls(ring.unpack(data[:-CHECK], encoding.length, encoding.bits), check)


def wire_size(encoding: Encoding) -> int:
    """Bytes of a packed vector with its check value."""
    return ring.packed_size(encoding.length, encoding.bits) + CHECK
