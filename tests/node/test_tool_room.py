"""A tool room gives the right result for a file, and stays up whatever it is given; the workers are the real ones."""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from toolfolk import ADA, BEN, NINE, PLAIN, packed, room_in

from cloister.engines.sandbox import ENFORCED
from cloister.foundation.errors import BadInput, NotFound, NotTrusted, TaskFailed, Unreachable
from cloister.node.toolroom.limits import RoomLimits
from cloister.node.toolroom.paces import REMEMBERED, Paces, TooOften
from cloister.node.toolroom.room import Who, shown_name
from cloister.node.toolroom.workers import Workers
from cloister.tools.install import InstalledTools
from cloister.tools.package import Package
from cloister.tools.serving import METHODS
from tools.test_tabular_tool import wear_tool
from tools.toolmaking import png

linux = pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux's")
SLEEPY = {**METHODS, "look": "cloister.engines.selftest:misbehave"}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    made = room_in(tmp_path_factory.mktemp("room"))
    yield made
    made.close()


def drop(room, data=PLAIN, name="a.png", who=ADA, settings=None, um_per_pixel=None):
    return room.run("discs", name, data, settings or {}, um_per_pixel, who)


def test_a_dropped_picture_gives_count_sizes_and_pictures(room):
    sample = drop(room, um_per_pixel=1.5, settings={"threshold": 0.4})
    assert sample.count == NINE
    assert sample.size == (200, 150)
    assert sample.figures.units["diameter_d50"] == "µm"
    assert sample.um_per_pixel == 1.5
    assert sample.settings == {"threshold": 0.4}
    assert set(sample.files) == {"original.png", "overlay.png", "report.html", "result.json", "table.csv"}
    assert sample.files["overlay.png"].startswith(b"\x89PNG")
    assert sample.tool == "discs"
    assert sample.certificate is None
    assert 0 < sample.seconds < 60


@linux
def test_the_worker_that_opened_it_had_no_network_and_no_files(room):
    sample = drop(room)
    assert sample.evidence.holds
    for measure in ("network", "files", "system-calls", "privileges", "environment", "memory", "core-dumps"):
        assert sample.evidence.sandbox[measure] == ENFORCED
    assert sample.evidence.sent is None


def test_what_crossed_the_wire_meanwhile_is_told(tmp_path):
    sent = iter([1000, 1250])
    room = room_in(tmp_path, sent=lambda: next(sent))
    try:
        assert drop(room).evidence.sent == 250
    finally:
        room.close()


def test_the_second_picture_of_a_person_meets_a_warm_worker_and_others_another(room):
    drop(room)
    before = {key: warm.engine.pid for key, warm in room.workers._warm.items()}
    drop(room)
    assert {key: warm.engine.pid for key, warm in room.workers._warm.items()} == before
    drop(room, who=BEN)
    pids = {key[1]: warm.engine.pid for key, warm in room.workers._warm.items()}
    assert pids[ADA.key] != pids[BEN.key]
    assert room.workers.live() <= room.limits.live
    drop(room, who=Who("account:cleo", "Cleo", "192.0.2.3"))
    assert room.workers.live() <= room.limits.live


def test_a_file_of_two_natures_comes_out_as_pixels(room):
    sample = drop(room, PLAIN + b"<script>alert(1)</script>")
    assert sample.count == NINE
    assert all(b"alert(1)" not in content for content in sample.files.values())


def test_gps_does_not_pass(room):
    exif = Image.Exif()
    exif[0x0112] = 8
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0)})
    exif[0x0132] = "2031:01:02 03:04:05"
    stream = io.BytesIO()
    Image.open(io.BytesIO(PLAIN)).save(stream, format="JPEG", quality=95, exif=exif)
    assert b"2031:01:02" in stream.getvalue()
    sample = drop(room, stream.getvalue(), "turned.jpg")
    assert sample.size == (150, 200)
    assert sample.count == NINE
    assert all(b"2031:01:02" not in content for content in sample.files.values())
    assert all(b"Exif" not in content[:4096] for content in sample.files.values())


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declared(width, height):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        bytes(range(256)),
        b"<svg onload='alert(1)'/>",
        b"<!doctype html>",
        b"\x00asm",
        PLAIN[:-500],
        declared(60_000, 60_000),
        declared(5000, 5000),
        b"\xff\xd8\xff\xe0" + bytes(100),
        b"II*\x00" + b"\xff" * 100,
        b"BM" + b"\xff" * 100,
    ],
    ids=[
        "empty",
        "short",
        "unlabelled",
        "svg",
        "html",
        "wasm",
        "cut",
        "huge",
        "hollow",
        "jpeg",
        "tiff",
        "bmp",
    ],
)
def test_what_is_no_picture_is_refused_and_the_worker_goes_on(room, data):
    pid = room.workers._warm.get((drop(room).digest, ADA.key)).engine.pid
    with pytest.raises(BadInput) as caught:
        drop(room, data, "holiday.png")
    assert "holiday.png" in caught.value.what
    assert caught.value.remedy
    assert drop(room).count == NINE
    assert room.workers._warm.get((drop(room).digest, ADA.key)).engine.pid == pid


