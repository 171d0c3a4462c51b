"""`cloister dataset`: your data, and what others see of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from cloister.cli.common import client, folder_option, short, table
from cloister.cli.output import Answer, command
from cloister.foundation.errors import BadInput

if TYPE_CHECKING:
    from cloister.applications.crystals.factories import Factory


@click.group("dataset")
def dataset_group() -> None:
    """Your datasets, and what others see of them."""


@command(dataset_group, "add")
@click.argument("name")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@folder_option
@click.option("--title", default=None, help="For people; the name if absent.")
@click.option(
    "--residency",
    required=True,
    metavar="COUNTRY",
    help="Country where the data lies: its English name, or two letters of ISO 3166 (Austria or AT).",
)
@click.option(
    "--sensitivity", multiple=True, metavar="[COLUMN=]LEVEL", help="public, internal, confidential, personal."
)
@click.option("--unit", default=None, help="Unit of privacy: image, record, or a column's name.")
@click.option(
    "--decimal", type=click.Choice([".", ","]), default=".", show_default=True, help="Decimal sign of a CSV."
)
@click.option(
    "--column",
    "kinds",
    multiple=True,
    metavar="NAME=KIND",
    help="Read this column as text, integer, real, boolean or timestamp, not as it looks; repeat.",
)
@click.option("--tell-size", is_flag=True, help="Let others see roughly how many records there are.")
@click.option("--version", default=1, show_default=True, help="One more than the version that this replaces.")
def add_dataset(
    name: str,
    source: Path,
    folder: Path,
    title: str | None,
    residency: str,
    sensitivity: tuple[str, ...],
    unit: str | None,
    decimal: str,
    kinds: tuple[str, ...],
    tell_size: bool,
    version: int,
) -> Answer:
    """Register SOURCE (a folder of pictures with labels, or a CSV or Parquet table) as the dataset NAME."""
    from cloister.data.countries import country

    fields: dict[str, Any] = {
        "name": name,
        "title": title or name,
        "residency": country(residency),
        "tell_size": tell_size,
        "version": version,
    }
    if sensitivity:
        fields["sensitivity"] = _levels(sensitivity, table=source.is_file())
    if source.is_file():
        fields |= {"decimal": decimal, "kinds": _kinds(kinds)}
    elif kinds or decimal != ".":
        raise BadInput(
            "Pictures have no columns.", "--decimal and --column are for tables.", "Leave them out."
        )
    if unit is not None:
        fields["unit_of_privacy"] = (
            {"kind": unit} if unit in {"image", "record"} else {"kind": "column", "column": unit}
        )
    with client(folder, timeout=3600) as node:
        told = node.post("/datasets", {"source": str(source.absolute()), "fields": fields})
    return Answer(
        told,
        f"Registered {name}: {told['private']['records']} records (only you see this number).\n{_columns(told)}"
        f"{_unit(told)}"
        f"Commitment {told['commitment']}\nThe data stays where it is; if it changes, tasks will refuse it.",
    )


def _columns(told: dict[str, Any]) -> str:
    """What each column was read as, so that a person sees at once what went wrong."""
    columns = told["catalogue"].get("columns") or ()
    if not columns:
        return ""
    kinds = ", ".join(f"{item['name']} {item['kind']}" for item in columns)
    return f"Columns: {kinds}.\n"


def _unit(told: dict[str, Any]) -> str:
    """What a privacy budget would count."""
    from cloister.data.schema import UnitOfPrivacy

    unit = UnitOfPrivacy.model_validate(told["catalogue"]["unit_of_privacy"])
    return f"Unit of privacy: each {unit.word}.\n"


def _kinds(given: tuple[str, ...]) -> dict[str, str]:
    from cloister.data.schema import ColumnKind

    kinds = get_args(ColumnKind)
    made: dict[str, str] = {}
    for item in given:
        column, sign, kind = item.rpartition("=")
        if not sign or not column or kind not in kinds:
            raise BadInput(
                "A column's kind cannot be read.",
                f"There are {', '.join(kinds)}; “{item[:80]}” was given.",
                "Write for example --column NAME=text",
            )
        made[column] = kind
    return made


def _levels(given: tuple[str, ...], *, table: bool) -> dict[str, str]:
    from cloister.data.schema import Sensitivity

    levels = get_args(Sensitivity)
    made: dict[str, str] = {}
    for item in given:
        column, sign, level = item.rpartition("=")
        if level not in levels:
            raise BadInput(
                f"There is no sensitivity {level[:40]!r}.",
                f"There are {', '.join(levels)}.",
                "Write for example --sensitivity confidential, or for a table --sensitivity COLUMN=personal.",
            )
        if table and not sign:
            raise BadInput(
                "Which column?",
                "In a table each column has its sensitivity; those that are not named are confidential.",
                f"Write --sensitivity COLUMN={level}, once for each.",
            )
        made[column] = level
    return made


@command(dataset_group, "sample")
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@click.option("--pictures", type=click.IntRange(1, 1000), default=4, show_default=True, help="How many.")
@click.option(
    "--factory", default="seed-like", show_default=True, help="Whose camera and crystals to imitate."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, other pictures.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw like the factory whose owner published this file, which your server checks.",
)
@folder_option
def sample(
    target: Path, pictures: int, factory: str, seed: int, settings: Path | None, folder: Path
) -> Answer:
    """Draw synthetic micrographs of crystals with their labels into the folder TARGET, to try things on."""
    from cloister.applications.crystals.factories import preset
    from cloister.applications.crystals.synthesis import write_dataset
    from cloister.foundation.errors import Conflict

    if target.exists() and any(target.iterdir()):
        raise Conflict(f"{target} is not empty.", "Nothing is overwritten.", "Choose a new folder.")
    imitated = preset(factory) if settings is None else _published(settings, folder)
    write_dataset(target, imitated, pictures, seed)
    return Answer(
        {"folder": str(target), "pictures": pictures},
        f"Drew {pictures} pictures in {target / 'images'}; where the crystals are stands in {target / 'labels'}.",
    )


def _published(file: Path, folder: Path) -> Factory:
    """The factory of published settings, whose signature the running server checked."""
    from cloister.applications.crystals.published import PublishedSettings
    from cloister.cli.common import json_file
    from cloister.foundation.canonical import canonical

    envelope = json_file(file, 128 << 10, "a file of published settings", "Ask its owner for the file again.")
    with client(folder) as node:
        told = node.post("/factory-settings/check", {"document": canonical(envelope).decode()})
    said = {key: value for key, value in told.items() if key in PublishedSettings.model_fields}
    return PublishedSettings.model_validate_json(canonical(said)).factory()


@command(dataset_group, "publish")
@click.argument("ranges", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="Short; drawn pictures' names begin with it.")
@click.option("--title", default=None, help="For people; the name if absent.")
@click.option(
    "--um-per-pixel",
    "scale",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="The camera's scale.",
)
@folder_option
def publish(
    ranges: Path, file: Path, name: str, title: str | None, scale: float | None, folder: Path
) -> Answer:
    """Sign RANGES (a JSON file: what your people say of your plant's pictures) into the new FILE, for others to draw by."""
    from cloister.cli.common import json_file
    from cloister.foundation.errors import Conflict
    from cloister.foundation.files import write_atomically

    if file.exists():
        raise Conflict(f"{file} exists.", "Nothing is overwritten.", "Choose another name.")
    told = json_file(ranges, 64 << 10, "a file of ranges", "See docs/how-to/disclose-samples.md.")
    body = {"name": name, "title": title or name, "settings": told, "micrometres_per_pixel": scale}
    with client(folder) as node:
        made = node.post("/factory-settings", body)
    write_atomically(file, made["document"].encode())
    return Answer(
        {"file": str(file), "digest": made["digest"]},
        f"Signed: {file}. Whoever gets it draws with: cloister dataset sample FOLDER --settings {file.name}",
    )


@command(dataset_group, "list")
@folder_option
def datasets(folder: Path) -> Answer:
    """Your datasets."""
    with client(folder) as node:
        told = node.get("/datasets")
    rows = [
        [
            item["name"],
            item["catalogue"]["kind"],
            str(item["private"]["records"]),
            "unchanged" if item["private"]["looks_unchanged"] else "CHANGED",
            short(item["commitment"]),
        ]
        for item in told
    ]
    parts: list[Any] = [table(["Name", "Kind", "Records (only you see)", "Files", "Commitment"], rows)]
    parts += [
        f"{item['name']} has changed: tasks refuse it. See what changed with: cloister dataset check {item['name']}\n"
        f"If it is right as it is now, register it again: cloister dataset add {item['name']} PATH … --version N,"
        " one more than before."
        for item in told
        if not item["private"]["looks_unchanged"]
    ]
    return Answer(told, parts)


@command(dataset_group, "check")
@click.argument("name")
@folder_option
def check(name: str, folder: Path) -> Answer:
    """Compare every byte of the dataset NAME with what was registered, and say what changed."""
    from cloister.foundation.errors import NotFound

    with client(folder, timeout=3600) as node:
        found = [item for item in node.get("/datasets") if item["name"] == name]
        if not found:
            raise NotFound(f"You have no dataset {name[:80]!r}.", "", "See: cloister dataset list")
        told = node.post(f"/datasets/{found[-1]['commitment']}/check")
    return Answer(told, f"{name} is as it was registered.")


@command(dataset_group, "catalogue")
@folder_option
def catalogue(folder: Path) -> Answer:
    """What you and others tell of datasets: exactly this, no more."""
    with client(folder) as node:
        told = node.get("/catalogue")
    rows = [
        [
            item["owner_name"],
            item["name"],
            item["kind"],
            item["residency"],
            item.get("size_band") or "not told",
        ]
        for item in told
    ]
    return Answer(told, table(["Owner", "Name", "Kind", "Kept in", "Size"], rows))
