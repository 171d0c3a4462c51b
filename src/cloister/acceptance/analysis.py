"""All that is computed of a study: the tool beside the people, the people beside each other, everybody beside themselves.

The reference is the mean of all people's counts of a picture (of their logarithms where limits are ratios). The tool is compared with
it, and that comparison is judged. Then every pair is compared on equal terms, single count against single count: only so can one see
whether the tool differs from a person more than another person does.

Limits as ratios: counts are compared by logarithms, so a limit of 20 % is a ratio from 1/1.2 to 1.2. If anybody counted zero anywhere,
0.5 is added to all counts (Anscombe 1948), so that a zero beside many stays a very large ratio instead of being left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.acceptance.agreement import (
    LEAST,
    Agreement,
    Estimate,
    Growth,
    agreement,
    farthest_limit,
    growth,
)
from cloister.acceptance.concordance import concordance
from cloister.acceptance.counts import PeoplesCounts
from cloister.acceptance.gauge import Gauge, gauge
from cloister.acceptance.repeatability import Repeatability, repeatability
from cloister.acceptance.study import Plan, Study
from cloister.documents.letters import MINUS
from cloister.foundation.digests import same
from cloister.foundation.errors import BadInput, Conflict

TOOL, PEOPLE = "tool", "mean of the people"


@dataclass(frozen=True)
class Comparison:
    """Of two ways of counting, on the scale of the limits (objects, or natural logarithms of ratios).

    Args:
        first: the one.
        second: the other.
        agreement: bias and limits of agreement.
        growth: whether they change with the count; None where all counts are alike.
        farthest: the farthest limit of `growth`, with an interval; only for the comparison that is judged.
        concordance: Lin's coefficient, of counts.
        normality: p value of Shapiro and Wilk's test of the differences; None where they are alike.
        means: of both, one for each picture, in counts.
        differences: first minus second, on the scale of the limits.
        values: counts of the one and the other.
    """

    first: str
    second: str
    agreement: Agreement
    growth: Growth | None
    farthest: Estimate | None
    concordance: Estimate | None
    normality: float | None
    means: tuple[float, ...] = field(repr=False)
    differences: tuple[float, ...] = field(repr=False)
    values: tuple[tuple[float, float], ...] = field(repr=False)

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{self.first} {MINUS} {self.second}"


@dataclass(frozen=True)
class Findings:
    """All results of a study.

    Args:
        form: `objects` or `ratio`.
        shift: added to all counts before logarithms; 0 in objects.
        pictures: names of those with all counts.
        incomplete: pictures without, and what is missing.
        judged: the tool against the mean of the people.
        pairs: single counts of the tool and each person, and of each two people.
        repeats: repeatability by counter; None where each picture was counted once.
        people: gauge analysis of the people alone.
        all: gauge analysis of the people and the tool.
        tool_repeats: whether the tool gave the same counts each time.
        range: least and greatest mean count of the people.
    """

    form: str
    shift: float
    pictures: tuple[str, ...]
    incomplete: tuple[tuple[str, str], ...]
    judged: Comparison
    pairs: tuple[Comparison, ...]
    repeats: Mapping[str, Repeatability | None]
    people: Gauge
    all: Gauge
    tool_repeats: bool
    range: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """For the report's JSON: plain values only."""
        made: dict[str, Any] = _plain(asdict(self))
        return made

    def shown(self, value: float) -> str:
        """A difference as people read it: objects, or per cent."""
        if self.form == "ratio":
            return f"{100 * math.expm1(min(value, 20.0)):+.1f} %".replace("-", MINUS)
        return f"{value:+.2f}".replace("-", MINUS)

    def between(self, estimate: Estimate) -> str:
        """An estimate with its interval."""
        return f"{self.shown(estimate.value)} ({self.shown(estimate.low)} to {self.shown(estimate.high)})"


