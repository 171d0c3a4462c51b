"""What federated training with given settings guarantees, discloses, spends and is called: all that a plan says of itself.

Everything here is a function of the settings and the owners alone, so that every seat's node works it out anew and refuses
a plan that says otherwise.

Rules:
1. The claims are those of the protocol and no stronger. In the clear each update is *disclosed* to the coordinator, and
   between owners where two answers make a round. With a secure sum they are those of `docs/proofs/secure-aggregation.md`:
   contributions are hidden from everybody, up to the agreed number of colluding owners with coordinator and relay among
   them; sums are hidden from coordinator and relay as long as no owner works with them, and disclosed to the owners.
2. Differential privacy is claimed at the epsilon that is charged. With a secure sum the noise is the owners' together:
   it holds against the agreed colluders, as long as the other owners add theirs. Without, each owner adds all of it
   itself, so that it holds whatever the others do. Owners' votes on the result are within that epsilon: each unit is either
   trained on or checked on, by its own fate, with noise alike (`docs/proofs/quality-gate.md`).
3. That a unit occurs at one owner only, or at few, is what the agreement states: an assumption, and named as one.
4. What is not protected is said in words: what sums tell, whoever pools more than is provided for, what all units of an
   owner have in common, owners that lie, what the relay sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from pydantic import ValidationError

from cloister.claims.composition import in_parallel, post_processed, summed
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
    Sealed,
    Signed,
)
from cloister.foundation.errors import Refused
from cloister.privacy import accounting
from cloister.privacy.accounting import Run
from cloister.protections.federated.robust import gaps
from cloister.protections.federated.settings import PrivateSteps, Settings, epsilon

UPDATE_WARNING = "each owner's update is seen by the coordinator; may contain input records"
PAIR_WARNING = "in a round that only two owners answered, each of them can work out the other's update"
HEAVY_WARNING = "an owner outweighs the others of a round together; the average is close to its update"
CHOSEN_WARNING = "what a round changes may be one owner's update, or numbers of single owners' updates"
WEIGHTS_WARNING = "the averaged weights after every round"
NOISY_WEIGHTS = "the weights after every round, which have the owners' noise in them"
NOISY_UPDATE = "each owner's step with all of its noise"
ANSWERS = "which owners answered each round"
DIGESTS = "digests of the weights after every round and of the model that the owners ended with, and its size"
UNRELEASED = "the model before it is released"
VOTES = (
    "each owner's yes or no at the release; where a least quality is agreed, noise decides it on records that were kept apart "
    "from training, and the epsilon of this plan covers it"
)

_SUM_PROOF = "Bonawitz et al. 2017; docs/proofs/secure-aggregation.md"
_OUTSIDE = ("hub", "outsider")
_OTHERS = ("coordinator", "hub", "outsider", "owner")
_RELAY = "The relay sees who talks to whom, when, and how much."
WAYS = {
    (False, False): "with updates seen by the coordinator",
    (True, False): "with secure sums",
    (True, True): "with secure sums and noise",
    (False, True): "with noise and no secure sums",
}
"""What each way of training is called, by whether it has a secure sum and whether it has noise."""


def variant(settings: Settings) -> str:
    """What tells this way of training from the protection's others, for people."""
    name = WAYS[settings.secure is not None, settings.private is not None]
    return name if settings.combining == "mean" else f"{name} and combined by {settings.combining}"


def holder(settings: Settings) -> Literal["coordinator", "owner"]:
    """The seat that has the model before its release."""
    return "coordinator" if settings.secure is None else "owner"


def claims(settings: Settings, owners: tuple[str, ...]) -> Claims:
    """What federated training guarantees with these settings, and what it does not."""
    outside = Adversary(seats=_OUTSIDE, behaviour=Behaviour.MALICIOUS)
    common = (
        Claim(artefact=Artefact.LINK, against=outside, reached=Sealed(quantum_safe=True)),
        Claim(artefact=Artefact.LINK, against=outside, reached=Signed()),
        Claim(artefact=Artefact.INPUT, against=outside, reached=Hidden()),
    )
    if settings.secure is not None:
        own = _secure(settings, owners)
    elif settings.private is not None:
        own = _private_alone(settings, settings.private, owners)
    else:
        own = _plain(settings, owners)
    return Claims(guarantees=(*common, *own), not_protected=tuple(_gaps(settings, owners)))


