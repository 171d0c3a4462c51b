"""The privacy methods that this installation has. A new one is added here, and nowhere else."""

from __future__ import annotations

from cloister.protections.interface import Protection


def installed() -> tuple[Protection, ...]:
    """All of them."""
    from cloister.protections.federated import FederatedAveraging

    return (FederatedAveraging(),)
