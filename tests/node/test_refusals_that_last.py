"""What a person refused stays refused, whatever its requester sends afterwards (rule 4 of `node.tasks.approving`)."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import Conflict, NotFound, Refused
from cloister.foundation.quotas import Quota
from cloister.node.peers.quotas import LIMITS
from cloister.node.tasks import records
from cloister.node.tasks.service import PROPOSE
from node.test_floods import NAMES, OTHER, propose, variant
from node.town import town


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=NAMES) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        made["Ash"].quotas.limits = {**LIMITS, "plans": Quota(4, 64 << 20, 100, 3600)}
        made[OTHER].tasks.asking._withdraw = lambda *_: None
        yield made


def flood(here):
    for number in range(100, 109):
        with pytest.raises(Refused):
            propose(here, OTHER, number, purpose="Sell it")


def again(here, envelope):
    with pytest.raises(Refused) as caught:
        here[OTHER].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
    return caught.value


@pytest.mark.parametrize("way", ["refuse", "withdraw"])
def test_rule_4_a_refusal_outlives_the_plan_that_a_flood_pushes_out(here, way):
    ash, envelope = here["Ash"], variant(here, OTHER, 1)
    task = envelope.digest
    assert b"person" in here[OTHER].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
    ash.tasks.approving.approve(task, with_records=True)
    if way == "refuse":
        ash.tasks.refuse(task, "No, on second thoughts")
    else:
        ash.withdrawing.withdraw(task, "No, on second thoughts")
    assert "on second thoughts" in again(here, envelope).why
    flood(here)
    assert not ash.tasks.records.known(task)
    found = again(here, envelope)
    assert "on second thoughts" in found.why
    assert found.clause in {"approval", "approval-withdrawn"}
    assert not ash.tasks.records.known(task)
    with pytest.raises(NotFound):
        ash.tasks.approve(task, with_records=True)


def test_rule_4_a_refusal_takes_back_what_was_approved_of_the_task_in_one_transaction(here, monkeypatch):
    ash, envelope = here["Ash"], variant(here, OTHER, 1)
    task = envelope.digest
    here[OTHER].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
    ash.tasks.approving.approve(task, with_records=True)

    def broken(*_):
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(ash.tasks.records, "bury", broken)
        with pytest.raises(RuntimeError):
            ash.tasks.refuse(task, "No")
    assert [item.task for item in ash.tasks.records.approvals()] == [task]
    assert not ash.tasks.records.over(task)

    ash.tasks.refuse(task, "No")
    assert not ash.tasks.records.approvals()
    assert ash.tasks.records.over(task)
    with pytest.raises(Conflict):
        ash.tasks.approve(task, with_records=True)
    assert not ash.tasks.records.approvals()


def test_rule_4_tombstones_are_bounded_for_each_requester_and_none_is_pushed_out(here, monkeypatch):
    monkeypatch.setattr(records, "TOMBSTONES", 2)
    ash, refused = here["Ash"], [variant(here, OTHER, number) for number in range(2)]
    for envelope in refused:
        here[OTHER].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
        ash.tasks.refuse(envelope.digest, "Never")
    with pytest.raises(Refused) as caught:
        propose(here, OTHER, 7)
    assert caught.value.clause == "quota"
    assert [again(here, envelope).why for envelope in refused] == ["Never", "Never"]
