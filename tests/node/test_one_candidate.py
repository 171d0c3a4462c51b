"""A node judges one candidate in each attempt of a task, also after it was stopped (`release.quality`, rule 4)."""

from __future__ import annotations

from types import SimpleNamespace

from cloister.node.tasks.release_context import TaskRelease
from cloister.storage.database import Database

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def release(database, task="sha256:" + "1" * 64):
    return TaskRelease(SimpleNamespace(database=database), SimpleNamespace(digest=task), None)


def test_rule_4_the_first_candidate_that_asks_is_the_only_one(tmp_path):
    database = Database.open(tmp_path)
    made = release(database)
    assert made.only_candidate(1, A)
    assert made.only_candidate(1, A)
    assert not made.only_candidate(1, B)
    # Another attempt, or another task, is charged anew.
    assert made.only_candidate(2, B)
    assert release(database, "sha256:" + "2" * 64).only_candidate(1, B)
    database.close()
    again = Database.open(tmp_path)
    assert not release(again).only_candidate(1, B)
    assert release(again).only_candidate(1, A)
    again.close()