def test_one_pixel_sixteen_bits_and_transparency_are_fine(room):
    assert drop(room, png(np.zeros((1, 1), np.uint8))).count == 0
    assert drop(room, png(np.full((40, 30, 4), 128, np.uint8))).size == (30, 40)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\a.png", "a.png"),
        ("/abs/olute.png", "olute.png"),
        ("..", "Picture"),
        ("", "Picture"),
        ("a\x1b[31m\x00b.png", "a�[31m�b.png"),
        ("gpj.\u202egnp.png", "gpj.�gnp.png"),
        ("two\nlines.png", "two�lines.png"),
        ("%2e%2e%2fx.png", "%2e%2e%2fx.png"),
        ("Größe 1.png", "Größe 1.png"),
    ],
)
def test_the_name_of_a_file_is_shown_and_never_a_path(room, name, shown):
    assert shown_name(name) == shown
    assert drop(room, name=name).file == shown


def test_a_long_name_keeps_its_ends():
    shown = shown_name("a" * 5000 + ".png")
    assert len(shown) <= 130
    assert shown.startswith("aaa")
    assert shown.endswith(".png")


def test_no_file_is_written_anywhere_in_the_folder(tmp_path):
    room = room_in(tmp_path)
    try:
        before = sorted(path for path in tmp_path.rglob("*"))
        drop(room, name="../escape.png")
        assert sorted(path for path in tmp_path.rglob("*")) == before
    finally:
        room.close()


def test_bytes_and_pixels_are_limited(tmp_path):
    room = room_in(tmp_path, RoomLimits(file_bytes=1000, pixels=100))
    try:
        with pytest.raises(BadInput, match="too large"):
            drop(room, bytes(1001))
        with pytest.raises(BadInput, match="too many pixels"):
            drop(room, png(np.zeros((20, 20), np.uint8)))
    finally:
        room.close()


def test_a_picture_that_needs_more_memory_than_there_is_fails_alone(tmp_path):
    room = room_in(tmp_path, RoomLimits(memory=400 << 20))
    try:
        with pytest.raises((BadInput, TaskFailed)) as caught:
            drop(room, png(np.zeros((7000, 7000), np.uint8)), "wide.png")
        assert caught.value.remedy
        assert drop(room).count == NINE
    finally:
        room.close()


@pytest.mark.parametrize(("how", "clause"), [("sleep", "too-slow"), ("exit", "worker-stopped")])
def test_a_worker_that_hangs_or_dies_is_replaced(tmp_path, how, clause):
    room = room_in(tmp_path, RoomLimits(seconds=1.0), methods=SLEEPY)
    look = Workers.look

    def misbehaving(self, package, owner, name, data, arguments):
        return look(self, package, owner, name, data, {**arguments, "how": how})

    room.workers.look = misbehaving.__get__(room.workers)
    try:
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(TaskFailed, match=r"a\.png") as caught:
                drop(room)
            assert caught.value.detail["clause"] == clause
        assert time.monotonic() - began < 20
        assert room.workers.live() == 0
    finally:
        room.close()


@linux
def test_a_worker_that_somebody_kills_costs_one_picture(room):
    drop(room)
    warm = room.workers._warm[(drop(room).digest, ADA.key)]
    os.kill(warm.engine.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while warm.engine.pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert drop(room).count == NINE


def test_what_a_worker_answers_is_not_believed_blindly(tmp_path):
    room = room_in(tmp_path, methods={**METHODS, "look": "cloister.engines.methods:echo"})
    try:
        with pytest.raises(TaskFailed, match="could not be used"):
            drop(room)
    finally:
        room.close()


def test_who_comes_too_often_is_told_how_long_to_wait(tmp_path):
    room = room_in(tmp_path, RoomLimits(burst=2, per_hour=3600, file_bytes=10))
    try:
        for _ in range(2):
            with pytest.raises(BadInput):
                drop(room)
        with pytest.raises(TooOften) as caught:
            drop(room)
        assert caught.value.clause == "too-often"
        assert caught.value.status == 429
        assert caught.value.detail["retry_after"] == 1
        with pytest.raises(BadInput):
            drop(room, who=BEN)
    finally:
        room.close()


def test_an_address_has_twice_what_a_person_has():
    paces = Paces(burst=2, per_hour=60)
    for person in "aabb":
        paces.take(person, "192.0.2.1", 0.0)
    with pytest.raises(TooOften):
        paces.take("c", "192.0.2.1", 0.0)
    paces.take("c", "192.0.2.9", 0.0)
    # A minute later there is room for one more of each person, and for two from the address.
    paces.take("a", "192.0.2.1", 60.0)
    with pytest.raises(TooOften):
        paces.take("a", "192.0.2.1", 60.0)
    paces.take("b", "192.0.2.1", 60.0)
    for number in range(REMEMBERED):
        paces.take(f"p{number}", f"a{number}", 60.0)
    assert len(paces._filled) == REMEMBERED


def test_no_more_bytes_wait_than_is_said(tmp_path):
    room = room_in(tmp_path, RoomLimits(waiting_bytes=len(PLAIN)))
    try:
        with room._room_for(1), pytest.raises(Unreachable, match="busy"):
            drop(room)
        assert drop(room).count == NINE
    finally:
        room.close()


def test_several_people_at_once_all_get_their_own_result(room):
    results = {}

    def one(number):
        who = (ADA, BEN)[number % 2]
        results[number] = drop(room, png(np.full((20 + number, 30), 9, np.uint8)), f"{number}.png", who)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: sample.size for number, sample in results.items()} == {
        number: (30, 20 + number) for number in range(6)
    }
    assert {sample.owner for sample in results.values()} == {ADA.key, BEN.key}