def discloses(settings: Settings, owners: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What each seat learns on the way."""
    weights = WEIGHTS_WARNING if settings.private is None else NOISY_WEIGHTS
    between = _between_owners(settings, owners)
    told = (between.what,) if isinstance(between, Disclosed) else ()
    votes = () if settings.private is None else (VOTES,)
    if settings.secure is not None:
        return {
            "coordinator": (ANSWERS, DIGESTS, *votes),
            "owner": (weights, ANSWERS, *told, UNRELEASED, *votes),
        }
    if settings.private is not None:
        return {
            "coordinator": (NOISY_UPDATE, ANSWERS, UNRELEASED, *votes),
            "owner": (
                weights,
                ANSWERS,
                *(f"{item}, which has all of that owner's noise" for item in told),
                *votes,
            ),
        }
    return {"coordinator": (UPDATE_WARNING, ANSWERS), "owner": (weights, ANSWERS, *told)}


# Claims ----------------------------------------------------------------------------------------------------------------


def _plain(settings: Settings, owners: tuple[str, ...]) -> tuple[Claim, ...]:
    return (
        _unseen(),
        Claim(
            artefact=Artefact.UPDATE,
            against=Adversary(seats=("owner",)),
            reached=_between_owners(settings, owners),
        ),
        Claim(
            artefact=Artefact.UPDATE,
            against=Adversary(seats=("coordinator",)),
            reached=Disclosed(what=UPDATE_WARNING),
            citation="Geiping et al. 2020, Inverting Gradients (NeurIPS)",
        ),
        _told(Artefact.AGGREGATE, WEIGHTS_WARNING, "coordinator", "owner"),
        _told(Artefact.RESULT, "the released model; may contain input records", "recipient"),
    )


def _secure(settings: Settings, owners: tuple[str, ...]) -> tuple[Claim, ...]:
    """Claims 1 and 2 of the proof; with noise, what it makes of the sums."""
    assert settings.secure is not None
    between = _between_owners(settings, owners)
    hidden = Claim(
        artefact=Artefact.UPDATE,
        against=Adversary(seats=_OTHERS, colluding=settings.secure.colluders, behaviour=Behaviour.MALICIOUS),
        reached=Hidden(),
        citation=f"{_SUM_PROOF}, claim 1",
    )
    alone = Adversary(seats=("coordinator", *_OUTSIDE), colluding=3, behaviour=Behaviour.MALICIOUS)
    unopened = Claim(
        artefact=Artefact.AGGREGATE, against=alone, reached=Hidden(), citation=f"{_SUM_PROOF}, claim 2"
    )
    told: tuple[Claim, ...] = ()
    if isinstance(between, Disclosed):
        # A sum in which one outweighs the rest hides it from nobody who sees the sum.
        hidden = hidden.model_copy(update={"against": alone, "citation": f"{_SUM_PROOF}, claim 2"})
        told = (_told(Artefact.UPDATE, between.what, "owner"),)
    if settings.private is None:
        return (
            hidden,
            *told,
            unopened,
            _told(Artefact.AGGREGATE, WEIGHTS_WARNING, "owner"),
            _told(Artefact.RESULT, "the released model; may contain input records", "recipient"),
        )
    # The noise is the others', and a unit's occurrences are the agreement's word: one assumption has both.
    sums = summed(hidden, _noise(settings, settings.private), shared=Assumption.HONEST_OWNERS)
    return hidden, unopened, sums, post_processed(sums, Artefact.RESULT, "recipient")


def _private_alone(settings: Settings, private: PrivateSteps, owners: tuple[str, ...]) -> tuple[Claim, ...]:
    noise = _noise(settings, private)
    everywhere = noise.occurrences >= len(owners)
    one = Claim(
        artefact=Artefact.UPDATE,
        against=Adversary(seats=_OTHERS, colluding=max(1, len(owners) - 1), behaviour=Behaviour.MALICIOUS),
        reached=noise,
        citation="Abadi et al. 2016; docs/proofs/discrete-gaussian.md",
    )
    stated = Assumption.NONE if everywhere else Assumption.HONEST_OWNERS
    steps = in_parallel([one] * len(owners), stated=stated)
    between = _between_owners(settings, owners)
    apart = (
        (Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("owner",)), reached=between),)
        if isinstance(between, Hidden)
        else ()
    )
    return (
        _unseen(),
        *apart,
        steps,
        post_processed(steps, Artefact.AGGREGATE),
        post_processed(steps, Artefact.RESULT, "recipient"),
    )


def _noise(settings: Settings, private: PrivateSteps) -> DifferentiallyPrivate:
    mechanism = private.run.mechanism
    whose = "all owners together" if mechanism.distributed else "each owner"
    try:
        return DifferentiallyPrivate(
            epsilon=epsilon(settings),
            delta=private.run.delta,
            unit=private.unit,
            mechanism=f"discrete Gaussian noise of {whose}",
            occurrences=mechanism.occurrences,
        )
    except ValidationError:
        # A foreign plan may have too little noise for any epsilon, or a unit that is no words.
        raise Refused(
            "A plan for federated training cannot be run.",
            "Its noise proves no epsilon up to 1000, or its unit is not a few plain words.",
            "Have the task planned again.",
            clause="plan-parameters",
        ) from None


def _between_owners(settings: Settings, owners: tuple[str, ...]) -> Hidden | Disclosed:
    """What owners learn of each other's updates besides the averages, which are claimed apart."""
    if len(owners) == 1:
        return Hidden()
    if settings.combining in ("median", "trimmed-mean", "krum", "multi-krum"):
        # Each picks numbers, or a whole update, out of those it is given.
        return Disclosed(what=CHOSEN_WARNING)
    if settings.minimum_answers <= 2:
        # Of two answers, the average and one give the other.
        return Disclosed(what=PAIR_WARNING)
    shares = sorted(settings.shares(owners).values(), reverse=True)
    least = sum(shares[-(settings.minimum_answers - 1) :])
    return Disclosed(what=HEAVY_WARNING) if shares[0] > least else Hidden()


def _unseen() -> Claim:
    outside = Adversary(seats=_OUTSIDE, behaviour=Behaviour.MALICIOUS)
    return Claim(artefact=Artefact.UPDATE, against=outside, reached=Hidden())


def _told(artefact: Artefact, what: str, *seats: str) -> Claim:
    return Claim(artefact=artefact, against=Adversary(seats=seats), reached=Disclosed(what=what))


# Gaps ------------------------------------------------------------------------------------------------------------------


def _gaps(settings: Settings, owners: tuple[str, ...]) -> Iterable[str]:
    if settings.secure is not None:
        yield from _gaps_of_sums(settings, owners)
    elif settings.private is not None:
        yield "The coordinator sees each owner's step one by one; only that owner's noise stands before its records."
    else:
        yield "The coordinator sees each owner's update, from which records can sometimes be rebuilt."
        yield "The averaged weights and the released model may contain input records; no noise is added."
        yield "Owners together, or an owner together with the coordinator, learn what the others contributed."
        yield from gaps(settings.combining, settings.minimum_answers)
    if settings.private is not None:
        yield from _gaps_of_noise(settings, settings.private, owners)
    yield "An owner that lies about its data can spoil the model."
    yield _RELAY


def _gaps_of_sums(settings: Settings, owners: tuple[str, ...]) -> Iterable[str]:
    assert settings.secure is not None
    rest = settings.minimum_answers - 1
    if settings.private is None:
        yield "The averaged weights and the released model may contain input records; no noise is added."
        yield (
            f"Owners that pool what they hold learn the sum of the others' contributions: {rest} of them together learn "
            "the last one's."
        )
        if settings.dropouts:
            yield (
                "Where an owner is missing from a round, the rounds before and after it, side by side, tell roughly what "
                "that owner contributes."
            )
    yield "An owner that works with the coordinator can show it the sums and the weights."
    yield "Sums hide who spoils them: one owner's wrong contribution cannot be told from the others'."
    if not settings.dropouts:
        yield f"All {len(owners)} owners have to answer every round: one that stays away ends the training."


def _gaps_of_noise(settings: Settings, private: PrivateSteps, owners: tuple[str, ...]) -> Iterable[str]:
    run, unit = private.run, private.unit
    yield (
        f"Each {unit} is protected by itself: what all those of one owner have in common, such as a plant's typical product, "
        "is not hidden."
    )
    if run.mechanism.distributed:
        pooled = settings.minimum_answers - 1
        yield (
            f"More than {run.mechanism.colluders} of the owners that pool what they hold see the others' contributions with "
            f"less noise: {pooled} of them see the last one's with its own share only, {_alone(private)}."
        )
    if run.mechanism.occurrences < len(owners):
        few = "one owner" if run.mechanism.occurrences == 1 else f"{run.mechanism.occurrences} owners"
        yield f"That no {unit} occurs at more than {few} is stated in the agreement, and nobody can check it."
    yield f"An owner that has more than {run.units} of the kind {unit} leaves the training, which tells that it has more."
    yield "A record that cannot be read as the recipe says ends its owner's part, which everybody sees."
    yield (
        "How long an owner takes for a step, or for its check at the release, is not hidden from the coordinator and the relay; "
        f"it may tell a little of how many of the kind {unit} there are and how much each holds."
    )


@lru_cache(maxsize=64)  # programs, and with them claims, are made again for each step
def _alone(private: PrivateSteps) -> str:
    """What one owner's share of the noise is worth by itself: epsilon, as far as one is proved."""
    mechanism = private.run.mechanism
    # As if all nodes but one colluded: one share is left.
    lone = mechanism.model_copy(update={"nodes": mechanism.colluders + 1, "dropouts": 0})
    multiplier = lone.noise_multiplier
    run = private.run.run
    if multiplier < 1e-3:
        return "which hardly hides it"
    found = accounting.epsilon(Run(multiplier, run.rate, run.steps), private.run.delta, "renyi")
    if found > 1000:
        return "which hardly hides it"
    # Coarse, so that every machine finds the same.
    return f"epsilon about {found:.2g}"
