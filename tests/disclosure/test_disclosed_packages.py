"""Sealed packages: whom they open for, and everything that keeps them shut."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.commitment import record_salt
from cloister.data.labels import Labels
from cloister.disclosure.documents import DAY, sign_disclosure
from cloister.disclosure.package import MAX_PACKAGE, Header, pack, read_header, require_usable, unpack
from cloister.disclosure.records import Contents, Picture, read_contents, write_contents
from cloister.disclosure.states import State
from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotTrusted, Refused
from cloister.identity.sealing import seal
from disclosure.disclosure_cases import (
    COLUMNS,
    NOW,
    SECRET,
    directory,
    disclosure,
    keys,
    package,
    party,
    pictures,
    png,
    rows,
)


def opened(data: bytes, who: str = "researcher", now: int = NOW):
    return unpack(data, party(who), keys(who), directory(), now)


@pytest.mark.parametrize("made", [pictures, rows])
def test_the_recipient_gets_exactly_the_records_and_the_signed_terms(made):
    found = opened(package(made()))
    assert found.contents == made()
    assert found.disclosure.purpose == "Tune the threshold"
    assert found.disclosure.records == made().leaves
    assert found.envelope.digest == read_header(package(made())).disclosure


def test_rows_come_back_as_the_values_that_were_registered():
    assert opened(package(rows())).contents.values() == [
        (0.0, 0, "é0", True, None),
        (0.5, -1, "é1", False, None),
        (1.0, -2, "é2", True, None),
    ]


def test_another_recipient_cannot_open_it():
    with pytest.raises(NotTrusted) as refused:
        opened(package(), "stranger")
    assert refused.value.clause == "disclosure-recipient"


def test_another_recipient_cannot_open_it_by_writing_its_own_name_on_it():
    data = package()
    header, sealed = _cut(data)
    for keyset in (header["keyset"], keys("stranger").public.keyset):
        forged = _joined({**header, "recipient": party("stranger"), "keyset": keyset}, sealed)
        with pytest.raises(NotTrusted):
            opened(forged, "stranger")


def test_every_part_of_the_header_is_bound_to_the_seal():
    header, sealed = _cut(package())
    with pytest.raises(NotTrusted) as refused:
        opened(_joined({**header, "disclosure": digest(b"another")}, sealed))
    assert refused.value.clause == "sealed"


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "Something else"},
        {"until": rfc3339(NOW + 300 * DAY)},
        {"recipient": "a" * 52},
        {"records": ["sha256:" + "2" * 64, "sha256:" + "3" * 64]},
        {"deletion_days": 30},
    ],
)
def test_altered_terms_are_refused_though_the_seal_is_right(change):
    """Whoever may seal (everybody: the key is public) cannot change what the owner signed."""
    document, data = disclosure()
    envelope = sign_disclosure(document, keys("owner"))
    altered = {**envelope.document(), **change}
    forged = type(envelope).from_json(
        {**envelope.model_dump(mode="json"), "payload": _b64(canonical(altered))}
    )
    with pytest.raises(NotTrusted) as refused:
        opened(_sealed(forged, data))
    assert refused.value.clause in ("signature", "disclosure-recipient")


def test_a_package_signed_by_somebody_else_than_its_owner_is_refused():
    with pytest.raises(NotTrusted) as refused:
        opened(package(signer="stranger"))
    assert refused.value.clause == "signature"


def test_a_disclosure_that_names_another_recipient_is_not_passed_on_by_sealing_it_anew():
    """The researcher opens a package and seals its content to a stranger: the owner's signature still names the researcher."""
    document, data = disclosure()
    envelope = sign_disclosure(document, keys("owner"))
    header = Header(
        recipient=party("stranger"), keyset=keys("stranger").public.keyset, disclosure=envelope.digest
    ).canonical()
    signed = envelope.encode()
    body = seal(struct.pack(">I", len(signed)) + signed + data, keys("stranger").public, header)
    with pytest.raises(NotTrusted) as refused:
        opened(struct.pack(">I", len(header)) + header + body, "stranger")
    assert refused.value.clause == "disclosure-recipient"


def test_it_opens_until_the_last_second_and_not_at_the_end():
    opened(package(), now=NOW + 7 * DAY - 1)
    with pytest.raises(Refused) as refused:
        opened(package(), now=NOW + 7 * DAY)
    assert refused.value.clause == "disclosure-expired"


