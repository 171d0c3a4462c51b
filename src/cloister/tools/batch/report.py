"""What is filed of a sample: all pictures of a batch together, as one document.

The pictures of one sample are pooled: every object that no picture's edge cuts stands for as many as the edge takes of its size
(ISO 13322-1), and every figure has a range that tells how far it would move with other pictures of the same sample
(`sizing.confidence`). Pictures that were looked at under other conditions are left out, and the document says how many.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.documents.content import (
    Bullets,
    Facts,
    Figure,
    Heading,
    Notice,
    Paper,
    Paragraph,
    Part,
    Picture,
    Table,
)
from cloister.documents.plots import cumulative, histogram, run_chart
from cloister.foundation.errors import BadInput
from cloister.sizing.calibration import Calibration, described, read
from cloister.sizing.confidence import Interval, interval
from cloister.sizing.distribution import Distribution, logarithmic_classes, mean_diameter
from cloister.sizing.distribution import histogram as classes_of
from cloister.sizing.frame import standing_for
from cloister.sizing.sample_size import particles_for_percentile
from cloister.sizing.sieving import mean_aperture
from cloister.tools.batch import objects
from cloister.tools.batch.discovery import RECORD
from cloister.tools.batch.samples import Conditions, Sample, Samples
from cloister.tools.run import NO_CERTIFICATE

NEEDED: Final = ("diameter", "feret", "feret_min", "across", "down", "border", "agglomerate")
MAX_PICTURES: Final = 2000
SHOWN: Final = 4
"""Pictures that are printed."""

WANTED_ERROR: Final = 0.05
"""Relative error of the median by volume for which the number of crystals is told, at 95 % confidence."""

_DRAWS: Final = 400
_FIGURES: Final = (
    *("D10 by number", "D50 by number", "D90 by number", "D10 by volume", "D50 by volume", "D90 by volume"),
    *("D[3,2]", "D[4,3]", "Mean aperture", "Coefficient of variation, %"),
)

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Looked:
    """The pictures of a sample under one set of conditions.

    Attributes:
        samples: their rows, in the order in which the pictures were taken.
        rows: of each picture, diameter, largest and smallest caliper and weight of every measured object.
        unit: of the sizes.
        others: pictures of the folder that were looked at under other conditions.
        failed: pictures that could not be used.
        copies: files of the same content as one of the pictures, left out: no particle is counted twice.
    """

    samples: tuple[Sample, ...]
    rows: tuple[Rows, ...]
    unit: str
    others: int
    failed: int
    copies: int = 0


def read_results(out: Path) -> Looked:
    """The pictures of a folder with results, under the conditions of the one computed last.

    Raises:
        BadInput: no folder with results, none that has outlines, or too many.
    """
    record = out / RECORD
    if not record.is_file():
        raise BadInput(
            "There are no results here.",
            "The folder has no samples.db.",
            "Name what --out named: cloister tool run",
        )
    kept = Samples.open_file(record)
    try:
        everything = list(kept.all())
    finally:
        kept.close()
    last = max(everything, key=lambda sample: sample.computed, default=None)
    if last is None:
        raise BadInput("There are no results here.", "No picture was looked at yet.", "Run the tool first.")
    same = [s for s in everything if _conditions(s) == _conditions(last)]
    usable = sorted((s for s in same if s.ok and s.label), key=lambda sample: (sample.taken, sample.file))
    used = list({sample.digest: sample for sample in reversed(usable)}.values())[::-1]
    if not used or len(used) > MAX_PICTURES:
        raise BadInput(
            "No report can be made of these results.",
            f"{len(used)} pictures have a result; a report is made of 1 to {MAX_PICTURES}.",
            "Run the tool on the pictures of one sample.",
        )
    rows = [_measured(out, sample) for sample in used]
    return Looked(
        tuple(used),
        tuple(row for row, _ in rows),
        rows[0][1],
        len(everything) - len(same),
        len(same) - len(usable),
        len(usable) - len(used),
    )


def sample_paper(out: Path, *, title: str, made: int, organisation: str = "", seed: int = 0) -> Paper:
    """The document of a folder with results.

    Args:
        out: the folder.
        title: what the sample is called.
        made: seconds since the epoch.
        organisation: whose document it is.
        seed: of the ranges; the same seed and results give the same document.

    Raises:
        BadInput: see `read_results`.
    """
    looked = read_results(out)
    found, first = sum(sample.count or 0 for sample in looked.samples), looked.samples[0]
    parts: list[Part] = [Heading("Result"), Facts(_facts(looked, found))]
    ranges = _ranges(looked, seed)
    if ranges is not None:
        parts += _sizes(looked, ranges)
    else:
        parts.append(Notice("No sizes.", ["No object lies wholly in a picture."], "open"))
    parts += _pictures(out, looked)
    parts += [
        Heading("Method"),
        Facts(
            [
                ("Tool", f"{first.tool} {first.version}"),
                *_computed_by(looked),
                ("Settings", first.settings if first.settings != "{}" else "as shipped"),
                ("Calibration", _calibration(first)),
                (
                    "Ranges",
                    f"95 %, drawing {ranges.over if ranges else 'pictures'} again {_DRAWS} times, seed {seed}",
                ),
            ]
        ),
        Paragraph(
            "Objects are counted where they are found in a picture. Sizes are of objects that no edge cuts, each standing for as many as "
            "the edge takes of its size (Miles and Lantuéjoul; ISO 13322-1). Diameters are of the circle with the same area (ISO 9276-6); "
            "percentiles by number and volume as in ISO 9276-1, means as in ISO 9276-2. Mean aperture takes the smallest caliper for the "
            "sieve's opening, which only a comparison with sieves can confirm.",
            small=True,
        ),
    ]
    inputs = {f"Picture {number}": s.digest for number, s in enumerate(looked.samples[:200], 1)}
    return Paper(
        title,
        made,
        parts,
        subtitle="Sizes of crystals from pictures" if "crystal" in first.tool else "Sizes from pictures",
        organisation=organisation,
        digests={"Tool": first.tool_digest, **_vouching(first), **inputs},
    )


def _computed_by(looked: Looked) -> list[tuple[str, str]]:
    """Models, certificate and software, also where there is none or it was not kept."""
    first = looked.samples[0]
    if first.models is None or first.certificate is None:
        return [("Models, certificate", "not kept: these pictures were looked at with an older version")]
    models: dict[str, str] = json.loads(first.models)
    facts = [(f"Model {name}", value) for name, value in models.items()] or [("Models", "none")]
    facts.append(("Certificate", first.certificate or NO_CERTIFICATE))
    return [*facts, ("Software", ", ".join(sorted({s.software or "not kept" for s in looked.samples})))]


def _vouching(sample: Sample) -> dict[str, str]:
    models: dict[str, str] = json.loads(sample.models or "{}")
    made = {f"Model {name}": value for name, value in models.items()}
    if sample.certificate:
        made["Certificate"] = sample.certificate
    if sample.calibration is not None:
        made["Calibration"] = _read(sample.calibration).digest()
    return made


def _conditions(sample: Sample) -> Conditions:
    return Conditions.under_which(sample)


def _measured(out: Path, sample: Sample) -> tuple[Rows, str]:
    table = objects.read_piece(objects.piece(out, sample.label))
    missing = [name for name in NEEDED if name not in table.columns]
    if missing or not sample.width or not sample.height:
        raise BadInput(
            "No report can be made of these results.",
            f"The tool does not tell {', '.join(missing) or 'how large the picture is'}.",
            "Use a tool that outlines, such as crystals, and run it again with --again.",
        )
    columns = {name: np.asarray(table.columns[name], dtype=np.float64) for name in NEEDED}
    scale = sample.um_per_px or 1.0
    frame = (sample.width * scale, sample.height * scale)
    cut = columns["border"] != 0
    weights = standing_for(columns["across"], columns["down"], cut, frame)
    kept = (weights > 0) & np.isfinite(columns["diameter"]) & (columns["diameter"] > 0)
    rows = np.stack([columns["diameter"], columns["feret"], columns["feret_min"], weights], axis=1)[kept]
    return rows, table.units.get("diameter", "px")


def _statistics(rows: Rows) -> Rows:
    """`_FIGURES` of pooled objects."""
    diameters, longest, shortest, weights = rows.T
    levels = np.array([10.0, 50.0, 90.0])
    number = Distribution.of(diameters, weights=weights).percentile(levels)
    volume = Distribution.of(diameters, weighting="volume", weights=weights).percentile(levels)
    means = [mean_diameter(diameters, p, q, weights) for p, q in ((3, 2), (4, 3))]
    sieved = mean_aperture(shortest, longest, weights=weights)
    return np.array([*number, *volume, *means, sieved.aperture, sieved.variation])


def _ranges(looked: Looked, seed: int) -> Interval | None:
    if not sum(len(rows) for rows in looked.rows):
        return None
    return interval(looked.rows, _statistics, seed=seed, resamples=_DRAWS)


def _facts(looked: Looked, found: int) -> list[tuple[str, str]]:
    samples = looked.samples
    lows, highs = [s.count_low for s in samples], [s.count_high for s in samples]
    facts = [("Pictures", str(len(samples))), ("Crystals found", str(found))]
    if all(v is not None for v in (*lows, *highs)):
        # Ranges of single pictures, added: wider than that of the sum, never narrower.
        low, high = sum(v or 0 for v in lows), sum(v or 0 for v in highs)
        facts.append(("True number in these pictures", f"{low:.0f} to {high:.0f}"))
    groups = [s.agglomerates for s in samples]
    if all(g is not None for g in groups):
        facts.append(("Agglomerates", str(sum(g or 0 for g in groups))))
    facts.append(("Measured (no edge cuts them)", str(sum(len(rows) for rows in looked.rows))))
    if looked.failed:
        facts.append(("Pictures that could not be used", str(looked.failed)))
    if looked.others:
        facts.append(("Left out: looked at with another tool or other settings", str(looked.others)))
    if looked.copies:
        facts.append(("Left out: the same picture under another name", str(looked.copies)))
    return facts


def _sizes(looked: Looked, ranges: Interval) -> list[Part]:
    together = np.concatenate(looked.rows)
    parts: list[Part] = []
    if looked.unit == "px":
        parts.append(
            Notice(
                "Sizes are in pixels.",
                ["No calibration was given: they cannot be compared with those of another microscope."],
                "open",
            )
        )
    if ranges.notice:
        parts.append(Notice("The ranges are too narrow.", [ranges.notice], "open"))
    spread = Distribution.of(together[:, 0], weights=together[:, 3]).geometric_standard_deviation
    needed = particles_for_percentile(
        min(max(spread, 1.0), 5.0), 50.0, weighting="volume", error=WANTED_ERROR
    )
    enough = len(together) >= needed
    parts.append(
        Notice(
            f"{len(together)} crystals were measured; {needed} are needed."
            if not enough
            else f"{len(together)} crystals were measured: enough.",
            [
                (
                    f"So many give the median by volume to within {WANTED_ERROR:.0%} at 95 % confidence, for sizes that spread as these do "
                    f"(geometric standard deviation {spread:.2f}; ISO 13322-1)."
                )
            ],
            "good" if enough else "open",
        )
    )
    rows = [
        [name, f"{value:.4g}", f"{low:.4g} to {high:.4g}", "" if name.endswith("%") else looked.unit]
        for name, value, low, high in zip(_FIGURES, ranges.estimate, ranges.low, ranges.high, strict=True)
    ]
    parts.append(
        Table(
            ("Figure", "Value", "95 % range", "Unit"),
            rows,
            ("left", "right", "right", "left"),
            (3, 1, 2, 1),
            "Equivalent circle diameters, all pictures together",
        )
    )
    return [*parts, *_plots(together, looked.unit)]


def _plots(together: Rows, unit: str) -> list[Part]:
    number = Distribution.of(together[:, 0], weights=together[:, 3])
    volume = Distribution.of(together[:, 0], weighting="volume", weights=together[:, 3])
    edges = logarithmic_classes(float(number.sizes[0]), float(number.sizes[-1]) * 1.0001)
    shares = classes_of(number, edges).shares
    label = f"diameter, {unit}"
    curves = {
        f"by {name}": (one.sizes.tolist(), np.cumsum(one.shares).tolist())
        for name, one in (("number", number), ("volume", volume))
    }
    return [
        Figure(
            histogram(edges.tolist(), (100.0 * shares).tolist(), label, "% of the crystals"), "By number."
        ),
        Figure(cumulative(curves, label), "Share of the crystals, and of their volume, below each diameter."),
    ]


def _pictures(out: Path, looked: Looked) -> list[Part]:
    rows = [
        [
            str(number),
            Path(sample.file).name,
            "" if sample.count is None else str(sample.count),
            "" if sample.count_low is None else f"{sample.count_low:.0f} to {sample.count_high:.0f}",
            "" if sample.d50 is None else f"{sample.d50:.4g}",
        ]
        for number, sample in enumerate(looked.samples, 1)
    ]
    head = ("", "Picture", "Found", "True number", f"D50, {looked.unit}")
    parts: list[Part] = [
        Heading("Pictures"),
        Table(head, rows, ("right", "left", "right", "right", "right"), (0.5, 4, 1, 1.6, 1.2)),
    ]
    counts = [float(sample.count or 0) for sample in looked.samples]
    if len(counts) > 2:
        labels = [str(number) for number in range(1, len(counts) + 1)]
        parts.append(
            Figure(run_chart(counts, labels, "crystals found"), "Crystals found, picture by picture.")
        )
    for sample in looked.samples[:SHOWN]:
        drawn = _overlay(out, sample)
        if drawn is not None:
            name = Path(sample.file).name
            parts.append(
                Picture(drawn, f"{name} with its crystals outlined", f"{name}: {sample.count} found.")
            )
    warned = sorted({line for sample in looked.samples for line in json.loads(sample.warnings)})
    if warned:
        parts += [Heading("Doubts", 2), Bullets(warned[:20])]
    return parts


def _overlay(out: Path, sample: Sample) -> bytes | None:
    """A picture's overlay, small enough to print; None if it is no longer there."""
    from PIL import Image

    from cloister.data.images import decode_image
    from cloister.foundation.files import read_limited

    names = [name for name in json.loads(sample.files) if str(name).endswith(".overlay.png")]
    path = out / Path(str(names[0])).name if names else None
    if path is None or not path.is_file():
        return None
    small = Image.fromarray(decode_image(read_limited(path, 64 << 20), name=path.name))
    small.thumbnail((1400, 1400))
    stream = io.BytesIO()
    small.convert("RGB").save(stream, format="JPEG", quality=85)
    return stream.getvalue()


def _calibration(sample: Sample) -> str:
    if sample.um_per_px is None:
        return "none: sizes are in pixels"
    if sample.calibration is None:
        return f"{sample.um_per_px:g} micrometres per pixel, as stated: no calibration is named"
    made = _read(sample.calibration)
    until = "" if made.valid_until is None else f"; valid until {made.valid_until}"
    by = "" if made.operator is None else f" by {made.operator}"
    doubt = (
        f" Its doubt comes on top of the ranges: {made.relative_uncertainty:.2%} of every size (standard)."
        if made.uncertainty
        else ""
    )
    return f"{described(made)}{by}{until}; digest {made.digest()}.{doubt}"


def _read(calibration: str) -> Calibration:
    return read(calibration.encode())
