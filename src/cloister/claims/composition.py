"""How a claim follows from others: the rules by which a protection puts its claims together, each with its source.

A rule is a function from claims to a claim. What it needs to be true and cannot check is in its docstring; what it can
check it does, and a composition that would say more than its parts raises `BadInput`.

Rules:
1. A composed claim holds against nobody that one of its parts does not hold against, but for whom a rule names, and
   against no more of them together.
2. It makes every assumption that a part makes. One claim can name one assumption: parts with two different ones don't
   compose.
3. Epsilon and delta never shrink.

Composition of runs that are chosen one after the other is not done with claims but with budgets (`privacy.filters`):
each plan claims its own run, and the filter holds all of them to the agreed limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    DifferentiallyPrivate,
    Hidden,
)
from cloister.foundation.errors import BadInput

POST_PROCESSING = "post-processing: Dwork and Roth 2014, proposition 2.1"
PARALLEL = "parallel composition: McSherry 2009, theorem 4"
SUMS_WITH_NOISE = "Kairouz, Liu, Steinke 2021; docs/proofs/discrete-gaussian.md, theorem 4"


def assuming(*assumptions: Assumption) -> Assumption:
    """The assumption of what rests on all of these (rule 2)."""
    named = {item for item in assumptions if item is not Assumption.NONE}
    if len(named) > 1:
        raise _refused("Its parts make different assumptions, and a claim names one.")
    return named.pop() if named else Assumption.NONE


def post_processed(claim: Claim, artefact: Artefact, *seats: str) -> Claim:
    """What is computed from a differentially private artefact, and from nothing else of the records, is as private.

    Needs: `artefact` is a function of the claim's artefact and of what is public; whoever sits in `seats` sees nothing
    else. (Dwork and Roth 2014, "The Algorithmic Foundations of Differential Privacy", proposition 2.1.)

    Args:
        claim: of differential privacy.
        artefact: what is computed from its artefact.
        seats: who sees that besides the claim's own adversary.
    """
    _private(claim)
    against = claim.against.model_copy(update={"seats": tuple(sorted({*claim.against.seats, *seats}))})
    source = f"{claim.citation}; {POST_PROCESSING}" if claim.citation else POST_PROCESSING
    return claim.model_copy(update={"artefact": artefact, "against": against, "citation": source[:200]})


def in_parallel(claims: Sequence[Claim], *, stated: Assumption = Assumption.NONE) -> Claim:
    """Mechanisms that each look at other units are together as private as the least private of them.

    Needs: no unit is looked at by more of them than each claim's `occurrences`. Where that is not so by construction but
    because somebody states it, `stated` is the assumption. (McSherry 2009, "Privacy integrated queries", theorem 4.)

    Args:
        claims: of differential privacy, about one artefact and the same unit.
        stated: the assumption that the units are disjoint.
    """
    parts = [_private(claim) for claim in claims]
    if not parts or len({item.unit for item in parts}) != 1 or len({item.artefact for item in claims}) != 1:
        raise _refused("Its parts are none, or speak of different units or artefacts.")
    weakest = parts[0].model_copy(
        update={
            "epsilon": max(item.epsilon for item in parts),
            "delta": max(item.delta for item in parts),
            "occurrences": min(item.occurrences for item in parts),
        }
    )
    together = set.intersection(*(set(claim.against.seats) for claim in claims))
    if not together:
        raise _refused("Its parts hold against nobody in common.")
    malicious = all(claim.against.behaviour is Behaviour.MALICIOUS for claim in claims)
    citations = dict.fromkeys(claim.citation for claim in claims if claim.citation)
    return Claim(
        artefact=claims[0].artefact,
        against=Adversary(
            seats=tuple(together),
            colluding=min(claim.against.colluding for claim in claims),
            behaviour=Behaviour.MALICIOUS if malicious else Behaviour.HONEST_BUT_CURIOUS,
        ),
        reached=weakest,
        assumption=assuming(stated, *(claim.assumption for claim in claims)),
        citation="; ".join([*citations, *([PARALLEL] if len(claims) > 1 else [])])[:200],
    )


def summed(hidden: Claim, noise: DifferentiallyPrivate, *, shared: Assumption) -> Claim:
    """Where single contributions are hidden, their sum is as private as the noise of those who keep to the protocol.

    Needs: `noise` is what the shares of noise amount to that are surely in a sum and unknown to the adversary of `hidden`,
    its colluders' own shares taken off; the adversary sees of the contributions nothing but sums. The noise being others',
    `shared` is the assumption that they add it. (Kairouz, Liu, Steinke 2021, "The distributed discrete Gaussian mechanism
    for federated learning with secure aggregation"; Bonawitz et al. 2017 for what is seen.)

    Args:
        hidden: the claim that contributions are hidden.
        noise: what the sum's noise is worth.
        shared: that the owners add their shares.
    """
    if hidden.artefact is not Artefact.UPDATE or not isinstance(hidden.reached, Hidden):
        raise _refused("Single contributions are not hidden, so that more than their sum is seen.")
    return Claim(
        artefact=Artefact.AGGREGATE,
        against=hidden.against,
        reached=noise,
        assumption=assuming(hidden.assumption, shared),
        citation=SUMS_WITH_NOISE,
    )


def _private(claim: Claim) -> DifferentiallyPrivate:
    if not isinstance(claim.reached, DifferentiallyPrivate):
        raise _refused("One of its parts is not differentially private.")
    return claim.reached


def _refused(why: str) -> BadInput:
    return BadInput(
        "A guarantee does not follow from its parts.", why, "Report it as a mistake of the privacy method."
    )
