"""`cloister disclosure`: selected records for one researcher, sealed, for a purpose, until a date."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from cloister.cli.common import client, fingerprints, folder_option, full, short, table
from cloister.cli.output import Answer, command, confirm
from cloister.foundation.errors import BadInput, Conflict, NotFound
from cloister.foundation.files import read_limited, write_atomically
from cloister.foundation.text import several

_HONEST = (
    "Its server will delete the records by that date and sign that it did. No software can show that nobody made a copy:"
    " disclose only what you would hand to this organisation on paper."
)


@click.group("disclosure")
def disclosure_group() -> None:
    """Selected pictures or rows for one researcher: sealed, for a purpose, until a date."""


@command(disclosure_group, "give")
@click.argument("dataset")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--record",
    "records",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A picture's file as it lies in the dataset, or a row's number (from 1); repeat for each.",
)
@click.option(
    "--to", "recipient", required=True, metavar="FINGERPRINT", help="Who gets them; one that you trust."
)
@click.option("--purpose", required=True, help="What they may be used for.")
@click.option("--until", required=True, metavar="DATE", help="Until when, as 2027-01-31 (its last day, UTC).")
@click.option(
    "--deletion-days",
    type=click.IntRange(0, 30),
    default=1,
    show_default=True,
    help="How many days the confirmation of the deletion may take.",
)
@click.option(
    "--tell-scale", is_flag=True, help="Tell how many micrometres a pixel is, as the dataset's entry has it."
)
@click.option("--yes", is_flag=True, help="Do not ask; you have looked at each record.")
@folder_option
def give(
    dataset: str,
    file: Path | None,
    records: tuple[str, ...],
    recipient: str,
    purpose: str,
    until: str,
    deletion_days: int,
    tell_scale: bool,
    yes: bool,
    folder: Path,
) -> Answer:
    """Seal records of your DATASET to one organisation: into the new FILE that you hand over, or without one over the relay.

    Of pictures the pixels go, as new PNG files: place, time, camera, serial number, thumbnail and comments stay here.
    """
    if file is not None:
        _require_new(file)
    (party,) = fingerprints([recipient])
    if not yes:
        confirm(
            f"Disclose {several(len(records), 'record')} of {dataset} ({', '.join(records)[:300]}) until {until}? {_HONEST}"
        )
    with client(folder, timeout=3600) as node:
        told = node.post(
            "/disclosures",
            {
                "dataset": dataset,
                "records": list(records),
                "recipient": party,
                "purpose": purpose,
                "until": _end_of(until),
                "deletion_days": deletion_days,
                "tell_scale": tell_scale,
            },
        )
        if file is None:
            told = node.post(f"/disclosures/{told['disclosure']}/send")
        else:
            _write_new(file, node.download(f"/disclosures/{told['disclosure']}/package"))
    way = "it is sent over the relay" if file is None else f"hand the file over: {file}"
    left = ", ".join(told["left_out"])
    return Answer(
        {**told, "file": None if file is None else str(file)},
        f"Sealed {several(told['records'], 'record')} to {told['recipient_name']} until {_last_day(told['until'])}.\n"
        + (f"Left out of the pictures' files: {left}.\n" if left else "")
        + f"Disclosure {short(told['disclosure'])}; {way}. {_HONEST}",
    )


@command(disclosure_group, "send")
@click.argument("disclosure")
@folder_option
def send(disclosure: str, folder: Path) -> Answer:
    """Send the sealed package of DISCLOSURE over the relay to its recipient's server, as soon as that is there."""
    with client(folder) as node:
        told = node.post(f"/disclosures/{_find(node, disclosure)}/send")
    return Answer(
        told,
        f"{told['recipient_name']}'s server fetches it when both are connected; opened it is by a person there.",
    )


@command(disclosure_group, "waiting")
@folder_option
def waiting(folder: Path) -> Answer:
    """Packages that others sent to your server and that nobody has opened."""
    with client(folder) as node:
        told = node.get("/disclosed-packages")
    rows = [
        [
            short(item["disclosure"]),
            item["owner_name"],
            str(item["size"]),
            "yes" if item["whole"] else f"{100 * item['here'] // item['size']} %",
            _last_day(item["until"]),
        ]
        for item in told
    ]
    listed = table(["Disclosure", "From", "Bytes", "Here", "Last day"], rows)
    return Answer(told, listed if rows else "Nothing waits: no package was sent here that is not open.")