def analyse(study: Study, counts: PeoplesCounts) -> Findings:
    """The results of a study.

    Args:
        study: planned and run.
        counts: what people counted.

    Raises:
        Conflict: the tool has not counted yet, or the counts belong to another plan.
        BadInput: fewer than three pictures have all counts.
    """
    plan = study.plan
    if study.run is None:
        raise Conflict("The tool has not counted yet.", "", "First: cloister study run FILE")
    if not same(counts.plan, plan.digest()):
        raise Conflict("The people's counts belong to another plan.", "", "Use the sheets of this study.")
    people = counts.cube(plan)
    tool = np.array(
        [[np.nan if count is None else float(count) for count in row] for row in study.run.counts],
        dtype=np.float64,
    ).T[:, None, :]
    complete: NDArray[np.bool_] = np.asarray(
        np.isfinite(people).all(axis=(1, 2)) & np.isfinite(tool).all(axis=(1, 2))
    )
    if int(complete.sum()) < LEAST:
        raise BadInput(
            "Too few pictures have all counts.",
            f"{int(complete.sum())} of {len(complete)} have; it takes at least {LEAST}.",
            "Complete the counts.",
        )
    kept, counted = people[complete], tool[complete]
    ratio = plan.limits.form == "ratio"
    shift = 0.5 if ratio and bool((kept == 0).any() or (counted == 0).any()) else 0.0
    scaled, machine = (np.log(kept + shift), np.log(counted + shift)) if ratio else (kept, counted)
    by_person = {person: (scaled[:, place], kept[:, place]) for place, person in enumerate(plan.people)}
    repeats = {person: repeatability(values) for person, (values, _) in by_person.items()}
    repeats[TOOL] = repeatability(machine[:, 0])
    sides = {TOOL: (machine[:, 0], counted[:, 0]), **by_person}
    pairs = tuple(
        _compare(first, second, sides[first], sides[second], [repeats[first], repeats[second]])
        for first, second in itertools.combinations(sides, 2)
    )
    consensus = (scaled.reshape(len(scaled), -1), kept.reshape(len(kept), -1))
    means = kept.mean(axis=(1, 2))
    return Findings(
        form=plan.limits.form,
        shift=shift,
        pictures=tuple(picture.name for picture, whole in zip(plan.pictures, complete, strict=True) if whole),
        incomplete=tuple(_missing(plan, people, tool, complete)),
        judged=_compare(TOOL, PEOPLE, sides[TOOL], consensus, None),
        pairs=pairs,
        repeats=repeats,
        people=gauge(scaled),
        all=gauge(np.concatenate([scaled, machine[:, :, : plan.repeats]], axis=1)),
        tool_repeats=bool((counted == counted[:, :, :1]).all()),
        range=(float(means.min()), float(means.max())),
    )


def _compare(
    first: str,
    second: str,
    one: tuple[NDArray[np.float64], NDArray[np.float64]],
    other: tuple[NDArray[np.float64], NDArray[np.float64]],
    repeats: Sequence[Repeatability | None] | None,
) -> Comparison:
    """Of two (scaled values, counts), each pictures x counts; with `repeats`, limits are for single counts."""
    from scipy import stats

    a, b = one[0].mean(axis=1), other[0].mean(axis=1)
    differences = a - b
    x, y = one[1].mean(axis=1), other[1].mean(axis=1)
    alike = float(np.ptp(differences)) < 1e-12
    return Comparison(
        first=first,
        second=second,
        agreement=agreement(differences, [item.within for item in repeats or () if item is not None]),
        growth=growth((a + b) / 2, differences),
        farthest=farthest_limit((a + b) / 2, differences) if repeats is None else None,
        concordance=concordance(x, y),
        normality=None if alike else float(stats.shapiro(differences).pvalue),
        means=tuple(((x + y) / 2).tolist()),
        differences=tuple(differences.tolist()),
        values=tuple(zip(x.tolist(), y.tolist(), strict=True)),
    )


def _missing(
    plan: Plan, people: NDArray[np.float64], tool: NDArray[np.float64], complete: NDArray[np.bool_]
) -> list[tuple[str, str]]:
    made = []
    for number in np.flatnonzero(~complete):
        lacks = [
            f"{person}, count {repeat + 1}"
            for place, person in enumerate(plan.people)
            for repeat in range(plan.repeats)
            if not np.isfinite(people[number, place, repeat])
        ]
        if not np.isfinite(tool[number]).all():
            lacks.append("the tool")
        made.append((plan.pictures[number].name, "; ".join(lacks)))
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
