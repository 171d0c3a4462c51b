"""Records disclosed between two nodes: sealed, opened once, withdrawn or expired, deleted, confirmed, and what refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cloister.data.commitment import parse_proof, verify
from cloister.data.images import decode_image
from cloister.data.readers import read_image_folder
from cloister.disclosure.documents import DAY, sign_receipt, sign_withdrawal
from cloister.disclosure.package import unpack
from cloister.foundation.clock import FixedClock, rfc3339
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    Tampered,
)
from cloister.identity.keystore import Cost, Passphrase
from cloister.ledger.leaves import Leaf, Opening, verify_opening
from cloister.node.backup import backup
from cloister.node.disclosures.exchange import DISCLOSURE
from cloister.node.disclosures.giving import Offer
from cloister.storage.log import LogRows
from data import test_bare_pictures as bare
from disclosure.disclosure_cases import png
from node.town import LAB, PURPOSE, town, until

ASH, OTHER = "Ash", "Birch"
NAMES = {ASH: ["owner"], OTHER: ["owner"], LAB: ["researcher"]}
SECRETS = ("photo-of-batch-17", "a.png")


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=NAMES, clock=FixedClock(1_800_000_000)) as made:
        made.start()
        made.meet()
        made.data(ASH, OTHER)
        photos = tmp_path / "photos"
        (photos / "images").mkdir(parents=True)
        (photos / "labels").mkdir()
        for number, name in enumerate(("a", "photo-of-batch-17", "c")):
            (photos / "images" / f"{name}.png").write_bytes(png(number))
        (photos / "labels" / "a.json").write_text('{"centres": [[1, 2]], "diameters": [3]}')
        made[ASH].datasets.add(photos, {"name": "photos", "title": "Photos", "residency": "DE"})
        made.photos = photos
        yield made


def offer(here, *records: str, dataset: str = "photos", **changes) -> Offer:
    fields = {
        "dataset": dataset,
        "records": records or ("a.png", "c.png"),
        "recipient": here.party[LAB],
        "purpose": PURPOSE,
        "until": here.clock.now() + 7 * DAY,
        "deletion_days": 1,
        "by": "anna",
    }
    return Offer(**fields | changes)


def given(here, *records: str, **changes) -> tuple[str, bytes]:
    giving = here[ASH].disclosures.giving
    name = giving.give(offer(here, *records, **changes))["disclosure"]
    return name, giving.package(name)


def state(here, who: str, name: str) -> str:
    return here[who].disclosures.one(name)["state"]


def told(here, who: str, name: str, wanted: str) -> None:
    def reached():
        for node in here.nodes.values():
            node.disclosures.exchange.tell()
        return state(here, who, name) == wanted

    until(f"{who} to see it {wanted}", reached, 30)


def entries(node, kind: str) -> list[str]:
    """The documents that a node's log has entries about."""
    with node.durable.database.read() as tx:
        rows = list(LogRows(tx).scan(0, LogRows(tx).size()))
    for row in rows:
        if row.document is not None:
            verify_opening(Leaf.decode(row.leaf), Opening(row.document, row.salt))
    return [row.document for row in rows if row.kind == kind]


def test_selected_pictures_arrive_as_they_were_registered_under_names_that_tell_nothing(here):
    name, package = given(here, "photo-of-batch-17.png", "a.png")
    shown = here[LAB].disclosures.receiving.open(package, "lena")
    place = Path(shown["folder"])
    first, second = read_image_folder(place)
    assert first.path.read_bytes() == (here.photos / "images" / "photo-of-batch-17.png").read_bytes()
    assert first.labels is None
    assert second.labels.centres == ((1.0, 2.0),)
    told(here, ASH, name, "received")
    everything = [path for path in place.rglob("*") if path.is_file()]
    assert {path.name for path in everything} == {"0001.png", "0002.png", "0002.json", "disclosure.json"}
    for path in everything:
        assert path.stat().st_mode & 0o077 == 0
        for secret in SECRETS:
            assert secret.encode() not in path.read_bytes()
    assert here[LAB].disclosures.one(name)["opened_by"] == "lena"
    decided = here[ASH].disclosures.one(name)
    assert decided["decided_by"] == "anna"
    assert decided["selected"] == ["photo-of-batch-17.png", "a.png"]


