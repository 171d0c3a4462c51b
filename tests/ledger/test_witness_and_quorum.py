"""The rules of `ledger.witness` and `ledger.quorum`, with a log that lies."""

from __future__ import annotations

import copy
import json

import pytest
from ledger_parties import NOW, Log, full, keys, party

from cloister.foundation.errors import BadInput, NotTrusted, from_problem
from cloister.identity.keys import b64
from cloister.ledger import checkpoints, quorum, witness
from cloister.ledger.checkpoints import (
    Checkpoint,
    cosigned_at,
    ledger_origin,
    verify_checkpoint,
    witness_name,
)
from cloister.ledger.notes import Line, Note
from cloister.ledger.tree import EMPTY_ROOT
from cloister.ledger.witness import Cosigned, Refusal, Seen

NAMES = {witness_name(party(label)): [keys(label).public] for label in ("first", "second", "third")}


def refusal(answer: Cosigned | Refusal) -> Refusal:
    assert isinstance(answer, Refusal)
    assert answer.error().clause == answer.clause
    assert answer.why
    return answer


def test_an_honest_log_is_cosigned_as_it_grows_and_when_it_stands_still() -> None:
    log = Log()
    for step, count in enumerate((1, 0, 3, 10, 7)):
        log.write(count)
        answer = log.ask("first", log.sign(), NOW + step)
        assert isinstance(answer, Cosigned)
        assert answer.seen.size == len(log.leaves)
        assert cosigned_at(log.sign().with_lines(answer.lines), *next(iter(NAMES.items()))) == NOW + step


def test_the_first_head_is_taken_from_whatever_size() -> None:
    log = Log()
    log.write(20)
    assert isinstance(log.ask("first", log.sign(), NOW), Cosigned)
    empty = Log()
    assert isinstance(empty.ask("first", empty.sign(), NOW), Cosigned)
    empty.write(5)
    assert isinstance(empty.ask("first", empty.sign(), NOW), Cosigned)


def test_a_head_that_the_log_did_not_sign_is_refused() -> None:
    log = Log()
    log.write(3)
    forged = checkpoints.sign_checkpoint(Checkpoint(log.origin, 3, log.tree.root()), keys("thief"))
    assert refusal(log.ask("first", forged, NOW)).clause == "witness-signature"
    half = Note(log.sign().text, log.sign().lines[:1])
    assert refusal(log.ask("first", half, NOW)).clause == "witness-signature"


def test_a_rollback_is_refused_with_both_heads_as_evidence() -> None:
    log = Log()
    log.write(10)
    log.ask("first", log.sign(), NOW)
    smaller = log.sign(size=7)
    answer = refusal(log.ask("first", smaller, NOW + 1))
    assert answer.clause == "witness-rollback"
    assert answer.size == 10
    sizes = [
        verify_checkpoint(Note.parse(item), log.origin, [keys("plant").public]).size
        for item in answer.evidence
    ]
    assert sizes == [10, 7]


def test_a_split_view_of_one_size_is_refused_with_both_heads_as_evidence() -> None:
    log = Log()
    log.write(9)
    other = copy.deepcopy(log)
    log.write(1)
    other.write(1)
    log.ask("first", log.sign(), NOW)
    other.seen = log.seen
    answer = refusal(other.ask("first", other.sign(), NOW + 1))
    assert answer.clause == "witness-split-view"
    assert len(answer.evidence) == 2


def test_a_larger_head_that_does_not_extend_the_one_seen_is_refused() -> None:
    log = Log()
    log.write(9)
    other = copy.deepcopy(log)
    other.leaves[4] = other.leaves[3]
    log.ask("first", log.sign(), NOW)
    other.write(3)
    other.seen = log.seen
    answer = refusal(other.ask("first", other.sign(), NOW + 1))
    assert answer.clause == "witness-proof"
    assert len(answer.evidence) == 2


def told(answer: Cosigned | Refusal) -> NotTrusted:
    """The refusal as it arrives at the log: through a problem document."""
    error = from_problem(refusal(answer).error().problem())
    assert isinstance(error, NotTrusted)
    return error


def proven(error: NotTrusted, log: Log) -> bool:
    return witness.proves(
        error,
        origin=log.origin,
        log_keys=[keys(log.label).public],
        size=len(log.leaves),
        root=log.tree.root,
    )


def test_an_accusation_proves_itself_to_a_log_that_was_restored_or_forked() -> None:
    """Rule 6."""
    log = Log()
    log.write(10)
    restored, forked = copy.deepcopy(log), copy.deepcopy(log)
    restored.leaves = restored.leaves[:7]
    forked.leaves[4] = forked.leaves[3]
    crowded = log.sign(NOW)
    for label in ("second", "third"):
        crowded = crowded.with_lines(
            checkpoints.cosignature(crowded, witness_name(party(label)), keys(label), NOW)
        )
    log.ask("first", crowded, NOW)
    for other in (restored, forked):
        other.seen = log.seen
        error = told(other.ask("first", other.sign(), NOW + 1))
        assert proven(error, other)
        assert len(str(error.problem())) < 20_000


