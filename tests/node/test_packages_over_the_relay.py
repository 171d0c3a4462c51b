"""A sealed package on its way over the relay: fetched in parts, resumed, refused when it no longer stands, and to nobody else."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cloister.disclosure.delivery import Arrived, PackageOffer, PartWanted, parse_offer
from cloister.disclosure.documents import DAY
from cloister.foundation.clock import FixedClock, rfc3339
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused
from cloister.node.disclosures import arriving as arriving_module
from cloister.node.disclosures import sending as sending_module
from cloister.node.disclosures.giving import Offer
from cloister.node.disclosures.sending import ARRIVED, OFFER, PART_OF
from cloister.storage.log import LogRows
from disclosure.disclosure_cases import png
from node.town import LAB, PURPOSE, town, until

ASH, OTHER = "Ash", "Birch"
NAMES = {ASH: ["owner"], OTHER: ["owner"], LAB: ["researcher"]}
STEP = 4096


@pytest.fixture
def here(tmp_path, monkeypatch):
    # Small parts, so that a small package has many of them; at both sides, as the two share the constant.
    monkeypatch.setattr(sending_module, "PART", STEP)
    monkeypatch.setattr(arriving_module, "PART", STEP)
    with town(tmp_path, names=NAMES, clock=FixedClock(1_800_000_000)) as made:
        made.start()
        made.meet()
        photos = tmp_path / "photos"
        photos.mkdir()
        for number in range(3):
            (photos / f"{number}.png").write_bytes(png(number, 120))
        made[ASH].datasets.add(photos, {"name": "photos", "title": "Photos", "residency": "DE"})
        # What the chores do by themselves is done here by hand, step by step.
        for node in made.nodes.values():
            node.steward.close()
        yield made


def given(here, *records: str) -> str:
    offer = Offer(
        dataset="photos",
        records=records or ("0.png", "2.png"),
        recipient=here.party[LAB],
        purpose=PURPOSE,
        until=here.clock.now() + 7 * DAY,
        deletion_days=1,
        by="anna",
    )
    return here[ASH].disclosures.giving.give(offer)["disclosure"]


def sent(here, *records: str) -> str:
    name = given(here, *records)
    here[ASH].disclosures.sending.send(name, "anna")
    return name


def package(here, name: str) -> bytes:
    return here[ASH].disclosures.giving.package(name)


def wanted(name: str, at: int = 0) -> bytes:
    return PartWanted(disclosure=name, at=at).canonical()


def files(here, who: str = LAB) -> list[Path]:
    place = here[who].folder.disclosed / "arriving"
    return sorted(place.iterdir()) if place.is_dir() else []


def entries(node, kind: str = "disclosure") -> list[str]:
    with node.durable.database.read() as tx:
        return [row.document for row in LogRows(tx).scan(0, LogRows(tx).size()) if row.kind == kind]


def test_it_comes_over_the_relay_is_opened_by_a_person_and_both_logs_say_so(here):
    name = sent(here)
    assert here[ASH].disclosures.one(name)["sending"] == "waiting"
    here[ASH].disclosures.tell()
    assert here[ASH].disclosures.one(name)["sending"] == "offered"
    lab = here[LAB].disclosures
    lab.arriving.fetch()
    (waiting,) = lab.arriving.listing()
    assert waiting["whole"]
    assert waiting["owner"] == here.party[ASH]
    assert waiting["here"] == waiting["size"] == len(package(here, name)) > 5 * STEP
    assert lab.listing() == [], "nothing is opened by itself"
    assert here[ASH].disclosures.one(name)["sending"] == "arrived"
    shown = lab.arriving.open(name, "lena")
    assert len(list((Path(shown["folder"]) / "images").iterdir())) == 2
    assert lab.one(name)["opened_by"] == "lena"
    assert lab.arriving.listing() == []
    assert files(here) == [], "the package itself is gone"
    lab.tell()
    assert here[ASH].disclosures.one(name)["state"] == "received"
    assert sorted(entries(here[ASH])) == sorted(entries(here[LAB]))
    assert len(entries(here[ASH])) == 3, "the disclosure, its arrival, that it was opened"
    assert here[ASH].disclosures.one(name)["sent_by"] == "anna"


def test_nothing_is_offered_or_given_that_nobody_sent(here):
    name = given(here)
    here[ASH].disclosures.tell()
    assert here[LAB].disclosures.arriving.listing() == []
    with pytest.raises(Refused) as refused:
        here[LAB].call(here.party[ASH], PART_OF, wanted(name), 20)
    assert refused.value.clause == "disclosure-unknown"


def test_a_third_party_gets_nothing_and_cannot_tell_whether_there_is_something(here):
    name = sent(here)
    here[ASH].disclosures.tell()
    told = []
    for about in (name, "sha256:" + "0" * 64):
        for method, body in (
            (PART_OF, wanted(about)),
            (ARRIVED, Arrived(disclosure=about, package=digest(package(here, name))).canonical()),
        ):
            with pytest.raises(Refused) as refused:
                here[OTHER].call(here.party[ASH], method, body, 20)
            told.append(str(refused.value))
    assert len(set(told)) == 1
    assert here[ASH].disclosures.one(name)["sending"] == "offered"


def test_it_goes_on_where_it_broke_off_after_both_servers_were_off(here, monkeypatch):
    name = sent(here)
    here[ASH].disclosures.tell()
    lab, asked = here[LAB].disclosures.arriving, []
    cut_after(monkeypatch, lab, 3, asked)
    lab.fetch()
    (part,) = files(here)
    assert part.stat().st_size == 3 * STEP
    assert part.stat().st_mode & 0o077 == 0
    assert lab.listing()[0]["here"] == 3 * STEP
    here.stop(LAB, ASH)
    for who in (LAB, ASH):
        here.start(who)
        here[who].steward.close()
    lab = here[LAB].disclosures.arriving
    cut_after(monkeypatch, lab, 1000, asked)
    asked.clear()
    lab.fetch()
    assert asked[0] == 3 * STEP, "not from the beginning"
    assert lab.listing()[0]["whole"]
    assert lab.open(name, "lena")["state"] == "received"


def test_a_slow_owner_waits_for_its_next_turn_and_holds_up_nobody(here, monkeypatch):
    for record in ("0.png", "2.png"):
        sent(here, record)
    here[ASH].disclosures.tell()
    lab, seconds = here[LAB].disclosures.arriving, itertools.count(0, 61)
    monkeypatch.setattr(lab, "_steady", lambda: next(seconds))
    lab.fetch()
    # One part of one package; the other of the same owner waits, too.
    assert sorted(one["here"] for one in lab.listing()) == [0, STEP]
    monkeypatch.setattr(lab, "_steady", lambda: 0.0)
    lab.fetch()
    assert all(one["whole"] for one in lab.listing())


def test_a_recipient_that_is_off_gets_it_later(here):
    here.stop(LAB)
    name = sent(here)
    here[ASH].disclosures.tell()
    assert here[ASH].disclosures.one(name)["sending"] == "waiting"
    here.start(LAB)
    here[LAB].steward.close()
    until("Ash to see the lab", lambda: here.party[LAB] in here[ASH].link.transport.here())
    here[ASH].disclosures.tell()
    here[LAB].disclosures.arriving.fetch()
    assert here[LAB].disclosures.arriving.open(name, "lena")["state"] == "received"


def test_what_was_withdrawn_is_sent_no_further_and_its_parts_are_deleted(here, monkeypatch):
    name = sent(here)
    here[ASH].disclosures.tell()
    lab = here[LAB].disclosures.arriving
    cut_after(monkeypatch, lab, 2, [])
    lab.fetch()
    assert files(here)
    here[ASH].disclosures.giving.withdraw(name, "", "anna")
    with pytest.raises(Refused) as refused:
        here[LAB].call(here.party[ASH], PART_OF, wanted(name, 2 * STEP), 20)
    assert refused.value.clause == "disclosure-withdrawn"
    monkeypatch.undo()
    lab.fetch()
    assert files(here) == []
    assert lab.listing() == []
    with pytest.raises(CloisterError):
        here[ASH].disclosures.sending.send(name, "anna")


def test_a_withdrawal_deletes_a_package_that_has_arrived_and_was_not_opened(here):
    name = sent(here)
    here[ASH].disclosures.tell()
    here[LAB].disclosures.arriving.fetch()
    here[ASH].disclosures.giving.withdraw(name, "", "anna")
    here[ASH].disclosures.tell()
    here[LAB].disclosures.tidy()
    assert files(here) == []
    with pytest.raises(NotFound):
        here[LAB].disclosures.arriving.open(name, "lena")
    here[LAB].disclosures.tell()
    assert here[ASH].disclosures.one(name)["deleted_records"] == 0


def test_after_its_end_it_is_neither_sent_nor_kept(here):
    name, other = sent(here), sent(here, "1.png")
    here[ASH].disclosures.tell()
    here[LAB].disclosures.arriving.fetch()
    assert len(files(here)) == 2
    here.clock.advance(7 * DAY)
    here[LAB].disclosures.tidy()
    assert files(here) == []
    for late in (name, other):
        with pytest.raises(Refused) as refused:
            here[LAB].call(here.party[ASH], PART_OF, wanted(late), 20)
        assert refused.value.clause == "disclosure-expired"


def test_what_was_opened_is_sent_no_second_time(here):
    name = sent(here)
    here[LAB].disclosures.receiving.open(package(here, name), "lena")
    here[LAB].disclosures.tell()
    here[ASH].disclosures.tell()
    assert here[LAB].disclosures.arriving.listing() == []
    with pytest.raises(Refused) as refused:
        here[LAB].call(here.party[ASH], PART_OF, wanted(name), 20)
    assert refused.value.clause == "disclosure-received"


def test_a_relay_that_loses_changes_and_repeats_does_no_harm(here):
    name = sent(here)
    faults = here.hub.faults
    faults.drop, faults.duplicate, faults.corrupt = 0.1, 0.3, 0.1
    lab = here[LAB].disclosures

    def whole():
        here[ASH].disclosures.tell()
        lab.arriving.fetch()
        return lab.arriving.listing() and lab.arriving.listing()[0]["whole"]

    until("the package", whole, 120)
    faults.heal()
    (arrived,) = files(here)
    assert arrived.read_bytes() == package(here, name)
    assert lab.arriving.open(name, "lena")["state"] == "received"


def test_a_relay_that_records_everything_sees_no_part_of_it(here):
    here.hub.record = True
    name = sent(here)
    here[ASH].disclosures.tell()
    here[LAB].disclosures.arriving.fetch()
    seen = b"".join(frame for _, _, frame in here.hub.seen)
    whole = package(here, name)
    assert len(seen) > len(whole)
    for told in (name.encode(), whole[-64:], whole[2000:2064], b"photos", PURPOSE.encode()):
        assert told not in seen


def test_an_owner_that_sends_something_else_than_it_offered_is_noticed_and_left(here):
    """Its server answers each request with bytes of the right size that are not the package's."""
    name = sent(here)
    here[ASH].disclosures.tell()
    place = here[ASH].disclosures.giving.place(name)
    good = place.read_bytes()
    place.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    lab = here[LAB].disclosures.arriving
    for _ in range(2):
        lab.fetch()
        assert files(here) == []
        assert len(lab.listing()) == 1
    lab.fetch()
    assert lab.listing() == [], "after three attempts"
    assert entries(here[LAB]) == []


