"""Backups that come back: as a folder of their own, whole or not at all.

Rules (1 and 2 are in `backup`):
3. A restore writes into a folder that is not there yet or is empty, and that folder appears as a whole or not at all: every byte of
   the file was authenticated, and every entry was of its stated length and digest.
4. A path in a backup leads to a place within the folder, whoever made the backup.
5. What was revoked since must not come back by itself: sessions and tokens are not restored. If there is a privacy budget, the
   restored node spends nothing until people have said what was spent since (`budgets.health`).

Not noticed here: that a witness has seen more of the log than the backup has. The node finds out from the witness, and locks
itself (`ledger_service`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from sqlalchemy import delete

from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, Conflict, Tampered
from cloister.identity import streams
from cloister.identity.keystore import Unlock
from cloister.node.backup import KIND, About, new_file, of_system
from cloister.node.folder import Folder
from cloister.storage.database import Database
from cloister.storage.tables import sessions, tokens

MAX_ENTRY_HEADER = 1 << 20
MAX_ENTRIES = 5_000_000


def check(path: Path, unlock: Unlock) -> About:
    """Reads a backup from end to end and writes nothing: what it is of. Raises as `restore`."""
    with _opened(path) as stream:
        return _read(_Reader(streams.unseal(stream, KIND, unlock)), None)


def restore(path: Path, folder: Folder, unlock: Unlock) -> About:
    """Puts a backup back as a folder.

    Args:
        path: the backup.
        folder: where to; not there yet, or empty.
        unlock: opens the backup. The node's own secrets keep what opened them.

    Returns:
        What the backup is of.

    Raises:
        Conflict: the folder has something in it.
        BadInput: the file is no backup.
        NotTrusted: the passphrase is wrong.
        Tampered: the file was changed or cut short.
        Refused: a newer Cloister made it (clause `schema-newer`).
        OutOfSpace: there is no room.
    """
    root = folder.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise Conflict(
            f"{root} is not empty.",
            "A backup replaces nothing: what is there may be newer than the backup.",
            "Name a folder that is not there yet.",
        )
    beside = root.with_name(f".{root.name}.{secrets.token_hex(6)}.restoring")
    try:
        folder.private(beside)
        with _opened(path) as stream:
            about = _read(_Reader(streams.unseal(stream, KIND, unlock)), beside)
        _prepare(Folder(beside), about)
        if root.exists():
            root.rmdir()
        beside.rename(root)
    except OSError as error:
        raise of_system(error, root) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return about


def _prepare(folder: Folder, about: About) -> None:
    """Rule 5."""
    database = Database.open(folder.root)
    try:
        with database.transaction() as tx:
            tx.connection.execute(delete(sessions))
            tx.connection.execute(delete(tokens))
    finally:
        database.close()
    (folder.root / ".lock").unlink(missing_ok=True)
    if about.populations:
        # One more than the database knows of: the node then asks people, as it does of a database that is known to be older.
        folder.write_json(folder.budgets_file, {"charges": about.charges + 1})


def _read(reader: _Reader, target: Path | None) -> About:
    first = reader.entry()
    about, seen, files = _about(first), set[str](), 0
    while True:
        header = reader.entry()
        if "end" in header:
            break
        name, size, digest = header.get("path"), header.get("size"), header.get("sha256")
        if not isinstance(name, str) or type(size) is not int or size < 0 or not isinstance(digest, str):
            raise _malformed()
        files += 1
        if files > MAX_ENTRIES or name in seen:
            raise _malformed()
        seen.add(name)
        _write_entry(reader, None if target is None else _within(target, name), size, digest)
    if header != {"end": files} or files != about.files or not reader.ended():
        raise _malformed()
    return about


def _write_entry(reader: _Reader, path: Path | None, size: int, digest: str) -> None:
    state = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        stream = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stream = stack.enter_context(new_file(path))
        for piece in reader.pieces(size):
            state.update(piece)
            if stream is not None:
                stream.write(piece)
        if stream is not None:
            stream.flush()
            os.fsync(stream.fileno())
    if not secrets.compare_digest(state.hexdigest().encode(), digest.encode("utf-8", "replace")):
        raise _malformed()


def _within(root: Path, name: str) -> Path:
    """Where an entry goes (rule 4)."""
    path = PurePosixPath(name)
    odd = {"", ".", ".."} & set(name.split("/"))
    if len(name) > 1000 or odd or path.is_absolute() or any(letter in name for letter in "\\:\x00"):
        raise _malformed()
    return root.joinpath(*path.parts)


def _about(header: dict[str, Any]) -> About:
    try:
        given = header["about"]
        about = About(**given | {"populations": tuple(given["populations"])})
        numbers = (about.leaves, about.charges, about.files, about.size)
        texts = (about.made, about.version, about.party, about.name, *about.populations)
    except (KeyError, TypeError):
        raise _malformed() from None
    if any(type(item) is not int or item < 0 for item in numbers) or any(
        type(item) is not str for item in texts
    ):
        raise _malformed()
    return about


class _Reader:
    """Takes entries off a stream of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, b""

    def entry(self) -> dict[str, Any]:
        length = int.from_bytes(self._exactly(4), "big")
        if length > MAX_ENTRY_HEADER:
            raise _malformed()
        try:
            found = parse(self._exactly(length))
        except BadInput:
            raise _malformed() from None
        if not isinstance(found, dict):
            raise _malformed()
        return found

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._held:
                self._held = next(self._chunks, b"")
                if not self._held:
                    raise _malformed()
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            yield piece

    def ended(self) -> bool:
        return not self._held and not any(self._chunks)

    def _exactly(self, size: int) -> bytes:
        return b"".join(self.pieces(size))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path.name} could not be opened.", error.strerror or "", "Check the path.") from None
    with stream:
        yield stream


def _malformed() -> Tampered:
    return Tampered(
        "This backup is not in the form that Cloister writes.",
        "It was opened, but what is in it does not fit together.",
        "Use another copy, made by Cloister itself.",
        clause="backup-format",
    )
