"""What `cloister study` is given and answers, in words: limits, verdicts, what changed of a method."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloister.cli.common import table
from cloister.foundation.errors import BadInput, Conflict

if TYPE_CHECKING:
    from cloister.acceptance.method import Validity
    from cloister.acceptance.study import Limits
    from cloister.acceptance.verdict import Verdict


def compared(validity: Validity, same_counts: bool | None, verdict: Verdict | None) -> list[Any]:
    """Whether it is the method that was studied, in words."""
    parts: list[Any] = []
    if validity.valid:
        parts.append("This is the method that was studied.")
    else:
        parts.append("This is another method than the one studied.")
        rows = [[change.what, change.studied, change.present] for change in validity.changes]
        parts.append(table(["Changed", "Studied", "Now"], rows))
        if same_counts:
            parts.append(
                "Only programs changed, and counting again gave the studied count for every picture: the study holds for the tool"
                " with these programs."
            )
        elif same_counts is False:
            parts.append("Counting again gave another count for a picture: plan a new study.")
        elif validity.only_programs:
            parts.append(
                "Only programs changed. Whether the counts are still the same: --recount. Else plan a new study."
            )
        else:
            parts.append("What was studied tells nothing about it: plan a new study.")
    if verdict is None:
        parts.append("This file holds no verdict; the report's .json does.")
    else:
        parts.append(f"The study's verdict: {verdict.outcome}.")
    return parts


def told_verdict(verdict: Verdict) -> list[Any]:
    """A verdict in words."""
    rows = [[item.name, item.limit, item.found, item.state] for item in verdict.criteria]
    return [
        verdict.outcome.capitalize() + ".",
        *verdict.reasons,
        table(["Criterion", "Allowed", "Found (95 % interval)", ""], rows),
        *(f"Note: {line}" for line in verdict.remarks),
    ]


def expect_new(path: Path) -> None:
    """Refuses to write over what was filed. Raises `Conflict`."""
    if path.exists():
        raise Conflict(
            f"{path.name} is there already.",
            "Plans and reports are filed; they are not written over.",
            "Choose another name.",
        )


def given_limits(bias: str, agreement: str, gauge: float | None, categories: int | None) -> Limits:
    """The limits as people write them: `5` or `5%`. Raises `BadInput`."""
    from pydantic import ValidationError

    from cloister.acceptance.study import Limits
    from cloister.foundation.documents import invalid

    first, second = _limit("--limit-bias", bias), _limit("--limit-agreement", agreement)
    if first[1] != second[1]:
        raise BadInput(
            "The two limits have different forms.",
            "One is in per cent, the other is not.",
            "Give both in one form.",
        )
    scale = 100.0 if first[1] else 1.0
    try:
        return Limits(
            form="ratio" if first[1] else "objects",
            bias=first[0] / scale,
            agreement=second[0] / scale,
            gauge=gauge,
            categories=categories,
        )
    except ValidationError as error:
        raise invalid(error, "The study's limits") from None


def _limit(option: str, text: str) -> tuple[float, bool]:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%?)", text.strip())
    if found is None or not 0 < float(found[1]) < math.inf:
        raise BadInput(
            f"{option} is no limit.",
            "It is a number above zero, in objects or with % behind it.",
            f"For example: {option} 5 or {option} 5%",
        )
    return float(found[1]), bool(found[2])
