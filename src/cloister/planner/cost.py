"""What an offer costs, as one number, so that offers can be compared.

The weights are public constants: the same offers give the same choice at every node. They say what a person would
trade: a second of waiting is worth about 10 MB of traffic, and ten minutes are worth waiting to spend one less of
epsilon, which never comes back.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.claims.offers import Cost


@dataclass(frozen=True)
class Weights:
    """Seconds that each thing is worth: a second, a byte in either direction, one of epsilon."""

    second: float = 1.0
    byte: float = 1e-7
    epsilon: float = 600.0


WEIGHTS = Weights()


def score(cost: Cost, weights: Weights = WEIGHTS) -> float:
    """The cost in seconds' worth; lower is better."""
    return (
        weights.second * cost.seconds
        + weights.byte * (cost.bytes_up + cost.bytes_down)
        + weights.epsilon * cost.epsilon
    )


LEAST_PER_NODE = "0.5 MB"
"""What a small training exchanges in signed and countersigned documents; a model's own bytes come on top."""


def sentences(cost: Cost) -> tuple[str, ...]:
    """What a plan's people are told: what is counted, and what is guessed."""
    budget = (
        f"It takes epsilon {cost.epsilon:.4g} of the privacy budget."
        if cost.epsilon
        else "It takes no privacy budget."
    )
    return (
        (
            f"Model updates of about {size(cost.bytes_up + cost.bytes_down)}; with signatures, votes and certificates"
            f" at least {LEAST_PER_NODE} per server."
        ),
        f"About {duration(cost.seconds)}. The time is a guess for an idle machine.",
        budget,
    )


def in_words(cost: Cost) -> str:
    """For example `about 2 minutes, updates of 48 MB, epsilon 0.5 of the budget`; for comparing offers."""
    parts = [
        f"about {duration(cost.seconds)}",
        f"updates of {size(cost.bytes_up + cost.bytes_down)}",
    ]
    parts.append(f"epsilon {cost.epsilon:.4g} of the privacy budget" if cost.epsilon else "no privacy budget")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time as people say it."""
    for name, length in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}s"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes as people say it."""
    for name, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:.3g} {name}"
    return f"{count} bytes"
