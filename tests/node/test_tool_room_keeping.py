"""Results are in memory for their owner alone, and on disk only when somebody asks; tools are installed after a look."""

from __future__ import annotations

import csv
import io
import json

import pytest
from toolfolk import ADA, BEN, NINE, PLAIN, packed, room_in

from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, NotTrusted, OutOfSpace
from cloister.node.toolroom.limits import RoomLimits
from cloister.node.toolroom.records import described
from cloister.storage.samples import Wanted
from cloister.tools.package import unpack
from tools.toolmaking import discs, png, spread_centres


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    made = room_in(tmp_path_factory.mktemp("room"))
    yield made
    made.close()


def drop(room, count=NINE, who=ADA, name="a.png", um_per_pixel=None):
    data = PLAIN if count == NINE else png(discs(200, 150, spread_centres(200, 150, count)))
    return room.run("discs", name, data, {}, um_per_pixel, who)


def test_a_result_is_its_owners_alone_until_it_is_kept(room):
    sample = drop(room)
    assert room.sample(sample.id, ADA) == sample
    assert room.recent(ADA)[0] == sample
    assert room.recent(BEN) == []
    for attempt in (
        lambda: room.sample(sample.id, BEN),
        lambda: room.file(sample.id, "overlay.png", BEN),
        lambda: room.keep(sample.id, "mine", "all", BEN),
    ):
        with pytest.raises(NotFound):
            attempt()
    room.drop(sample.id, BEN)
    assert room.file(sample.id, "overlay.png", ADA) == sample.files["overlay.png"]
    room.drop(sample.id, ADA)
    with pytest.raises(NotFound):
        room.sample(sample.id, ADA)
    assert len(sample.id) == 48


def test_nothing_is_on_disk_before_somebody_asks(room):
    total = room.history.page(Wanted()).total
    drop(room)
    assert room.history.page(Wanted()).total == total


def test_a_kept_sample_is_the_same_for_everybody(room):
    sample = drop(room, um_per_pixel=2.0)
    assert room.keep(sample.id, "  batch   17 ", "all", ADA) == ()
    for who in (ADA, BEN):
        kept = room.sample(sample.id, who)
        assert kept.state == "kept"
        assert kept.label == "batch 17"
        assert kept.who == "Ada"
        told, before = described(kept), described(sample)
        assert {name for name in told if told[name] != before[name]} == {"state", "label", "kept_by"}
        for name, content in sample.files.items():
            assert room.file(sample.id, name, who) == content
    with pytest.raises(NotFound):
        room.file(sample.id, "../../x", ADA)
    # Asking again changes nothing, not even the label.
    room.keep(sample.id, "other", "none", BEN)
    assert room.sample(sample.id, ADA).label == "batch 17"


@pytest.mark.parametrize(
    ("pictures", "files"),
    [
        ("none", {"result.json", "table.csv"}),
        ("overlay", {"result.json", "table.csv", "overlay.png", "report.html"}),
        ("all", {"result.json", "table.csv", "overlay.png", "report.html", "original.png"}),
    ],
)
def test_only_the_pictures_that_were_asked_for_are_kept(room, pictures, files):
    sample = drop(room)
    room.keep(sample.id, "", pictures, ADA)
    assert set(room.sample(sample.id, ADA).files) == files


def test_a_label_is_one_short_line(room):
    sample = drop(room)
    for label in ("x" * 81, "a\x1b[2J", "a\u202eb"):
        with pytest.raises(BadInput):
            room.keep(sample.id, label, "none", ADA)
    room.keep(sample.id, "x" * 80, "none", ADA)
    with pytest.raises(BadInput):
        room.history.relabel(sample.id, "a\x00")
    room.history.relabel(sample.id, "=1+1")
    assert b"'=1+1" in room.history.as_csv(Wanted())
    with pytest.raises(NotFound):
        room.history.relabel("nobody", "x")


def test_a_large_file_is_left_out_and_told_and_there_is_a_limit_to_samples(tmp_path):
    room = room_in(tmp_path, RoomLimits(kept_file=2000, kept=1))
    try:
        sample = drop(room)
        left_out = room.keep(sample.id, "", "all", ADA)
        assert "overlay.png" in left_out
        assert "overlay.png" not in room.sample(sample.id, ADA).files
        with pytest.raises(OutOfSpace):
            room.keep(drop(room).id, "", "none", ADA)
    finally:
        room.close()


def test_memory_is_bounded_and_whoever_holds_most_loses_first(tmp_path):
    room = room_in(tmp_path, RoomLimits(recent=3, recent_seconds=60))
    try:
        bens = drop(room, who=BEN)
        adas = [drop(room) for _ in range(3)]
        with pytest.raises(NotFound):
            room.sample(adas[0].id, ADA)
        assert room.sample(bens.id, BEN)
        room._clock.advance(61)
        for sample, who in ((bens, BEN), (adas[2], ADA)):
            with pytest.raises(NotFound):
                room.sample(sample.id, who)
    finally:
        room.close()


def test_bytes_in_memory_are_bounded_too(tmp_path):
    room = room_in(tmp_path, RoomLimits(recent_bytes=1))
    try:
        first, second = drop(room), drop(room)
        with pytest.raises(NotFound):
            room.sample(first.id, ADA)
        assert room.sample(second.id, ADA)
    finally:
        room.close()


