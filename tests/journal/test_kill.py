"""Real processes, killed with SIGKILL at each point, on real SQLite files; then the task goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from killed_task import run
from toys import LEADER, OWNERS

from cloister.journal.runner import POINTS

TESTS = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


def kill_at(folder: Path, party: str, point: str, nth: int, size: int) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "journal")])}
    command = [
        sys.executable,
        str(TESTS / "journal" / "killed_task.py"),
        str(folder),
        party,
        point,
        str(nth),
        str(size),
    ]
    return subprocess.run(command, env=environment, timeout=120, check=False).returncode


def transcript(folder: Path) -> dict[tuple[str, str, str], set[tuple[str, str]]]:
    found: dict[tuple[str, str, str], set[tuple[str, str]]] = defaultdict(set)
    for line in (folder / "transcript").read_text().splitlines():
        sender, to, sequence, kind, digest = line.split()
        found[sender, to, sequence].add((kind, digest))
    return found


@pytest.mark.parametrize("number", range(len(POINTS)), ids=POINTS)
def test_after_kill_9_the_task_ends_with_the_same_bytes_sent(tmp_path: Path, number: int) -> None:
    party, nth = ((LEADER, 2), (OWNERS[0], 1))[number % 2]
    size = (10, 100_000)[number // 2 % 2]
    assert kill_at(tmp_path, party, POINTS[number], nth, size) == -signal.SIGKILL
    before = transcript(tmp_path) if (tmp_path / "transcript").exists() else {}

    results = run(tmp_path, [], size)

    assert {result.status for result in results.values()} == {"done"}
    after = transcript(tmp_path)
    assert set(before) <= set(after)
    # One body under each number, whether sent before the kill, after it, or both: nothing was made anew.
    assert all(len(bodies) == 1 for bodies in after.values())
    # Three questions and two answers per owner, no more: no step happened twice.
    assert len(after) == len(OWNERS) * 5
    total = results[LEADER].candidate
    assert total is not None
    for owner in OWNERS:
        seen = results[owner].candidate
        assert seen is not None
        assert seen.content.endswith(total.content)
        journal = [item["digest"] for record in results[owner].journal for item in record["sent"]]
        assert [
            digest
            for (sender, _, _), bodies in sorted(after.items())
            if sender == owner[0]
            for _, digest in bodies
        ] == journal
    assert list(tmp_path.glob("*/blobs/*")) == []
