"""Two files of a batch at work at a time: never more, in order, and not where they are too large together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toolmaking import discs, discs_tool, png, spread_centres

from cloister.data.images import LIMITS
from cloister.tools import types as t
from cloister.tools.batch import line
from cloister.tools.batch.discovery import Found, discover
from cloister.tools.batch.line import jobs
from cloister.tools.batch.running import hold, run_batch
from cloister.tools.run import Source, prepare

WAIT = 20.0


class Counted:
    """A tool that notes how many files are in it at once, and waits until another one comes or none can."""

    def __init__(self, at_once: int, *, company: bool) -> None:
        self.at_once = at_once
        self.chosen = SimpleNamespace(limits=LIMITS)
        self.most, self.inside, self.order = 0, 0, []
        self._lock = threading.Condition()
        self._company = company

    def read(self, path, shown):
        return Source(path, shown, t.File(PICTURE, shown), "", None)

    def run(self, source, label, out, progress, *, drawn):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(source.shown)
            self._lock.notify_all()
            if self._company:
                assert self._lock.wait_for(lambda: self.most > 1, WAIT), "nobody came"
            self.inside -= 1
        progress(source.shown, "step", 0.5)
        return source.shown


PICTURE = png(np.zeros((30, 40), np.uint8))


def go(tool, names, progress=None):
    """The answers in order; `begin` starts each."""
    with ThreadPoolExecutor(4) as workers:

        def begin(job, taken):
            assert job.shown not in taken
            job.start(workers, job.shown, None)

        named = [(Found(Path(f"/{name}.png")), name) for name in names]
        return [job.work.result(WAIT) for job in jobs(tool, named, begin, progress)]


def test_two_are_at_work_and_come_out_in_order():
    tool = Counted(2, company=True)
    assert go(tool, "abcdef") == list("abcdef")
    assert tool.most == 2


def test_with_one_thread_they_come_one_by_one():
    tool = Counted(1, company=False)
    assert go(tool, "abcd") == tool.order == list("abcd")
    assert tool.most == 1


def test_those_that_are_too_large_together_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(line, "TOGETHER", 2 * 30 * 40 - 1)
    tool = Counted(2, company=False)
    assert go(tool, "abcd") == tool.order == list("abcd")
    assert tool.most == 1


def test_the_same_file_is_not_at_work_twice():
    tool = Counted(2, company=False)
    assert go(tool, "aaa") == list("aaa")
    assert tool.most == 1


def test_progress_is_of_the_first_in_line_only():
    told = []
    go(Counted(2, company=False), "abcd", lambda name, *_: told.append(name))
    assert told == sorted(told)
    assert "a" in told


def test_every_file_is_told_done_once_in_order_whenever_its_steps_were(camera, tmp_path):
    told = []
    prepared = prepare(discs_tool(), threads=2)
    list(run_batch(prepared, discover([camera]), progress=lambda *what: told.append(what)))
    assert [name for name, step, share in told if step == "done"] == [f"{n}.png" for n in range(5)]
    assert [name for name, *_ in told] == sorted(name for name, *_ in told)


@pytest.fixture
def camera(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    for number, count in enumerate((3, 5, 0, 7, 2)):
        (folder / f"{number}.png").write_bytes(
            png(discs(200, 150, spread_centres(200, 150, count, seed=count)))
        )
    return folder


def test_two_at_a_time_give_what_one_by_one_gives(camera, tmp_path):
    made = {}
    for threads in (1, 2):
        prepared = prepare(discs_tool(), threads=threads)
        assert prepared.at_once == threads
        out = tmp_path / f"out{threads}"
        with hold(out, prepared) as folder:
            done = list(run_batch(prepared, discover([camera], out=out), folder))
        numbers = [item.result.table.columns for item in done]
        made[threads] = ([item.result.count for item in done], numbers, sorted(p.name for p in out.iterdir()))
    assert made[1][0] == made[2][0] == [3, 5, 0, 7, 2]
    assert made[1][2] == made[2][2]
    for one, two in zip(made[1][1], made[2][1], strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def test_without_a_folder_nothing_is_drawn_and_the_numbers_are_the_same(camera, tmp_path):
    prepared = prepare(discs_tool(), threads=2)
    found = discover([camera])
    with hold(tmp_path / "out", prepared) as folder:
        drawn = list(run_batch(prepared, found, folder))
    plain = list(run_batch(prepared, found))
    assert [item.result.figures for item in plain] == [item.result.figures for item in drawn]
    steps = []
    prepared.run(
        prepared.read(found[0].path, "0.png"),
        "",
        None,
        lambda _name, step, _share: steps.append(step),
        drawn=False,
    )
    assert "overlay" not in steps
    assert "report" not in steps


def test_a_consumer_that_stops_leaves_the_rest_unrecorded(camera, tmp_path):
    prepared = prepare(discs_tool(), threads=2)
    out = tmp_path / "out"
    with hold(out, prepared) as folder:
        running = run_batch(prepared, discover([camera], out=out), folder)
        next(running)
        next(running)
        running.close()
    with hold(out, prepared) as folder:
        again = list(run_batch(prepared, discover([camera], out=out), folder))
    assert [item.before for item in again] == [True, True, False, False, False]
    assert [item.result.count for item in again] == [3, 5, 0, 7, 2]
