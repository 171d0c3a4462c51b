"""Ways to make one update of many that a few bad ones among them cannot move far: median, trimmed mean, Krum, clipping.

An owner that trains on wrong labels, or sends something else than it trained, moves the mean as far as it likes. These
rules compare the owners' updates with each other and trust what most of them agree on. They need to see single updates,
so they exclude secure sums and noise.

Rules:
1. Every owner counts the same: what a rule withstands is a number of owners, and weights would make one of them many.
2. How many bad updates are expected is a public constant, computed from the number of answers and from nothing else.
3. With fewer answers than a rule needs in order to withstand one bad update, there is no result.
4. Results are the same bytes whatever order the answers came in and whatever blocks are asked for. Ties go to the
   party whose fingerprint comes first.
5. Vectors are gone through in tables of a fixed number of numbers, however many owners there are.
6. Where a secure sum hides the updates, what is left to check is the sum: it may not be longer than so many updates of the
   agreed norm can make it, so that one round moves the weights no farther than one honest owner could.

Sources: Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates"
(ICML), Definitions 1 and 2; Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine Learning with Adversaries: Byzantine
Tolerant Gradient Descent" (NeurIPS), Sections 4 and 5; Sun, Kairouz, Suresh, McMahan 2019, "Can You Really Backdoor
Federated Learning?", Section 4 (norm clipping).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput, Tampered
from cloister.protections.federated import averaging
from cloister.protections.federated.framing import Vector
from cloister.protections.federated.settings import AgreedWeights, Settings

TABLE = 1 << 16
"""Numbers looked at together, of all owners; they stay in the processor's cache."""

_ROUNDING = 0.01
"""Rounding to a ring of 32 bits lengthens a sum of a thousand vectors of fifty million numbers by at most 0.2 %."""

LEAST_ANSWERS = {
    "mean": 1,
    "median": 3,
    "trimmed-mean": 3,
    "krum": 5,
    "multi-krum": 5,
    "clipped-mean": 3,
}
"""With fewer answers a rule could not withstand a single bad update. Krum needs 2 f + 3."""


class Rule(averaging.Combined, Protocol):
    """Several updates as one, of which each part is computed when it is asked for."""

    def told(self) -> dict[str, str]:
        """Party → what the rule did to its update, for the coordinator's own people. Parties of no note are absent."""


