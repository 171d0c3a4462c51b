"""One worker for each agreement, and none that outlives another's trust (`node.engines`)."""

from __future__ import annotations

import contextlib
import os
import threading

import numpy as np
import pytest

from cloister.foundation.errors import CloisterError, NotFound, TaskFailed, Unreachable
from cloister.node.engines import CACHES, EXAMINE, METHODS, Engines
from cloister.node.folder import Folder
from node.town import model

LIGHT = {**METHODS, "echo": "cloister.engines.methods:echo"}
ONE, TWO, THREE = ("sha256:" + letter * 64 for letter in "abc")


@pytest.fixture
def engines(tmp_path):
    readable: dict[str, list] = {}
    made = Engines(Folder(tmp_path), lambda agreement: readable.get(agreement, []), methods=LIGHT)
    made.folders = readable
    yield made
    made.close()


def pid(engines, agreement):
    return engines._running[agreement].worker.pid


def say(engines, agreement):
    return engines.get("jax", agreement).call("echo", {"n": 1})[0]


def test_agreements_share_neither_worker_nor_compiled_programs(engines, tmp_path):
    """Rule 1."""
    for agreement in (ONE, TWO):
        assert say(engines, agreement) == {"n": 1}
    assert pid(engines, ONE) != pid(engines, TWO)
    folders = [running.worker._cache for running in engines._running.values()]
    assert len(set(folders)) == 2
    assert all(
        folder.parent == tmp_path / "cache" and folder.stat().st_mode & 0o077 == 0 for folder in folders
    )
    first = pid(engines, ONE)
    say(engines, ONE)
    assert pid(engines, ONE) == first


def test_the_worker_used_least_recently_makes_room(engines):
    """Rule 4."""
    for agreement in (ONE, TWO, ONE, THREE):
        say(engines, agreement)
    assert engines.live() == [ONE, THREE]


def test_a_call_waits_for_room_and_says_so_when_there_is_none(engines):
    """Rule 4."""
    for agreement in (ONE, TWO):
        say(engines, agreement)
        engines._running[agreement].busy += 1
    with pytest.raises(TaskFailed) as caught:
        engines.get("jax", THREE).call("echo", {}, None, 0.2)
    assert caught.value.remedy
    timer = threading.Timer(0.3, release, (engines, ONE))
    timer.start()
    assert engines.get("jax", THREE).call("echo", {"n": 3}, None, 30)[0] == {"n": 3}
    assert engines.live() == [TWO, THREE]


def release(engines, agreement):
    with engines._turn:
        engines._running[agreement].busy -= 1
        engines._turn.notify_all()


def test_a_worker_may_read_what_its_agreement_names_and_is_started_anew_when_that_changes(engines, tmp_path):
    """Rule 2."""
    engines.folders[ONE] = [tmp_path / "a"]
    say(engines, ONE)
    say(engines, TWO)
    first, other = pid(engines, ONE), pid(engines, TWO)
    assert engines._running[TWO].worker._folders == []
    engines.folders[ONE] = [tmp_path / "a", tmp_path / "b"]
    say(engines, ONE)
    assert pid(engines, ONE) != first
    assert pid(engines, TWO) == other


def test_a_model_that_is_only_looked_at_gets_a_worker_that_ends_with_the_call(engines, tmp_path):
    """Rule 3."""
    report, _ = engines.get("jax").call("check", {}, {"model": np.frombuffer(model(), np.uint8)})
    assert report["accepted"]
    assert engines.live() == []
    assert engines._examiner is None
    assert engines.report()["jax"]
    assert not (tmp_path / "cache").exists()


def test_a_worker_that_was_killed_harms_no_other_agreement(engines):
    """Rule 1."""
    say(engines, ONE)
    say(engines, TWO)
    killed, other = pid(engines, ONE), pid(engines, TWO)
    os.kill(killed, 9)
    assert say(engines, TWO) == {"n": 1}
    with contextlib.suppress(
        CloisterError
    ):  # whether the death was noticed before this call is the machine's affair
        say(engines, ONE)
    assert say(engines, ONE) == {"n": 1}
    assert pid(engines, ONE) != killed
    assert pid(engines, TWO) == other


def test_programs_of_earlier_releases_and_of_agreements_long_unused_are_removed(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    (cache / "jit_step-1234").write_bytes(b"program code that everybody could have written")
    (cache / "xla").mkdir()
    for number in range(CACHES + 3):
        made = cache / f"{number:032x}"
        made.mkdir()
        os.utime(made, (number, number))
    made = Engines(Folder(tmp_path), lambda _: [])
    made.close()
    assert sorted(entry.name for entry in cache.iterdir()) == [
        f"{number:032x}" for number in range(3, CACHES + 3)
    ]


def test_after_closing_nothing_starts(engines):
    say(engines, ONE)
    engines.close()
    for agreement, error in ((ONE, TaskFailed), (EXAMINE, Unreachable)):
        with pytest.raises(error):
            engines.get("jax", agreement).call("echo", {}, None, 1)
    with pytest.raises(NotFound):
        engines.get("torch")
