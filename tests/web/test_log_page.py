"""The log by the page, without script: looked through, one entry with its proof, exported, verified by the server."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from cloister.identity.keys import unb64
from cloister.ledger.leaves import Leaf, Opening, verify_opening
from cloister.ledger.tree import leaf_hash, verify_inclusion
from cloister.node.entries import Wanted, look
from cloister.node.toolroom.paces import TooOften
from cloister.web import paced
from web.street import PASSWORD
from web.work import LAB, text_of, working


@pytest.fixture(scope="module")
def work():
    with working() as made:
        yield made


@pytest.fixture
def lab(work):
    with closing(work[LAB].eva()) as browser:
        yield browser


@pytest.fixture
def database(work):
    return work[LAB].node.durable.database


def test_entries_are_listed_newest_first_and_lead_to_what_they_are_about(work, lab, database):
    found = look(database, Wanted())  # before the page: the log grows while the servers run
    page = lab.get("/log")
    assert [entry.index for entry in found.entries] == list(range(found.size))[::-1]
    places = [page.text.index(f'href="/log/entries/{entry.index}"') for entry in found.entries]
    assert places == sorted(places)
    assert f'href="/agreements/{work.agreement}"' in page.text


def test_entries_name_what_this_server_knows_and_lead_there(work):
    house = work["Ash"]
    own = house.node.datasets.own()[0]
    with closing(house.eva()) as ash:
        page = ash.get("/log")
        title = house.node.agreements.get(work.agreement).terms.title
        assert f'<a href="/agreements/{work.agreement}">“{title}”</a>' in page.text
        assert (
            f'<a href="/datasets/own/{own["name"]}">“{own["catalogue"]["title"]}”, version 1</a>' in page.text
        )
        entry = look(house.node.durable.database, Wanted(kind="dataset")).entries[0]
        assert own["catalogue"]["title"] in text_of(ash.get(f"/log/entries/{entry.index}").text)
        export = ash.get("/log/export").text
    assert title not in export
    assert own["catalogue"]["title"] not in export


def test_a_search_by_kind_day_and_digest_finds_what_fits(work, lab, database):
    everything = look(database, Wanted()).entries
    cards = look(database, Wanted(kind="card")).entries
    assert cards == tuple(entry for entry in everything if entry.kind == "card")
    one = everything[0]
    assert one in look(database, Wanted(digest=one.digest[:19])).entries
    assert one in look(database, Wanted(digest=one.document)).entries
    day = one.time[:10]
    assert look(database, Wanted(start=day, end=day)).entries
    assert not look(database, Wanted(end="2001-01-01")).entries
    page = text_of(lab.get("/log?kind=card").text)
    assert "keys of an organisation" in page.partition("In the log")[2]
    assert "No entry fits." in text_of(lab.get("/log?end=2001-01-01").text)


def test_a_long_log_is_looked_through_in_parts_without_leaving_any_out(database):
    seen, before = [], None
    while True:
        found = look(database, Wanted(before=before), shown=3)
        seen += [entry.index for entry in found.entries]
        if found.older is None:
            break
        before = found.older
    assert seen == list(range(found.size))[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "kind=made-up",
        "start=yesterday",
        "end=2026-1-1",
        "digest=xyz",
        "digest=ab",
        "digest=%27%20or%201%3D1",
        "start=2026-01-xx",
    ],
)
def test_a_search_that_cannot_be_read_is_told_and_the_log_still_shown(lab, query):
    answer = lab.get(f"/log?{query}")
    assert answer.status_code == 422
    assert 'href="/log/entries/0"' in answer.text


def test_an_entry_shows_a_proof_that_holds(work, lab):
    told = lab.get("/api/v1/ledger/entries/1").json()
    node = work[LAB].node
    leaf = Leaf(kind=told["kind"], digest=told["digest"], time=told["time"])
    proof = told["proof"]
    value = leaf_hash(leaf.encode())
    assert value.hex() == told["leaf_hash"]
    verify_inclusion(
        value, 1, proof["size"], [bytes.fromhex(item) for item in proof["hashes"]], unb64(proof["root"])
    )
    verify_opening(leaf, Opening(told["document"], unb64(told["salt"])))
    page = text_of(lab.get("/log/entries/1").text)
    assert "This server's own word: it is under the signed root" in page
    assert told["leaf_hash"] in page
    assert node.ledger.size() > 1


@pytest.mark.parametrize("index", ["-1", "999999999", str(1 << 60), "one", "1e3", "../0"])
def test_an_entry_that_is_not_there_is_told(lab, index):
    assert lab.get(f"/log/entries/{index}").status_code in {404, 422}


def test_the_export_verifies_and_the_servers_verdict_is_on_the_page(work, lab):
    export = lab.get("/log/export")
    assert export.headers["content-type"].startswith("application/x-ndjson")
    first, *_, last = export.content.splitlines()
    assert json.loads(first)["origin"].endswith(work[LAB].node.party)
    assert json.loads(last)["end"]["entries"] == work[LAB].node.ledger.size()
    page = text_of(lab.get("/log/verify?server=yes").text)
    assert "Nothing is wrong" in page
    assert "cloister ledger verify FILE --party" in page


def test_the_server_verifies_its_log_for_one_at_a_time_and_others_are_told_when_to_come(
    work, lab, monkeypatch
):
    began, go_on = threading.Event(), threading.Event()
    real = paced.verify_export

    def takes_long(*given, **named):
        began.set()
        assert go_on.wait(30)
        return real(*given, **named)

    monkeypatch.setattr(paced, "verify_export", takes_long)
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(lab.get, "/log/verify?server=yes")
            assert began.wait(30)
            answer = lab.get("/log/verify?server=yes")
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
            assert "done for somebody else" in text_of(answer.text)
            assert lab.get("/log/verify").status_code == 200
        finally:
            go_on.set()
        assert "Nothing is wrong" in text_of(first.result().text)


def test_what_took_long_is_not_done_again_at_once(work):
    now = iter([0.0, 3.0, 14.0, 15.0, 15.5])
    found = paced.LogWork(lambda: next(now))
    node = work[LAB].node
    assert found.verdict(node, "eva").ok, "took three seconds"
    with pytest.raises(TooOften) as caught:
        found.verdict(node, "eva")
    assert caught.value.detail["retry_after"] == 1
    assert "let your browser" in caught.value.remedy
    assert found.verdict(node, "eva").ok


def test_who_asks_often_for_a_long_log_keeps_nobody_else_from_it(work):
    now = iter([0.0, 3.0, 14.0, 14.0, 17.0, 17.0, 20.0, 20.0, 23.0])
    slow, node = paced.LogWork(lambda: next(now)), work[LAB].node
    assert slow.export(node, "eva"), "took three seconds"
    with pytest.raises(TooOften) as caught:
        slow.export(node, "eva")
    assert caught.value.detail["retry_after"] == 1
    assert slow.export(node, "bob"), "has not asked before"
    for _ in range(2):
        assert slow.export(node, None), "waits for no rest"


def test_the_page_and_the_interface_write_the_log_out_for_one_at_a_time(work, lab, monkeypatch):
    began, go_on, real = threading.Event(), threading.Event(), paced.export_ledger

    def takes_long(node):
        began.set()
        assert go_on.wait(30)
        return real(node)

    monkeypatch.setattr(paced, "export_ledger", takes_long)
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(lab.get, "/log/export")
            assert began.wait(30)
            for path in ("/log/export", "/api/v1/ledger/export"):
                answer = lab.get(path)
                assert answer.status_code == 429
                assert int(answer.headers["retry-after"]) > 0
        finally:
            go_on.set()
        assert first.result().status_code == 200
    assert base64.b64decode(lab.get("/api/v1/ledger/export").json()["content"]).startswith(b"{")


def test_the_server_names_the_first_entry_that_was_changed_in_its_own_log(work, lab, database):
    from sqlalchemy import update

    from cloister.storage.log import LogRows
    from cloister.storage.tables import ledger_rows

    with database.read() as tx:
        row = LogRows(tx).get(2)
    spoiled = row.leaf.replace(b'"kind":"', b'"kind":"x', 1)

    def put(leaf):
        with database.transaction() as tx:
            tx.connection.execute(update(ledger_rows).where(ledger_rows.c.index == 2).values(leaf=leaf))

    put(spoiled)
    try:
        page = lab.get("/log/verify?server=yes")
        assert "things are wrong" in text_of(page.text)
        assert 'href="/log/entries/2"' in page.text
        assert "cannot be read" in text_of(lab.get("/log").text)
    finally:
        put(row.leaf)
    assert "Nothing is wrong" in text_of(lab.get("/log/verify?server=yes").text)


def test_checkpoints_and_witnesses_are_named(work, lab):
    told = text_of(lab.get("/log").text)
    heads = lab.get("/api/v1/ledger/checkpoints").json()
    assert heads
    assert all(head["size"] <= work[LAB].node.ledger.size() for head in heads)
    assert "Logs that this server witnesses" in told


def test_who_may_not_read_the_log_sees_nothing_of_it(work):
    work[LAB].site.accounts.add("Tom", {"tool-user"}, PASSWORD)
    with work[LAB].visitor() as user:
        user.sign_in("Tom")
        for path in ("/log", "/log/entries/0", "/log/verify", "/log/export", "/api/v1/ledger/entries"):
            assert user.get(path).status_code == 403
