"""The only door between a privacy-enhancing technology and the rest of Cloister.

A protection offers for a request, on public facts alone, and gives each seat its program. If a new protection needs a
line in the planner or the node, this interface is wrong. `tests/protections/contract.py` runs on every protection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from cloister.claims.offers import Declined, Facts, Offer, Request
from cloister.journal.program import Program


class Protection(Protocol):
    """One technology."""

    @property
    def name(self) -> str:
        """Its name in plans and agreements, for example `federated-averaging`."""
        ...

    @property
    def maturity(self) -> Literal["stable", "experimental"]:
        """`experimental` runs only where the agreement names it."""
        ...

    def offers(self, request: Request, facts: Facts) -> Sequence[Offer | Declined]:
        """How it would do the request, or why not. Pure: the same arguments give the same answer."""
        ...

    def program(self, offer: Offer, request: Request, seat: str) -> Program:
        """One seat's state machine for an admitted plan. Raises `Refused` for an offer that it would not make."""
        ...