def test_what_a_cameras_file_carries_stays_at_its_owner_and_is_told_to_who_decides(here):
    """Three formats, each with a place, a serial number, a thumbnail, texts and hidden bytes: only pixels arrive."""
    photos = here.root / "camera"
    photos.mkdir()
    for name, make in (("one.jpg", bare.jpeg), ("two.png", bare.png), ("three.tif", bare.tiff)):
        (photos / name).write_bytes(make())
    facts = {"name": "camera", "title": "Camera", "residency": "DE", "micrometres_per_pixel": 0.75}
    here[ASH].datasets.add(photos, facts)
    name, package = given(here, "one.jpg", "two.png", "three.tif", dataset="camera", tell_scale=True)
    decided = here[ASH].disclosures.one(name)
    assert {"the place (GPS)", "the camera's serial number", "an embedded thumbnail"} <= set(
        decided["left_out"]
    )
    shown = here[LAB].disclosures.receiving.open(package, "lena")
    assert shown["micrometres_per_pixel"] == 0.75
    assert not shown.get("left_out"), "nor is it told what the owner's files carry"
    place = Path(shown["folder"])
    opened = unpack(package, here.party[LAB], here[LAB].keys, here[LAB].parties.directory, here.clock.now())
    assert {picture.salt for picture in opened.contents.pictures} == {None}, "no key to test guesses with"
    everything = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    for secret in (*bare.SECRETS, b"Maker", b"one.jpg", b"two.png", b"three.tif"):
        assert secret not in everything
    np.testing.assert_array_equal(decode_image(place / "images" / "0002.png"), bare.PIXELS)
    with pytest.raises(BadInput):
        given(here, tell_scale=True)  # an entry without a scale has none to tell


def test_rows_arrive_and_are_provably_the_datasets_where_the_owner_shows_the_proof(here):
    name, package = given(here, "3", "1", dataset="tests")
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    lines = (here.root / "ash.csv").read_text().splitlines()
    got = [
        [float(cell) for cell in line.split(",")]
        for line in (place / "rows.csv").read_text().splitlines()[1:]
    ]
    assert got == [[float(cell) for cell in lines[number].split(",")] for number in (3, 1)]
    # What the owner can show besides (and does not unless asked): that the row is in the registered dataset.
    node = here[ASH]
    entry = node.datasets.named("tests").description
    registration = node.datasets.registration(entry.commitment)
    proof = parse_proof(registration.prove(2).canonical())
    opened = unpack(package, here.party[LAB], here[LAB].keys, here[LAB].parties.directory, here.clock.now())
    verify(entry.commitment, opened.contents.rows[0].record, proof)
    assert opened.contents.rows[0].salt.hex() == proof.salt
    assert name == opened.envelope.digest


def test_both_logs_hold_each_step_and_no_content(here):
    name, package = given(here)
    here[LAB].disclosures.receiving.open(package, "lena")
    told(here, ASH, name, "received")
    here[LAB].disclosures.receiving.delete(name)
    told(here, ASH, name, "deleted")
    owner, lab = entries(here[ASH], "disclosure"), entries(here[LAB], "disclosure")
    assert owner == lab, "the disclosure, the receipt of receiving, the receipt of deleting"
    assert owner[0] == name
    assert len(owner) == 3
    assert entries(here[ASH], "decision"), "who decided"


def test_nobody_else_opens_it_and_the_recipient_only_once(here):
    name, package = given(here)
    with pytest.raises(NotTrusted):
        here[OTHER].disclosures.receiving.open(package, "eve")
    with pytest.raises(NotFound):
        here[ASH].disclosures.receiving.open(package, "anna")
    receiving = here[LAB].disclosures.receiving
    receiving.open(package, "lena")
    with pytest.raises(Conflict):
        receiving.open(package, "lena")
    receiving.delete(name)
    with pytest.raises(Refused) as refused:
        receiving.open(package, "lena")
    assert refused.value.clause == "disclosure-deleted"
    with pytest.raises(Conflict):
        receiving.delete(name)


def test_a_withdrawal_deletes_at_the_recipient_by_itself_and_comes_back_confirmed(here):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    told(here, ASH, name, "received")
    shown = here[ASH].disclosures.giving.withdraw(name, "The contract ended", "anna")
    assert shown["state"] == "withdrawn"
    with pytest.raises(Refused):
        here[ASH].disclosures.giving.package(name)
    told(here, ASH, name, "deleted")
    assert not place.exists()
    assert here[LAB].disclosures.one(name)["withdrawn_reason"] == "The contract ended"
    assert here[LAB].disclosures.one(name)["deleted_reason"] == "withdrawn"
    with pytest.raises(Conflict):
        here[ASH].disclosures.giving.withdraw(name, "", "anna")


def test_a_package_that_was_withdrawn_before_it_was_opened_never_opens(here):
    name, package = given(here)
    here[ASH].disclosures.giving.withdraw(name, "", "anna")
    told(here, ASH, name, "deleted")
    assert here[ASH].disclosures.one(name)["deleted_records"] == 0, "it was never opened there"
    with pytest.raises(Refused) as refused:
        here[LAB].disclosures.receiving.open(package, "lena")
    assert refused.value.clause == "disclosure-withdrawn"


