"""A sample as JSON for programs, and as a row of the database and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import rfc3339
from cloister.node.toolroom.recent import Evidence, Sample
from cloister.node.toolroom.workers import Figures
from cloister.sizing.calibration import read
from cloister.storage.samples import SampleRow
from cloister.tools.steps.reporting import as_told


def described(sample: Sample) -> dict[str, Any]:
    """A sample as JSON: what a program wants to know, without its files."""
    return {
        "id": sample.id,
        "state": sample.state,
        "time": rfc3339(sample.at),
        "tool": sample.tool,
        "title": sample.title,
        "version": sample.version,
        "tool_digest": sample.digest,
        "models": dict(sample.models),
        "certificate": sample.certificate,
        "file": sample.file,
        "file_digest": sample.input,
        "width": None if sample.size is None else sample.size[0],
        "height": None if sample.size is None else sample.size[1],
        "label": sample.label,
        "kept_by": sample.who,
        "count": sample.count,
        "figures": dict(sample.figures.values),
        "units": dict(sample.figures.units),
        "histograms": {name: item.model_dump() for name, item in sample.figures.histograms.items()},
        "um_per_pixel": sample.um_per_pixel,
        "calibration": None if sample.calibration is None else as_told(sample.calibration),
        "settings": dict(sample.settings),
        "warnings": list(sample.warnings),
        "seconds": round(sample.seconds, 3),
        "waited": round(sample.waited, 3),
        "files": sorted(sample.files),
        "evidence": {
            "holds": sample.evidence.holds,
            "sandbox": dict(sample.evidence.sandbox),
            "sent": sample.evidence.sent,
        },
    }


def facts_of(sample: Sample) -> bytes:
    """What a row holds of a sample besides its columns, as canonical JSON."""
    told = described(sample)
    return canonical(
        {
            name: told[name]
            for name in (
                "title",
                "models",
                "certificate",
                "width",
                "height",
                "figures",
                "units",
                "histograms",
                "um_per_pixel",
                "settings",
                "warnings",
                "seconds",
                "waited",
                "evidence",
            )
        }
        | {
            "alternative": sample.alternative,
            # Not as it is told: that has its digest too.
            "calibration": None if sample.calibration is None else sample.calibration.model_dump(mode="json"),
        }
    )


def restored(row: SampleRow, files: Mapping[str, bytes]) -> Sample:
    """The sample in a row; `files` by name, perhaps without their content."""
    facts = parse(row.facts)
    size = None if facts["width"] is None else (facts["width"], facts["height"])
    made = facts.get("calibration")  # not in rows of older versions
    return Sample(
        row.id,
        row.owner,
        row.at,
        row.tool,
        facts["title"],
        row.version,
        row.digest,
        facts["models"],
        facts["certificate"],
        row.input,
        row.file,
        size,
        row.count,
        Figures.model_validate(
            {"values": facts["figures"], "units": facts["units"], "histograms": facts["histograms"]},
            strict=False,
        ),
        facts["um_per_pixel"],
        facts["settings"],
        tuple(facts["warnings"]),
        facts["alternative"],
        facts["seconds"],
        facts["waited"],
        Evidence(facts["evidence"]["sandbox"], facts["evidence"]["sent"]),
        files,
        "kept",
        row.label,
        row.who,
        calibration=None if made is None else read(canonical(made)),
    )
