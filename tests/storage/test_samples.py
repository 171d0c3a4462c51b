"""Kept samples: found, paged, labelled and deleted, on every database."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import CloisterError
from cloister.storage.samples import SampleRow, Samples, Wanted


def row(number, at=None, **changes):
    values = {
        "id": f"{number:048x}",
        "at": 1000 + number if at is None else at,
        "tool": "crystals",
        "version": "1.0.0",
        "digest": "sha256:aa",
        "input": "sha256:bb",
        "file": f"picture-{number}.png",
        "label": "line 1",
        "who": "Ada",
        "count": number,
        "facts": b"{}",
        "size": 3,
    }
    return SampleRow(**(values | changes))


def test_a_sample_comes_back_with_its_files_and_goes_with_them(database):
    with database.transaction() as tx:
        Samples(tx).add(row(1, count=None), {"table.csv": b"a\r\n", "overlay.png": b"\x89PNG"})
    with database.read() as tx:
        samples = Samples(tx)
        assert samples.get(row(1).id) == row(1, count=None)
        assert samples.files(row(1).id) == {"table.csv": 3, "overlay.png": 4}
        assert samples.file(row(1).id, "overlay.png") == b"\x89PNG"
        assert samples.file(row(1).id, "../overlay.png") is None
        assert samples.get("nobody") is None
        assert samples.size() == 3
    with database.transaction() as tx:
        assert Samples(tx).remove(row(1).id)
        assert not Samples(tx).remove(row(1).id)
    with database.read() as tx:
        assert Samples(tx).files(row(1).id) == {}
        assert Samples(tx).size() == 0


def test_pages_follow_each_other_without_gap_or_repetition_both_ways(database):
    # Several at one second, so that the id decides.
    with database.transaction() as tx:
        for number in range(23):
            Samples(tx).add(row(number, at=1000 + number // 5), {})
    with database.read() as tx:
        samples = Samples(tx)
        everything = samples.find(Wanted(), 100)
        assert [item.count for item in everything] == list(range(22, -1, -1))
        seen, place = [], None
        while page := samples.find(Wanted(), 7, place):
            seen += page
            place = (page[-1].at, page[-1].id)
        assert seen == everything
        back = samples.find(Wanted(), 7, after=(everything[10].at, everything[10].id))
        assert back == everything[3:10]


def test_a_search_takes_every_word_as_it_is(database):
    with database.transaction() as tx:
        samples = Samples(tx)
        samples.add(row(1, label="100% pure", tool="discs"), {})
        samples.add(row(2, label="100 pure"), {})
        samples.add(row(3, label="", file="Batch_7.JPG"), {})
    with database.read() as tx:
        samples = Samples(tx)

        def counts(**wanted):
            return [item.count for item in samples.find(Wanted(**wanted), 10)]

        assert counts(text="100%") == [1]
        assert counts(text="_7.j") == [3]
        assert counts(text="%") == [1]
        assert counts(label="100 pure") == [2]
        assert counts(tool="discs") == [1]
        assert counts(since=1002) == [3, 2]
        assert counts(until=1002) == [1]
        assert counts(text="'; drop table samples; --") == []
        assert samples.count(Wanted(tool="crystals")) == 2
        assert samples.tools() == ["crystals", "discs"]
        assert samples.labels(10) == ["100 pure", "100% pure"]
        assert samples.labels(1) == ["100 pure"]


def test_a_label_can_be_changed_and_nothing_else(database):
    with database.transaction() as tx:
        Samples(tx).add(row(1), {})
        assert Samples(tx).relabel(row(1).id, "shift 2")
        assert not Samples(tx).relabel("nobody", "x")
    with database.read() as tx:
        assert Samples(tx).get(row(1).id) == row(1, label="shift 2")


def test_corrections_are_in_order_and_go_with_their_sample(database):
    with database.transaction() as tx:
        Samples(tx).add(row(1), {})
        Samples(tx).add(row(2), {})
        for position in (1, 0, 2):
            Samples(tx).append_correction(row(1).id, position, b"entry %d" % position)
    with database.read() as tx:
        assert Samples(tx).corrections(row(1).id) == [b"entry 0", b"entry 1", b"entry 2"]
        assert Samples(tx).corrections(row(2).id) == []
    # A position is taken once: two who write the same do not overwrite each other.
    with pytest.raises(CloisterError, match="refused"), database.transaction() as tx:
        Samples(tx).append_correction(row(1).id, 2, b"other")
    with database.transaction() as tx:
        assert Samples(tx).remove(row(1).id)
        assert Samples(tx).corrections(row(1).id) == []