def test_another_party_withdraws_nothing_over_the_relay_or_by_file(here):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    eve = here[OTHER]
    for owner in (eve.party, here.party[ASH]):
        forged = sign_withdrawal(name, owner, here.clock.now(), eve.keys).encode()
        with pytest.raises(NotTrusted):
            eve.call(here.party[LAB], DISCLOSURE, forged, 20)
        with pytest.raises(NotTrusted):
            here[LAB].disclosures.exchange.take(forged)
    genuine = sign_withdrawal(name, here.party[ASH], here.clock.now(), here[ASH].keys).encode()
    with pytest.raises(NotTrusted):
        eve.call(here.party[LAB], DISCLOSURE, genuine, 20)
    assert place.is_dir()


def test_a_strangers_withdrawal_of_an_unknown_package_does_not_keep_it_shut(here):
    name, package = given(here)
    eve = here[OTHER]
    eve.call(
        here.party[LAB], DISCLOSURE, sign_withdrawal(name, eve.party, here.clock.now(), eve.keys).encode(), 20
    )
    assert here[LAB].disclosures.receiving.open(package, "lena")["state"] == "received"
    told(here, ASH, name, "received")


def test_only_the_recipient_confirms_a_deletion(here):
    name, package = given(here)
    here[LAB].disclosures.receiving.open(package, "lena")
    told(here, ASH, name, "received")
    eve, now = here[OTHER], here.clock.now()
    facts = {"what": "deleted", "reason": "expired", "records": 2}
    for recipient in (eve.party, here.party[LAB]):
        forged = sign_receipt(name, here.party[ASH], recipient, eve.keys, now, **facts).encode()
        with pytest.raises(NotTrusted):
            eve.call(here.party[ASH], DISCLOSURE, forged, 20)
    with pytest.raises(NotFound):
        here[OTHER].disclosures.exchange.take(
            sign_receipt(name, here.party[ASH], here.party[LAB], here[LAB].keys, now, **facts).encode()
        )
    assert state(here, ASH, name) == "received"


def test_at_its_date_the_recipients_node_deletes_by_itself_and_the_owner_is_told(here):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    told(here, ASH, name, "received")
    here.clock.advance(7 * DAY - 1)
    here[LAB].disclosures.tidy()
    assert place.is_dir()
    here.clock.advance(1)
    here[LAB].disclosures.tidy()
    assert not place.exists()
    told(here, ASH, name, "deleted")
    assert here[ASH].disclosures.one(name)["deleted_reason"] == "expired"


def test_a_node_that_was_off_at_the_date_deletes_as_soon_as_it_is_back(here):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    here.stop(LAB)
    here.clock.advance(8 * DAY)
    assert place.is_dir(), "a machine that is off deletes nothing: the owner sees that it is not confirmed"
    assert state(here, ASH, name) == "overdue"
    here.start(LAB)
    until("the copy to be gone", lambda: not place.exists(), 30)
    told(here, ASH, name, "deleted")


def test_an_expired_package_does_not_open(here):
    name, package = given(here)
    here.clock.advance(7 * DAY)
    with pytest.raises(Refused) as refused:
        here[LAB].disclosures.receiving.open(package, "lena")
    assert refused.value.clause == "disclosure-expired"
    here[ASH].disclosures.tidy()
    assert not list((here[ASH].folder.disclosed / "given").iterdir()), "nor is the package kept"
    assert state(here, ASH, name) == "expired"
    here.clock.advance(DAY)
    assert state(here, ASH, name) == "overdue"