def test_an_offer_under_another_owners_digest_neither_opens_nor_stands_in_the_way(here):
    """Birch, trusted as well, has the sealed package from its carrier and offers it as its own, first."""
    name = sent(here)
    whole = package(here, name)
    forged = PackageOffer(
        disclosure=name, size=len(whole), package=digest(whole), until=rfc3339(here.clock.now() + DAY)
    )
    here[OTHER].call(here.party[LAB], OFFER, forged.canonical(), 20)
    lab = here[LAB].disclosures
    here[OTHER].link.transport.serve(PART_OF, lambda call: whole[(at := _at(call.body)) : at + STEP])
    here[OTHER].link.transport.serve(ARRIVED, lambda _call: b"{}")
    lab.arriving.fetch()
    assert lab.arriving.listing()[0]["whole"]
    with pytest.raises(NotTrusted) as refused:
        lab.arriving.open(name, "eve")
    assert refused.value.clause == "sender"
    here[ASH].disclosures.tell()
    lab.arriving.fetch()
    assert lab.arriving.open(name, "lena")["owner"] == here.party[ASH]


def test_offers_are_bounded_and_only_from_those_whose_fingerprint_was_compared(here):
    now = here.clock.now()

    def offer(number: int, **changes) -> bytes:
        fields = {
            "disclosure": digest(str(number).encode()),
            "size": 1000,
            "package": digest(b"x"),
            "until": rfc3339(now + DAY),
        }
        return PackageOffer(**fields | changes).canonical()

    lab = here[LAB].disclosures.arriving
    for wrong in (
        offer(1, until=rfc3339(now)),
        offer(1, until=rfc3339(now + 400 * DAY)),
        b"",
        b"{}",
        b"x" * 3000,
    ):
        with pytest.raises(BadInput):
            lab.on_offer(here.party[OTHER], wrong)
    with pytest.raises(BadInput):
        parse_offer(offer(1).replace(b'"size":1000', b'"size":1000000000'))
    for number in range(16):
        lab.on_offer(here.party[OTHER], offer(number))
        lab.on_offer(here.party[OTHER], offer(number))
    with pytest.raises(Refused) as refused:
        lab.on_offer(here.party[OTHER], offer(17))
    assert refused.value.clause == "quota"
    lab.refuse(digest(b"3"))
    here.clock.advance(3600)
    lab.on_offer(here.party[OTHER], offer(17))
    here[LAB].parties.unpin(here.party[OTHER])
    with pytest.raises(Refused):
        lab.on_offer(here.party[OTHER], offer(18))


