"""The verdict: what was found against the limits that were set before anybody counted.

Rules:
1. A criterion is met only if the whole 95 % interval lies within the limit; it is not met if the estimate lies beyond it; between the
   two it is open: more pictures could tell.
2. Accepted: every criterion is met and no count is missing. Not accepted: one criterion is not met. Otherwise not decided.
3. Where bias or spread change with the count, the limits of agreement as lines must hold too, at both ends of the studied range.
4. Shares of gauge variation are judged by the estimate alone, as AIAG does: with two or three counters their intervals are too wide
   for any method to be accepted. They are criteria only if the plan says so.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from cloister.acceptance.agreement import Estimate
from cloister.acceptance.analysis import Findings
from cloister.acceptance.study import RECOMMENDED, Plan
from cloister.documents.letters import MINUS
from cloister.foundation.documents import Document
from cloister.foundation.text import several

State: TypeAlias = Literal["met", "not met", "open"]
Outcome: TypeAlias = Literal["accepted", "not accepted", "not decided"]
Text: TypeAlias = Annotated[str, Field(max_length=1000)]


class Criterion(Document):
    """One limit and what was found, in words."""

    name: Text
    limit: Text
    found: Text
    state: State


class Verdict(Document):
    """Whether the method is accepted, why, and what to know about it."""

    outcome: Outcome
    reasons: Annotated[tuple[Text, ...], Field(max_length=20)]
    criteria: Annotated[tuple[Criterion, ...], Field(max_length=10)]
    remarks: Annotated[tuple[Text, ...], Field(max_length=30)] = ()


def judge(plan: Plan, found: Findings) -> Verdict:
    """The verdict on what was found."""
    criteria = [_bias(plan, found), _agreement(plan, found)]
    if found.judged.growth is not None and found.judged.growth.grows and found.judged.farthest is not None:
        criteria.append(_lines(plan, found, found.judged.farthest))
    criteria += _gauge(plan, found)
    missed = [item for item in criteria if item.state == "not met"]
    left = [item for item in criteria if item.state == "open"]
    reasons = [f"{item.name}: found {item.found}, allowed {item.limit}." for item in missed]
    outcome: Outcome
    if missed:
        outcome = "not accepted"
    elif left or found.incomplete:
        outcome = "not decided"
        reasons += [f"{item.name}: {item.found} is not surely within {item.limit}." for item in left]
        if left:
            reasons.append("More pictures would narrow the intervals; plan a new study with more.")
        if found.incomplete:
            reasons.append(
                f"Counts are missing of {several(len(found.incomplete), 'picture')} of {len(plan.pictures)}."
            )
    else:
        outcome = "accepted"
        reasons.append(
            "Bias and limits of agreement lie within the limits that were set before, with their 95 % intervals."
        )
    return Verdict(
        outcome=outcome,
        reasons=tuple(reasons),
        criteria=tuple(criteria),
        remarks=tuple(_remarks(plan, found)),
    )


def _scaled(plan: Plan, limit: float) -> float:
    return math.log1p(limit) if plan.limits.form == "ratio" else limit


def allowed(plan: Plan, limit: float) -> str:
    """A limit as people read it."""
    if plan.limits.form == "ratio":
        low = 100 * (1 / (1 + limit) - 1)
        return f"{low:+.1f} % to {100 * limit:+.1f} %".replace("-", MINUS)
    return f"{MINUS}{limit:g} to +{limit:g} {plan.counted}"


def _state(limit: float, *estimates: Estimate) -> State:
    if any(abs(estimate.value) > limit for estimate in estimates):
        return "not met"
    if all(-limit <= estimate.low and estimate.high <= limit for estimate in estimates):
        return "met"
    return "open"


def _bias(plan: Plan, found: Findings) -> Criterion:
    bias = found.judged.agreement.bias
    return Criterion(
        name="Bias of the tool",
        limit=allowed(plan, plan.limits.bias),
        found=found.between(bias),
        state=_state(_scaled(plan, plan.limits.bias), bias),
    )


def _agreement(plan: Plan, found: Findings) -> Criterion:
    lower, upper = found.judged.agreement.lower, found.judged.agreement.upper
    return Criterion(
        name="Limits of agreement",
        limit=allowed(plan, plan.limits.agreement),
        found=f"{found.between(lower)} and {found.between(upper)}",
        state=_state(_scaled(plan, plan.limits.agreement), lower, upper),
    )


def _lines(plan: Plan, found: Findings, farthest: Estimate) -> Criterion:
    return Criterion(
        name="Limits of agreement where they change with the count",
        limit=allowed(plan, plan.limits.agreement),
        found=f"at their farthest {found.between(farthest)} in either direction".replace("+", ""),
        state=_state(_scaled(plan, plan.limits.agreement), farthest),
    )


def _gauge(plan: Plan, found: Findings) -> list[Criterion]:
    made = []
    if plan.limits.gauge is not None:
        share = found.all.share
        made.append(
            Criterion(
                name="GRR of people and tool",
                limit=f"at most {plan.limits.gauge:g} % of total variation",
                found="nothing varies" if share is None else f"{share.value:.1f} %",
                state="open" if share is None else "met" if share.value <= plan.limits.gauge else "not met",
            )
        )
    if plan.limits.categories is not None:
        number = found.all.categories
        known = found.all.share is not None
        made.append(
            Criterion(
                name="Distinct categories of people and tool",
                limit=f"at least {plan.limits.categories}",
                found=f"{number.value:.0f}" if number else "without bound" if known else "nothing varies",
                # Without any measurement variation there are more categories than any limit.
                state="open"
                if not known
                else "met"
                if number is None or number.value >= plan.limits.categories
                else "not met",
            )
        )
    return made


def _remarks(plan: Plan, found: Findings) -> list[str]:
    low, high = found.range
    kind = f"with {low:g} to {high:g} {plan.counted} by the people's mean"
    made = [f"This holds for pictures like those studied, {kind}; it tells nothing about others."]
    if len(found.pictures) < RECOMMENDED:
        made.append(
            f"{len(found.pictures)} pictures are few: {RECOMMENDED} or more are advised, because the intervals of the"
            " limits of agreement are wide with fewer."
        )
    limit = _scaled(plan, plan.limits.agreement)
    for pair in found.pairs:
        if "tool" not in (pair.first, pair.second) and (
            abs(pair.agreement.lower.value) > limit or abs(pair.agreement.upper.value) > limit
        ):
            made.append(
                f"{pair.first} and {pair.second} differ from each other by more than the limit of agreement allows the tool:"
                " the reference itself is that uncertain."
            )
    if not found.tool_repeats:
        made.append("The tool did not give the same counts each time it ran.")
    judged = found.judged
    if judged.growth is not None and judged.growth.grows:
        what = " and ".join(
            word
            for word, there in (
                ("bias", judged.growth.bias_changes),
                ("spread", judged.growth.spread_changes),
            )
            if there
        )
        made.append(
            f"The {what} of the differences change{'s' if ' and ' not in what else ''} with the count (5 % level);"
            " the limits of agreement are also given as lines."
            + (
                " Limits as ratios may describe this better in a new study."
                if found.form == "objects"
                else ""
            )
        )
    if judged.normality is not None and judged.normality < 0.01:
        made.append(
            "The differences are not normal (Shapiro and Wilk, 1 % level): the share of pictures beyond the limits of agreement"
            " may be other than 5 %. Look at the plot for single pictures far off."
        )
    if found.shift:
        made.append(
            "Somebody counted zero in a picture: 0.5 was added to all counts before ratios were formed."
        )
    if plan.repeats == 1:
        made.append(
            "Each picture was counted once by each person: how well people repeat themselves is not known."
        )
    return made
