"""A full disk ends nothing: what was not written is tried again, and nothing is half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from toys import LEADER, OWNERS, SEATS, programs

from cloister.foundation.errors import OutOfSpace
from cloister.journal.durable import Durable
from simulators.bus import TASK, Bus, Fate, run_task

BIG = 100_000
INLINE = 60_000


def run_with_a_full_disk(folder: Path, party: str, size: int, fill: Callable[[Bus], None]) -> Bus:
    """Starts a task, fills the disk of one party, lets everybody try for a while."""
    bus = Bus(lambda _sent: Fate.DELIVER, 0)
    bus.settle = lambda most=0: None  # type: ignore[method-assign]
    run_task(programs(size=size), SEATS, bus=bus, folder=folder)
    del bus.settle
    fill(bus)
    while bus.timer.time < 20.0:
        for seat in bus.seats.values():
            seat.runner.work()
        bus.timer.time += 1.0
    row = bus.seats[party].runner.task(TASK)
    assert (row.status, row.position) == ("running", 0)
    return bus


def goes_on(bus: Bus, folder: Path) -> None:
    bus.settle()
    assert {seat.runner.task(TASK).status for seat in bus.seats.values()} == {"done"}
    assert list(folder.glob("*/blobs/*")) == []
    for seat in bus.seats.values():
        seat.durable.close()


@pytest.mark.parametrize("party", [LEADER, OWNERS[0]], ids=["coordinator", "owner"])
def test_a_task_goes_on_once_the_database_may_grow_again(tmp_path: Path, party: str) -> None:
    full = [True]

    def fill(bus: Bus) -> None:
        # SQLite then answers SQLITE_FULL, as on a full disk.
        def begun(connection: object) -> None:
            pages = 1 if full else 1 << 30
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]

        event.listen(bus.seats[party].durable.database.engine, "begin", begun)

    bus = run_with_a_full_disk(tmp_path, party, INLINE, fill)
    full.clear()
    goes_on(bus, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB. Only the administrator of a Linux machine can make one."""
    folder = tmp_path / OWNERS[0][:8]
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine allows no small file system to be made")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("size", [INLINE, BIG])
def test_a_task_goes_on_once_the_disk_has_space_again(tmp_path: Path, small_disk: Path, size: int) -> None:
    filler = small_disk / "filler"

    def fill(_bus: Bus) -> None:
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(b"x" * 4096):
                pass

    bus = run_with_a_full_disk(tmp_path, OWNERS[0], size, fill)
    with pytest.raises(OutOfSpace):
        bus.seats[OWNERS[0]].runner.deliver(TASK, LEADER, "x", "ask-1", 1, b"x" * size)
    filler.unlink()
    goes_on(bus, tmp_path)


def test_a_large_body_that_does_not_fit_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable = Durable.open(tmp_path, bytes(32))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutOfSpace), durable.keeping() as keep:
            keep(b"x" * BIG)
    assert list((tmp_path / "blobs").iterdir()) == []
    with durable.keeping() as keep:
        assert durable.load(keep(b"x" * BIG)) == b"x" * BIG
    durable.close()