def test_a_recipient_cannot_fetch_without_end(here):
    name = sent(here)
    here[ASH].disclosures.tell()
    sending, count = here[ASH].disclosures.sending, 0
    refused = None
    while refused is None and count < 1000:
        try:
            sending.on_part(here.party[LAB], wanted(name))
            count += 1
        except Refused as error:
            refused = error
    assert refused.clause == "disclosure-fetched"
    assert count * STEP <= 4 * len(package(here, name)) + STEP


def test_a_part_outside_the_package_is_refused(here):
    name = sent(here)
    for at in (len(package(here, name)), len(package(here, name)) + 1):
        with pytest.raises(Refused):
            here[ASH].disclosures.sending.on_part(here.party[LAB], wanted(name, at))
    with pytest.raises(BadInput):
        here[ASH].disclosures.sending.on_part(here.party[LAB], wanted(name, 1).replace(b'"at":1', b'"at":-1'))


def _at(body: bytes) -> int:
    return PartWanted.model_validate_json(body).at


def cut_after(monkeypatch, arriving, parts: int, asked: list[int]) -> None:
    """The line breaks off after so many parts."""
    real = arriving._call

    def call(to, method, body, *rest, **more):
        if method == PART_OF:
            if len(asked) >= parts:
                raise CloisterError("The line broke off.")
            asked.append(_at(body))
        return real(to, method, body, *rest, **more)

    monkeypatch.setattr(arriving, "_call", call)
