"""Backups: one sealed file of a node's folder, made while the node runs. Their way back is in `restoring`.

Rules:
1. A backup is sealed under a passphrase of its own choosing as it is made (`identity.streams`): agreements, plans, models and
   results in it are readable by nobody without it.
2. It is of one moment: nothing is written to the database while its copy is made and the other files are held by further links
   (they are replaced as a whole, never written in). The copying out of those happens afterwards, and the node works on.

Not in it: the recovery keys, which belong elsewhere; datasets outside this folder, which lie where they were registered; compiled models (`cache`), which are made again; records that others disclosed (`disclosed`), whose deletion is owed. Rules 3 to 5 are in
`restoring`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cloister import __version__
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.errors import BadInput, CloisterError, Conflict, OutOfSpace
from cloister.identity import streams
from cloister.identity.keystore import Unlock
from cloister.node.folder import Folder
from cloister.node.setup import RECOVERY_FILE
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import FILE, Database, out_of_space
from cloister.storage.log import LogRows

KIND = "cloister/backup@1"
SUFFIX = ".cloister-backup"
_PIECE = 1 << 20
_ONE_AT_A_TIME = threading.Lock()
_LEFT_OUT = frozenset(
    {"cache", "disclosed", "node.sock", FILE, f"{FILE}-wal", f"{FILE}-shm", "backups", RECOVERY_FILE}
)


@dataclass(frozen=True)
class About:
    """What a backup is of.

    Attributes:
        made: when, RFC 3339.
        version: of Cloister, which made it.
        party: whose node it is; empty where there were accounts and samples, but no organisation yet.
        name: of that organisation.
        leaves: how many entries its log had.
        charges: how many privacy charges it had made.
        populations: whose privacy budgets it keeps.
        files: how many files are in it.
        size: their bytes.
    """

    made: str
    version: str
    party: str
    name: str
    leaves: int
    charges: int
    populations: tuple[str, ...]
    files: int = 0
    size: int = 0


# Making --------------------------------------------------------------------------------------------------------------


def backup(folder: Folder, database: Database, unlock: Unlock, clock: Clock) -> Iterator[bytes]:
    """A backup in pieces. The moment that it is of is when the first piece is asked for.

    Args:
        folder: the node's.
        database: its open database; one that lies in the folder.
        unlock: what will open the backup.
        clock: tells when it was made.

    Raises:
        Conflict: the database is a server's, which has its own tools for this; or a backup is being made already.
        OutOfSpace: there is no room for the copy of the database.
    """
    if database.folder is None:
        raise Conflict(
            "This server's database is not in its folder.",
            "It is PostgreSQL, which has its own tools for backups.",
            "Back it up with pg_dump, and copy the folder at the same time while the server is stopped.",
        )
    return streams.seal(_plain(folder, database, clock), KIND, unlock)


def write(path: Path, pieces: Iterator[bytes]) -> int:
    """Writes a backup to a new file, its owner's alone; it is there as a whole or not at all. Returns its bytes.

    Raises:
        Conflict: there is a file of that name.
        BadInput: its folder is not there, or not to be written in.
        OutOfSpace: there is no room.
    """
    if path.exists():
        raise Conflict(f"{path} exists.", "A backup replaces nothing.", "Choose another name.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with new_file(temporary) as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        size = temporary.stat().st_size
        # Not `replace`: what came there meanwhile stays.
        os.link(temporary, path)
    except FileExistsError:
        raise Conflict(f"{path} exists.", "A backup replaces nothing.", "Choose another name.") from None
    except OSError as error:
        raise of_system(error, path) from None
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _plain(folder: Folder, database: Database, clock: Clock) -> Iterator[bytes]:
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise Conflict("A backup is being made already.", "", "Wait until it is done.")
    held = folder.root / f".backup-{secrets.token_hex(6)}"
    for left in folder.root.glob(".backup-*"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        folder.private(held)
        about = _hold(folder, database, clock, held)
        entries = sorted(path for path in held.rglob("*") if path.is_file())
        total = sum(path.stat().st_size for path in entries)
        yield _entry({"about": vars(about) | {"files": len(entries), "size": total}})
        for path in entries:
            yield from _file(path.relative_to(held).as_posix(), path)
        yield _entry({"end": len(entries)})
    except OSError as error:
        raise of_system(error, folder.root) from None
    finally:
        shutil.rmtree(held, ignore_errors=True)
        _ONE_AT_A_TIME.release()


def _hold(folder: Folder, database: Database, clock: Clock, held: Path) -> About:
    """Holds the folder as it is at one moment (rule 2)."""
    with database.transaction() as tx:
        book = BudgetRows(tx)
        config = folder.config() if folder.config_file.exists() else None
        about = About(
            made=rfc3339(clock.now()),
            version=__version__,
            party=config.party if config else "",
            name=config.name if config else "",
            leaves=LogRows(tx).size(),
            charges=book.leaves(),
            populations=tuple(book.populations()),
        )
        _copy_database(folder.root / FILE, held / FILE)
        for path in _files(folder.root):
            target = held / path.relative_to(folder.root)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A body that no row names may go at any moment; one that is named stays while nothing is written.
            with contextlib.suppress(FileNotFoundError):
                try:
                    os.link(path, target)
                except FileNotFoundError:
                    raise
                except OSError:  # a file system without links
                    shutil.copyfile(path, target)
    return about


def _copy_database(source: Path, target: Path) -> None:
    """A copy of what is committed. Held by the caller: nothing is written meanwhile."""
    with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(sqlite3.connect(target)) as writing:
            try:
                reading.backup(writing)
                writing.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    raise out_of_space() from None
                raise


def _files(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        here = Path(place)
        if here == root:
            names = [name for name in names if name not in _LEFT_OUT]
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = here / name
            # Only what the node itself writes: no link leads out of the folder, no half-written file goes along.
            if name.startswith(".") or name.endswith(".part") or not stat.S_ISREG(path.lstat().st_mode):
                continue
            yield path


def _file(name: str, path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
        stream.seek(0)
        yield _entry({"path": name, "size": size, "sha256": digest})
        while piece := stream.read(_PIECE):
            yield piece


def _entry(value: dict[str, Any]) -> bytes:
    data = canonical(value)
    return len(data).to_bytes(4, "big") + data


def new_file(path: Path) -> BinaryIO:
    """A file that is not there yet, its owner's alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def of_system(error: OSError, path: Path) -> CloisterError:
    """What the operating system said, for people."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(
            "There is no space left for this.",
            "The disk or the quota is full; nothing was half-written.",
            "Free some space and try again.",
        )
    return BadInput(
        f"{path} could not be used.", error.strerror or "", "Check the path and who may write there."
    )
