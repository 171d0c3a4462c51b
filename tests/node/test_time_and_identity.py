"""Clocks that run behind, folders copied back, second processes, keys that were revoked or replaced."""

from __future__ import annotations

import shutil

import pytest

from cloister.foundation.clock import FixedClock
from cloister.foundation.errors import CloisterError, Conflict, NotTrusted, Refused
from cloister.identity.cards import revoke as revoke_card
from cloister.identity.keystore import read_recovery
from cloister.node.rotation import recover_keys, revoke, rotate_keys
from cloister.node.setup import RECOVERY_FILE, read_cards
from cloister.node.tasks.service import PROPOSE
from node.town import LAB, PAIR, UNLOCK, signed_plan, town, until

DAY = 86_400


def test_an_expired_agreement_permits_nothing_at_either_end(tmp_path):
    clock = FixedClock()
    with town(tmp_path, names=PAIR, clock=clock) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None, days=2)
        plan = here.plan(agreement)
        clock.advance(3 * DAY)
        with pytest.raises(Refused) as caught:
            here.plan(agreement)
        assert caught.value.clause == "validity"
        with pytest.raises(Refused) as caught:
            here[LAB].call(here.party["Ash"], PROPOSE, signed_plan(here, plan).encode(), 20)
        assert caught.value.clause == "validity"
        assert caught.value.remedy


def test_a_plan_from_last_week_is_refused(tmp_path):
    clock = FixedClock()
    with town(tmp_path, names=PAIR, clock=clock) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None, days=30)
        plan = here.plan(agreement)
        clock.advance(8 * DAY)
        with pytest.raises(Refused) as caught:
            here[LAB].call(here.party["Ash"], PROPOSE, signed_plan(here, plan).encode(), 20)
        assert caught.value.clause == "plan-age"


def test_a_clock_behind_the_last_checkpoint_keeps_the_node_from_starting(tmp_path):
    """Rule 2 of `ledger_service`."""
    clock = FixedClock()
    with town(tmp_path, names=PAIR, clock=clock) as here:
        here.start("Ash")
        here["Ash"].ledger.checkpoint()
        here.stop("Ash")
        clock.advance(-DAY)
        with pytest.raises(Refused) as caught:
            here.make("Ash")
        assert caught.value.clause == "clock-behind-checkpoint"
        assert caught.value.why
        assert caught.value.remedy
        clock.advance(DAY)
        here.start("Ash")  # nothing was lost


def test_a_second_process_on_one_folder_is_refused(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        here.start("Ash")
        with pytest.raises(Conflict) as caught:
            here.make("Ash")
        assert caught.value.remedy


def test_a_restored_backup_is_locked_by_the_witnesses_and_takes_part_in_nothing(tmp_path):
    """Rule 3 of `ledger_service`, rule 5 of `admitting`."""
    with town(tmp_path, names=PAIR) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None)
        plan = here.plan(agreement)
        until("a cosignature", lambda: here["Ash"].ledger.head()["cosigned_by"])
        here.stop("Ash")
        shutil.copytree(tmp_path / "Ash", tmp_path / "backup")
        here.start("Ash")
        here["Ash"].datasets.add(here.root / "ash.csv", {"name": "more", "title": "More", "residency": "DE"})
        size = here["Ash"].ledger.head()["size"]
        here["Ash"].steward.wake("witnesses")
        until(
            "the witness to see more", lambda: here[LAB].ledger.witnessed()[here.party["Ash"]]["size"] >= size
        )
        here.stop("Ash")
        shutil.rmtree(tmp_path / "Ash")
        shutil.copytree(tmp_path / "backup", tmp_path / "Ash")
        here.start("Ash")
        until("the node to be locked", lambda: here["Ash"].ledger.locked)
        assert here["Ash"].status()["locked"]["clause"].startswith("witness-")
        with pytest.raises(Refused) as caught:
            here[LAB].call(here.party["Ash"], PROPOSE, signed_plan(here, plan).encode(), 20)
        assert caught.value.clause.startswith("witness-")
        assert "backup" in caught.value.why
        assert caught.value.remedy
        here.stop("Ash")
        here.start("Ash")
        assert here["Ash"].ledger.locked  # the lock stays on disk


def test_a_revoked_partys_word_counts_for_nothing_from_then_on(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None)
        plan = here.plan(agreement)
        recovery = read_recovery(tmp_path / LAB / RECOVERY_FILE, UNLOCK)
        card = here[LAB].parties.own
        here["Ash"].parties.accept(revoke_card(card, here.clock.now(), recovery=recovery))
        assert not here["Ash"].parties.trusted(here.party[LAB])
        with pytest.raises(CloisterError):
            here[LAB].call(here.party["Ash"], PROPOSE, signed_plan(here, plan).encode(), 3)
        with pytest.raises(NotTrusted) as caught:
            here["Ash"].agreements.in_force(agreement)
        assert caught.value.clause == "signatures"
        assert not here["Ash"].tasks.records.known(plan.digest)