def test_a_deletion_that_fails_is_not_confirmed(here, monkeypatch):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    monkeypatch.setattr("cloister.node.disclosures.copies.shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(CloisterError):
        here[LAB].disclosures.receiving.delete(name)
    assert place.is_dir()
    assert state(here, LAB, name) == "received"
    monkeypatch.undo()
    here[LAB].disclosures.receiving.delete(name)
    assert not place.exists()


def test_deleting_follows_no_link_out_of_the_folder(here):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    outside = here.root / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("keep")
    (place / "images" / "link").symlink_to(outside)
    (place / "whole").symlink_to(outside, target_is_directory=True)
    here[LAB].disclosures.receiving.delete(name)
    assert not place.exists()
    assert (outside / "mine.txt").read_text() == "keep"


def test_documents_travel_as_files_where_the_nodes_are_not_connected(here):
    name, package = given(here)
    here[LAB].disclosures.receiving.open(package, "lena")
    owner, lab = here[ASH].disclosures, here[LAB].disclosures
    owner.exchange.take(lab.exchange.documents(name)[0])
    assert state(here, ASH, name) == "received"
    owner.giving.withdraw(name, "", "anna")
    lab.exchange.take(owner.exchange.documents(name)[0])
    assert state(here, LAB, name) == "deleted"
    for document in lab.exchange.documents(name):
        owner.exchange.take(document)
        owner.exchange.take(document)
    assert state(here, ASH, name) == "deleted"
    for wrong in (b"", b"{}", package, b"x" * (1 << 20), json.dumps({"a": 1}).encode()):
        with pytest.raises(BadInput):
            owner.exchange.take(wrong)


def test_what_an_agreement_says_holds(here):
    """Without the clause: refused. With it: its number, its purposes, its end; and the agreement is named."""
    made = here.terms(
        template="one-researcher-one-owner",
        quality=None,
        owners=[{"party": here.party[ASH], "name": ASH, "dataset": "tests", "samples": 2}],
    )
    lab, ash = here[LAB], here[ASH]
    digest = lab.agreements.propose(made)
    until("it", lambda: ash.agreements.find(digest))
    ash.agreements.sign(digest)
    until("it to hold", lambda: str(ash.agreements.state(digest)) == "finalized")
    shown = ash.disclosures.giving.give(offer(here, "1", "2", dataset="tests"))
    assert shown["agreements"] == [digest]
    for wrong, clause in (
        (offer(here, "3", dataset="tests"), "disclosed-records"),
        (offer(here, "1", dataset="tests", purpose="Another"), "purpose"),
        (offer(here, "1", dataset="tests", until=here.clock.now() + 60 * DAY), "validity"),
    ):
        with pytest.raises(Refused) as refused:
            ash.disclosures.giving.give(wrong)
        assert refused.value.clause == clause
    assert ash.disclosures.giving.give(offer(here, "2", dataset="tests"))["agreements"] == [digest]
    plain = here.terms(
        template="one-researcher-one-owner",
        quality=None,
        title="Without",
        owners=[{"party": here.party[ASH], "name": ASH, "dataset": "photos"}],
    )
    digest = lab.agreements.propose(plain)
    until("the other", lambda: ash.agreements.find(digest))
    ash.agreements.sign(digest)
    until("the other to hold", lambda: str(ash.agreements.state(digest)) == "finalized")
    with pytest.raises(Refused) as refused:
        ash.disclosures.giving.give(offer(here))
    assert refused.value.clause == "disclosed-records"


def test_what_cannot_be_disclosed(here):
    giving = here[ASH].disclosures.giving
    for wrong, error in (
        (offer(here, "../a.png"), NotFound),
        (offer(here, "no.png"), NotFound),
        (offer(here, "a.png", "a.png"), BadInput),
        (offer(here, "0", dataset="tests"), NotFound),
        (offer(here, "161", dataset="tests"), NotFound),
        (offer(here, "1", "01", dataset="tests"), BadInput),
        (offer(here, dataset="nothing"), NotFound),
        (offer(here, purpose=""), BadInput),
        (offer(here, until=here.clock.now()), BadInput),
        (offer(here, until=here.clock.now() + 400 * DAY), BadInput),
        (offer(here, recipient=here.party[ASH]), BadInput),
    ):
        with pytest.raises(error):
            giving.give(wrong)
    here[ASH].parties.unpin(here.party[LAB])
    with pytest.raises(Refused):
        giving.give(offer(here))
    here[ASH].parties.pin(here.party[LAB], here.party[LAB])
    (here.photos / "images" / "c.png").write_bytes(png(77))
    with pytest.raises(Tampered):
        giving.give(offer(here, "a.png"))
    assert giving.listing() == []
    assert entries(here[ASH], "disclosure") == []


def test_what_was_opened_is_in_no_backup_and_nothing_is_overwritten(here):
    name, package = given(here)
    place = Path(here[LAB].disclosures.receiving.open(package, "lena")["folder"])
    node = here[LAB]
    unlock = Passphrase(b"another one, of the backup", Cost(1, 1, 64))
    small = sum(map(len, backup(node.folder, node.durable.database, unlock, here.clock)))
    (place / "large").write_bytes(b"x" * (8 << 20))
    again = sum(map(len, backup(node.folder, node.durable.database, unlock, here.clock)))
    assert again < small + (4 << 20)
    with pytest.raises(Conflict):
        node.disclosures.receiving.open(package, "lena")
    assert (place / "large").exists()
    assert rfc3339(here.clock.now()) == node.disclosures.one(name)["received"]
