"""The report of a study as a document: plan, counts, results and verdict in one JSON file, from which everything can be recomputed.

The PDF is what people sign and file; it names this file by its digest. `verified` computes the verdict again from the counts inside,
so that a changed verdict is noticed; a changed count is noticed by comparing the digest with the one in the signed PDF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from cloister import __version__
from cloister.acceptance.analysis import Findings, analyse
from cloister.acceptance.counts import PeoplesCounts
from cloister.acceptance.method import Method, Validity
from cloister.acceptance.study import MAX_BYTES, Moment, Study
from cloister.acceptance.verdict import Verdict, judge
from cloister.data.schema import Line
from cloister.foundation.canonical import parse
from cloister.foundation.clock import rfc3339
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import Tampered
from cloister.foundation.files import read_limited


class StudyReport(Document):
    """What a study found.

    Args:
        made: when the report was made.
        by: the program that computed it.
        study: plan and tool's counts.
        counts: the people's.
        findings: all results, for programs.
        verdict: on the limits of the plan.
    """

    type: Literal["cloister/study-report@1"] = "cloister/study-report@1"
    made: Moment
    by: Line
    study: Study
    counts: PeoplesCounts
    findings: dict[str, Any]
    verdict: Verdict

    def is_valid_for(self, method: Method) -> Validity:
        """Whether `method` is the one studied, and if not, what changed."""
        return self.study.is_valid_for(method)


def make_report(study: Study, counts: PeoplesCounts, *, now: int) -> tuple[StudyReport, Findings]:
    """The report, and the findings for its paper. Raises as `analyse`."""
    findings = analyse(study, counts)
    report = StudyReport(
        made=rfc3339(now),
        by=f"Cloister {__version__}",
        study=study,
        counts=counts,
        findings=findings.as_json(),
        verdict=judge(study.plan, findings),
    )
    return report, findings


def verified(report: StudyReport) -> StudyReport:
    """The report, if its verdict follows from its counts. Raises `Tampered` if not."""
    again = judge(report.study.plan, analyse(report.study, report.counts))
    told = [(item.name, item.state) for item in report.verdict.criteria]
    if (
        again.outcome != report.verdict.outcome
        or [(item.name, item.state) for item in again.criteria] != told
    ):
        raise Tampered(
            "The report's verdict does not follow from its counts.",
            f"It says {report.verdict.outcome}; its counts say {again.outcome}.",
            "Get the report again from where it was filed, and compare its digest with the PDF.",
            clause="study-verdict",
        )
    return report


def read_either(path: Path) -> Study | StudyReport:
    """A study or a study's report, whichever the file is. Raises `BadInput`, `NotFound`."""
    data = read_limited(path, 4 * MAX_BYTES)
    head = parse(data, max_bytes=4 * MAX_BYTES)
    if isinstance(head, dict) and head.get("type") == "cloister/study-report@1":
        return parse_document(StudyReport, data, "The study's report", max_bytes=4 * MAX_BYTES)
    return parse_document(Study, data, "The study", max_bytes=MAX_BYTES)