def test_keys_are_rotated_and_what_the_old_ones_signed_stays_valid(tmp_path):
    """Rules 1 and 2 of `rotation`."""
    with town(tmp_path, names=PAIR) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None)
        until("a cosignature", lambda: here[LAB].ledger.head()["cosigned_by"])
        with pytest.raises(Conflict):
            rotate_keys(tmp_path / LAB, UNLOCK, here.clock)
        here.stop(LAB)
        changed = rotate_keys(tmp_path / LAB, UNLOCK, here.clock)
        assert (changed.sequence, changed.status) == (1, "active")
        here["Ash"].parties.accept_chain(read_cards(tmp_path / LAB / "card.json"))
        assert here["Ash"].parties.trusted(here.party[LAB])
        here.start(LAB)
        assert here[LAB].agreements.in_force(agreement).complete
        assert here["Ash"].agreements.in_force(agreement).complete
        task = here.run(agreement)
        assert set(here.ended(task).values()) == {"done"}
        size = here[LAB].ledger.head()["size"]
        here[LAB].steward.wake("witnesses")
        until("the witness", lambda: here["Ash"].ledger.witnessed()[here.party[LAB]]["size"] >= size)


def test_a_rotation_that_was_interrupted_is_finished_by_the_next_start(tmp_path, monkeypatch):
    """Rule 2 of `rotation`."""
    from cloister.identity.keystore import Keystore

    with town(tmp_path, names=PAIR) as here:
        saved = Keystore.save_keys

        def dies(self, keys, label="party-keys"):
            if label == "party-keys":
                raise KeyboardInterrupt
            saved(self, keys, label)

        monkeypatch.setattr(Keystore, "save_keys", dies)
        with pytest.raises(KeyboardInterrupt):
            rotate_keys(tmp_path / "Ash", UNLOCK, here.clock)
        monkeypatch.undo()
        here.start("Ash")
        assert here["Ash"].parties.own.sequence == 1
        assert here["Ash"].keys.public == here["Ash"].parties.own.keys


def test_stolen_keys_are_replaced_with_the_recovery_keys(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        changed = recover_keys(
            tmp_path / "Ash", UNLOCK, UNLOCK, here.clock, compromised_since=here.clock.now()
        )
        assert changed.sequence == 1
        here.start("Ash")
        assert here["Ash"].parties.own.recovered


def test_keys_of_an_old_backup_are_noticed(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        shutil.copytree(tmp_path / "Ash" / "secrets", tmp_path / "old")
        rotate_keys(tmp_path / "Ash", UNLOCK, here.clock)
        shutil.rmtree(tmp_path / "Ash" / "secrets")
        shutil.copytree(tmp_path / "old", tmp_path / "Ash" / "secrets")
        with pytest.raises(NotTrusted) as caught:
            here.make("Ash")
        assert caught.value.clause == "own-keys"


def test_a_revoked_node_starts_no_more_and_others_accept_its_last_card(tmp_path):
    """Rule 3 of `rotation`."""
    with town(tmp_path, names=PAIR) as here:
        assert revoke(tmp_path / "Ash", UNLOCK, here.clock).status == "revoked"
        assert revoke(tmp_path / "Ash", UNLOCK, here.clock).sequence == 1
        with pytest.raises(NotTrusted) as caught:
            here.make("Ash")
        assert caught.value.clause == "card-revoked"
        here.start(LAB)
        here[LAB].parties.accept_chain(read_cards(tmp_path / "Ash" / "card.json"))
        assert not here[LAB].parties.trusted(here.party["Ash"])


def test_forged_and_rolled_back_cards_are_refused(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        before = read_cards(tmp_path / "Ash" / "card.json")
        rotate_keys(tmp_path / "Ash", UNLOCK, here.clock)
        here.start(LAB)
        here[LAB].parties.accept_chain(read_cards(tmp_path / "Ash" / "card.json"))
        other = read_cards(tmp_path / LAB / "card.json")[0]
        forged = before[0].model_copy(update={"signatures": other.signatures})
        with pytest.raises(NotTrusted):
            here[LAB].parties.accept(forged)
        with pytest.raises(NotTrusted) as caught:
            here[LAB].parties.accept_chain(before)
        assert caught.value.clause == "card-rolled-back"