def expected(answers: int) -> int:
    """How many of so many updates trimmed mean and Krum take to be bad: a quarter, at least one.

    Both could withstand more, at the price of using fewer of the honest updates: which owners' data differ most is not
    known, and in a federation of few owners what is cut is mostly what only one of them knows.
    """
    return max(1, answers // 4)


def withstood(rule: str, answers: int) -> int:
    """How many bad updates among so many cannot carry the result away from the others'; 0 if any one can.

    For `clipped-mean` this is 0: it bounds how far each update pulls, not where to.
    """
    if answers < LEAST_ANSWERS[rule] or rule in {"mean", "clipped-mean"}:
        return 0
    return (answers - 1) // 2 if rule == "median" else expected(answers)


def used(rule: str, answers: int) -> int:
    """How many owners' updates the result is made of. One, for Krum: the common weights then move by that owner's alone."""
    if rule == "krum":
        return min(1, answers)
    # As many as each update is compared with; El Mhamdi, Guerraoui, Rouault 2018, Section 3, prove it for no more.
    return max(0, answers - expected(answers) - 2) if rule == "multi-krum" else answers


def gaps(rule: str, answers: int) -> tuple[str, ...]:
    """What a rule does not give with so many answers, in sentences for a plan; none for the mean, which gives nothing.

    The figures behind them: `benchmarks/robust.py`.
    """
    if rule == "mean":
        return ()
    if rule == "clipped-mean":
        of_it = ["Every update pulls the model no harder than a typical one, but wherever its owner likes."]
    else:
        of_it = [
            f"The rule {rule} withstands at most {withstood(rule, answers)} bad of {answers} owners that answer."
        ]
    if rule in {"median", "trimmed-mean"}:
        of_it.append("What only few owners' records show is mostly cut away, and the model may miss it.")
    if rule == "krum":
        of_it.append(
            "Each round's weights move by one owner's update alone, often the same owner's every time: the model is then no "
            "better than that owner's own, and every other owner sees that update, without being told whose it is."
        )
    if rule == "multi-krum":
        of_it.append(
            f"{used(rule, answers)} of {answers} updates are used in a round; the others' records count for nothing."
        )
    return (
        *of_it,
        "No rule finds a backdoor or a wrong direction that looks like an honest owner's update.",
    )


def check_sum(total: NDArray[np.float64], contributors: int, update_norm: float) -> None:
    """Refuses an opened sum that owners who keep to the agreed norm cannot have made (rule 6).

    Args:
        total: the sum of the owners' updates, (n,).
        contributors: how many there are in it.
        update_norm: each honest owner shortens its update to this Euclidean norm.

    Raises:
        Tampered: the sum is longer. Who made it so cannot be told.
    """
    if not averaging.norm(total) <= contributors * update_norm * (1 + _ROUNDING):
        raise Tampered(
            "A round's sum is not one of honest updates.",
            "It is longer than so many updates of the agreed norm can be together.",
            "Nothing of it was used. Sums hide who spoilt it: the owners have to find out among themselves.",
            clause="training-sum",
        )


def combine(settings: Settings, updates: Mapping[str, Vector], shares: Mapping[str, float]) -> Rule:
    """The owners' updates as one, by the plan's rule.

    Args:
        settings: the plan's constants; `combining` and `weighting` count here.
        updates: party → its checked update, shape (n,), float32.
        shares: party → its public weight, positive.

    Raises:
        BadInput: no updates, fewer than the rule needs, a party without a share, or agreed weights with a rule that
            counts owners.
    """
    if settings.combining == "mean":
        return averaging.Mean(updates, shares)
    if isinstance(settings.weighting, AgreedWeights) or any(shares.get(party, 0) <= 0 for party in updates):
        raise _refused(
            f"The rule {settings.combining} counts every owner the same, and weights are agreed.",
            "Ask for the mean, or for equal weights.",
        )
    return rule(settings.combining, updates)


def rule(name: str, updates: Mapping[str, Vector]) -> Rule:
    """The rule `name` of `LEAST_ANSWERS` on these updates, every owner counting the same. Raises `BadInput`."""
    answers = len(updates)
    least = LEAST_ANSWERS[name]
    if answers < least:
        raise _refused(
            f"The rule {name} takes {least} valid answers to withstand a bad one; there are {answers}.",
            "Ask more owners, permit fewer dropouts, or ask for the mean.",
        )
    if name == "median":
        return Trimmed(updates, (answers - 1) // 2)
    if name == "trimmed-mean":
        return Trimmed(updates, expected(answers))
    if name == "clipped-mean":
        return Clipped(updates)
    if name in {"krum", "multi-krum"}:
        return Krum(updates, expected(answers), used(name, answers))
    return averaging.Mean(updates, dict.fromkeys(updates, 1.0))


class Trimmed:
    """Number by number, the mean without the `trim` smallest and the `trim` largest.

    With `trim` of (n - 1) // 2 it is the median. As long as no more than `trim` updates are bad, each number of the
    result lies between two honest owners' numbers.

    Args:
        updates: party → its update, shape (n,), float32.
        trim: how many are cut on each side; less than half of them.

    Raises:
        BadInput: nothing would be left.
    """

    def __init__(self, updates: Mapping[str, Vector], trim: int) -> None:
        if not 0 <= 2 * trim < len(updates):
            raise _refused("More would be cut than there are.", "Ask more owners.")
        self._parties = sorted(updates)
        self._vectors = [updates[party] for party in self._parties]
        self._trim = trim

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        """A part of the result, float64."""
        parts = [vector[part] for vector in self._vectors]
        result = np.zeros(len(parts[0]), np.float64)
        for piece, table in _tables(parts):
            table.sort(axis=0)
            kept = table[self._trim : len(table) - self._trim]
            for row in kept:
                result[piece] += row
            result[piece] /= len(kept)
        return result

    def told(self) -> dict[str, str]:
        """Which share of each owner's numbers lay outside what was kept, by a sample of at most `TABLE` of each."""
        stride = -(-len(self._vectors[0]) // TABLE) or 1
        outside = np.zeros(len(self._vectors))
        looked_at = 0
        for _, table in _tables([vector[::stride] for vector in self._vectors]):
            ordered = np.sort(table, axis=0)
            kept = ordered[self._trim], ordered[len(ordered) - 1 - self._trim]
            outside += np.count_nonzero((table < kept[0]) | (table > kept[1]), axis=1)
            looked_at += table.shape[1]
        usual = 2 * self._trim / len(self._vectors)
        return {
            party: f"{count / looked_at:.0%} of its numbers were cut; {usual:.0%} are on average."
            for party, count in zip(self._parties, outside, strict=True)
            if looked_at and count
        }


class Krum:
    """The mean of the updates that lie nearest to their neighbours; with one of them, Krum, with more, multi-Krum.

    An update's score is the sum of its squared distances to the n - bad - 2 others that are nearest to it. Bad updates
    far from the honest ones have large scores; bad ones near them do little harm in one round.

    Args:
        updates: party → its update, shape (n,), float32.
        bad: how many of them may be; at least 2 * bad + 3 updates are needed.
        chosen: how many of the lowest scores are averaged.

    Raises:
        BadInput: too few updates for `bad`, or fewer than are to be chosen.
    """

    def __init__(self, updates: Mapping[str, Vector], bad: int, chosen: int = 1) -> None:
        answers = len(updates)
        if bad < 0 or answers < 2 * bad + 3 or not 1 <= chosen <= answers:
            raise _refused(
                f"Krum needs {2 * bad + 3} updates to withstand {bad}; there are {answers}.",
                "Ask more owners.",
            )
        parties = sorted(updates)
        found = scores([updates[party] for party in parties], answers - bad - 2)
        order = sorted(range(answers), key=lambda place: (found[place], place))
        kept, out = order[:chosen], order[chosen:]
        worst = found[kept[-1]]
        self.chosen = tuple(sorted(parties[place] for place in kept))
        self._mean = averaging.Mean(
            {party: updates[party] for party in self.chosen}, dict.fromkeys(parties, 1.0)
        )
        self._told = {parties[place]: _how_far(found[place], worst) for place in sorted(out)}

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        """A part of the result, float64."""
        return self._mean[part]

    def told(self) -> dict[str, str]:
        """Whose updates were left out, and how much farther they lie from others than the ones that were used."""
        return dict(self._told)


class Clipped:
    """The mean of the updates, each shortened to the median of their lengths (the lower one of two).

    A bad update pulls no harder than a typical one, wherever to. The median is taken of what was sent, so that no one
    has to know a good length beforehand; fewer bad updates than half cannot make it longer than every honest one.

    Args:
        updates: party → its update, shape (n,), float32; at least one.
    """

    def __init__(self, updates: Mapping[str, Vector]) -> None:
        self._lengths = {party: averaging.norm(updates[party]) for party in sorted(updates)}
        self.length = statistics.median_low(self._lengths.values())
        self._terms = [
            (min(1.0, self.length / own if own else 1.0) / len(updates), updates[party])
            for party, own in self._lengths.items()
        ]

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        """A part of the result, float64."""
        result = np.zeros(len(self._terms[0][1][part]), np.float64)
        for share, vector in self._terms:
            result += share * vector[part].astype(np.float64)
        return result

    def told(self) -> dict[str, str]:
        """Whose updates were shortened, and to which part of their length."""
        return {
            party: f"Its update was shortened to {self.length / own:.1%} of its length."
            for party, own in self._lengths.items()
            if own > self.length
        }


def scores(vectors: Sequence[Vector], neighbours: int) -> list[float]:
    """Krum's score of each vector: the sum of the squared distances to its `neighbours` nearest others."""
    distances = np.zeros((len(vectors), len(vectors)))
    for _, table in _tables(vectors):
        wide = table.astype(np.float64)
        for place, own in enumerate(wide[:-1]):
            apart = wide[place + 1 :] - own
            distances[place, place + 1 :] += np.einsum("ij,ij->i", apart, apart)
    distances += distances.T
    return [math.fsum(np.sort(np.delete(row, place))[:neighbours]) for place, row in enumerate(distances)]


def _tables(vectors: Sequence[Vector]) -> Iterator[tuple[slice, Vector]]:
    """Piece by piece, the vectors as rows of a table of its own, float32."""
    width = max(1, TABLE // len(vectors))
    for start in range(0, len(vectors[0]), width):
        piece = slice(start, start + width)
        yield piece, np.array([vector[piece] for vector in vectors])


def _how_far(score: float, worst: float) -> str:
    if not worst or not math.isfinite(score / worst):
        return "Its update was left out: it is not among those nearest to the others."
    return (
        "Its update was left out: it lies "
        f"{math.sqrt(score / worst):.2f} times as far from its nearest others as the last one that was used."
    )


def _refused(why: str, remedy: str) -> BadInput:
    return BadInput("The updates of a round cannot be combined.", why, remedy)