def test_one_from_the_future_is_refused():
    with pytest.raises(NotTrusted) as refused:
        opened(package(), now=NOW - DAY)
    assert refused.value.clause == "disclosure-time"


def test_what_is_open_withdrawn_deleted_or_over_does_not_open_again():
    require_usable(State.OFFERED)
    with pytest.raises(Conflict):
        require_usable(State.RECEIVED)
    clauses = {}
    for state in set(State) - {State.OFFERED, State.RECEIVED}:
        with pytest.raises(Refused) as refused:
            require_usable(state)
        clauses[state] = refused.value.clause
    assert clauses[State.WITHDRAWN] == "disclosure-withdrawn"
    assert clauses[State.DELETED] == "disclosure-deleted"


def test_other_records_than_those_that_were_named_are_refused():
    """The owner signs one thing and packs another; or swaps a salt, a picture, its labels, or the order."""
    document, _ = disclosure(pictures(3))
    first, second, third = pictures(3).pictures
    moved = Labels(((9.0, 9.0),), (1.0,))
    for others in (
        (first, second, Picture(third.salt, png(99), third.labels)),
        (first, second, Picture(first.salt, third.file, third.labels)),
        (first, second, Picture(third.salt, third.file, moved)),
        (first, Picture(second.salt, second.file, moved), third),
        (second, first, third),
    ):
        data = write_contents(Contents(pictures=others))
        signed = document.model_copy(update={"contents": digest(data), "bytes": len(data)})
        with pytest.raises(NotTrusted) as refused:
            read_contents(data, signed)
        assert refused.value.clause == "disclosed-records"


def test_a_name_or_a_path_in_the_list_of_records_is_refused():
    for name in ("../../etc/cron.d/x", "/etc/passwd", "a.png"):
        with pytest.raises(BadInput):
            _with_head(lambda head, name=name: head["records"][0].update(name=name))
    with pytest.raises(BadInput):
        _with_head(lambda head: head.update(folder="../x"))


def test_counts_and_sizes_that_lie_are_refused_before_anything_is_read():
    for change in (
        lambda head: head.update(records=head["records"] * 2000),
        lambda head: head["records"][0].update(bytes=1 << 40),
        lambda head: head["records"][0].update(bytes=(1 << 28) - 1),
        lambda head: head["records"][0].update(bytes=0),
        lambda head: head["records"][0].update(bytes=-1),
        lambda head: head["records"][0].update(labels=1 << 60),
        lambda head: head.update(records=[]),
        lambda head: head.update(kind="table"),
        lambda head: head.update(columns=[{"name": "x", "kind": "real"}]),
    ):
        with pytest.raises(BadInput):
            _with_head(change)
    with pytest.raises(BadInput):
        opened(struct.pack(">I", 0xFFFFFFFF) + b"x" * 4000)
    with pytest.raises(BadInput):
        opened(b"\0" * (MAX_PACKAGE + 1))


