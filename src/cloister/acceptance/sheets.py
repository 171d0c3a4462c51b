"""Count sheets: one for each person and repeat, each in a random order of its own, to fill in on screen (CSV) or on paper (PDF).

Orders differ so that nobody's tiredness falls on the same pictures as another's, and so that the first count of a picture is not
remembered at the second. A sheet holds no earlier counts.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Sequence
from pathlib import Path

from cloister.acceptance.counts import COLUMNS, PLAN_COLUMN, short_digest
from cloister.acceptance.study import Plan
from cloister.documents.content import Bullets, Paper, Paragraph, Table
from cloister.documents.pdf import render
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.spreadsheets import harmless


def sheets(plan: Plan, fonts: Sequence[Path] = ()) -> dict[str, bytes]:
    """All sheets: file name → content, two files for each person and repeat."""
    made: dict[str, bytes] = {}
    for number, person in enumerate(plan.people, 1):
        label = re.sub(r"[^A-Za-z0-9]+", "-", person).strip("-").lower()[:40]
        # Labels may look alike once made fit for a file name; their number keeps them apart.
        stem = label if label == f"person-{number}" else f"{number}-{label}".strip("-")
        for repeat in range(1, plan.repeats + 1):
            order = picture_order(plan, number - 1, repeat)
            made[f"sheet-{stem}-count-{repeat}.csv"] = _table(plan, person, repeat, order)
            made[f"sheet-{stem}-count-{repeat}.pdf"] = render(_paper(plan, person, repeat, order), fonts)
    return made


def picture_order(plan: Plan, person: int, repeat: int) -> list[str]:
    """The pictures' names in the order of one sheet; `person` counts from 0, `repeat` from 1."""
    names = [picture.name for picture in plan.pictures]
    # An order that need not be kept secret, only be different and the same again.
    random.Random(f"{plan.seed}/{person}/{repeat}").shuffle(names)  # noqa: S311
    return names


def _table(plan: Plan, person: str, repeat: int, order: Sequence[str]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([*COLUMNS, PLAN_COLUMN])
    mark = short_digest(plan)
    for name in order:
        writer.writerow([harmless(name), harmless(person), repeat, "", mark])
    # The mark in front tells spreadsheets that this is UTF-8.
    return b"\xef\xbb\xbf" + stream.getvalue().encode("utf-8")


def _paper(plan: Plan, person: str, repeat: int, order: Sequence[str]) -> Paper:
    rows = [(str(number), name, "", "") for number, name in enumerate(order, 1)]
    return Paper(
        title=f"Count sheet: {person}, count {repeat} of {plan.repeats}",
        subtitle=plan.title,
        organisation=plan.organisation,
        made=parse_rfc3339(plan.created),
        parts=[
            Bullets(
                [
                    f"Count all {plan.counted} in each picture, in this order, by yourself.",
                    "Do not look at the tool's counts, at anybody else's, or at your own earlier ones.",
                    "If a picture cannot be counted, leave its count empty and say why.",
                ]
            ),
            Table(("", "picture", "count", "remark"), rows, widths=(0.6, 5, 1.6, 3)),
            Paragraph("Date: ____________________     Signature: ______________________________"),
        ],
        digests={"plan": plan.digest()},
    )
