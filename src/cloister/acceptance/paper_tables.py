"""The report's tables: repeatability, gauge R&R, every count, and how all of it was computed."""

from __future__ import annotations

import math

from cloister.acceptance.agreement import Estimate
from cloister.acceptance.analysis import Findings
from cloister.acceptance.gauge import Gauge
from cloister.acceptance.report import StudyReport
from cloister.acceptance.study import Plan
from cloister.acceptance.verdict import allowed
from cloister.documents.content import Align, Bullets, Heading, PageBreak, Paragraph, Part, Table
from cloister.documents.letters import DASH, MINUS, TIMES

_SOURCES = {
    "counters": "who counts",
    "pictures": "pictures",
    "both": f"who counts {TIMES} pictures",
    "repeats": "repeats",
    "total": "total",
}


def repeatability_parts(found: Findings) -> list[Part]:
    """How well everybody repeats themselves."""
    rows = [
        (
            who,
            "counted once" if item is None else _spread(found, item.deviation),
            "" if item is None else _spread(found, item.limit),
        )
        for who, item in found.repeats.items()
    ]
    return [
        Heading("Repeatability"),
        Paragraph(
            "Two counts of one picture by the same counter differ by less than the repeatability limit in 95 % of cases."
        ),
        Table(("counter", "standard deviation (95 % interval)", "repeatability limit (95 % interval)"), rows),
    ]


def _spread(found: Findings, item: Estimate) -> str:
    if found.form == "ratio":
        low, mid, high = (
            f"{100 * math.expm1(min(value, 20.0)):.1f} %" for value in (item.low, item.value, item.high)
        )
        return f"{mid} ({low} to {high})"
    return figures(item, 2)


def gauge_parts(plan: Plan, found: Findings) -> list[Part]:
    """Gauge R&R, and the analyses of variance that it rests on."""
    scale = "logarithms of counts" if found.form == "ratio" else "counts"
    parts: list[Part] = [
        Heading("Gauge repeatability and reproducibility"),
        Paragraph(
            f"Crossed two-way analysis of variance with random effects, of {scale} (AIAG, Measurement Systems Analysis, 4th edition)."
            " AIAG takes GRR below 10 % of the total variation for good, up to 30 % for usable by case, and asks for five"
            " distinct categories. The total variation is that of the pictures studied: more alike pictures give a larger share."
        ),
        Table(
            ("per cent of total variation", "people alone", "people and tool"),
            [
                *(
                    (name, _percent(found.people, *components), _percent(found.all, *components))
                    for name, components in (
                        (
                            "repeatability (EV)"
                            if plan.repeats > 1
                            else "repeatability and interaction (EV)",
                            ("repeatability",),
                        ),
                        ("between counters (AV)", ("counters",)),
                        (f"counters {TIMES} pictures (INT)", ("interaction",)),
                    )
                ),
                ("GRR (95 % interval)", figures(found.people.share, 1), figures(found.all.share, 1)),
                (
                    "between pictures (PV)",
                    _percent(found.people, "pictures"),
                    _percent(found.all, "pictures"),
                ),
                ("distinct categories (95 % interval)", _categories(found.people), _categories(found.all)),
            ],
            align=("left", "right", "right"),
            widths=(2, 1.4, 1.4),
        ),
    ]
    for name, analysis in (("People alone", found.people), ("People and tool", found.all)):
        pooled = f"; counters {TIMES} pictures was pooled with the repeats" if analysis.pooled else ""
        parts.append(
            Table(
                ("source", "degrees of freedom", "sum of squares", "mean square", "F", "p"),
                [
                    (
                        _SOURCES[row.source],
                        str(row.freedom),
                        f"{row.squares:.5g}",
                        f"{row.mean_square:.5g}",
                        "" if row.f is None else f"{row.f:.4g}",
                        "" if row.p is None else f"{row.p:.3g}",
                    )
                    for row in analysis.table
                ],
                align=("left", "right", "right", "right", "right", "right"),
                widths=(2.2, 1.6, 1.4, 1.4, 1, 1),
                caption=f"{name}: analysis of variance{pooled}",
            )
        )
    parts.append(
        Paragraph(
            "A tool repeats itself exactly, so with the tool among the counters repeatability is a mean over people and tool."
            " Between two or three counters, the variance of counters is known very badly; the intervals show it.",
            small=True,
        )
    )
    return parts


def _percent(analysis: Gauge, *names: str) -> str:
    value = analysis.percent(*names)
    return DASH if value is None else f"{value:.1f}"


def _categories(analysis: Gauge) -> str:
    if analysis.categories is None:
        return "without bound" if analysis.share is not None else DASH
    item = analysis.categories
    return f"{item.value:.0f} ({item.low:.0f} to {min(item.high, 9999):.0f})"


def count_parts(report: StudyReport) -> list[Part]:
    """Every count."""
    plan, run = report.study.plan, report.study.run
    given = {(item.image, item.person, item.repeat): str(item.count) for item in report.counts.counts}
    heads = [f"{person} {repeat}" for person in plan.people for repeat in range(1, plan.repeats + 1)]
    tools = list(run.counts) if run is not None else []
    rows = [
        (
            picture.name,
            *(
                given.get((picture.name, person, repeat), "missing")
                for person in plan.people
                for repeat in range(1, plan.repeats + 1)
            ),
            *("none" if counts[place] is None else str(counts[place]) for counts in tools),
            picture.content.removeprefix("sha256:")[:16],
        )
        for place, picture in enumerate(plan.pictures)
    ]
    numbers: list[Align] = ["right"] * (len(heads) + len(tools))
    return [
        PageBreak(),
        Heading("All counts"),
        Table(
            ("picture", *heads, *(f"tool {number}" for number in range(1, len(tools) + 1)), "digest begins"),
            rows,
            align=("left", *numbers, "left"),
            widths=(3, *[1.0] * (len(heads) + len(tools)), 2),
        ),
    ]


def computation_parts(plan: Plan) -> list[Part]:
    """The formulas, and where they come from."""
    form = (
        f"Counts were compared by ratios (differences of logarithms); a limit of {100 * plan.limits.agreement:g} % is a ratio of"
        f" {allowed(plan, plan.limits.agreement)}."
        if plan.limits.form == "ratio"
        else "Counts were compared by differences."
    )
    return [
        Heading("How it was computed"),
        Bullets(
            [
                form,
                "Bias and limits of agreement: Bland and Altman 1986 and 1999. Interval of the bias: Student's t.",
                "Intervals of the limits: exact, by the noncentral t distribution (Carkeet 2015); for single counts by Zou 2013.",
                "Limits that change with the count: Bland and Altman 1999, section 3.2; interval by resampling pictures 4000 times.",
                "Concordance: Lin 1989, 2000. It depends on the range of the pictures and decides nothing.",
                "Gauge R&R: AIAG 2010; interaction pooled where its p is above 0.25; intervals: Hamada and Weerahandi 2000.",
                "A criterion is met if its whole 95 % interval lies within the limit, not met if the estimate lies beyond, else open.",
                "Shares of gauge variation are judged by the estimate.",
            ]
        ),
    ]


def figures(item: Estimate | None, digits: int) -> str:
    """An estimate with its interval, as people read it; a dash for none."""
    if item is None:
        return DASH
    return f"{item.value:.{digits}f} ({item.low:.{digits}f} to {item.high:.{digits}f})".replace("-", MINUS)
