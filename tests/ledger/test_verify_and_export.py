"""`ledger.verify` finds every way to spoil a ledger, and says where; `ledger.export` carries a ledger as a file."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ledger_parties import NOW, Log, directory, full, keys, party

from cloister.foundation.errors import BadInput, CloisterError, Tampered
from cloister.identity import cards
from cloister.ledger.checkpoints import witness_name
from cloister.ledger.export import MAX_LINE, limited_lines, read_export, verify_export, write_export
from cloister.ledger.leaves import conceal
from cloister.ledger.notes import Line, Note
from cloister.ledger.verify import Report, Stored, stored, verify_ledger

NAMES = {witness_name(party(label)): [keys(label).public] for label in ("first", "second")}
LATER = NOW + 5000


def check(
    log: Log, entries: Sequence[Stored] | None = None, heads: Sequence[Note] | None = None, **extra: Any
) -> Report:
    options: dict[str, Any] = {"threshold": 2, "now": LATER, **extra}
    return verify_ledger(
        log.stored() if entries is None else entries,
        log.heads if heads is None else heads,
        origin=log.origin,
        log_keys=[keys("plant").public],
        witnesses=NAMES,
        **options,
    )


def kinds(report: Report) -> set[str]:
    return {item.kind for item in report.findings}


def unhashed(log: Log) -> list[Stored]:
    """Entries as a forger gives them: without the hashes kept beside them, numbered as if nothing were missing."""
    return [Stored(index, leaf) for index, leaf in enumerate(log.leaves)]


def test_an_honest_ledger_verifies() -> None:
    log = full()
    report = check(log)
    assert report.ok
    assert report.findings == ()
    assert (report.entries, report.signed) == (30, 30)
    assert report.root == log.tree.root()
    assert set(report.witnesses) == set(NAMES)
    assert report.first_bad is None
    report.require()
    assert any("Nothing is wrong" in line for line in report.words())
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_entries_after_the_last_checkpoint_are_remarked_and_not_wrong() -> None:
    log = full()
    log.write(4)
    report = check(log)
    assert report.ok
    assert report.signed == 30
    assert "4 entries are newer" in report.remarks[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 29), st.integers(0, 10_000), st.integers(1, 255))
def test_one_flipped_byte_in_an_entry_is_found_at_its_index(index: int, place: int, flip: int) -> None:
    log = full()
    entries = log.stored()
    data = bytearray(entries[index].leaf)
    data[place % len(data)] ^= flip
    entries[index] = Stored(index, bytes(data), entries[index].hash)
    report = check(log, entries)
    assert report.first_bad == index
    assert "changed" in kinds(report)
    # The kept hashes still give the signed root, so nothing else is accused.
    assert {item.index for item in report.findings} <= {index}
    assert any(f"number {index} " in line for line in report.words())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 29))
def test_an_entry_forged_with_its_hash_is_found_between_two_checkpoints(index: int) -> None:
    log = full()
    log.leaves[index] = conceal("release", "sha256:" + "f" * 64, NOW + index)[0].encode()
    for entries in (log.stored(), unhashed(log)):
        report = check(log, entries)
        assert kinds(report) == {"changed"}
        (finding,) = report.findings
        assert finding.index == index // 10 * 10
        assert finding.until == index // 10 * 10 + 10
        with pytest.raises(Tampered) as caught:
            report.require()
        assert caught.value.clause == "ledger-changed"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 29))
def test_a_removed_entry_is_found(index: int) -> None:
    log = full()
    gap = [item for item in log.stored() if item.index != index]
    report = check(log, gap)
    assert not report.ok
    if index < 29:
        assert "missing" in kinds(report)
        assert report.first_bad is not None
        assert report.first_bad <= index
        assert any(item.kind == "missing" and item.index == index for item in report.findings)
    assert "rollback" in kinds(report)
    del log.leaves[index]
    renumbered = check(log, unhashed(log))
    assert "rollback" in kinds(renumbered)
    assert renumbered.first_bad is not None
    assert renumbered.first_bad >= index // 10 * 10


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 29))
def test_an_entry_put_in_between_is_found(index: int) -> None:
    log = full()
    log.leaves.insert(index, conceal("card", "sha256:" + "e" * 64, NOW + index)[0].encode())
    report = check(log, unhashed(log))
    assert kinds(report) == {"changed"}
    assert report.first_bad == index // 10 * 10


def test_exchanged_entries_are_found() -> None:
    log = full()
    log.leaves[3], log.leaves[4] = log.leaves[4], log.leaves[3]
    assert check(log, unhashed(log)).first_bad == 0


def test_a_truncated_ledger_is_a_rollback() -> None:
    log = full()
    report = check(log, log.stored()[:25])
    assert kinds(report) == {"rollback"}
    assert report.first_bad == 25
    assert "5 were removed" in report.findings[0].words


def test_a_ledger_restored_from_an_old_backup_is_found_by_a_head_that_others_hold() -> None:
    log = full()
    report = check(log, log.stored()[:20], log.heads[:2])
    assert report.ok
    found = check(log, log.stored()[:20], [*log.heads[:2], log.heads[2]])
    assert kinds(found) == {"rollback"}


def test_a_log_that_signs_less_later_is_a_rollback() -> None:
    log = full()
    report = check(log, heads=[*log.heads, log.sign(NOW + 4000, size=15)])
    assert "rollback" in kinds(report)
    older = check(log, heads=[*log.heads, log.heads[0]])
    assert older.ok


def test_two_histories_of_one_size_are_a_split_view() -> None:
    log, other = full(), Log()
    other.write(30)
    report = check(log, heads=[*log.heads, other.sign(NOW + 3000)])
    assert kinds(report) == {"split-view"}
    assert "two different histories of 30 entries" in report.findings[0].words


def test_two_inconsistent_histories_of_different_sizes_are_a_split_view() -> None:
    log, other = full(), Log()
    other.write(17)
    report = check(log, heads=[*log.heads, other.sign(NOW + 1500)])
    assert "split-view" in kinds(report)
    assert "changed" not in kinds(report)


def test_a_checkpoint_by_others_is_found() -> None:
    log = full()
    head = log.heads[0]
    bad = Note(
        head.text, tuple(Line(item.name, item.key_id, bytes(len(item.signature))) for item in head.lines)
    )
    report = check(log, heads=[bad, *log.heads[1:]])
    assert kinds(report) == {"signature"}
    stranger = Log(label="other")
    stranger.write(3)
    assert kinds(check(log, heads=[*log.heads, stranger.sign()])) == {"signature"}


def test_a_spoiled_cosignature_is_found() -> None:
    log = full()
    line = next(item for item in log.heads[-1].lines if item.name in NAMES)
    spoiled = log.heads[-1].with_lines(
        [Line(line.name, line.key_id, line.signature[:-1] + bytes([line.signature[-1] ^ 1]))]
    )
    assert "cosignature" in kinds(check(log, heads=[*log.heads[:2], spoiled]))


def test_too_few_witnesses_are_found() -> None:
    log = full(witnesses=("first",))
    assert kinds(check(log)) == {"quorum"}
    assert check(log, threshold=1).ok


def test_a_ledger_without_a_checkpoint_is_bound_by_nothing() -> None:
    log = full()
    assert kinds(check(log, heads=[])) == {"unsigned"}
    assert check(Log(), threshold=0).ok


def test_time_that_goes_back_is_found_at_its_entry() -> None:
    log = Log()
    log.write(5)
    log.leaves.append(conceal("card", "sha256:" + "0" * 64, NOW - 500)[0].encode())
    log.write(3)
    log.publish(NOW + 1000, ("first", "second"))
    report = check(log)
    assert kinds(report) == {"clock"}
    assert report.first_bad == 5


def test_an_entry_dated_after_its_cosignature_or_in_the_future_is_found() -> None:
    log = Log()
    log.write(5, start=NOW + 2000)
    log.publish(NOW + 1000, ("first", "second"))
    report = check(log)
    assert kinds(report) == {"clock"}
    assert report.first_bad == 0
    assert kinds(check(full(), now=NOW - 1000, threshold=0)) == {"clock"}


def test_a_cosigners_clock_that_went_back_is_found() -> None:
    log = Log()
    log.write(5)
    log.heads.append(log.sign(NOW + 2000))
    log.write(5)
    log.heads.append(log.sign(NOW + 1000))
    assert kinds(check(log, threshold=0)) == {"clock"}


def test_an_unreadable_entry_is_found() -> None:
    log = Log()
    log.write(3)
    log.leaves.append(b'{"kind":"sql","text":"select 1"}')
    log.publish(NOW + 1000, ("first", "second"))
    report = check(log)
    assert kinds(report) == {"malformed"}
    assert report.first_bad == 3


def test_findings_are_limited_in_number() -> None:
    entries = [Stored(index * 2, b"x", bytes(32)) for index in range(500)]
    assert len(check(full(), entries).findings) <= 50


def lines_of(log: Log) -> list[bytes]:
    known = directory("plant", "first", "second")
    chains = [known.chain(item) for item in known]
    witnesses = [party("first"), party("second")]
    return list(write_export(log.origin, log.leaves, log.heads, chains, witnesses))


def verified(lines: list[bytes], **extra: Any) -> Report:
    options: dict[str, Any] = {
        "party": party("plant"),
        "witnesses": [party("first"), party("second")],
        "threshold": 2,
        **extra,
    }
    return verify_export(read_export(lines), LATER, **options)


def test_an_exported_ledger_verifies_with_nothing_but_the_fingerprint() -> None:
    log = full()
    report = verified(lines_of(log))
    assert report.ok, report.words()
    assert report.entries == 30
    unnamed = verified(lines_of(log), party=None, witnesses=None)
    assert unnamed.ok
    assert any("fingerprint" in remark for remark in unnamed.remarks)
    assert any("witnesses are those that the file itself names" in remark for remark in unnamed.remarks)


def test_an_exported_ledger_of_another_party_is_not_taken() -> None:
    assert "signature" in kinds(verified(lines_of(full()), party=party("other")))


def test_witnesses_that_the_reader_does_not_name_do_not_count() -> None:
    assert kinds(verified(lines_of(full()), witnesses=[party("first")])) == {"quorum"}
    assert kinds(verified(lines_of(full()), witnesses=[party("plant"), party("first")])) == {"quorum"}


def test_a_head_held_elsewhere_shows_a_rollback_of_an_export() -> None:
    log = full()
    old = Log(leaves=log.leaves[:20], heads=log.heads[:2])
    assert verified(lines_of(old)).ok
    assert kinds(verified(lines_of(old), checkpoints=[log.heads[2]])) == {"rollback"}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_flipped_byte_anywhere_in_an_export_is_found(data: st.DataObject) -> None:
    whole = b"".join(EXPORTED)
    position = data.draw(st.integers(0, len(whole) - 1))
    bad = bytearray(whole)
    bad[position] ^= data.draw(st.integers(1, 255))
    try:
        report = verified(bytes(bad).splitlines(keepends=True))
    except CloisterError:
        return
    assert not report.ok


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 29), st.integers(0, 100_000), st.integers(1, 255))
def test_a_flipped_byte_in_an_exported_entry_is_found_at_its_index(index: int, place: int, flip: int) -> None:
    lines = list(EXPORTED)
    bad = bytearray(lines[1 + index])
    bad[place % (len(bad) - 1)] ^= flip
    if b"\n" in bad[:-1]:
        return
    lines[1 + index] = bytes(bad)
    report = verified(lines)
    assert report.first_bad == index


def test_a_file_cut_short_or_with_a_line_dropped_doubled_or_exchanged_is_found() -> None:
    lines = list(EXPORTED)
    for position in range(1, len(lines)):
        assert not verified(lines[:position]).ok
        assert not verified(lines[:position] + lines[position + 1 :]).ok
        assert not verified([*lines[:position], lines[position], *lines[position:]]).ok
        if position + 1 < len(lines):
            swapped = [*lines[:position], lines[position + 1], lines[position], *lines[position + 2 :]]
            assert not verified(swapped).ok


def test_a_file_without_its_owners_cards_is_not_taken() -> None:
    log = full()
    lines = list(write_export(log.origin, log.leaves, log.heads, []))
    assert "signature" in kinds(verified(lines, threshold=0))


def test_a_revoked_owners_ledger_is_remarked() -> None:
    log = full()
    known = directory("plant", "first", "second")
    known.accept(cards.revoke(known.card(party("plant")), NOW + 4000, current=keys("plant")), LATER)
    lines = list(write_export(log.origin, log.leaves, log.heads, [known.chain(item) for item in known]))
    report = verified(lines)
    assert report.ok
    assert any("revoked" in remark for remark in report.remarks)


@pytest.mark.parametrize(
    "lines",
    [[], [b""], [b"{}\n"], [b"hello\n"], [b'{"type":"cloister/ledger-export@1"}\n'], [b"[1]\n"], [b"3\n"]],
)
def test_what_is_no_export_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(BadInput):
        read_export(lines)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                b'{"entry":3}',
                b'{"entry":{"hash":1,"index":0,"leaf":[]}}',
                b'{"checkpoint":3}',
                b'{"end":null}',
                b'{"entry":null}',
                b'{"entry":{"hash":"' + b"0" * 64 + b'","index":0,"spoiled":3}}',
                b"[]",
                b"{}",
                b'{"x":1}',
            ]
        ),
        max_size=4,
    )
)
def test_any_lines_after_the_first_are_reported_and_never_crash(more: list[bytes]) -> None:
    report = verified([EXPORTED[0], *(line + b"\n" for line in more)])
    assert not report.ok


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 29), st.integers(0, 10_000), st.integers(1, 255))
@example(6, 1467, 3)  # another date, later than those that follow: they are not what was changed
def test_a_byte_flipped_in_a_nodes_store_is_found_at_its_index_also_through_an_export(
    index: int, place: int, flip: int
) -> None:
    log = full()
    nodes = log.tree._store
    data = bytearray(log.leaves[index])
    data[place % len(data)] ^= flip
    log.leaves[index] = bytes(data)
    known = directory("plant", "first", "second")
    chains = [known.chain(item) for item in known]
    report = verified(list(write_export(log.origin, stored(log.leaves, nodes), log.heads, chains)))
    assert report.first_bad == index
    assert kinds(report) == {"changed"}
    plain = verified(list(write_export(log.origin, log.leaves, log.heads, chains)))
    assert plain.first_bad in {index, index // 10 * 10}


def test_a_line_without_end_is_refused_before_it_is_held() -> None:
    endless = io.BytesIO(b"x" * (MAX_LINE + 1))
    with pytest.raises(BadInput, match="line that is too large"):
        read_export(limited_lines(endless))
    assert list(limited_lines(io.BytesIO(b"".join(EXPORTED)))) == EXPORTED


def test_problems_are_limited_in_number() -> None:
    assert len(read_export([EXPORTED[0], *[b"junk\n"] * 500]).problems) <= 51


EXPORTED = lines_of(full())


def test_a_ledger_that_no_trusted_witness_saw_is_not_said_to_be_whole() -> None:
    """Its owner can leave out the newest entries and their checkpoints; only what others saw shows that."""
    log = Log()
    log.write(5)
    earlier = log.sign(NOW)
    log.write(5)
    log.sign(NOW)
    report = verify_ledger(
        [Stored(index, leaf) for index, leaf in enumerate(log.leaves[:5])],
        [earlier],
        origin=log.origin,
        log_keys=[keys(log.label).public],
    )
    assert report.ok
    assert any("would not be noticed" in remark for remark in report.remarks)
    assert any("would not be noticed" in line for line in report.words())
