"""Data that is not what it was, and files that are no data: noticed by the owner's node, told without details."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import BadInput, CloisterError, Refused, Tampered
from cloister.node.tasks.service import PROPOSE
from node.town import LAB, PAIR, signed_plan, table, town, until


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=PAIR) as made:
        made.agreement = made.ready(template="one-researcher-one-owner", quality=None)
        yield made


def test_a_dataset_that_changed_before_admission_is_noticed_and_the_lab_hears_no_details(here):
    """Rule 2 of `admitting`."""
    path = here.root / "ash.csv"
    path.write_text(path.read_text().replace("heat", "heat", 1) + "9.9,9.9,9.9\n")
    plan = here.plan(here.agreement)
    here[LAB].tasks.submit(plan)
    until("the question", lambda: here["Ash"].tasks.records.note(plan.digest).get("pending"))
    with pytest.raises(Tampered):
        here["Ash"].tasks.approve(plan.digest, with_records=True)
    with pytest.raises(Refused) as caught:
        here[LAB].call(here.party["Ash"], PROPOSE, signed_plan(here, plan).encode(), 20)
    told = f"{caught.value} {caught.value.detail}"
    assert caught.value.what
    assert caught.value.remedy
    assert "ash.csv" not in told
    assert str(here.root) not in told


def test_a_dataset_that_changes_between_rounds_ends_the_task_and_nothing_is_released(here):
    """Rule 1 of `datasets_service`: the check before a step."""
    rounds = []

    def after_the_first(method, _arguments):
        if method == "train":
            rounds.append(1)
        if method == "train" and len(rounds) == 2:
            raise AssertionError("trained on changed data")

    here["Ash"].engines.before = after_the_first
    spoil = here["Ash"].datasets.still_same

    def still_same(commitment):
        spoil(commitment)
        table(here.root / "ash.csv", 99)  # right after the first round's last check

    here["Ash"].datasets.still_same = still_same
    task = here.run(here.agreement)
    ended = here.ended(task)
    assert "done" not in ended.values()
    assert len(rounds) == 1
    assert here["Ash"].durable.task(task).failure["type"].endswith("dataset-changed")
    told = str(here[LAB].durable.task(task).failure)
    assert "ash.csv" not in told
    assert not here[LAB].durable.events(0) or all(
        e.kind != "release.stored" for e in here[LAB].durable.events(0)
    )


def test_a_dataset_that_changes_while_the_worker_reads_it_is_noticed(here):
    """Rule 1 of `datasets_service`: the check after a step."""

    def change(method, _arguments):
        if method == "train":
            table(here.root / "ash.csv", 99)

    here["Ash"].engines.before = change
    task = here.run(here.agreement)
    assert "done" not in here.ended(task).values()
    assert here["Ash"].durable.task(task).failure["type"].endswith("dataset-changed")


def test_the_salt_is_in_no_file_beside_the_data(here):
    """Rule 2 of `datasets_service`."""
    (entry,) = here["Ash"].datasets.own()
    registration = here["Ash"].datasets.registration(entry["commitment"])
    salt = registration.manifest.salt
    assert set(salt) != {"0"}
    for file in (here.root / "Ash").rglob("*"):
        if file.is_file():
            assert salt.encode() not in file.read_bytes()
            assert bytes.fromhex(salt) not in file.read_bytes()
    registration.prove(0)


def test_images_that_are_no_images_are_refused_by_name(here):
    folder = here.root / "pictures"
    folder.mkdir()
    (folder / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"no picture at all")
    (folder / "labels.csv").write_text("file,x,y\none.png,1,2\n")
    with pytest.raises(BadInput) as caught:
        here["Ash"].datasets.add(folder, {"name": "pictures", "title": "Pictures", "residency": "DE"})
    assert "one.png" in str(caught.value)
    assert caught.value.remedy
    assert [item["name"] for item in here["Ash"].datasets.own()] == ["tests"]


@pytest.mark.parametrize(
    "fields", [{}, {"name": "x"}, {"name": "x", "title": "t", "residency": "DE", "nonsense": 1}]
)
def test_a_malformed_description_is_refused(here, fields):
    with pytest.raises(CloisterError) as caught:
        here["Ash"].datasets.add(here.root / "ash.csv", fields)
    assert caught.value.remedy


def test_a_catalogue_entry_of_another_owner_is_refused(here):
    """Rule 3 of `datasets_service`."""
    (envelope,) = here["Ash"].datasets.envelopes(here.party["Ash"])
    answer = here[LAB].sync.take(here.party[LAB], b"[" + envelope.encode() + b"]")
    assert b"another party" in answer
