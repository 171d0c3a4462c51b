"""Every rule of `transport.answers`, by name."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import Conflict
from cloister.transport.answers import Answers, Busy


def admit(answers: Answers, key: str, fingerprint="f", sender="anna", now=0, expires=60, waiter=None):
    return answers.admit(
        sender, key, fingerprint, expires=expires, now=now, waiter=waiter or (lambda _: None)
    )


def test_a_call_runs_once_and_its_answer_is_given_again():
    answers, got = Answers(), []
    assert admit(answers, "k", waiter=got.append)
    assert not admit(answers, "k", waiter=got.append)
    assert got == [None], "whoever waited first comes again"
    answers.finish("anna", "k", ("body", b"a"), keep=True)
    assert not admit(answers, "k", waiter=got.append)
    assert got == [None] + [("body", b"a")] * 2


def test_senders_do_not_share_keys():
    answers = Answers()
    assert admit(answers, "k", sender="anna")
    assert admit(answers, "k", sender="bert")


def test_a_key_stands_for_one_call():
    answers = Answers()
    admit(answers, "k", "one")
    with pytest.raises(Conflict):
        admit(answers, "k", "two")
    answers.finish("anna", "k", ("body", b""), keep=True)
    with pytest.raises(Conflict):
        admit(answers, "k", "two")


def test_a_failed_call_runs_again():
    answers, got = Answers(), []
    admit(answers, "k", waiter=got.append)
    answers.finish("anna", "k", ("problem", b"p"), keep=False)
    assert got == [("problem", b"p")]
    assert admit(answers, "k")


def test_answers_are_kept_until_the_deadline_has_passed():
    answers = Answers()
    admit(answers, "k", expires=60)
    answers.finish("anna", "k", ("body", b""), keep=True)
    assert not admit(answers, "k", now=60)
    assert admit(answers, "k", now=61)


def test_a_running_call_is_not_forgotten_whatever_the_time():
    answers = Answers()
    admit(answers, "k", expires=60)
    assert not admit(answers, "k", now=1000)


@pytest.mark.parametrize("bounds", [{"calls": 3}, {"octets": 30}])
def test_each_sender_has_its_own_bounds_and_the_oldest_go_first(bounds):
    answers = Answers(**bounds)
    admit(answers, "k", sender="bert")
    answers.finish("bert", "k", ("body", b"x" * 10), keep=True)
    for number in range(5):
        admit(answers, str(number))
        answers.finish("anna", str(number), ("body", b"x" * 10), keep=True)
    assert not admit(answers, "k", sender="bert")
    assert not admit(answers, "4")
    assert admit(answers, "0")


def test_a_forgotten_call_runs_again():
    answers = Answers()
    admit(answers, "k")
    answers.forget("anna", "k")
    assert not admit(answers, "k")
    answers.finish("anna", "k", ("body", b""), keep=True)
    answers.forget("anna", "k")
    assert admit(answers, "k")


def test_rule_2_only_the_latest_repetition_waits_for_the_result():
    answers, got = Answers(), []
    admit(answers, "k", waiter=lambda answer: got.append(("first", answer)))
    for number in range(300):
        assert not admit(answers, "k", waiter=lambda answer, number=number: got.append((number, answer)))
    assert got == [("first", None)] + [(number, None) for number in range(299)]
    answers.finish("anna", "k", ("body", b""), keep=True)
    assert got[300:] == [(299, ("body", b""))]


def test_rule_2_how_many_calls_of_a_sender_run_is_bounded():
    answers = Answers(running=2)
    admit(answers, "one")
    admit(answers, "two")
    with pytest.raises(Busy):
        admit(answers, "three")
    assert not admit(answers, "two")
    assert admit(answers, "three", sender="bert")
    answers.finish("anna", "one", ("body", b""), keep=True)
    assert admit(answers, "three")
    answers.abandon("anna", "two")
    assert admit(answers, "two")
    with pytest.raises(Busy):
        admit(answers, "four")
