"""A folder that a camera writes into: each picture is counted once, when it is whole, however it is written."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toolmaking import discs, discs_tool, png, spread_centres

from cloister.foundation.errors import Unreachable
from cloister.tools.batch.discovery import discover
from cloister.tools.batch.running import hold, run_batch
from cloister.tools.batch.watching import Pace, Settling, Watch
from cloister.tools.run import prepare

PACE = Pace(every=0.02, settle=2.0, patience=30.0)


@pytest.fixture(scope="module")
def prepared():
    return prepare(discs_tool(), threads=1)


def shot(count, seed=0):
    return png(discs(120, 90, spread_centres(120, 90, count, seed=seed)))


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Camera:
    """A watched folder whose time goes as the test says."""

    def __init__(self, folder, held):
        self.folder = folder
        self.held = held
        self.clock = Clock()
        self.watch = Watch(folder, held, PACE, self.clock)

    def after(self, seconds=0.0):
        self.clock.now += seconds
        return [(event.kind, event.name) for event in self.watch.look()]

    def counts(self):
        return sorted(sample.count for sample in self.held.record.all() if sample.ok)


@pytest.fixture
def camera(prepared, tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    with hold(tmp_path / "out", prepared) as held:
        yield Camera(folder, held)


def test_a_picture_is_counted_once_when_it_has_settled(camera):
    (camera.folder / "a.png").write_bytes(shot(3))
    assert camera.after() == []
    assert camera.after(1.0) == []
    assert camera.after(1.1) == [("result", "a.png")]
    assert camera.after(50) == []
    assert camera.counts() == [3]


def test_a_slow_writer_is_waited_for_also_over_pauses_longer_than_settling(camera):
    data = shot(4)
    path = camera.folder / "slow.png"
    path.write_bytes(b"")
    assert camera.after(100) == []
    for end in range(len(data) // 5, len(data), len(data) // 5):
        path.write_bytes(data[:end])
        assert camera.after() == []
        assert camera.after(5) == []
        assert camera.after(5) == []
    path.write_bytes(data)
    assert camera.after() == []
    assert camera.after(3) == [("result", "slow.png")]
    assert camera.counts() == [4]
    assert [sample.error for sample in camera.held.record.all()] == [None]


def test_what_stays_broken_is_noted_once_after_its_time_and_again_counted_when_it_is_mended(camera):
    path = camera.folder / "cut.png"
    path.write_bytes(shot(4)[:200])
    camera.after()
    assert camera.after(3) == []
    assert camera.after(20) == []
    assert camera.after(15) == [("failed", "cut.png")]
    assert camera.after(100) == []
    path.write_bytes(shot(4))
    camera.after()
    assert camera.after(3) == [("result", "cut.png")]
    assert [sample.ok for sample in camera.held.record.all()] == [True]


def test_a_file_of_the_right_size_that_is_filled_later_is_waited_for(camera):
    data = shot(2)
    path = camera.folder / "reserved.png"
    path.write_bytes(bytes(len(data)))
    camera.after()
    assert camera.after(3) == []
    path.write_bytes(data)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 5_000_000))
    camera.after()
    assert camera.after(3) == [("result", "reserved.png")]


def test_renaming_into_the_folder_is_seen_and_what_is_not_renamed_yet_is_not(camera, tmp_path):
    (camera.folder / "b.png.part").write_bytes(shot(5))
    (camera.folder / ".c.png").write_bytes(shot(6))
    assert camera.after() == camera.after(5) == []
    (camera.folder / "b.png.part").rename(camera.folder / "b.png")
    camera.after()
    assert camera.after(3) == [("result", "b.png")]
    # Another file over an old name is a new picture, even with the same time and size.
    before = (camera.folder / "b.png").stat()
    other = tmp_path / "other.png"
    content = shot(5, seed=9)
    other.write_bytes(content + bytes(max(0, before.st_size - len(content))))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(camera.folder / "b.png")
    camera.after()
    assert camera.after(3) == [("result", "b.png")]
    assert camera.counts() == [5, 5]


def test_a_picture_that_changes_while_it_is_read_is_read_again(camera, monkeypatch, prepared):
    path = camera.folder / "a.png"
    path.write_bytes(shot(3))
    camera.after()
    honest, calls = type(prepared).read, []

    def read(self, place, shown):
        source = honest(self, place, shown)
        if not calls:
            path.write_bytes(shot(5))
        calls.append(place)
        return source

    monkeypatch.setattr(type(prepared), "read", read)
    assert camera.after(3) == []
    camera.after(1)
    assert camera.after(3) == [("result", "a.png")]
    assert camera.counts() == [5]


def test_a_restart_counts_nothing_twice_and_does_not_read_again(camera, monkeypatch, prepared):
    for number in range(3):
        (camera.folder / f"{number}.png").write_bytes(shot(number + 1))
    camera.after()
    assert len(camera.after(3)) == 3
    (camera.folder / "new.png").write_bytes(shot(7))
    os.utime(camera.folder / "1.png")  # touched: another time, the same content
    again = Camera(camera.folder, camera.held)
    read = []
    honest = type(prepared).read
    monkeypatch.setattr(
        type(prepared), "read", lambda self, place, shown: read.append(shown) or honest(self, place, shown)
    )
    assert again.after() == [("before", "0.png"), ("before", "2.png")]
    assert again.after(3) == [("before", "1.png"), ("result", "new.png")]
    assert read == ["1.png", "new.png"]
    assert again.counts() == [1, 2, 3, 7]


def test_a_batch_over_the_same_folder_finds_what_the_watch_did(camera, prepared):
    (camera.folder / "day").mkdir()
    (camera.folder / "day" / "a.png").write_bytes(shot(3))
    camera.after()
    assert camera.after(3) == [("result", str(Path("day", "a.png")))]
    done = list(run_batch(prepared, discover([camera.folder]), camera.held))
    assert [item.before for item in done] == [True]


def test_what_is_remembered_is_what_lies_in_the_folder(camera):
    for round_ in range(4):
        for number in range(3):
            (camera.folder / f"{round_}-{number}.png").write_bytes(shot(1, seed=3 * round_ + number))
        camera.after()
        assert len(camera.after(3)) == 3
        assert camera.watch.remembered == 3
        for path in camera.folder.iterdir():
            path.unlink()
    camera.after()
    assert camera.watch.remembered == 0
    assert len(camera.counts()) == 12


def test_a_folder_that_goes_away_is_told_once_and_followed_again_when_it_is_back(camera, tmp_path):
    (camera.folder / "a.png").write_bytes(shot(2))
    camera.after()
    camera.after(3)
    camera.folder.rename(tmp_path / "elsewhere")
    assert camera.after(1) == [("trouble", "")]
    assert camera.after(1) == []
    (tmp_path / "elsewhere").rename(camera.folder)
    assert camera.after(1) == [("again", "")]
    assert camera.counts() == [2]


def test_a_record_that_cannot_be_written_loses_no_picture(camera, monkeypatch):
    (camera.folder / "a.png").write_bytes(shot(2))
    camera.after()

    def refuse(_row):
        raise Unreachable("The database of samples is held by another program.", "", "")

    with monkeypatch.context() as patched:
        patched.setattr(camera.held.record, "put", refuse)
        assert camera.after(3) == [("trouble", "")]
    assert camera.after(31) == [("result", "a.png"), ("again", "")]
    assert camera.counts() == [2]


def test_a_stop_ends_the_watch_after_the_present_picture(camera):
    for number in range(3):
        (camera.folder / f"{number}.png").write_bytes(shot(1, seed=number))
    stop, told = threading.Event(), []

    def tell(event):
        told.append(event.kind)
        stop.set()

    watch = Watch(camera.folder, camera.held, Pace(every=0.02, settle=0.05))
    watch.run(stop, tell)
    assert told == ["result"]
    assert camera.counts() == [1]


def test_a_writer_in_another_thread_is_never_caught_half_way(prepared, tmp_path):
    """Real time: chunks with pauses, to three files at once; every picture comes out whole and once."""
    folder = tmp_path / "camera"
    folder.mkdir()
    wanted = {f"{number}.png": number + 1 for number in range(3)}

    def write(name, count):
        data = shot(count, seed=count)
        with (folder / name).open("wb", buffering=0) as stream:
            for start in range(0, len(data), len(data) // 4):
                stream.write(data[start : start + len(data) // 4])
                time.sleep(0.12)

    writers = [threading.Thread(target=write, args=item) for item in wanted.items()]
    stop, told = threading.Event(), []

    def tell(event):
        told.append((event.kind, event.name, event.result.count))
        if len(told) == len(wanted):
            stop.set()

    with hold(tmp_path / "out", prepared) as held:
        watch = Watch(folder, held, Pace(every=0.02, settle=0.05, patience=5.0))
        for writer in writers:
            writer.start()
        guard = threading.Timer(15, stop.set)
        guard.start()
        watch.run(stop, tell)
        guard.cancel()
        for writer in writers:
            writer.join()
    assert sorted(told) == [("result", name, count) for name, count in wanted.items()]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.one_of(st.none(), st.integers(1, 3)), st.floats(0.0, 3.0)
        ),
        max_size=30,
    )
)
def test_no_file_is_due_before_it_has_rested_and_none_is_remembered_that_is_gone(steps):
    """Against a plain history of the folder: (name, its new content or None for gone, seconds until the next look)."""
    settling, listed, changed, handled, now = Settling(Pace(settle=2.0)), {}, {}, {}, 0.0
    for name, content, wait in steps:
        if content is None:
            listed.pop(name, None)
            handled.pop(name, None)
        elif listed.get(name) != (content, 0, 0):
            listed[name] = (content, 0, 0)
            changed[name] = now
        for due in settling.look(dict(listed), now):
            assert now - changed[due] >= 2.0
            assert handled.get(due) != listed[due]
            handled[due] = listed[due]
            settling.done(due, listed[due])
        assert settling.remembered == len(listed)
        now += wait
    settling.look(dict(listed), now)
    assert set(settling.look(dict(listed), now + 2.5)) == {n for n in listed if handled.get(n) != listed[n]}
