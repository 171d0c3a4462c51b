"""Log heads in certificates: carried signed, checked where the signer is known, and shown as unchecked elsewhere.

The numbered rules are those of `cloister.release.evidence`.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_world import KEYS, World, f

from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity.keys import SecretKeys
from cloister.ledger.checkpoints import (
    Checkpoint,
    cosignature,
    ledger_origin,
    sign_checkpoint,
    witness_name,
)
from cloister.ledger.notes import Line, Note
from cloister.release.evidence import MAX_HEAD, carried, check_heads, require_signed, stamped

ORIGIN = ledger_origin(f.LAB)
SIGNED = sign_checkpoint(Checkpoint(ORIGIN, 7, b"r" * 32), KEYS.secret[f.LAB], f.NOW)
TEXT = carried(SIGNED, ORIGIN)


def known(*parties):
    return lambda party: (KEYS.secret[party].public,) if party in parties else ()


def test_rule_1_a_certificate_carries_its_coordinators_signed_head():
    world = World().run()
    (release,) = world.contexts[f.USER].shelf
    (text,) = release.certificate.predicate.evidence.checkpoints
    assert require_signed(text, f.LAB, (KEYS.secret[f.LAB].public,)).size == 1
    (head,) = check_heads((text,), known(f.LAB))
    assert head.checked
    assert head.party == f.LAB


def test_rule_1_as_many_cosignatures_are_carried_as_fit_and_the_logs_own_always():
    note = SIGNED
    witness = KEYS.secret[f.OWNERS[0]]
    for number in range(20):
        lines = [
            Line(f"cloister/witness/number{number}", line.key_id, line.signature)
            for line in cosignature(SIGNED, witness_name(f.OWNERS[0]), witness, f.NOW)
        ]
        note = Note(note.text, (*lines, *note.lines))
    text = carried(note, ORIGIN)
    assert len(text.encode()) <= MAX_HEAD
    assert text.count("cloister/witness/") >= 10
    assert require_signed(text, f.LAB, (KEYS.secret[f.LAB].public,)).size == 7


@pytest.mark.parametrize("texts", [(), (TEXT, TEXT)], ids=["none", "two"])
def test_rule_1_without_exactly_one_head_there_is_no_release(texts):
    world = World()
    world.contexts[f.LAB].checkpoints = lambda: texts
    world.run()
    assert world.error(f.LAB).what.endswith("owners: evidence.")
    assert not world.contexts[f.USER].shelf


def test_rule_1_a_head_of_last_year_is_no_evidence_of_where_the_log_stood():
    old = sign_checkpoint(Checkpoint(ORIGIN, 7, b"r" * 32), KEYS.secret[f.LAB], f.NOW - 365 * 86_400)
    world = World()
    world.contexts[f.LAB].checkpoints = lambda: (carried(old, ORIGIN),)
    world.run()
    assert world.error(f.LAB).what.endswith("owners: evidence.")
    assert not world.contexts[f.USER].shelf
    # A head that is still the present one is signed anew when a candidate is proposed, and keeps its witnesses.
    witness = f.OWNERS[0]
    old = old.with_lines(cosignature(old, witness_name(witness), KEYS.secret[witness], f.NOW - 9))
    new = stamped(old, ORIGIN, KEYS.secret[f.LAB], f.NOW)
    (found,) = check_heads((carried(new, ORIGIN),), known(f.LAB, witness))
    assert (found.at, found.size, found.cosigned_by) == (f.NOW, 7, (witness,))


def test_rule_2_a_head_is_checked_against_known_keys():
    (head,) = check_heads((TEXT,), known(f.LAB))
    assert (head.checked, head.size, head.at, head.party) == (True, 7, f.NOW, f.LAB)
    assert head.to_json()["checked"] is True


def test_rule_2_a_head_of_an_unknown_log_is_not_checked_and_says_so():
    (head,) = check_heads((TEXT,), known())
    assert not head.checked
    assert head.at is None
    assert head.to_json()["checked"] is False


@pytest.mark.parametrize(
    "text",
    [
        Checkpoint(ORIGIN, 7, b"r" * 32).text,
        Checkpoint(ORIGIN, 7, b"r" * 32).text + "\n",
        TEXT.replace("\n7\n", "\n8\n"),
        sign_checkpoint(Checkpoint(ORIGIN, 7, b"r" * 32), KEYS.secret[f.USER]).encode().decode(),
        "",
        "nonsense",
        TEXT.replace("cloister/ledger/", "elsewhere/"),
    ],
    ids=["bare", "no-lines", "another-size", "another-signer", "empty", "nonsense", "no-party"],
)
def test_rule_2_a_head_that_its_log_did_not_sign_spoils_the_certificate(text):
    with pytest.raises(NotTrusted) as caught:
        check_heads((text,), known(f.LAB))
    assert caught.value.clause == "certificate-evidence"
    assert caught.value.remedy


def test_rule_2_one_algorithm_is_not_enough():
    for left_out in range(2):
        own = [line for number, line in enumerate(SIGNED.lines[:2]) if number != left_out]
        with pytest.raises(NotTrusted):
            check_heads((Note(SIGNED.text, tuple(own)).encode().decode(),), known(f.LAB))


def test_rule_3_cosignatures_of_known_witnesses_are_counted_and_of_others_not():
    owner, stranger = f.OWNERS[0], SecretKeys.generate()
    note = SIGNED.with_lines(cosignature(SIGNED, witness_name(owner), KEYS.secret[owner], f.NOW))
    note = note.with_lines(cosignature(SIGNED, witness_name(f.OWNERS[1]), stranger, f.NOW))
    text = carried(note, ORIGIN)
    assert check_heads((text,), known(f.LAB, owner))[0].cosigned_by == (owner,)
    assert check_heads((text,), known(f.LAB))[0].cosigned_by == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_a_head_it_is_refused_or_says_the_same(data):
    place = data.draw(st.integers(0, len(TEXT) - 1))
    other = TEXT[:place] + data.draw(st.characters(max_codepoint=0x2100)) + TEXT[place + 1 :]
    try:
        (head,) = check_heads((other,), known(f.LAB))
    except NotTrusted:
        return
    if head.checked:
        assert (head.size, head.root) == (7, check_heads((TEXT,), known(f.LAB))[0].root)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_a_head_from_foreign_hands_is_refused_not_a_fault(data):
    with pytest.raises((BadInput, NotTrusted)):
        require_signed(data.decode("latin-1"), f.LAB, (KEYS.secret[f.LAB].public,))
