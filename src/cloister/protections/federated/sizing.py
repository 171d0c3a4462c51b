"""How large a private run is made: noise, sampling and batches from wishes, agreement and catalogue; and what it will do.

Rules:
1. A run aims at the least epsilon and delta of the budgets of all owners' data, or at less if less is wished for.
2. Every owner's data has a budget, of one and the same unit, and is sampled by that unit: the one that the dataset counts,
   by the same word. Another word may mean another thing, and then noise would hide less than was agreed.
3. A unit is taken to occur at every owner unless the agreement says at how many at most.
4. Noise comes from `privacy.runs.private_run`; the same arguments give the same run at every node.

The prediction (`expected`) sets the noise beside the largest signal that there could be. In T steps over sums of s owners'
samples of b units each, clipped to norm C, gradients move the weights by at most T s b C if all of them point the same
way all the time; the noise, of standard deviation z C in each of k numbers of a sum, moves them by z C √(k T) on average.
The quotient, z √k / (√T s b), is the least share of noise in what is learned. It grows with the numbers that are trained
and falls with steps, owners and units, as the excess risk √k / (n ε) of private optimisation does.

Sources: Abadi et al. 2016, "Deep Learning with Differential Privacy", section 3; Bassily, Smith, Thakurta 2014, "Private
Empirical Risk Minimization" (FOCS), theorem 2.4; De et al. 2022, "Unlocking High-Accuracy Differentially Private Image
Classification through Scale" (arXiv 2204.13650), section 2 (noise over batch).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from cloister.agreements.clauses import Budget
from cloister.agreements.terms import Terms
from cloister.claims.offers import Prediction
from cloister.data.schema import DatasetDescription, most_records, parse_description
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, Refused
from cloister.privacy.runs import PrivateRun, private_run
from cloister.protections.federated.settings import PrivateSteps, Settings
from cloister.protections.federated.wishes import Wishes
from cloister.release import quality

DEFAULT_CLIP = 1.0
DEFAULT_UNITS = 1000
"""Taken where no catalogue entry tells a size."""
DEFAULT_STEPS = 30
MOST_BATCH = 512
"""Larger samples are asked for: a step over each takes long, and single precision sums them badly."""
BATCHES = 32
"""A private step takes so many of the recipe's batches at once: few large steps are worth more than many small ones."""
MAX_UNIT = 60
LITTLE, MUCH = 0.1, 1.0


def budgets(
    terms: Terms, datasets: Mapping[str, str], catalogue: Mapping[str, DatasetDescription]
) -> dict[str, Budget | None]:
    """Owner → the agreed budget of its dataset, or `None`."""
    found: dict[str, Budget | None] = {}
    for owner, commitment in sorted(datasets.items()):
        dataset = terms.dataset(owner, commitment, catalogue.get(commitment))
        found[owner] = None if dataset is None else terms.budget(owner, dataset.name)
    return found


def agreed(
    terms: Terms,
    datasets: Mapping[str, str],
    catalogue: Mapping[str, DatasetDescription],
) -> tuple[Budget, ...]:
    """The budgets that a private run is for, one for each owner. Raises `Refused` by rule 2."""
    found = budgets(terms, datasets, catalogue)
    without = [terms.name_of(owner) for owner, budget in found.items() if budget is None]
    if without:
        raise _refused(
            f"No privacy budget is agreed for the data of: {', '.join(without)}.",
            "Agree on a privacy budget for every dataset that is used.",
        )
    listed = tuple(budget for budget in found.values() if budget is not None)
    units = sorted({budget.unit for budget in listed})
    if len(units) > 1:
        raise _refused(
            f"The agreed budgets protect different units: {', '.join(units)}.",
            "Agree on one unit for all datasets of a training.",
        )
    if len(units[0]) > MAX_UNIT:
        raise _refused("The agreed unit has too long a name.", f"Name it in at most {MAX_UNIT} letters.")
    if min(budget.delta for budget in listed) <= 0:
        raise _refused(
            "A budget's delta is zero, and Gaussian noise needs one above.",
            "Agree on a delta, for example 1e-06.",
        )
    for owner, commitment in sorted(datasets.items()):
        entry = catalogue.get(commitment)
        if entry is not None and (counted := entry.unit_of_privacy.word) != units[0]:
            raise _refused(
                f"The agreement protects each {units[0]}; the dataset of {terms.name_of(owner)} counts each {counted}.",
                "Agree on a budget for what the dataset counts, or register it anew with the agreed unit.",
            )
    return listed


def units_of(wishes: Wishes, entries: Sequence[DatasetDescription]) -> int:
    """A public bound of the units at one owner. Raises `Refused` where a catalogue entry names none."""
    if wishes.units is not None:
        return wishes.units
    bands = [entry.size_band for entry in entries if entry.size_band is not None]
    sizes = [most_records(band) for band in bands]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise _refused(
            "A dataset is larger than any size that the catalogue bounds.",
            "Wish for `units`: a number that no owner's units exceed.",
        )
    return max(known, default=DEFAULT_UNITS)


