"""Models that this installation knows by their bytes, so that a plan that starts from one says what it is.

Only what a node has itself can be known so: what a requester says of a model is not shown as knowledge.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from cloister.applications.crystals.shipped import shipped_outliner
from cloister.foundation.digests import digest
from cloister.foundation.errors import NotFound


@lru_cache(maxsize=1)
def known_models() -> Mapping[str, str]:
    """Digest → what it is, in words, as it can stand in a sentence."""
    try:
        crystals = digest(shipped_outliner())
    except NotFound:  # an installation without the checkpoint still plans other trainings
        return MappingProxyType({})
    return MappingProxyType(
        {crystals: "the crystal model that comes with Cloister, trained on drawn pictures"}
    )
