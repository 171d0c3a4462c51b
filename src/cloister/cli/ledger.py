"""`cloister ledger`: the tamper-evident log, exported and verified by anyone."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from cloister.cli.common import client, fingerprints, folder_option
from cloister.cli.output import Answer, command
from cloister.foundation.errors import BadInput
from cloister.foundation.files import write_atomically

if TYPE_CHECKING:
    from cloister.ledger.notes import Note


@click.group("ledger")
def ledger_group() -> None:
    """The log of agreements, decisions and releases; it holds salted digests only."""


@command(ledger_group, "head")
@folder_option
def head(folder: Path) -> Answer:
    """How long your server's log is, and who has witnessed it."""
    with client(folder) as node:
        told = node.get("/ledger")
    return Answer(
        told, f"{told.get('size', 0)} entries; witnesses of this head: {len(told.get('cosigned_by', []))}."
    )


@command(ledger_group, "export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
def export(file: Path, folder: Path) -> Answer:
    """Write your server's whole log to FILE; anybody can verify it without a server."""
    with client(folder) as node:
        data = node.download("/ledger/export")
    write_atomically(file, data)
    return Answer({"file": str(file), "bytes": len(data)}, f"Wrote {file}.")


@command(ledger_group, "verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False)
@click.option("--party", default=None, help="The fingerprint whose log it should be.")
@click.option(
    "--witness", "witnesses", multiple=True, help="Fingerprints of witnesses that you trust; repeat."
)
@click.option(
    "--threshold",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many of the witnesses that you name must have cosigned.",
)
@click.option(
    "--checkpoint",
    "notes",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What you have of the same log from elsewhere: a signed checkpoint, an earlier export, or a release's"
    " certificate. It shows a rollback or a split view; repeat.",
)
@folder_option
def verify(
    file: Path | None,
    party: str | None,
    witnesses: tuple[str, ...],
    threshold: int,
    notes: tuple[Path, ...],
    folder: Path,
) -> Answer:
    """Verify an exported log offline, or without FILE the running server's own."""
    from cloister.cli.checkpoints import EARLIER_LIMIT, checkpoints_in
    from cloister.foundation.files import read_limited
    from cloister.ledger.export import limited_lines, read_export, verify_export

    elsewhere: list[Note] = []
    counted, expected = fingerprints(witnesses), fingerprints([party] if party else [])
    if threshold and not counted:
        # The file names witnesses too, but whoever wrote it chose them.
        raise BadInput(
            "--threshold counts the witnesses that you name: add --witness FINGERPRINT.",
            "The witnesses that a log itself names prove nothing to you.",
            "Name those that you trust, once for each: --witness FINGERPRINT",
        )
    if file is None:
        with client(folder) as node:
            stream: BinaryIO = io.BytesIO(node.download("/ledger/export"))
            expected = expected or [node.status()["party"]]
    else:
        stream = file.open("rb")
    with stream:
        read = read_export(limited_lines(stream))
    for path in notes:
        elsewhere += checkpoints_in(read_limited(path, EARLIER_LIMIT), read.origin, path.name)
    report = verify_export(
        read,
        int(time.time()),
        party=expected[0] if expected else None,
        witnesses=counted or None,
        threshold=threshold,
        checkpoints=elsewhere,
    )
    words = report.words()
    if elsewhere:
        words.append(_compared(elsewhere, ok=report.ok))
    return Answer(
        {**report.to_json(), "compared": len(elsewhere)}, "\n".join(words), exit_code=0 if report.ok else 3
    )


def _compared(elsewhere: list[Note], *, ok: bool) -> str:
    from cloister.ledger.checkpoints import Checkpoint

    count = len(elsewhere)
    longest = max(Checkpoint.parse(note.text).size for note in elsewhere)
    lead = f"{count} checkpoint{'' if count == 1 else 's'} from elsewhere compared"
    entries = f"{longest} entries" if count == 1 else f"the longest of {longest} entries"
    verdict = "it agrees." if count == 1 else "they agree."
    return f"{lead} ({entries}): {verdict if ok else 'see what is wrong above.'}"