def test_an_accusation_without_proof_is_not_believed() -> None:
    """Rule 6: a relay, or anybody who calls itself a witness, could otherwise lock every node with one answer."""
    log = Log()
    log.write(10)
    lie = {"clause": "witness-rollback", "size": 11}
    forged = checkpoints.sign_checkpoint(Checkpoint(log.origin, 11, b"r" * 32), keys("thief"))
    other = checkpoints.sign_checkpoint(
        Checkpoint(ledger_origin(party("thief")), 11, b"r" * 32), keys("plant")
    )
    for head in (None, "", "x", 7, b64(forged.encode()), b64(other.encode()), b64(log.sign().encode())):
        detail = lie if head is None else {**lie, "head": head}
        assert not proven(NotTrusted("No.", "It has 10 entries; 11 were signed.", **detail), log)
    # What was signed while a question was on its way is the log's own history too.
    log.ask("first", log.sign(), NOW)
    assert not proven(told(log.ask("first", log.sign(size=7), NOW + 1)), log)


def test_a_proof_from_another_size_is_answered_with_the_size_known() -> None:
    log = Log()
    log.write(5)
    log.ask("first", log.sign(), NOW)
    stale = log.seen["first"]
    log.write(5)
    log.ask("first", log.sign(), NOW)
    log.write(5)
    assert stale is not None
    answer = witness.consider(
        log.seen["first"],
        log.sign(),
        5,
        log.tree.consistency_proof(5),
        origin=log.origin,
        log_keys=[keys("plant").public],
        name=witness_name(party("first")),
        keys=keys("first"),
        now=NOW,
    )
    assert refusal(answer).clause == "witness-stale"
    assert refusal(answer).size == 10


def test_a_witness_whose_clock_runs_behind_refuses() -> None:
    log = Log()
    log.write(5)
    log.ask("first", log.sign(), NOW)
    log.write(1)
    assert refusal(log.ask("first", log.sign(), NOW - 1)).clause == "clock-behind-checkpoint"
    assert isinstance(log.ask("first", log.sign(), NOW), Cosigned)


def test_a_refusal_leaves_the_state_and_the_log_can_go_on_honestly() -> None:
    log = Log()
    log.write(5)
    log.ask("first", log.sign(), NOW)
    before = log.seen["first"]
    log.ask("first", log.sign(size=2), NOW)
    assert log.seen["first"] == before
    log.write(5)
    assert isinstance(log.ask("first", log.sign(), NOW), Cosigned)


def test_another_logs_state_or_a_malformed_one_is_refused() -> None:
    log = Log()
    log.write(2)
    log.seen["first"] = Seen("cloister/ledger/" + "a" * 52, 1, bytes(32), NOW, b"")
    assert refusal(log.ask("first", log.sign(), NOW)).clause == "witness-state"
    for values in ((-1, bytes(32), 0), (1, bytes(31), 0), (1, bytes(32), -1)):
        with pytest.raises(BadInput):
            Seen("log", *values, b"")
    assert len(EMPTY_ROOT) == 32


def test_enough_counts_distinct_trusted_witnesses_only() -> None:
    note = full().heads[-1]
    assert quorum.enough(note, NAMES, 2)
    assert not quorum.enough(note, NAMES, 3)
    assert set(quorum.cosigners(note, NAMES)) == {witness_name(party(label)) for label in ("first", "second")}
    assert not quorum.enough(note, {}, 1)
    quorum.require(note, NAMES, 2)
    with pytest.raises(NotTrusted) as caught:
        quorum.require(note, NAMES, 3)
    assert caught.value.clause == "witness-quorum"


def test_one_witness_under_two_names_counts_once() -> None:
    log = Log()
    log.write(1)
    note = log.sign()
    for name in ("one", "two"):
        note = note.with_lines(checkpoints.cosignature(note, name, keys("first"), NOW))
    witnesses = {"one": [keys("first").public], "two": [keys("first").public]}
    assert len(quorum.cosigners(note, witnesses)) == 2
    assert not quorum.enough(note, witnesses, 2)


def test_the_log_is_not_its_own_witness() -> None:
    log = Log()
    log.write(1)
    note = log.sign(NOW)
    assert cosigned_at(note, log.origin, [keys("plant").public]) == NOW
    assert not quorum.enough(note, {log.origin: [keys("plant").public]}, 1)


def test_a_spoiled_line_and_one_from_the_future_do_not_count() -> None:
    note = full().heads[-1]
    spoiled = note.with_lines(
        [
            Line(line.name, line.key_id, line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
            for line in note.lines
            if "witness" in line.name
        ][:1]
    )
    assert not quorum.enough(spoiled, NAMES, 2)
    assert quorum.enough(spoiled, NAMES, 1)
    assert quorum.enough(note, NAMES, 2, now=NOW + 3000 - 300)
    assert not quorum.enough(note, NAMES, 1, now=NOW + 3000 - 301)


def test_rule_5_a_stored_state_is_read_as_it_was_or_not_at_all():
    seen = Seen(origin="log", size=3, root=bytes(range(32)), time=7, note=b"log\n3\n")
    stored = json.loads(json.dumps(seen.to_json()))
    assert Seen.from_json(stored) == seen
    for change in ({"root": "AAAA"}, {"size": -1}, {"size": None}, {"note": 5}, {"root": "!"}):
        with pytest.raises(BadInput, match="stored state"):
            Seen.from_json(stored | change)
    for missing in stored:
        with pytest.raises(BadInput, match="stored state"):
            Seen.from_json({key: value for key, value in stored.items() if key != missing})
