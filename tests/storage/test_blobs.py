"""Large bodies as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, NotFound, Tampered
from cloister.storage.blobs import INLINE, Blobs, Kept

BIG = b"x" * (INLINE + 1)


@pytest.fixture(params=["files", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs" if request.param == "files" else None)


def test_small_bodies_stay_in_their_row_and_large_ones_become_files(blobs: Blobs) -> None:
    with blobs.keeping() as keep:
        small, large = keep(b"x" * INLINE), keep(BIG)
    assert small.inline == b"x" * INLINE
    assert large == Kept(digest(BIG), len(BIG))
    assert blobs.load(small) == b"x" * INLINE
    assert blobs.load(large) == BIG
    assert b"".join(blobs.chunks(large.digest)) == BIG
    assert blobs.names() == [digest(BIG)]


def test_a_stream_is_kept_without_holding_it(blobs: Blobs) -> None:
    kept = blobs.put_stream(iter([b"a" * 1000, b"b" * 1000]))
    assert kept == Kept(digest(b"a" * 1000 + b"b" * 1000), 2000)
    assert blobs.read(kept.digest) == b"a" * 1000 + b"b" * 1000


def test_a_stream_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    def broken():  # type: ignore[no-untyped-def]
        yield b"a"
        raise KeyError

    with pytest.raises(KeyError):
        blobs.put_stream(broken())
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_noticed_and_a_missing_one_too(tmp_path: Path) -> None:
    with Blobs(tmp_path).keeping() as keep:
        kept = keep(BIG)
    blobs = Blobs(tmp_path)
    (tmp_path / kept.digest[7:]).write_bytes(BIG[:-1] + b"y")
    with pytest.raises(Tampered):
        blobs.load(kept)
    (tmp_path / kept.digest[7:]).unlink()
    with pytest.raises(NotFound):
        blobs.load(kept)


def test_what_was_just_written_is_not_read_again(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    body = bytes(BIG)
    with blobs.keeping() as keep:
        kept = keep(body)
    assert (tmp_path / kept.digest[7:]).read_bytes() == body
    assert blobs.load(kept) is body
    # Kept again, by another writer, it is remembered as well as on disk.
    with Blobs(tmp_path).keeping() as keep:
        assert keep(body) == kept
    assert blobs.collect([kept.digest], lambda _name: False) == 1
    with pytest.raises(NotFound):
        blobs.load(kept)


def test_what_is_held_in_memory_besides_the_files_is_bounded_and_the_oldest_goes_first(
    tmp_path: Path,
) -> None:
    blobs = Blobs(tmp_path, recent=2 * len(BIG))
    bodies = [bytes([number]) + BIG[1:] for number in range(3)]
    huge = BIG * 3
    with blobs.keeping() as keep:
        kept = [keep(body) for body in (*bodies, huge)]
    for item in kept:
        (tmp_path / item.digest[7:]).unlink()
    for gone in (kept[0], kept[3]):
        with pytest.raises(NotFound):
            blobs.load(gone)
    assert [blobs.load(item) for item in kept[1:3]] == bodies[1:]


def test_one_body_for_many_recipients_is_digested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digested: list[int] = []

    def counting(body: bytes) -> str:
        digested.append(len(body))
        return digest(body)

    monkeypatch.setattr("cloister.storage.blobs.digest", counting)
    with Blobs(tmp_path).keeping() as keep:
        assert len({keep(BIG).digest for _ in range(3)}) == 1
        keep(BIG[:-1] + b"y")
    assert digested == [len(BIG)] * 2


@pytest.mark.parametrize("name", ["../secret", "sha256:../../etc/passwd", "", "sha256:" + "A" * 64])
def test_a_name_that_is_no_digest_reads_nothing(blobs: Blobs, name: str) -> None:
    with pytest.raises(BadInput):
        blobs.read(name)
    with pytest.raises(BadInput):
        list(blobs.chunks(name))


def test_what_is_pinned_or_referenced_stays(blobs: Blobs) -> None:
    with blobs.keeping() as keep:
        kept = keep(BIG)
        assert blobs.collect([kept.digest], lambda _name: False) == 0
    assert blobs.collect([kept.digest], lambda _name: True) == 0
    assert blobs.collect([kept.digest], lambda _name: False) == 1
    assert blobs.collect([kept.digest], lambda _name: False) == 0
    assert blobs.names() == []


def test_leftovers_of_a_killed_writer_are_removed_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "abc.part").write_bytes(b"half")
    Blobs(tmp_path)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["keep", "drop", "collect"]), st.integers(0, 3)), max_size=30))
def test_a_referenced_body_is_never_lost(actions: list[tuple[str, int]]) -> None:
    blobs = Blobs(None)
    bodies = [bytes([number]) * (INLINE + 1) for number in range(4)]
    names = [digest(body) for body in bodies]
    references = [0] * 4
    for action, number in actions:
        if action == "keep":
            with blobs.keeping() as keep:
                keep(bodies[number])
                blobs.collect(names, lambda name: references[names.index(name)] > 0)
                references[number] += 1
        elif action == "drop":
            references[number] = max(0, references[number] - 1)
        else:
            blobs.collect(names, lambda name: references[names.index(name)] > 0)
        for index, count in enumerate(references):
            if count:
                assert blobs.read(names[index]) == bodies[index]
    blobs.collect(names, lambda name: references[names.index(name)] > 0)
    assert set(blobs.names()) == {name for name, count in zip(names, references, strict=True) if count}
