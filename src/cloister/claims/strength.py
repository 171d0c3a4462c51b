"""When one set of claims is at least as strong as another.

Rules:
1. `first` is at least as strong as `second` if for each guarantee of `second` one of `first` satisfies it, without
   accepting any assumption that the guarantee itself does not make, and nothing that `first` discloses is kept by
   `second`.
2. It is a preorder: reflexive and transitive. Claims about other artefacts or adversaries are incomparable, and
   incomparable is the answer in doubt: then neither is called weaker.
"""

from __future__ import annotations

from cloister.claims.vocabulary import Claim, Claims, Disclosed


def at_least_as_strong(first: Claims, second: Claims) -> bool:
    """Whether everything that `second` guarantees is guaranteed by `first`, and `first` discloses no more."""
    promised = [claim for claim in second.guarantees if not isinstance(claim.reached, Disclosed)]
    told = [claim for claim in first.guarantees if isinstance(claim.reached, Disclosed)]
    return all(
        any(have.satisfies(need, frozenset()) for have in first.guarantees) for need in promised
    ) and all(any(_tells_as_much(other, item) for other in second.guarantees) for item in told)


def stronger(first: Claims, second: Claims) -> bool:
    """Whether `first` is at least as strong as `second`, and not the reverse."""
    return at_least_as_strong(first, second) and not at_least_as_strong(second, first)


def _tells_as_much(other: Claim, item: Claim) -> bool:
    return (
        isinstance(other.reached, Disclosed)
        and other.reached == item.reached
        and other.artefact == item.artefact
        and set(other.against.seats) >= set(item.against.seats)
    )