def test_a_picture_whose_header_promises_billions_of_pixels_is_refused_undecoded(careless):
    bomb = bytearray(png())
    bomb[16:24] = struct.pack(">II", 200_000, 200_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    found = Contents(pictures=(Picture(record_salt(SECRET, 0), bytes(bomb)),))
    data = careless(found)
    with pytest.raises(BadInput, match="too many pixels"):
        opened(data)


@pytest.fixture
def careless(monkeypatch):
    """Packs what the writer would refuse."""

    def made(contents):
        with monkeypatch.context() as patch:
            patch.setattr("cloister.disclosure.records.is_bare", lambda *_: True)
            return package(contents)

    return made


def test_a_picture_that_carries_more_than_pixels_is_neither_written_nor_read(careless):
    for more in (png() + b"behind", png(form="TIFF"), png(form="BMP")):
        found = Contents(pictures=(Picture(record_salt(SECRET, 0), more),))
        with pytest.raises(BadInput, match="more than its pixels"):
            package(found)
        with pytest.raises(BadInput, match="more than its pixels"):
            opened(careless(found))


def test_pixels_out_of_another_file_bring_its_leaf_and_no_salt():
    leaf = "sha256:" + "7" * 64
    found = Contents(pictures=(Picture(None, png(4), None, leaf),))
    got = opened(package(found))
    assert got.disclosure.records == (leaf,)
    assert got.contents.pictures == found.pictures
    assert record_salt(SECRET, 0).hex().encode() not in write_contents(found)


def test_a_record_has_a_salt_or_a_leaf_and_a_row_its_salt():
    leaf = "sha256:" + "7" * 64
    for change in ({"salt": None}, {"leaf": leaf}, {"salt": None, "leaf": None}):
        with pytest.raises(BadInput):
            _with_head(lambda head, change=change: head["records"][0].update(change))
    with pytest.raises(BadInput):
        _with_head(lambda head: head["records"][0].update(salt=None, leaf=leaf), rows())


def test_a_file_that_is_no_picture_is_refused(careless):
    for data in (b"#!/bin/sh\nrm -rf /\n", b"MZ" + b"\0" * 100, b"<svg/>"):
        found = Contents(pictures=(Picture(record_salt(SECRET, 0), data),))
        with pytest.raises(BadInput):
            package(found)
        with pytest.raises(BadInput):
            opened(careless(found))


def test_a_row_that_does_not_fit_its_columns_is_refused():
    found = rows()
    other = Contents(rows=found.rows, columns=(*COLUMNS[:-1], COLUMNS[0].model_copy(update={"name": "z"})))
    with pytest.raises(BadInput):
        opened(package(other))


def test_no_owner_purpose_dataset_or_date_can_be_read_off_a_sealed_package():
    data = package()
    for told in (party("owner"), "Tune the threshold", "photos", rfc3339(NOW + 7 * DAY), "PNG"):
        assert told.encode() not in data
    assert set(_cut(data)[0]) == {"type", "recipient", "keyset", "disclosure"}


def test_the_signed_disclosure_cannot_be_matched_with_a_guessed_record():
    """Its digests are salted: whoever holds the document and the very picture finds neither in the other."""
    document, _ = disclosure()
    text = document.canonical().decode()
    for picture in pictures().pictures:
        assert digest(picture.file) not in text
        assert picture.salt.hex() not in text


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_survives_and_nothing_but_an_error_comes_of_it(data):
    whole = bytearray(package(rows()))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CloisterError):
        opened(bytes(whole))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.integers(0, 3000).map(lambda size: package(rows())[:size]))
def test_any_other_bytes_are_refused_and_never_crash(data):
    with pytest.raises(CloisterError):
        opened(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_parser_of_records_takes_one_form_only(data):
    """Bytes that an owner signed but did not write by these rules: either the very same records, or refused."""
    document, good = disclosure(rows())
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    signed = document.model_copy(update={"contents": digest(bytes(changed))})
    with contextlib.suppress(CloisterError):
        found = read_contents(bytes(changed), signed)
        assert write_contents(found) == bytes(changed)
        assert found.leaves == document.records


def test_what_is_packed_must_be_what_is_named():
    document, data = disclosure()
    envelope = sign_disclosure(document, keys("owner"))
    with pytest.raises(BadInput):
        pack(envelope, document, data, keys("stranger").public)
    with pytest.raises(BadInput):
        pack(envelope, document, data + b"x", keys("researcher").public)


def _b64(data: bytes) -> str:
    from cloister.identity.keys import b64

    return b64(data)


def _cut(data: bytes):
    (size,) = struct.unpack_from(">I", data)
    return parse_canonical(data[4 : 4 + size]), data[4 + size :]


def _joined(header, sealed: bytes) -> bytes:
    raw = canonical(header)
    return struct.pack(">I", len(raw)) + raw + sealed


def _sealed(envelope, contents: bytes) -> bytes:
    header = Header(
        recipient=party("researcher"), keyset=keys("researcher").public.keyset, disclosure=envelope.digest
    ).canonical()
    signed = envelope.encode()
    body = seal(struct.pack(">I", len(signed)) + signed + contents, keys("researcher").public, header)
    return struct.pack(">I", len(header)) + header + body


def _with_head(change, contents=None):
    """Opens a package of an owner that signed a list of records changed by `change`."""
    document, data = disclosure(contents)
    (size,) = struct.unpack_from(">I", data)
    head = parse_canonical(data[4 : 4 + size])
    change(head)
    raw = canonical(head)
    made = struct.pack(">I", len(raw)) + raw + data[4 + size :]
    signed = document.model_copy(update={"contents": digest(made), "bytes": len(made)})
    return opened(_sealed(sign_disclosure(signed, keys("owner")), made))
