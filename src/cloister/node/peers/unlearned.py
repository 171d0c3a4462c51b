"""Cards that the relay listed and this node could not learn: looked at again, a bounded number of times, and never forgotten.

Rules:
1. A card that fails holds up no other card.
2. It is tried again after growing pauses, at most `ATTEMPTS` times; it stays listed, with the reason of the last failure, until it
   is learned, or the relay comes anew and everything is looked at from the beginning.
3. At most `KEPT` are remembered. Over that the looking stops where it is and goes on when there is room, so that a relay that
   lists junk costs no memory, and no card is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

ATTEMPTS = 8
KEPT = 200
_FIRST, _LONGEST = 15.0, 1800.0


@dataclass
class _Failed:
    reason: str
    due: float
    attempts: int = 1


class Unlearned:
    """The cards that were not learned; times are seconds of any clock that runs forward."""

    def __init__(self) -> None:
        self._failed: dict[str, _Failed] = {}

    def room(self) -> bool:
        """Whether one more may fail."""
        return len(self._failed) < KEPT

    def failed(self, card: str, reason: str, now: float) -> None:
        """A card could not be learned."""
        known = self._failed.get(card)
        attempts = 1 if known is None else known.attempts + 1
        pause = min(_FIRST * 2 ** (attempts - 1), _LONGEST)
        self._failed[card] = _Failed(reason[:300], now + pause, attempts)

    def learned(self, card: str) -> None:
        """A card is held now."""
        self._failed.pop(card, None)

    def due(self, now: float) -> list[str]:
        """The cards to try again now."""
        return [card for card, item in self._failed.items() if item.due <= now and item.attempts < ATTEMPTS]

    def anew(self) -> None:
        """Everything is looked at from the beginning."""
        self._failed.clear()

    def report(self) -> list[dict[str, str | int | bool]]:
        """For the node's people: which card, why, how often it was tried, whether it will be again."""
        return [
            {
                "card": card,
                "reason": item.reason,
                "attempts": item.attempts,
                "given_up": item.attempts >= ATTEMPTS,
            }
            for card, item in list(self._failed.items())
        ]