def test_an_unknown_tool_or_setting_is_refused(room):
    with pytest.raises(NotFound):
        room.run("nothing", "a.png", PLAIN, {}, None, ADA)
    with pytest.raises((NotFound, BadInput)):
        room.run("../../etc", "a.png", PLAIN, {}, None, ADA)
    with pytest.raises(BadInput, match="no setting"):
        drop(room, settings={"path": "/etc/passwd"})
    with pytest.raises(BadInput, match="size of a pixel"):
        drop(room, um_per_pixel=float(-1))


def test_a_tool_whose_certificate_is_not_there_is_not_run(tmp_path):
    room = room_in(tmp_path)
    try:
        from cloister.tools.package import unpack

        claims = unpack(packed(certificate=None))
        spoiled = packed("1.2.0", certificate=b"{}")
        InstalledTools(tmp_path / "tools").install(unpack(spoiled), now=1, verify=lambda *_: None)
        assert claims.tool.name == "discs"
        with pytest.raises(NotTrusted):
            drop(room)
        (card,) = [card for card in room.shelf.cards() if card.name == "discs"]
        assert card.error is not None
        assert room.shelf.rollback("discs").current.version == "1.0.0"
        assert drop(room).count == NINE
    finally:
        room.close()


def test_a_worker_is_ready_before_the_first_picture_comes(tmp_path):
    room = room_in(tmp_path, RoomLimits(live=1))
    try:
        opened = room.shelf.open("discs")
        room.expect(opened, ADA)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(warm.loaded for warm in room.workers._warm.values()):
            time.sleep(0.02)
        ((key, warm),) = room.workers._warm.items()
        pid = warm.loaded
        assert key[1] == ADA.key
        assert pid is not None
        room._warm(opened, BEN)  # nobody loses a worker for somebody who only looks at the page
        assert list(room.workers._warm) == [key]
        drop(room)
        assert room.workers._warm[key].engine.pid == pid
    finally:
        room.close()


def test_a_page_that_is_looked_at_again_and_again_begins_one_warming_and_only_where_it_is_of_use(
    tmp_path, monkeypatch
):
    room = room_in(tmp_path, RoomLimits(live=1))
    begun, go_on = [], threading.Event()
    real = room.workers.warm

    def warm(package, owner):
        begun.append(owner)
        assert go_on.wait(30)
        real(package, owner)

    def warming():
        return [thread for thread in threading.enumerate() if thread.name == "tool-warming"]

    monkeypatch.setattr(room.workers, "warm", warm)
    try:
        opened = room.shelf.open("discs")
        for who in (ADA, BEN) * 20:
            room.expect(opened, who)
        assert len(warming()) == 1
        go_on.set()
        warming()[0].join(60)
        for who in (ADA, BEN) * 20:
            room.expect(opened, who)
        assert warming() == [], "it is warm, and there is no place for another"
        assert begun == [ADA.key]
    finally:
        go_on.set()
        room.close()


def test_a_tool_for_tables_takes_rows_and_shows_no_picture(tmp_path):
    InstalledTools(tmp_path / "tools").install(Package(wear_tool()), now=1, verify=lambda *_: None)
    room = room_in(tmp_path, install=False)
    try:
        rows = b"machine,vibration,temperature\na,9,80\nb,5,40\nc,,70\n"
        sample = room.run("wear", "readings.png", rows, {}, None, ADA)
        assert sample.size is None
        assert sample.count == 2
        assert set(sample.files) == {"report.html", "result.json", "table.csv"}
        assert b"c" in sample.files["table.csv"]
        for wrong in (b"", b"PAR1", PLAIN, b"machine,vibration\na,1\n", b"\xff\xfe\x00"):
            with pytest.raises(BadInput) as caught:
                room.run("wear", "readings.csv", wrong, {}, None, ADA)
            assert "readings.csv" in caught.value.what
    finally:
        room.close()


def test_a_closed_room_refuses(tmp_path):
    room = room_in(tmp_path)
    room.close()
    with pytest.raises((Unreachable, TaskFailed)):
        drop(room)
