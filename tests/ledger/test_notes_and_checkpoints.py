"""Signed notes, checkpoints and cosignatures against published examples, and against hostile bytes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_parties import NOW, Log, full, keys, party

from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity.keys import b64, unb64
from cloister.ledger import checkpoints, notes
from cloister.ledger.checkpoints import Checkpoint, cosignature, cosigned_at, verify_checkpoint, witness_name
from cloister.ledger.notes import COSIGNATURE_ED25519, ED25519, MLDSA65, Line, Note, key_id, verifier_key
from cloister.ledger.tree import EMPTY_ROOT

# The example key and note of the Go implementation of signed notes.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = unb64("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_NOTE = GO_TEXT + (
    "\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of c2sp.org/tlog-cosignature.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
# The public checksum database's key, whose tree of 20852163 entries that example shows under another name.
SUMDB_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_the_go_implementations_note_is_read_verified_and_written_the_same() -> None:
    note = Note.parse(GO_NOTE.encode())
    assert note.text == GO_TEXT
    assert note.encode() == GO_NOTE.encode()
    public = unb64(GO_KEY.split("+", 2)[2])[1:]
    assert verifier_key("PeterNeumann", ED25519, public) == GO_KEY
    (signature,) = note.by("PeterNeumann", key_id("PeterNeumann", ED25519, public))
    notes.verify_ed25519(public, signature, GO_TEXT.encode())
    secret = Ed25519PrivateKey.from_private_bytes(GO_SEED)
    assert secret.public_key().public_bytes_raw() == public
    assert secret.sign(GO_TEXT.encode()) == signature


def test_the_specifications_checkpoint_is_read() -> None:
    note = Note.parse(C2SP_NOTE.encode())
    assert note.encode() == C2SP_NOTE.encode()
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == note.text
    # The cosignature's time is the one that the specification's message shows.
    assert int.from_bytes(note.lines[1].signature[:8], "big") == 1679315147


def test_a_public_logs_signature_verifies() -> None:
    name, identity, encoded = SUMDB_KEY.split("+", 2)
    public = unb64(encoded)[1:]
    assert key_id(name, ED25519, public).hex() == identity
    line = Note.parse(C2SP_NOTE.encode()).lines[0]
    assert line.key_id.hex() == identity
    text = "go.sum database tree\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    notes.verify_ed25519(public, line.signature, text.encode())


def test_key_ids_tell_name_algorithm_and_key_apart() -> None:
    public = bytes(32)
    ids = {
        key_id(name, kind, key)
        for name in ("a", "b")
        for kind in (ED25519, COSIGNATURE_ED25519, MLDSA65, notes.COSIGNATURE_MLDSA65)
        for key in (public, bytes(31) + b"\x01")
    }
    assert len(ids) == 16


def test_a_checkpoint_needs_both_of_the_logs_signatures() -> None:
    log = Log()
    log.write(3)
    note = log.sign()
    public = [keys("plant").public]
    assert verify_checkpoint(note, log.origin, public).size == 3
    for kept in note.lines:
        with pytest.raises(NotTrusted):
            verify_checkpoint(Note(note.text, (kept,)), log.origin, public)
    with pytest.raises(NotTrusted):
        verify_checkpoint(note, log.origin, [keys("other").public])
    with pytest.raises(NotTrusted):
        verify_checkpoint(note, log.origin, [])
    with pytest.raises(NotTrusted):
        verify_checkpoint(note, log.origin + "x", public)


def test_a_wrong_line_by_a_known_key_spoils_the_note_and_unknown_lines_do_not() -> None:
    log = Log()
    log.write(3)
    note, public = log.sign(), keys("plant").public
    stranger = Line("someone.example/key", b"abcd", b"anything")
    verify_checkpoint(note.with_lines([stranger]), log.origin, [public])
    bad = Line(log.origin, note.lines[0].key_id, bytes(64))
    with pytest.raises(NotTrusted):
        verify_checkpoint(note.with_lines([bad]), log.origin, [public])


def test_a_rotated_logs_old_checkpoints_still_verify() -> None:
    log = Log()
    log.write(3)
    assert verify_checkpoint(log.sign(), log.origin, [keys("other").public, keys("plant").public]).size == 3


def test_a_cosignature_counts_with_both_algorithms_and_one_time() -> None:
    log = Log()
    log.write(3)
    note = log.sign()
    name, secret = witness_name(party("first")), keys("first")
    lines = cosignature(note, name, secret, NOW)
    assert cosigned_at(note, name, [secret.public]) is None
    assert cosigned_at(note.with_lines(lines), name, [secret.public]) == NOW
    assert cosigned_at(note.with_lines(lines), witness_name(party("second")), [secret.public]) is None
    for line in lines:
        assert cosigned_at(note.with_lines([line]), name, [secret.public]) is None
    other = cosignature(note, name, secret, NOW + 1)
    assert cosigned_at(note.with_lines([lines[0], other[1]]), name, [secret.public]) is None
    assert cosigned_at(note.with_lines([*lines, *other]), name, [secret.public]) == NOW + 1


def test_the_ed25519_cosignature_signs_the_specifications_message() -> None:
    note = Note.parse(C2SP_NOTE.encode())
    line = cosignature(note, "witness.example.com/w1", keys("first"), 1679315147)[0]
    message = b"cosignature/v1\ntime 1679315147\n" + note.text.encode()
    notes.verify_ed25519(unb64(keys("first").public.ed25519), line.signature[8:], message)


def test_a_cosignature_for_another_checkpoint_time_or_name_does_not_hold() -> None:
    log = Log()
    log.write(3)
    note = log.sign()
    name, secret = witness_name(party("first")), keys("first")
    lines = cosignature(note, name, secret, NOW)
    log.write(1)
    with pytest.raises(NotTrusted):
        cosigned_at(log.sign().with_lines(lines), name, [secret.public])
    moved = Line(name, lines[0].key_id, (NOW + 9).to_bytes(8, "big") + lines[0].signature[8:])
    with pytest.raises(NotTrusted):
        cosigned_at(note.with_lines([moved, lines[1]]), name, [secret.public])
    huge = Line(name, lines[0].key_id, b"\xff" * 8 + lines[0].signature[8:])
    with pytest.raises(NotTrusted):
        cosigned_at(note.with_lines([huge]), name, [secret.public])


def test_a_cosigned_checkpoint_survives_its_bytes() -> None:
    note = full().heads[-1]
    assert Note.parse(note.encode()) == note
    assert len(note.lines) == 2 + 2 + 2 * 2


ROOT = b64(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"a\n3\n{ROOT}",
        f"\n3\n{ROOT}\n",
        f"a\n03\n{ROOT}\n",
        f"a\n-3\n{ROOT}\n",
        f"a\n+3\n{ROOT}\n",
        f"a\n\u0663\n{ROOT}\n",
        f"a\n3.0\n{ROOT}\n",
        f"a\n{10**16}\n{ROOT}\n",
        f"a\n999999999999999\n{ROOT}\n",
        f"a\n0\n{ROOT}\n",
        f"a\n3\n{ROOT}\n\n",
        f"a\n3\n\nx\n{ROOT}\n",
        f"a\n3\n{b64(bytes(31))}\n",
        "a\n3\n!!!\n",
        f"a b\n3\n{ROOT}\n",
        f"a+b\n3\n{ROOT}\n",
        f"a\u202eb\n3\n{ROOT}\n",
        "a\n3\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Checkpoint.parse(text)


def test_an_empty_log_has_a_checkpoint_and_extension_lines_are_kept() -> None:
    empty = Checkpoint("log", 0, EMPTY_ROOT)
    assert Checkpoint.parse(empty.text) == empty
    extended = Checkpoint("log", 1, bytes(32), ("one", "two three"))
    assert Checkpoint.parse(extended.text) == extended


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\xff\n",
        "text\n\n\u2014 name AAAA\n".encode(),
        "text\n\n\u2014 name AAAAAAA\n".encode(),
        b"text\n\n- name AAAAAAAA\n",
        "text\n\n\u2014  AAAAAAAA\n".encode(),
        "text\n\n\u2014 na+me AAAAAAAA\n".encode(),
        "text\n\n\u2014 a b AAAAAAAA\n".encode(),
        "text\n\n\u2014 name AAAAAAAA".encode(),
        "te\rxt\n\n\u2014 name AAAAAAAA\n".encode(),
        "te\x00xt\n\n\u2014 name AAAAAAAA\n".encode(),
        ("text\n\n" + "\u2014 name AAAAAAAA\n" * 101).encode(),
        ("x" * 20_000 + "\n\n\u2014 name AAAAAAAA\n").encode(),
        b"x" * (notes.MAX_NOTE + 1),
    ],
)
def test_a_malformed_note_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        Note.parse(data)


def test_at_least_sixteen_signers_fit_in_a_note() -> None:
    log = Log()
    log.write(1)
    note = log.sign(NOW)
    lines = cosignature(note, "witness", keys("first"), NOW)
    many = note.with_lines(
        Line(f"witness-{i}", line.key_id, line.signature) for i in range(40) for line in lines
    )
    assert len(Note.parse(many.encode()).lines) == 84


@settings(max_examples=250, deadline=None)
@given(
    st.binary(max_size=120)
    | st.text(alphabet="a1+ \n\u2014=/\u00a0\u202e\ud7ff", max_size=60).map(str.encode)
    | st.lists(
        st.sampled_from(["text\n", "\n", "\u2014 ", "name ", "AAAAAAAA", "3\n", "\n\n"]), max_size=12
    ).map(lambda x: "".join(x).encode())
)
def test_any_bytes_are_a_note_written_back_the_same_or_refused(data: bytes) -> None:
    try:
        note = Note.parse(data)
    except CloisterError:
        return
    assert note.encode() == data
    try:
        checkpoint = Checkpoint.parse(note.text)
    except CloisterError:
        return
    assert checkpoint.text == note.text


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_cosigned_checkpoint_with_any_byte_changed_is_refused_or_loses_that_line(
    data: st.DataObject,
) -> None:
    log = full()
    good = log.heads[-1].encode()
    position = data.draw(st.integers(0, 100_000)) % len(good)
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    names = {witness_name(party(label)): [keys(label).public] for label in ("first", "second")}
    try:
        note = Note.parse(bytes(bad))
        verify_checkpoint(note, log.origin, [keys("plant").public])
        held = [cosigned_at(note, name, public) for name, public in names.items()]
        held.append(cosigned_at(note, log.origin, [keys("plant").public]))
    except CloisterError:
        return
    assert None in held


def test_names_tell_the_party_and_nothing_else() -> None:
    fingerprint = party("plant")
    assert checkpoints.party_of(checkpoints.ledger_origin(fingerprint)) == fingerprint
    assert checkpoints.party_of(witness_name(fingerprint)) == fingerprint
    for name in ("", "cloister/ledger/", "example.com/log", "cloister/ledger/" + "A" * 52):
        with pytest.raises(BadInput):
            checkpoints.party_of(name)


def test_a_time_out_of_range_is_not_signed() -> None:
    log = Log()
    for time in (-1, 1 << 40):
        with pytest.raises(BadInput):
            log.sign(time)
