"""The report as a document to sign and file: verdict first, then what it rests on, then every count."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cloister.acceptance.agreement import Growth
from cloister.acceptance.analysis import PEOPLE, TOOL, Comparison, Findings
from cloister.acceptance.method import Method
from cloister.acceptance.paper_tables import (
    computation_parts,
    count_parts,
    figures,
    gauge_parts,
    repeatability_parts,
)
from cloister.acceptance.report import StudyReport
from cloister.acceptance.study import Plan
from cloister.acceptance.verdict import Outcome
from cloister.documents.content import (
    Bullets,
    Facts,
    Figure,
    Heading,
    Notice,
    Paper,
    Paragraph,
    Part,
    Table,
    Tone,
)
from cloister.documents.letters import MINUS
from cloister.documents.plots import Rule, bland_altman, scatter
from cloister.documents.shapes import GREEN, Drawing
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.text import several

_HEADLINES: dict[Outcome, tuple[str, Tone]] = {
    "accepted": ("Accepted", "good"),
    "not accepted": ("Not accepted", "bad"),
    "not decided": ("Not decided", "open"),
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
        *repeatability_parts(found),
        *gauge_parts(plan, found),
        *count_parts(report),
        *computation_parts(plan),
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
                *_calibration(method),
                ("programs", ", ".join(f"{name} {value}" for name, value in method.programs.items())),
            ]
        ),
    ]


def _calibration(method: Method) -> list[tuple[str, str]]:
    made = method.calibration
    if made is None:
        return [] if method.micrometres_per_pixel is None else [("calibration", "none: the scale was stated")]
    return [
        ("calibration", f"objective {made.objective}, made {made.day}"),
        ("calibration digest", made.content),
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
                figures(pair.concordance, 3),
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
