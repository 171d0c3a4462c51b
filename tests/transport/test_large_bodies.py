"""Every rule of `transport.blobs`, by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, OutOfSpace, Tampered
from cloister.transport import blobs
from cloister.transport.blobs import CHUNK, GONE, Offer, Pull, Shelf

NOW = 1_800_000_000


@pytest.fixture
def shelf(tmp_path):
    shelf = Shelf(tmp_path / "blobs")
    yield shelf
    shelf.close()


def offered(shelf: Shelf, body: bytes, recipient="bert") -> Offer:
    return shelf.offer(recipient, body, expires=NOW + 60, now=NOW)


def pulled(shelf: Shelf, offer: Offer, recipient="bert") -> bytes:
    pull = Pull(offer, 1 << 30)
    for index in pull.missing:
        pull.take(index, shelf.answer(recipient, pull.ask(index)))
    return pull.finish()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 6 * CHUNK])
def test_a_body_comes_back_whole(shelf, size):
    body = bytes(index % 251 for index in range(size % 1000)) + bytes(size - size % 1000)
    assert pulled(shelf, offered(shelf, body)) == body


def test_what_lies_on_disk_is_ciphertext_and_goes_away(tmp_path):
    shelf = Shelf(tmp_path / "blobs", in_memory=0)
    body = b"nine hundred crystals " * 300_000
    offer = offered(shelf, body)
    files = list((tmp_path / "blobs").iterdir())
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o077 == 0
    assert b"crystals" not in files[0].read_bytes()
    assert offer.key.encode() not in files[0].read_bytes()
    pull = Pull(offer, 1 << 30)
    shelf.answer("bert", pull.done)
    assert not list((tmp_path / "blobs").iterdir())
    shelf.close()


def test_what_is_held_in_memory_is_bounded_and_the_rest_goes_to_disk(tmp_path):
    shelf = Shelf(tmp_path / "blobs", in_memory=2 * CHUNK)
    body = b"crystal" * (CHUNK // 4)
    first, second = offered(shelf, body), offered(shelf, body)
    assert len(list((tmp_path / "blobs").iterdir())) == 1
    assert pulled(shelf, first) == pulled(shelf, second) == body
    shelf.withdraw(first.id)
    assert pulled(shelf, offered(shelf, body)) == body
    assert len(list((tmp_path / "blobs").iterdir())) == 1
    shelf.close()


def test_a_chunk_asked_for_again_is_the_same_ciphertext_and_never_the_body(shelf):
    offer = offered(shelf, b"nine hundred crystals " * 3000)
    ask = Pull(offer, 1 << 30).ask(0)
    assert shelf.answer("bert", ask) == shelf.answer("bert", ask)
    assert b"crystals" not in shelf.answer("bert", ask)


def test_chunks_may_come_in_any_order_and_again(shelf):
    body = bytes(5 * CHUNK) + b"end"
    offer = offered(shelf, body)
    pull = Pull(offer, 1 << 30)
    for index in (5, 2, 2, 0, 4, 1, 5, 3, 0):
        pull.take(index, shelf.answer("bert", pull.ask(index)))
    assert pull.missing == []
    assert pull.finish() == body


def test_a_changed_chunk_leaves_its_place_open_for_the_true_one(shelf):
    body = bytes(range(256)) * (2 * CHUNK // 256)
    offer = offered(shelf, body)
    pull = Pull(offer, 1 << 30)
    true = [shelf.answer("bert", pull.ask(index)) for index in range(2)]
    pull.take(0, true[0])
    for index in range(2):
        changed = bytearray(true[index])
        changed[100] ^= 1
        if index == 0:
            pull.take(index, bytes(changed))  # it is here already; nothing touches it any more
        else:
            with pytest.raises(Tampered):
                pull.take(index, bytes(changed))
    assert pull.missing == [1]
    pull.take(1, true[1])
    assert pull.finish() == body


def test_a_body_is_handed_over_as_it_was_pulled_without_another_copy(shelf):
    offer = offered(shelf, b"x" * (3 * CHUNK))
    pull = Pull(offer, 1 << 30)
    for index in pull.missing:
        pull.take(index, shelf.answer("bert", pull.ask(index)))
    whole = pull.finish()
    assert whole is pull._whole.getvalue()
    assert type(whole) is bytes


def test_a_digest_that_is_passed_along_wrongly_is_noticed_by_the_recipient(shelf):
    offer = shelf.offer("bert", b"body", expires=NOW + 60, now=NOW, known="sha256:" + "0" * 64)
    with pytest.raises(NotTrusted):
        pulled(shelf, offer)


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_what_lies_beside_an_offer_comes_back_and_foreign_bytes_are_refused(data):
    offer = Offer(id="ab" * 32, key="A" * 43 + "=", size=5, digest="sha256:" + "0" * 64)
    assert blobs.take_apart(blobs.put_beside(offer, data)) == (offer, data)
    with pytest.raises(BadInput):
        blobs.take_apart(data)


def test_only_the_recipient_is_given_a_chunk(shelf):
    offer = offered(shelf, b"x" * 10)
    pull = Pull(offer, 100)
    assert shelf.answer("carl", pull.ask(0)) == GONE
    shelf.answer("carl", pull.done)
    assert shelf.holds(offer.id)
    with pytest.raises(NotFound):
        pulled(shelf, offer, "carl")


def test_each_offer_has_its_own_key(shelf):
    one, two = offered(shelf, b"same"), offered(shelf, b"same")
    assert one.key != two.key
    pull = Pull(one, 100)
    with pytest.raises(Tampered):
        pull.take(0, shelf.answer("bert", Pull(two, 100).ask(0)))


def test_chunks_cannot_be_swapped(shelf):
    offer = offered(shelf, bytes(CHUNK) + bytes(CHUNK))
    pull = Pull(offer, 1 << 30)
    with pytest.raises(Tampered):
        pull.take(0, shelf.answer("bert", pull.ask(1)))


def test_a_chunk_of_a_shortened_body_does_not_fit(shelf):
    offer = offered(shelf, bytes(2 * CHUNK))
    shorter = offer.model_copy(update={"size": CHUNK})
    pull = Pull(shorter, 1 << 30)
    with pytest.raises(Tampered):
        pull.take(0, shelf.answer("bert", pull.ask(0)))


def test_a_body_with_another_digest_is_refused(shelf):
    offer = offered(shelf, b"x").model_copy(update={"digest": "sha256:" + "0" * 64})
    with pytest.raises(NotTrusted):
        pulled(shelf, offer)


def test_an_incomplete_body_is_refused(shelf):
    offer = offered(shelf, bytes(2 * CHUNK))
    pull = Pull(offer, 1 << 30)
    pull.take(1, shelf.answer("bert", pull.ask(1)))
    assert pull.missing == [0]
    with pytest.raises(NotTrusted):
        pull.finish()


def test_an_offer_over_the_limit_is_refused_before_pulling(shelf):
    offer = offered(shelf, bytes(100))
    with pytest.raises(BadInput) as error:
        Pull(offer, 99)
    assert error.value.detail["clause"] == "size"


def test_offers_end_at_expiry(shelf):
    offer = offered(shelf, b"x")
    shelf.expire(NOW + 60)
    assert shelf.holds(offer.id)
    shelf.expire(NOW + 61)
    assert not shelf.holds(offer.id)
    with pytest.raises(NotFound):
        pulled(shelf, offer)


def test_a_full_shelf_refuses_and_holds_what_it_had(tmp_path):
    shelf = Shelf(tmp_path, limit=100, share=100)
    offer = offered(shelf, bytes(60))
    with pytest.raises(OutOfSpace):
        offered(shelf, bytes(60))
    assert pulled(shelf, offer) == bytes(60)
    shelf.withdraw(offer.id)
    offered(shelf, bytes(100))
    shelf.close()


@pytest.mark.parametrize("bounds", [{"share": 100}, {"offers": 2}])
def test_rule_5_who_does_not_fetch_keeps_nothing_from_the_others(tmp_path, bounds):
    shelf = Shelf(tmp_path, limit=1000, **bounds)
    first = offered(shelf, bytes(50), "carl")
    offered(shelf, bytes(50), "carl")
    with pytest.raises(OutOfSpace):
        offered(shelf, bytes(50), "carl")
    assert pulled(shelf, offered(shelf, bytes(60))) == bytes(60)
    shelf.withdraw(first.id)
    offered(shelf, bytes(50), "carl")
    shelf.close()


def test_rule_7_the_same_answer_is_offered_once_and_ends_when_each_was_fetched(shelf):
    def shared(recipient="bert"):
        return shelf.offer(recipient, b"model", expires=NOW + 60, now=NOW, shared=True)

    one = shared()
    assert shared() == one
    assert shared("carl").id != one.id
    assert offered(shelf, b"model").id != one.id
    assert shelf.lend(one.id)
    done = Pull(one, 100).done
    for _ in range(2):
        assert pulled(shelf, one) == b"model"
        shelf.answer("bert", done)
    assert shelf.holds(one.id)
    shelf.answer("bert", done)
    assert not shelf.holds(one.id)
    assert not shelf.lend(one.id)


def test_files_left_by_a_killed_process_are_removed(tmp_path):
    (tmp_path / "left.blob").write_bytes(b"x")
    Shelf(tmp_path).close()
    assert not list(tmp_path.iterdir())


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=80))
def test_foreign_asks_are_answered_by_nothing(ask):
    shelf = Shelf()
    shelf.offer("bert", b"x", expires=NOW, now=NOW)
    assert shelf.answer("bert", ask) in {GONE, blobs.GIVEN}
    shelf.close()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_foreign_offers_raise_nothing_but_our_errors(data):
    with pytest.raises(CloisterError):
        Offer.decode(data)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_chunk_is_noticed(at, bit):
    shelf = Shelf()
    offer = shelf.offer("bert", b"y" * 200, expires=NOW, now=NOW)
    pull = Pull(offer, 1000)
    reply = bytearray(shelf.answer("bert", pull.ask(0)))
    reply[at % len(reply)] ^= 1 << bit
    with pytest.raises((Tampered, NotFound)):
        pull.take(0, bytes(reply))
    shelf.close()
