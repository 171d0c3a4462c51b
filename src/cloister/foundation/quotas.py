"""How much one sender may leave waiting at somebody else's machine, and how fast: decided without clock, file or network.

Of everything that a party can make others keep (plans, agreements, acts, …) there is a *quota*: so many things and bytes at
a time, and a rate. What was kept for a sender and how fast it came is its *usage*, which the caller stores.

Rules:
1. Usage is one sender's and one kind's: what one party sends is never counted against another, nor one kind against another.
2. What is held already costs nothing when it comes again, however often.
3. A thing that has been taken up (a plan that began, an agreement that all signed) is no longer counted.
4. Where the number or the bytes are used up, the sender's own oldest things that nobody waits for (refused, ended, lapsed)
   make room. What still waits is never pushed out: the new thing is refused instead.
5. A refusal changes no usage and says what is used up, how much is allowed, and when or how there is room again.
6. The rate is a leaky bucket kept as one time (GCRA, ITU-T I.371 annex A), so that stored usage survives a restart, and a clock
   that jumped cannot lock a sender out for longer than the bucket takes to empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from cloister.foundation.errors import Refused

Standing: TypeAlias = Literal["waiting", "taken", "spent"]
"""Of a held thing: somebody still has to decide on it; it was taken up; nobody waits for it any more."""


@dataclass(frozen=True)
class Quota:
    """What one sender may have of one kind.

    Attributes:
        number: things held at a time.
        size: bytes held at a time.
        burst: things that may come at once.
        per_hour: things per hour in the long run.
    """

    number: int
    size: int
    burst: int
    per_hour: int

    def share(self, part: int) -> Quota:
        """The quota of those who get only one part in `part` of it; at least one of everything."""
        return Quota(
            max(1, self.number // part),
            max(1, self.size // part),
            max(1, self.burst // part),
            max(1, self.per_hour // part),
        )


@dataclass(frozen=True)
class Held:
    """One thing that is kept: its bytes, and when it came (seconds, or later so that each came after the one before)."""

    size: int
    at: int


@dataclass(frozen=True)
class Usage:
    """What is kept for one sender, by name, and until when its bucket is filled (milliseconds)."""

    held: Mapping[str, Held] = field(default_factory=dict)
    filled: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON value, for whoever stores it."""
        return {
            "filled": self.filled,
            "held": {name: [item.size, item.at] for name, item in self.held.items()},
        }

    @classmethod
    def from_json(cls, value: Any) -> Usage:
        """Reads what `to_json` wrote; anything else counts as nothing used."""
        try:
            held = {str(name): Held(int(item[0]), int(item[1])) for name, item in value["held"].items()}
            return cls(held, int(value["filled"]))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            return cls()


@dataclass(frozen=True)
class Allowed:
    """Yes: the usage to store, and the names of things that made room and are to be forgotten."""

    usage: Usage
    forget: tuple[str, ...] = ()


def consider(
    quota: Quota,
    usage: Usage,
    name: str,
    size: int,
    now: int,
    standing: Mapping[str, Standing],
    *,
    kind: str = "things",
) -> Allowed | Refused:
    """Whether a sender may leave one more thing.

    Args:
        quota: the sender's for this kind.
        usage: as stored.
        name: of the thing, unique for its content (a digest).
        size: bytes.
        now: seconds.
        standing: of what is held, by name; what is not in it counts as waiting.
        kind: what the things are called, for the refusal.
    """
    if name in usage.held:
        return Allowed(usage)
    held = {key: item for key, item in usage.held.items() if standing.get(key, "waiting") != "taken"}
    interval = max(1, 3_600_000 // quota.per_hour)
    clock = now * 1000
    filled = min(max(usage.filled, clock), clock + quota.burst * interval)
    if filled + interval > clock + quota.burst * interval:
        wait = -(-(filled + interval - clock - quota.burst * interval) // 1000)
        return _refused(
            kind, f"At most {quota.per_hour} an hour are taken.", f"Try again in {wait} seconds.", wait
        )
    if size > quota.size:
        return _refused(
            kind, f"It has {size} bytes; {quota.size} may wait here at a time.", "Send a smaller one.", 0
        )
    forget: list[str] = []
    idle = sorted((item.at, key) for key, item in held.items() if standing.get(key) == "spent")
    while len(held) >= quota.number or sum(item.size for item in held.values()) + size > quota.size:
        if not idle:
            return _refused(
                kind,
                f"{len(held)} of {quota.number} wait here already, with"
                f" {sum(item.size for item in held.values())} of {quota.size} bytes.",
                "Wait until this party has decided on some of them, or ask its operator to.",
                0,
            )
        key = idle.pop(0)[1]
        del held[key]
        forget.append(key)
    # Of things that came within one second, or while a clock went back, the first still goes first.
    at = max([now, *(item.at + 1 for item in held.values())])
    return Allowed(Usage({**held, name: Held(size, at)}, filled + interval), tuple(forget))


def _refused(kind: str, why: str, remedy: str, wait: int) -> Refused:
    return Refused(
        f"Too many {kind} came from one party.",
        why,
        remedy,
        clause="quota",
        **({"retry_after": wait} if wait else {}),
    )
