"""What crossed between nodes, held against the rule that masks are used once.

A masked vector hides its owner's numbers because its masks are used for nothing else. Two different vectors of one owner for
one round tell their difference; with noise that is drawn twice, what the noise was to hide.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable


def second_vectors(crossed: Iterable[tuple[str, str, str, str, bytes]]) -> list[tuple[str, str, str]]:
    """Of each (sender, recipient, task, kind, body): the (sender, task, kind) of which two different vectors were sent."""
    found: dict[tuple[str, str, str], set[bytes]] = {}
    for sender, _, task, kind, body in crossed:
        if kind.startswith("mask-"):
            found.setdefault((sender, task, kind), set()).add(vector_in(body))
    return sorted(at for at, vectors in found.items() if len(vectors) > 1)


def vector_in(body: bytes) -> bytes:
    """The masked vector of a message: what follows its document, whose signature is another each time that it is made."""
    (size,) = struct.unpack(">I", body[4:8])
    return body[8 + size :]