def sized(
    wishes: Wishes,
    listed: Sequence[Budget],
    *,
    units: int,
    batch: int,
    dimension: int,
    steps: int,
    nodes: int,
    owners_per_unit: int | None,
    colluders: int,
    dropouts: int,
    distributed: bool,
) -> PrivateRun:
    """The run with the least noise that keeps to the budgets and the wishes.

    Args:
        wishes: of the request.
        listed: the owners' budgets.
        units: a public bound of the units at one owner.
        batch: units in a sample, expected of an owner that has so many.
        dimension: trained numbers.
        steps: how many.
        nodes: owners.
        owners_per_unit: at how many owners a unit may occur; `None`: at all.
        colluders: of the secure sum.
        dropouts: of the secure sum.
        distributed: whether the owners' noise is added up by one.

    Raises:
        Refused: more is wished for than was agreed, or no noise reaches it.
        BadInput: a number is out of range.
    """
    most_epsilon = min(budget.epsilon for budget in listed)
    most_delta = min(budget.delta for budget in listed)
    epsilon = most_epsilon if wishes.epsilon is None else wishes.epsilon
    # Of delta as large a part as of epsilon, so that a task which leaves some of one leaves some of the other.
    part = most_delta * min(1.0, epsilon / most_epsilon)
    delta = min(part, 1 / (10 * units)) if wishes.delta is None else wishes.delta
    if epsilon > most_epsilon or delta > most_delta:
        raise _refused(
            f"More privacy would be spent than was agreed (epsilon {most_epsilon:.6g}, delta {most_delta:.6g}).",
            "Wish for less, or agree on a larger budget.",
        )
    if batch > units:
        raise _refused(
            f"A sample of {batch} is more than the {units} units that an owner is taken to have.",
            "Wish for a smaller `batch`, or for more `units`.",
        )
    return _run(
        epsilon,
        delta,
        dimension,
        DEFAULT_CLIP if wishes.clip is None else wishes.clip,
        units,
        batch / units,
        steps,
        nodes,
        distributed,
        dropouts if distributed else 0,
        colluders if distributed else 0,
        min(nodes, owners_per_unit or nodes),
    )


@lru_cache(maxsize=64)
def _run(
    epsilon: float,
    delta: float,
    dimension: int,
    clip: float,
    units: int,
    rate: float,
    steps: int,
    nodes: int,
    distributed: bool,
    dropouts: int,
    colluders: int,
    occurrences: int,
) -> PrivateRun:
    # Finding the noise takes a second or two; the same is planned again and again.
    return private_run(
        epsilon=epsilon,
        delta=delta,
        dimension=dimension,
        clip=clip,
        units=units,
        rate=rate,
        steps=steps,
        nodes=nodes,
        distributed=distributed,
        dropouts=dropouts,
        colluders=colluders,
        occurrences=occurrences,
    )


def expected(settings: Settings) -> Prediction | None:
    """What the noise is expected to do to the result with the plan's fewest answers (see the module); `None` without noise."""
    if settings.private is None:
        return None
    run, answers = settings.private.run, settings.minimum_answers
    mechanism = run.mechanism
    batch = run.rate * run.units
    deviation = math.ldexp(math.sqrt(answers * mechanism.variance), -mechanism.exponent) / mechanism.clip
    noise = deviation * math.sqrt(mechanism.dimension) / (math.sqrt(mechanism.steps) * answers * batch)
    unit = settings.private.unit
    if noise <= LITTLE:
        verdict = "That is little: the result may be nearly as good as without noise."
    elif noise <= MUCH:
        verdict = "A loss of quality is to be expected; how much, only a trial on public data tells."
    else:
        verdict = (
            "The noise outweighs whatever is learned: expect no gain over the model that it starts from."
        )
    share = 100 * noise
    return Prediction(
        noise=_coarse(noise),
        sentences=(
            (
                f"In each of {mechanism.steps} steps, noise of {_coarse(deviation):g} times the clipping norm is added to each "
                f"of {mechanism.dimension} trained numbers; the sum that it is added to is at most "
                f"{_coarse(answers * batch):g} times the clipping norm long (about {_coarse(batch):g} of up to {run.units} of "
                f"the kind {unit} at {'the one owner' if answers == 1 else f'each of {answers} owners'})."
            ),
            (
                f"Over the whole training that is at least {_coarse(share):g} % of noise beside the largest change that there "
                f"could be. {verdict}"
            ),
            *_votes(settings.private),
            "This is an estimate from public numbers alone (noise over signal, as in De et al. 2022), no promise.",
        ),
    )


def _votes(private: PrivateSteps) -> tuple[str, ...]:
    """What noise does to owners' votes, whatever least quality is agreed."""
    try:
        deviation, enough = quality.coarse(private.run)
    except BadInput:
        return ()
    unit = private.unit
    return (
        (
            f"Where the agreement asks for a least quality, each owner's vote is decided with noise of up to {_coarse(deviation):g} "
            f"times what one of the kind {unit} can change: with 10 kept apart for it, the mean is off by about "
            f"{_coarse(deviation / 10):g}; from about {_coarse(enough):g} on it is off by less than 0.05."
        ),
    )


def _coarse(value: float) -> float:
    # Three digits: every machine finds the same.
    return float(f"{value:.3g}")


def _refused(why: str, remedy: str) -> Refused:
    return Refused("No private run can be planned.", why, remedy, clause="budget")


def described(facts: Mapping[str, Any]) -> dict[str, DatasetDescription]:
    """Commitment → catalogue entry, of the facts of a request."""
    return {key: parse_description(canonical(entry)) for key, entry in facts.items()}