def test_history_is_paged_searched_drawn_exported_and_deleted(tmp_path):
    room = room_in(tmp_path)
    try:
        ids = []
        for count in (3, 5, 7):
            sample = drop(room, count, name=f"{count}.png")
            room.keep(sample.id, "line 1" if count < 6 else "line 2", "none", ADA)
            ids.append(sample.id)
            room._clock.advance(60)
        other = drop(room, 4, um_per_pixel=2.0)
        room.keep(other.id, "line 2", "none", ADA)
        history = room.history
        page = history.page(Wanted(), limit=2)
        assert [s.count for s in page.samples] == [4, 7]
        assert page.total == 4
        assert page.newer == ""
        rest = history.page(Wanted(), limit=2, before=page.older)
        assert [s.count for s in rest.samples] == [5, 3]
        assert rest.older == ""
        assert history.page(Wanted(), limit=2, after=rest.newer).samples == page.samples
        for mark in ("x", "1", "1e9.x", "-1.x", "9" * 20 + ".x"):
            with pytest.raises(BadInput):
                history.page(Wanted(), before=mark)
        # A count depends on how much a picture shows, a size on the scale: neither is mixed.
        trend = history.trend(Wanted(), "count")
        assert [point.value for point in trend.points] == [4]
        assert [(one.um_per_pixel, one.samples, one.uncalibrated) for one in trend.series] == [
            (2.0, 1, 1),
            (None, 3, 0),
        ]
        assert trend.chosen == trend.series[0].key
        in_pixels = history.trend(Wanted(), "count", trend.series[1].key)
        assert [point.value for point in in_pixels.points] == [3, 5, 7]
        assert history.trend(Wanted(), "count", "nobody's").chosen == trend.chosen
        sizes = history.trend(Wanted(), "diameter_d50")
        assert (sizes.unit, len(sizes.points)) == ("µm", 1)
        assert history.trend(Wanted(), "diameter_d50", sizes.series[1].key).unit == "px"
        assert history.trend(Wanted(label="line 1"), "diameter_d50").unit == "px"
        assert history.trend(Wanted(), "nothing").points == ()
        assert history.trend(Wanted(), "nothing").series == ()
        assert history.figures(Wanted())[0] == "count"
        assert set(history.labels()) == {"line 1", "line 2"}
        assert history.tools() == ["discs"]
        rows = list(csv.DictReader(io.StringIO(history.as_csv(Wanted()).decode())))
        assert [row["count"] for row in rows] == ["4", "7", "5", "3"]
        assert rows[0]["diameter_d50 (µm)"]
        assert rows[0]["diameter_d50 (px)"] == ""
        told = json.loads(history.as_json(Wanted(label="line 2")))
        assert [item["count"] for item in told["samples"]] == [4, 7]
        assert told["complete"]
        assert history.remove(ids) == 3
        assert history.remove(ids) == 0
        assert history.page(Wanted()).total == 1
    finally:
        room.close()


def test_a_tool_is_looked_at_before_it_is_installed_and_only_by_its_owner(tmp_path):
    room = room_in(tmp_path)
    try:
        offer = room.shelf.offer(packed("1.1.0", title="Better discs"), ADA.key)
        assert offer.checked is None
        assert offer.current.version == "1.0.0"
        assert offer.sandbox
        assert room.shelf.open("discs").manifest.version == "1.0.0"
        with pytest.raises(NotFound):
            room.shelf.install(offer.id, BEN.key)
        assert room.shelf.install(offer.id, ADA.key).current.version == "1.1.0"
        with pytest.raises(NotFound):
            room.shelf.install(offer.id, ADA.key)
        assert room.shelf.open("discs").manifest.title == "Better discs"
        assert drop(room).version == "1.1.0"
        assert unpack(room.shelf.export("discs")).tool.manifest.version == "1.1.0"
        assert room.shelf.rollback("discs").current.version == "1.0.0"
        assert drop(room).version == "1.0.0"
        with pytest.raises(Conflict):
            room.shelf.rollback("discs")
    finally:
        room.close()


def test_an_offer_lasts_half_an_hour_and_can_be_discarded(tmp_path):
    room = room_in(tmp_path)
    try:
        offer = room.shelf.offer(packed(), ADA.key)
        room.shelf.discard(offer.id, ADA.key)
        with pytest.raises(NotFound):
            room.shelf.offered(offer.id, ADA.key)
        offer = room.shelf.offer(packed(), ADA.key)
        room._clock.advance(1801)
        with pytest.raises(NotFound):
            room.shelf.install(offer.id, ADA.key)
    finally:
        room.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"<html>", packed()[:-1], packed() + b"x", packed(certificate=b"{}")],
    ids=["empty", "zip", "html", "cut", "more", "certificate"],
)
def test_what_is_no_tool_or_not_trusted_is_never_offered(room, data):
    with pytest.raises(CloisterError) as caught:
        room.shelf.offer(data, ADA.key)
    assert isinstance(caught.value, BadInput | NotTrusted)
    assert caught.value.what


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    room = room_in(tmp_path, RoomLimits(tool_bytes=100))
    try:
        with pytest.raises(BadInput, match="too large"):
            room.shelf.offer(packed(), ADA.key)
    finally:
        room.close()


def test_what_comes_with_cloister_is_on_the_shelf_without_a_worker(tmp_path):
    room = room_in(tmp_path, install=False)
    try:
        cards = {card.name: card.origin for card in room.shelf.cards()}
        assert cards == {"crystals": "builtin", "crystals-classical": "builtin"}
        assert room.workers.live() == 0
        assert room.shelf.open("crystals").manifest.adjustable
        with pytest.raises(NotFound):
            room.shelf.rollback("crystals")
    finally:
        room.close()