@command(disclosure_group, "refuse")
@click.argument("disclosure")
@folder_option
def refuse(disclosure: str, folder: Path) -> Answer:
    """Delete the package of DISCLOSURE that was sent to your server, unopened."""
    with client(folder) as node:
        name = _waiting(node, disclosure)
        node.post(f"/disclosed-packages/{name}/refuse")
    return Answer({"disclosure": name}, "Deleted, unopened.")


@command(disclosure_group, "save")
@click.argument("disclosure")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def save(disclosure: str, file: Path, folder: Path) -> Answer:
    """Write the sealed package of DISCLOSURE to the new FILE once more."""
    _require_new(file)
    with client(folder, timeout=3600) as node:
        name = _find(node, disclosure)
        _write_new(file, node.download(f"/disclosures/{name}/package"))
    return Answer({"disclosure": name, "file": str(file)}, f"Wrote {file}.")


@command(disclosure_group, "list")
@folder_option
def disclosures(folder: Path) -> Answer:
    """What you disclosed, and what was disclosed to you."""
    with client(folder) as node:
        told = node.get("/disclosures")
    rows = [
        [
            short(item["disclosure"]),
            f"to {item['recipient_name']}" if item["side"] == "given" else f"from {item['owner_name']}",
            item["dataset"],
            str(item["records"]),
            item["purpose"],
            _last_day(item["until"]),
            item["state"].upper() if item["state"] == "overdue" else item["state"],
        ]
        for item in told
    ]
    parts: list[Any] = [
        table(["Disclosure", "Who", "Dataset", "Records", "Purpose", "Last day", "State"], rows)
        if rows
        else "Nothing was disclosed, by you or to you. What was sent and is not open: cloister disclosure waiting"
    ]
    parts += [f"{short(item['disclosure'])} lies in {item['folder']}" for item in told if item.get("folder")]
    parts += [
        f"{short(item['disclosure'])} is overdue: {item['recipient_name']} has not confirmed the deletion, which was due"
        f" by {item['deletion_due']}. Ask them."
        for item in told
        if item["side"] == "given" and item["state"] == "overdue"
    ]
    return Answer(told, parts)


@command(disclosure_group, "show")
@click.argument("disclosure")
@folder_option
def show(disclosure: str, folder: Path) -> Answer:
    """One DISCLOSURE in full: who decided, which records, what was confirmed."""
    with client(folder) as node:
        told = node.get(f"/disclosures/{_find(node, disclosure)}")
    return Answer(told, "\n".join(_lines(told)))


@command(disclosure_group, "open")
@click.argument("package")
@folder_option
def open_package(package: str, folder: Path) -> Answer:
    """Open PACKAGE, a sealed file or the disclosure of one that was sent, once, into a folder of your server."""
    from cloister.disclosure.package import MAX_PACKAGE

    file = Path(package)
    data = read_limited(file, MAX_PACKAGE) if file.exists() else None
    with client(folder, timeout=3600) as node:
        if data is None:
            told = node.post(f"/disclosed-packages/{_waiting(node, package)}/open")
        else:
            told = node.send_file("/disclosures/open", file.name, data)
    return Answer(
        told,
        f"{several(told['records'], 'record')} of {told['owner_name']}, for “{told['purpose']}” only, until {_last_day(told['until'])}: {told['folder']}\n"
        "Pass them on to nobody and work with them where they lie: this server deletes the folder in time, and cannot delete"
        " copies elsewhere. You owe that deletion, too. Delete the package itself when it is over.",
    )


@command(disclosure_group, "withdraw")
@click.argument("disclosure")
@click.option("--reason", default="", help="Told to the recipient.")
@click.option("--yes", is_flag=True, help="Do not ask; you know that it is final.")
@folder_option
def withdraw(disclosure: str, reason: str, yes: bool, folder: Path) -> Answer:
    """Take DISCLOSURE back: the recipient's server deletes the records and says so."""
    with client(folder) as node:
        name = _find(node, disclosure)
        if not yes:
            confirm("Withdraw this disclosure for ever?")
        told = node.post(f"/disclosures/{name}/withdraw", {"reason": reason})
    return Answer(
        told,
        f"Withdrawn. {told['recipient_name']} is told as soon as both servers are connected, or by a file:"
        f" cloister disclosure document {short(name)} FILE\nThe deletion is due by {told['deletion_due']}.",
    )


