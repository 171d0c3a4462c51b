"""The report as a document to sign and file: verdict first, then what it rests on, then every count."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cloister.acceptance.agreement import Estimate, Growth
from cloister.acceptance.analysis import PEOPLE, TOOL, Comparison, Findings
from cloister.acceptance.gauge import Gauge
from cloister.acceptance.report import StudyReport
from cloister.acceptance.study import Plan
from cloister.acceptance.verdict import Outcome, allowed
from cloister.documents.content import (
    Align,
    Bullets,
    Facts,
    Figure,
    Heading,
    Notice,
    PageBreak,
    Paper,
    Paragraph,
    Part,
    Table,
    Tone,
)
from cloister.documents.letters import DASH, MINUS, TIMES
from cloister.documents.plots import Rule, bland_altman, scatter
from cloister.documents.shapes import GREEN, Drawing
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.text import several

_HEADLINES: dict[Outcome, tuple[str, Tone]] = {
    "accepted": ("Accepted", "good"),
    "not accepted": ("Not accepted", "bad"),
    "not decided": ("Not decided", "open"),
}
_SOURCES = {
    "counters": "who counts",
    "pictures": "pictures",
    "both": f"who counts {TIMES} pictures",
    "repeats": "repeats",
    "total": "total",
}


def paper(report: StudyReport, found: Findings) -> Paper:
    """The document.

    Args:
        report: whose digest stands in every footer.
        found: what `make_report` returned with it.
    """
    plan = report.study.plan
    headline, tone = _HEADLINES[report.verdict.outcome]
    parts: list[Part] = [
        Notice(headline, report.verdict.reasons, tone),
        Table(
            ("criterion, limits set before counting", "allowed", "found (95 % interval)", ""),
            [(item.name, item.limit, item.found, item.state) for item in report.verdict.criteria],
            widths=(3, 2.6, 4.2, 1),
        ),
        Bullets(report.verdict.remarks),
        *_method(report),
        *_design(report, found),
        *_judged(plan, found),
        *_pairs(plan, found),
        *_repeats(found),
        *_gauges(plan, found),
        *_counts(report),
        *_computed(plan),
        Heading("Signatures"),
        Facts(
            [
                (role, "date ____________________  name and signature ______________________________")
                for role in ("carried out by", "approved by")
            ]
        ),
    ]
    return Paper(
        title=f"Acceptance study: {plan.title}",
        subtitle=f"{plan.method.tool} {plan.method.version} beside {several(len(plan.people), 'person')}".replace(
            "persons", "people"
        ),
        organisation=plan.organisation,
        subject="Acceptance study of a counting method",
        made=parse_rfc3339(report.made),
        parts=parts,
        digests={
            "report": report.digest(),
            "plan": plan.digest(),
            "method": plan.method.digest(),
            "tool": plan.method.content,
        },
    )


def _method(report: StudyReport) -> list[Part]:
    method = report.study.plan.method
    size = method.micrometres_per_pixel
    return [
        Heading("The method studied"),
        Paragraph(
            "The verdict is about this method only. Whatever of it changes makes it another method, which takes a new study;"
            " cloister study check compares."
        ),
        Facts(
            [
                ("tool", f"{method.tool} {method.version}"),
                ("tool digest", method.content),
                *((f"model {name}", value) for name, value in method.models.items()),
                *((f"setting {name}", f"{value}") for name, value in method.settings.items()),
                ("micrometres per pixel", "not given: sizes in pixels" if size is None else f"{size:g}"),
                ("programs", ", ".join(f"{name} {value}" for name, value in method.programs.items())),
            ]
        ),
    ]


def _design(report: StudyReport, found: Findings) -> list[Part]:
    plan, run = report.study.plan, report.study.run
    ran = "" if run is None else f"{run.time}, {several(len(run.counts), 'time')}"
    parts: list[Part] = [
        Heading("What was done"),
        Facts(
            [
                ("planned, limits set", plan.created),
                ("pictures", f"{len(plan.pictures)}, of which {len(found.pictures)} have all counts"),
                (
                    "people",
                    f"{', '.join(plan.people)}; each counted {several(plan.repeats, 'time')}, in random order",
                ),
                ("tool counted", ran),
                (
                    "count sheets",
                    "; ".join(f"{name} {value}" for name, value in report.counts.files.items())[:400],
                ),
            ]
        ),
    ]
    if found.incomplete:
        parts.append(Table(("picture without all counts", "missing"), list(found.incomplete), widths=(2, 3)))
    if run is not None and run.remarks:
        parts += [Paragraph("What the tool said of pictures:"), Bullets(run.remarks)]
    return parts


def _judged(plan: Plan, found: Findings) -> list[Part]:
    judged = found.judged
    parts: list[Part] = [
        Heading("The tool against the people's mean"),
        _agreement_table(found, [judged]),
        Figure(
            _difference_plot(plan, found, judged, judged=True),
            "Each point is a picture. Lines: bias, limits of agreement; in colour: what is allowed.",
        ),
        Figure(
            scatter(
                {"picture": [(second, first) for first, second in judged.values]},
                f"{PEOPLE}, {plan.counted}",
                f"{TOOL}, {plan.counted}",
                equality=True,
            ),
            "Counts themselves; on the line both are equal.",
        ),
    ]
    if judged.growth is not None:
        parts.append(Paragraph(_growth_words(found, judged.growth)))
    return parts


def _pairs(plan: Plan, found: Findings) -> list[Part]:
    parts: list[Part] = [
        Heading("The people's own agreement beside it"),
        Paragraph(
            "Single counts against single counts: what to expect if one person's count, or the tool's, takes the place of another's."
        ),
        _agreement_table(found, found.pairs),
    ]
    parts += [
        Figure(
            _difference_plot(plan, found, pair, judged=False),
            f"{pair.name}: points are means of repeated counts, limits those of single counts.",
        )
        for pair in found.pairs
        if TOOL not in (pair.first, pair.second)
    ][:3]
    return parts


def _agreement_table(found: Findings, pairs: Sequence[Comparison]) -> Table:
    return Table(
        (
            f"first {MINUS} second",
            "bias",
            "lower limit of agreement",
            "upper limit of agreement",
            "concordance",
        ),
        [
            (
                pair.name,
                found.between(pair.agreement.bias),
                found.between(pair.agreement.lower),
                found.between(pair.agreement.upper),
                _plain(pair.concordance, 3),
            )
            for pair in pairs
        ],
        widths=(2.2, 2.4, 2.4, 2.4, 1.9),
    )


def _difference_plot(plan: Plan, found: Findings, pair: Comparison, *, judged: bool) -> Drawing:
    ratio = found.form == "ratio"

    def level(value: float) -> float:
        return 100 * math.expm1(value) if ratio else value

    both, grown = pair.agreement, pair.growth
    limit = plan.limits.agreement
    ends = ((100 * (1 / (1 + limit) - 1), 100 * limit) if ratio else (-limit, limit)) if judged else ()
    limits = [
        Rule(f"upper {found.shown(both.upper.value)}", [(0.0, level(both.upper.value))]),
        Rule(f"lower {found.shown(both.lower.value)}", [(0.0, level(both.lower.value))]),
    ]
    if judged and grown is not None and grown.grows:
        # Along the counts of the plot; the lines were fitted on the scale of the limits.
        places = [grown.low + (grown.high - grown.low) * step / 24 for step in range(25)]
        counts = [math.exp(place) - found.shift if ratio else place for place in places]
        for which, text in ((2, "upper, as line"), (0, "lower, as line")):
            track = [(x, level(grown.limits(at)[which])) for x, at in zip(counts, places, strict=True)]
            limits.append(Rule(text, track, colour=GREEN))
    return bland_altman(
        pair.means,
        [level(value) for value in pair.differences],
        bias=Rule(f"bias {found.shown(both.bias.value)}", [(0.0, level(both.bias.value))]),
        limits=limits,
        allowed=[Rule("allowed", [(0.0, end)]) for end in ends],
        x_label=f"mean of both, {plan.counted}",
        y_label=f"{pair.name}, {'%' if ratio else plan.counted}",
    )


def _growth_words(found: Findings, grown: Growth) -> str:
    tested = (
        f"Bland and Altman's regression: the bias {'changes' if grown.bias_changes else 'does not change'} with the count"
        f" (p = {grown.slope_p:.3f}), the spread {'changes' if grown.spread_changes else 'does not'} (p = {grown.spread_p:.3f})."
    )
    if not grown.grows:
        return f"{tested} The limits of agreement above describe the differences."
    places = []
    for end, name in ((grown.low, "fewest"), (grown.high, "most")):
        lower, bias, upper = grown.limits(end)
        places.append(
            f"at the {name} objects studied bias {found.shown(bias)}, limits {found.shown(lower)} to {found.shown(upper)}"
        )
    return f"{tested} As lines: {'; '.join(places)}."


def _repeats(found: Findings) -> list[Part]:
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
    return _plain(item, 2)


def _gauges(plan: Plan, found: Findings) -> list[Part]:
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
                ("GRR (95 % interval)", _plain(found.people.share, 1), _plain(found.all.share, 1)),
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


def _counts(report: StudyReport) -> list[Part]:
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


def _computed(plan: Plan) -> list[Part]:
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


def _plain(item: Estimate | None, digits: int) -> str:
    if item is None:
        return DASH
    return f"{item.value:.{digits}f} ({item.low:.{digits}f} to {item.high:.{digits}f})".replace("-", MINUS)
