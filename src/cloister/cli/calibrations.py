"""`cloister calibration`: micrometres per pixel from a picture of a scale, kept with objective, day and doubt."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import Number, table
from cloister.cli.output import Answer, command
from cloister.cli.tools import optional_folder
from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.foundation.files import read_limited, write_atomically

if TYPE_CHECKING:
    from cloister.sizing.calibration import Calibration, Circumstances
    from cloister.tools.calibrations import Ruler


@click.group("calibration")
def calibration_group() -> None:
    """Micrometres per pixel: from a picture of an object micrometer, from two points, or as somebody states it."""


def calibration_option(about: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """`--calibration`: by name or file."""
    return click.option("--calibration", metavar="NAME|FILE", default=None, help=about)


def given_calibration(given: str | None, folder: Path | None) -> Calibration | None:
    """The calibration that a command names; of the server in `folder`, or of this user. Raises as `open_calibration`."""
    from cloister.tools.calibrations import open_calibration

    return None if given is None else open_calibration(given, _place(folder))


_folder = optional_folder("Use the calibrations of the server in this folder.")


def _place(folder: Path | None) -> Path | None:
    return folder / "calibrations" if folder else None


@command(calibration_group, "new")
@click.argument(
    "picture", required=False, metavar="[PICTURE]", type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--objective", required=True, help="Which objective, and what else changes the scale: adapter, binning."
)
@click.option(
    "--spacing",
    type=Number(min=0, min_open=True),
    default=None,
    help="Micrometres between neighbouring lines: PICTURE shows an object micrometer or a ruler, and the lines are found in it.",
)
@click.option(
    "--points",
    nargs=2,
    metavar="X,Y X,Y",
    default=None,
    help="Two points in the picture, pixels from its top left, whose distance is --length.",
)
@click.option(
    "--length", type=Number(min=0, min_open=True), default=None, help="Micrometres between the points."
)
@click.option(
    "--scale",
    type=Number(min=0, min_open=True),
    default=None,
    help="Micrometres per pixel, as somebody states it.",
)
@click.option(
    "--uncertainty",
    type=Number(min=0),
    default=0.0,
    help="Standard uncertainty of that spacing, length or scale, in its unit; of a micrometer, from its certificate.",
)
@click.option(
    "--point-uncertainty",
    type=Number(min=0, max=1000),
    default=1.0,
    show_default=True,
    help="How exactly each point was set, pixels.",
)
@click.option(
    "--size", metavar="WIDTHxHEIGHT", default=None, help="Of the camera's pictures, if there is no PICTURE."
)
@click.option("--camera", default=None, help="Which camera.")
@click.option("--operator", default=None, help="Who made it.")
@click.option(
    "--day", metavar="DATE", default=None, help="When it was made, for example 2026-03-01; today if absent."
)
@click.option("--valid-until", metavar="DATE", default=None, help="The last day on which it is to be used.")
@click.option(
    "--name", default=None, help="Keep it under this name, for: cloister tool run --calibration NAME"
)
@click.option(
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write it to this file (.json).",
)
@optional_folder("Keep it among the calibrations of the server in this folder.")
def new(
    picture: Path | None,
    objective: str,
    spacing: float | None,
    points: tuple[str, str] | None,
    length: float | None,
    scale: float | None,
    uncertainty: float,
    point_uncertainty: float,
    size: str | None,
    camera: str | None,
    operator: str | None,
    day: str | None,
    valid_until: str | None,
    name: str | None,
    file: Path | None,
    folder: Path | None,
) -> Answer:
    """Make a calibration, from a PICTURE of a scale as the camera gives it, neither cropped nor resized.

    One of --spacing, --points with --length, or --scale says how.
    """
    from cloister.sizing.calibration import Circumstances
    from cloister.tools.calibrations import SUFFIX, Calibrations

    _one_way(picture, spacing, points, length, scale)
    if name is None and file is None:
        raise BadInput(
            "The calibration has no place.",
            "Nothing says where to keep it.",
            "Add --name NAME or --out FILE.json",
        )
    if file is not None and file.suffix != SUFFIX:
        raise BadInput(
            "A calibration is a .json file.", "Its name ends differently.", "Write: --out scale.json"
        )
    if file is not None and file.exists():
        raise Conflict(
            f"{file.name} is there already.",
            "Calibrations are filed; they are not written over.",
            "Choose another name.",
        )
    looked = None if picture is None else _looked(picture)
    where = Circumstances(
        objective=objective,
        size=_size(size, looked),
        day=day or dt.datetime.now().astimezone().date().isoformat(),
        camera=camera,
        operator=operator,
        valid_until=valid_until,
        picture=None if looked is None else looked.digest,
    )
    made = _made(where, looked, spacing, points, length, scale, uncertainty, point_uncertainty)
    if name is not None:
        Calibrations(_place(folder)).keep(name, made)
    if file is not None:
        write_atomically(file, made.canonical())
    kept = [f"Kept as {name}."] if name is not None else []
    kept += [f"Wrote {file}."] if file is not None else []
    use = name if name is not None else file
    return Answer(
        _told(made),
        [*_lines(made), *kept, f"Use it: cloister tool run crystals PICTURES --calibration {use}"],
    )


@command(calibration_group, "list")
@_folder
def list_(folder: Path | None) -> Answer:
    """The calibrations that are kept by name."""
    from cloister.tools.calibrations import Calibrations

    found = Calibrations(_place(folder)).list()
    rows, told = [], []
    for kept in found:
        made = kept.calibration
        if made is None:
            rows.append([kept.name, str(kept.error), "", "", ""])
            told.append({"name": kept.name, "error": None if kept.error is None else kept.error.problem()})
            continue
        doubt = f"{made.relative_uncertainty:.2%}" if made.uncertainty else "not known"
        rows.append([kept.name, f"{made.micrometres_per_pixel:.6g}", doubt, made.objective, made.day])
        told.append({"name": kept.name, "error": None, **_told(made)})
    head = ["Name", "µm per pixel", "Standard uncertainty", "Objective", "Made"]
    return Answer(
        told, table(head, rows) if rows else "There are none. Make one: cloister calibration new --help"
    )


@command(calibration_group, "show")
@click.argument("calibration", metavar="NAME|FILE")
@_folder
def show(calibration: str, folder: Path | None) -> Answer:
    """What a calibration says, and what speaks against using it today."""
    from cloister.sizing.calibration import concerns
    from cloister.tools.calibrations import open_calibration

    made = open_calibration(calibration, _place(folder))
    against = concerns(made, today=dt.datetime.now().astimezone().date())
    return Answer({**_told(made), "concerns": list(against)}, [*_lines(made), *against])


@command(calibration_group, "check")
@click.argument("calibration", metavar="NAME|FILE")
@click.argument("pictures", nargs=-1, metavar="PICTURES...", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--objective", default=None, help="With which objective the pictures were taken.")
@_folder
def check(calibration: str, pictures: tuple[Path, ...], objective: str | None, folder: Path | None) -> Answer:
    """Whether a calibration holds today, and for these PICTURES.

    Exits with 0 if it does, with 3 if anything speaks against it.
    """
    from cloister.data.images import image_size
    from cloister.sizing.calibration import concerns, expect_size
    from cloister.tools.calibrations import open_calibration
    from cloister.tools.inputs import called

    made = open_calibration(calibration, _place(folder))
    against = list(concerns(made, today=dt.datetime.now().astimezone().date(), objective=objective))
    for path in pictures:
        try:
            expect_size(made, image_size(path), called(path.name))
        except CloisterError as error:
            against.append(str(error))
    return Answer(
        {"holds": not against, "concerns": against, "digest": made.digest()},
        against or ["The calibration holds."],
        exit_code=3 if against else 0,
    )


@command(calibration_group, "remove")
@click.argument("name")
@_folder
def remove(name: str, folder: Path | None) -> Answer:
    """Forget the calibration NAME. Results that were measured with it keep what it said."""
    from cloister.tools.calibrations import Calibrations

    Calibrations(_place(folder)).remove(name)
    return Answer({"name": name}, f"Removed {name}.")


def _one_way(
    picture: Path | None,
    spacing: float | None,
    points: tuple[str, str] | None,
    length: float | None,
    scale: float | None,
) -> None:
    if sum(way is not None for way in (spacing, points, scale)) != 1 or (points is None) != (length is None):
        raise BadInput(
            "It is not clear how to take the scale.",
            "Exactly one of --spacing, --points with --length, or --scale says it.",
            "For lines 10 µm apart: cloister calibration new PICTURE --objective 10x --spacing 10 --name 10x",
        )
    if spacing is not None and picture is None:
        raise BadInput(
            "There is no picture of the lines.",
            "--spacing is of lines in a picture.",
            "Name the picture first.",
        )


def _looked(picture: Path) -> Ruler:
    from cloister.data.images import LIMITS
    from cloister.tools.calibrations import look_at_ruler
    from cloister.tools.inputs import called

    return look_at_ruler(read_limited(picture, LIMITS.max_bytes), called(picture.name))


def _size(given: str | None, looked: Ruler | None) -> tuple[int, int]:
    if looked is not None and given is None:
        return looked.size
    found = re.fullmatch(r"([0-9]{1,6})\s*[x×]\s*([0-9]{1,6})", given or "")  # noqa: RUF001 - as people write it
    if looked is not None or found is None:
        raise BadInput(
            "It is not clear how large the pictures are.",
            "A calibration holds for pictures of one size: that of PICTURE, or --size.",
            "Give one of the two, for example --size 1920x1080",
        )
    return int(found[1]), int(found[2])


def _made(
    where: Circumstances,
    looked: Ruler | None,
    spacing: float | None,
    points: tuple[str, str] | None,
    length: float | None,
    scale: float | None,
    uncertainty: float,
    point_uncertainty: float,
) -> Calibration:
    from cloister.sizing.calibration import from_ruled_lines, from_ruler, stated

    if spacing is not None:
        assert looked is not None
        if looked.lines is None:
            assert looked.error is not None
            raise looked.error
        return from_ruled_lines(looked.lines, spacing, where, spacing_uncertainty=uncertainty)
    if points is not None:
        assert length is not None
        start, end = (_point(text, where.size) for text in points)
        return from_ruler(
            start, end, length, where, length_uncertainty=uncertainty, point_uncertainty=point_uncertainty
        )
    assert scale is not None
    return stated(scale, where, uncertainty=uncertainty)


def _point(text: str, size: tuple[int, int]) -> tuple[float, float]:
    found = re.fullmatch(
        r"([0-9]{1,6}(?:\.[0-9]{1,6})?),([0-9]{1,6}(?:\.[0-9]{1,6})?)", text.replace(" ", "")
    )
    if found is None or float(found[1]) > size[0] or float(found[2]) > size[1]:
        raise BadInput(
            "A point lies in no picture.",
            f"{text[:40]!r} is no place in {size[0]} x {size[1]} pixels.",
            "Write X,Y in pixels from the top left, for example 120.5,400",
        )
    return float(found[1]), float(found[2])


def _told(made: Calibration) -> dict[str, Any]:
    return {"digest": made.digest(), **made.model_dump(mode="json")}


def _lines(made: Calibration) -> list[str]:
    from cloister.sizing.calibration import described

    lines = [described(made)]
    if made.known is not None and made.measured is not None:
        lines.append(f"{made.known:g} µm are {made.measured:.6g} ± {made.measured_uncertainty:.2g} pixels.")
    if made.operator is not None:
        lines.append(f"Made by {made.operator}.")
    if made.valid_until is not None:
        lines.append(f"Valid until {made.valid_until}.")
    return [*lines, f"Digest {made.digest()}"]
