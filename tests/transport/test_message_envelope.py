"""Every rule of `transport.envelope`, by name."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted, Refused
from cloister.identity.keys import SecretKeys
from cloister.transport import envelope
from cloister.transport.envelope import Limits

NOW = 1_800_000_000
SECRET = b"nine hundred crystals"


@pytest.fixture
def pack(members, book):
    def pack(sender="anna", recipient="bert", **fields):
        fields = {"method": "task.message", "key": "k1", "body": SECRET, "deadline": NOW + 60, **fields}
        fields.setdefault("keys", members[sender].keys)
        return envelope.pack(sender=members[sender].id, recipient=members[recipient].id, peers=book, **fields)

    return pack


@pytest.fixture
def open_(members, book):
    def open_(frame, who="bert", now=NOW, **fields):
        return envelope.open_(
            frame, party=members[who].id, keys=[members[who].keys], peers=book, now=now, **fields
        )

    return open_


def parts(frame: bytes) -> tuple[dict, bytes, bytes]:
    length = int.from_bytes(frame[4:8], "big")
    rest = frame[8 + length :]
    return parse(frame[8 : 8 + length]), rest[:3373], rest[3373:]


def join(header: dict, signature: bytes, sealed: bytes) -> bytes:
    encoded = canonical(header)
    return b"CLM1" + len(encoded).to_bytes(4, "big") + encoded + signature + sealed


def test_a_message_opens_as_it_was_packed(pack, open_):
    header, frame = pack(sequence=7)
    opened = open_(frame)
    assert (opened.header, opened.method, opened.key, opened.content) == (
        header,
        "task.message",
        "k1",
        "body",
    )
    assert opened.body == SECRET
    assert opened.header.sequence == 7


def test_the_relay_reads_neither_body_nor_method_nor_key(pack):
    _, frame = pack(key="a-telling-key")
    for hidden in (SECRET, b"task.message", b"a-telling-key"):
        assert hidden not in frame


def test_a_message_over_the_limit_is_refused_before_parsing(pack, open_):
    _, frame = pack(body=b"x" * 5000)
    with pytest.raises(BadInput) as error:
        open_(frame, limits=Limits(frame=4000))
    assert error.value.detail["clause"] == "size"


def test_a_message_cut_short_or_lengthened_is_refused(pack, open_):
    _, frame = pack()
    for wrong in (b"", frame[:3], frame[:8], frame[:400], frame[:-1], frame + b"\x00", b"XXXX" + frame[4:]):
        with pytest.raises((BadInput, NotTrusted)):
            open_(wrong)


def test_an_unknown_version_is_refused(pack, open_):
    header, signature, sealed = parts(pack()[1])
    with pytest.raises(BadInput) as error:
        open_(join({**header, "version": 2}, signature, sealed))
    assert error.value.detail["clause"] == "version"


def test_a_header_that_is_not_canonical_is_refused(pack, open_):
    header, signature, sealed = parts(pack()[1])
    encoded = canonical(header).replace(b",", b", ", 1)
    frame = b"CLM1" + len(encoded).to_bytes(4, "big") + encoded + signature + sealed
    with pytest.raises(BadInput):
        open_(frame)


def test_a_message_for_another_party_is_refused(pack, open_):
    with pytest.raises(NotTrusted) as error:
        open_(pack()[1], who="carl")
    assert error.value.clause == "recipient"


def test_a_message_readdressed_by_the_relay_is_refused(pack, open_, members):
    header, signature, sealed = parts(pack()[1])
    header |= {"recipient": members["carl"].id, "recipient_keys": members["carl"].keys.public.keyset}
    with pytest.raises(NotTrusted) as error:
        open_(join(header, signature, sealed), who="carl")
    assert error.value.clause == "signature"


def test_a_message_to_keys_no_longer_used_is_refused(pack, members, book):
    _, frame = pack()
    with pytest.raises(NotTrusted) as error:
        envelope.open_(frame, party=members["bert"].id, keys=[SecretKeys.generate()], peers=book, now=NOW)
    assert error.value.clause == "recipient-keys"


def test_a_message_to_the_keys_before_rotation_still_opens(pack, members, book):
    _, frame = pack()
    keys = [SecretKeys.generate(), members["bert"].keys]
    assert envelope.open_(frame, party=members["bert"].id, keys=keys, peers=book, now=NOW).body == SECRET


def test_a_message_after_its_deadline_is_refused(pack, open_):
    _, frame = pack()
    assert open_(frame, now=NOW + 60 + 120).body == SECRET
    with pytest.raises(Refused) as error:
        open_(frame, now=NOW + 60 + 121)
    assert error.value.clause == "deadline"


def test_a_deadline_too_far_ahead_is_refused(pack, open_):
    _, frame = pack(deadline=NOW + 48 * 3600)
    with pytest.raises(Refused) as error:
        open_(frame)
    assert error.value.clause == "deadline"


def test_a_sealed_part_of_another_message_is_refused(pack, open_):
    header, signature, _ = parts(pack()[1])
    other = parts(pack(body=b"ten hundred crystals!")[1])[2]
    with pytest.raises(NotTrusted) as error:
        open_(join(header, signature, other))
    assert error.value.clause == "digest"


def test_an_unknown_sender_is_refused(pack, open_, members, book):
    _, frame = pack()
    del book.known[members["anna"].id]
    with pytest.raises(NotTrusted):
        open_(frame)


def test_a_sender_that_rotated_its_keys_is_refused_under_the_old_ones(pack, open_, members, book):
    _, frame = pack()
    book.known[members["anna"].id] = SecretKeys.generate().public
    with pytest.raises(NotTrusted) as error:
        open_(frame)
    assert error.value.clause == "sender-keys"


def test_a_forged_sender_is_refused(pack, open_, members):
    _, frame = pack(keys=members["carl"].keys)
    header, signature, sealed = parts(frame)
    with pytest.raises(NotTrusted) as error:
        open_(frame)
    assert error.value.clause == "sender-keys"
    header["sender_keys"] = members["anna"].keys.public.keyset
    with pytest.raises(NotTrusted) as error:
        open_(join(header, signature, sealed))
    assert error.value.clause == "signature"


def test_half_a_signature_is_refused(pack, open_, members):
    header, signature, sealed = parts(pack()[1])
    other = members["carl"].keys.sign(envelope.DOMAIN + canonical(header)).encode()
    for mixed in (signature[:64] + other[64:], other[:64] + signature[64:]):
        with pytest.raises(NotTrusted) as error:
            open_(join(header, mixed, sealed))
        assert error.value.clause == "signature"


def test_a_signature_of_another_domain_is_refused(pack, open_, members):
    header, _, sealed = parts(pack()[1])
    plain = members["anna"].keys.sign(canonical(header)).encode()
    with pytest.raises(NotTrusted):
        open_(join(header, plain, sealed))


def test_a_sealed_part_re_signed_under_another_header_does_not_open(pack, open_, members):
    """Carl takes what Anna sealed to Bert and signs it as his own; he must not pass as its author."""
    header, _, sealed = parts(pack()[1])
    header |= {"sender": members["carl"].id, "sender_keys": members["carl"].keys.public.keyset}
    signature = members["carl"].keys.sign(envelope.DOMAIN + canonical(header)).encode()
    with pytest.raises(NotTrusted) as error:
        open_(join(header, signature, sealed))
    assert error.value.clause == "sealed"


def test_an_answer_counts_only_for_its_request(pack, members, book):
    request, _ = pack()

    def answer(**fields):
        return pack(sender="bert", recipient="anna", reply_to=fields.pop("reply_to", request.id), **fields)[1]

    def read(frame, of=request, method="task.message", key="k1"):
        return envelope.open_answer(frame, of, method, key, keys=[members["anna"].keys], peers=book, now=NOW)

    assert read(answer()).body == SECRET
    for wrong in (
        answer(reply_to=envelope.fresh()),
        answer(reply_to=""),
        answer(key="k2"),
        answer(method="x"),
    ):
        with pytest.raises(NotTrusted) as error:
            read(wrong)
        assert error.value.clause == "answer"
    with pytest.raises(NotTrusted):
        read(pack(sender="carl", recipient="anna", reply_to=request.id)[1])


def test_methods_and_keys_that_the_format_does_not_allow_are_refused(pack):
    for fields in ({"method": "Task"}, {"method": ""}, {"key": ""}, {"key": "a b"}, {"key": "k" * 257}):
        with pytest.raises(BadInput):
            pack(**fields)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(pack, open_, data):
    _, frame = pack()
    at = data.draw(st.one_of(st.integers(0, 700), st.integers(0, len(frame) - 1)))
    changed = bytearray(frame)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CloisterError):
        open_(bytes(changed))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_foreign_bytes_raise_nothing_but_our_errors(pack, open_, data):
    _, frame = pack()
    noise = data.draw(st.binary(max_size=64))
    at = data.draw(st.integers(0, len(frame)))
    cut = data.draw(st.integers(0, 64))
    for foreign in (noise, b"CLM1" + noise, frame[:at] + noise + frame[at + cut :]):
        if foreign != frame:
            with pytest.raises(CloisterError):
                open_(foreign)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000))
def test_any_body_comes_back_whole(pack, open_, body):
    assert open_(pack(body=body)[1]).body == body