@command(disclosure_group, "delete")
@click.argument("disclosure")
@folder_option
def delete(disclosure: str, folder: Path) -> Answer:
    """Delete your server's copy of DISCLOSURE now, and sign for its owner that it did."""
    with client(folder) as node:
        told = node.post(f"/disclosures/{_find(node, disclosure)}/delete")
    return Answer(told, f"Deleted. {told['owner_name']} is told as soon as both servers are connected.")


@command(disclosure_group, "document")
@click.argument("disclosure")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def document(disclosure: str, file: Path, folder: Path) -> Answer:
    """Write your newest withdrawal or receipt about DISCLOSURE to the new FILE, for servers that are not connected."""
    _require_new(file)
    with client(folder) as node:
        name = _find(node, disclosure)
        found = node.get(f"/disclosures/{name}/documents")["documents"]
    if not found:
        raise NotFound("There is nothing to hand over.", "Nothing was withdrawn or confirmed yet.", "")
    _write_new(file, found[-1].encode())
    return Answer({"disclosure": name, "file": str(file)}, f"Wrote {file}.")


@command(disclosure_group, "take")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def take(file: Path, folder: Path) -> Answer:
    """Take in a withdrawal or receipt from FILE."""
    data = read_limited(file, 64 << 10)
    try:
        text = data.decode()
        json.loads(text)
    except ValueError:
        raise BadInput(
            f"{file.name} is neither a withdrawal nor a receipt.",
            "",
            "A sealed package is opened: cloister disclosure open FILE",
        ) from None
    with client(folder) as node:
        told = node.post("/disclosures/documents", {"document": text})
    return Answer(told, f"Taken in, about disclosure {short(told['disclosure'])}.")


def _find(node: Any, given: str) -> str:
    return full([item["disclosure"] for item in node.get("/disclosures")], given)


def _waiting(node: Any, given: str) -> str:
    found = sorted({item["disclosure"] for item in node.get("/disclosed-packages")})
    try:
        return full(found, given)
    except NotFound:
        raise NotFound(
            "There is neither such a file nor such a package that was sent.",
            "",
            "See: cloister disclosure waiting",
        ) from None


def _require_new(file: Path) -> None:
    if file.exists():
        raise Conflict(f"{file} exists.", "Nothing is overwritten.", "Choose another name.")


def _write_new(file: Path, data: bytes) -> None:
    _require_new(file)
    write_atomically(file, data, private=True)


def _end_of(day: str) -> str:
    """The first second after a day, which is named by its date; or a time as it is."""
    if "T" in day:
        return day
    try:
        last = dt.date.fromisoformat(day)
    except ValueError:
        raise BadInput("A date could not be read.", "", "Write it as 2027-01-31.") from None
    return f"{last + dt.timedelta(days=1)}T00:00:00Z"


def _last_day(until: str) -> str:
    """The day by which people name an end; documents name the first moment after it."""
    day = dt.datetime.fromisoformat(until) - dt.timedelta(seconds=1)
    return day.date().isoformat()


def _lines(told: dict[str, Any]) -> list[str]:
    named = {
        "State": told["state"],
        "Owner": told["owner_name"] or told["owner"],
        "Recipient": told["recipient_name"] or told["recipient"],
        "Dataset": f"{told['dataset']} ({told['commitment']})",
        "Records": str(told["records"]),
        "Which": ", ".join(told.get("selected") or ()),
        "Purpose": told["purpose"],
        "Made": told["made"],
        "Last day": _last_day(told["until"]),
        "Decided by": told.get("decided_by") or "",
        "On its way": told.get("sending") or "",
        "Opened": " by ".join(filter(None, (told["received"], told.get("opened_by")))),
        "Withdrawn": " ".join(filter(None, (told["withdrawn"], told["withdrawn_reason"]))),
        "Deleted": "" if told["deleted"] is None else f"{told['deleted']} ({told['deleted_reason']})",
        "Deletion due": told["deletion_due"],
        "Scale": ""
        if told["micrometres_per_pixel"] is None
        else f"{told['micrometres_per_pixel']:g} µm per pixel",
        "Left out": ", ".join(told.get("left_out") or ()),
        "Agreements": ", ".join(short(item) for item in told["agreements"]) or "none governs it",
        "Folder": told.get("folder") or "",
        "Terms": ", ".join(told["terms"]),
    }
    return [f"{name}: {value}" for name, value in named.items() if value]
