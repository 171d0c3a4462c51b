"""Backups of whole nodes, rule by rule (see `cloister.node.backup` and `cloister.node.restoring`)."""

from __future__ import annotations

import io
import os
import stat
import threading

import pytest

from cloister.foundation.canonical import canonical
from cloister.foundation.clock import FixedClock, SystemClock
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotTrusted, OutOfSpace, Tampered
from cloister.identity import streams
from cloister.identity.keystore import Cost, Passphrase
from cloister.node import backup as module
from cloister.node.backup import KIND, backup, write
from cloister.node.folder import Folder
from cloister.node.node import Node
from cloister.node.restoring import check, restore
from cloister.node.setup import init_node
from cloister.people.sessions import Person, Session
from cloister.storage.database import Database
from cloister.storage.people import People, Token
from cloister.storage.settings import Settings
from node.town import LocalEngines, table

UNLOCK = Passphrase(b"a passphrase of the tests", Cost(1, 1, 64))
BACKUP = Passphrase(b"another one, of the backup", Cost(1, 1, 64))


def opened(folder, **more):
    return Node(folder, UNLOCK, SystemClock(), connect=lambda _: None, engines=LocalEngines, **more)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "node"
    init_node(place, "Plant A", ["owner"], UNLOCK, UNLOCK, SystemClock())
    return Folder(place)


@pytest.fixture
def node(folder, tmp_path):
    with opened(folder.root) as running:
        running.datasets.add(table(tmp_path / "a.csv", 1), {"name": "a"} | DATASET)
        running.contents.put(b"a model" * 100_000)
        with running.durable.keeping() as keep, running.durable.transaction() as records:
            Settings(records.tx).put("test/kept", keep(os.urandom(300_000)).digest)
        yield running


DATASET = {"title": "Table a", "residency": "DE"}


def made(node, path, unlock=BACKUP):
    write(path, backup(node.folder, node.durable.database, unlock, SystemClock()))
    return path


def test_a_node_comes_back_as_it_was_with_its_own_passphrase(node, tmp_path):
    file = made(node, tmp_path / "b")
    again = Folder(tmp_path / "again")
    about = restore(file, again, BACKUP)
    assert (about.party, about.name, about.leaves) == (node.party, "Plant A", node.ledger.size())
    with node.durable.read() as records:
        name = Settings(records.tx).get("test/kept")
    assert (again.root / "blobs" / name.removeprefix("sha256:")).stat().st_size == 300_000
    kept = {
        path.relative_to(node.folder.root).as_posix()
        for path in node.folder.root.rglob("*")
        if path.is_file()
    }
    back_there = {path.relative_to(again.root).as_posix() for path in again.root.rglob("*") if path.is_file()}
    assert {
        item
        for item in kept - back_there
        if not item.startswith(("cache/", "cloister.db", ".lock", "recovery-keys.sealed"))
    } == set()
    with opened(again.root) as back:
        assert back.party == node.party
        assert [item["name"] for item in back.datasets.own()] == [
            item["name"] for item in node.datasets.own()
        ]
        assert back.ledger.head()["root"] == node.ledger.head()["root"]


def test_rule_1_nothing_of_the_folder_is_readable_in_it_and_it_is_its_owners_alone(node, tmp_path):
    file = made(node, tmp_path / "b")
    data = file.read_bytes()
    for word in (b"Plant A", node.party.encode(), b"a model", b"SQLite format", b"node.json"):
        assert word not in data
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for unlock in (UNLOCK, Passphrase(b"", Cost(1, 1, 64))):
        with pytest.raises(NotTrusted):
            check(file, unlock)


def test_rule_2_it_is_of_one_moment_while_the_node_writes(node, tmp_path):
    ended = threading.Event()

    def work():
        number = 0
        while not ended.is_set():
            number += 1
            with node.durable.keeping() as keep, node.durable.transaction() as records:
                settings = Settings(records.tx)
                old = settings.get("test/body")
                kept = keep(number.to_bytes(4, "big") * 30_000)
                settings.put("test/body", kept.digest)
                settings.put("test/number", number)
            if old is not None:
                node.durable.blobs.collect([old], lambda _: False)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for turn in range(5):
            again = tmp_path / f"again{turn}"
            restore(made(node, tmp_path / f"b{turn}"), Folder(again), BACKUP)
            database = Database.open(again)
            with database.read() as tx:
                settings = Settings(tx)
                number, name = settings.get("test/number"), settings.get("test/body")
            database.close()
            if name is not None:
                body = (again / "blobs" / name.removeprefix("sha256:")).read_bytes()
                assert body == number.to_bytes(4, "big") * 30_000
    finally:
        ended.set()
        thread.join()


def test_rule_2_the_node_works_on_while_the_backup_is_copied_out(node):
    pieces = backup(node.folder, node.durable.database, BACKUP, SystemClock())
    next(pieces)
    with node.durable.transaction() as records:
        Settings(records.tx).put("test/meanwhile", 1)
    with pytest.raises(Conflict, match="being made already"):
        next(backup(node.folder, node.durable.database, BACKUP, SystemClock()))
    pieces.close()
    assert list(node.folder.root.glob(".backup-*")) == []
    for _ in backup(node.folder, node.durable.database, BACKUP, SystemClock()):
        pass
    assert list(node.folder.root.glob(".backup-*")) == []


def test_what_a_killed_backup_left_is_removed_by_the_next(node, tmp_path):
    left = node.folder.root / ".backup-000000000000"
    left.mkdir()
    (left / "x").write_bytes(b"x")
    made(node, tmp_path / "b")
    assert not left.exists()


def test_no_link_leads_out_of_the_folder_and_no_half_written_file_goes_along(node, tmp_path):
    secret = tmp_path / "elsewhere"
    secret.write_bytes(b"not the node's")
    (node.folder.root / "link").symlink_to(secret)
    (node.folder.root / "contents" / "x.part").write_bytes(b"half")
    (node.folder.root / "backups").mkdir()
    (node.folder.root / "backups" / "older").write_bytes(b"an older backup")
    again = tmp_path / "again"
    restore(made(node, tmp_path / "b"), Folder(again), BACKUP)
    assert not (again / "link").exists()
    assert not (again / "contents" / "x.part").exists()
    assert not (again / "backups").exists()


@pytest.mark.parametrize("there", ["file", "full folder"])
def test_rule_3_a_restore_replaces_nothing(node, tmp_path, there):
    file, target = made(node, tmp_path / "b"), tmp_path / "again"
    if there == "file":
        target.write_bytes(b"mine")
    else:
        target.mkdir()
        (target / "mine").write_bytes(b"mine")
    with pytest.raises(Conflict):
        restore(file, Folder(target), BACKUP)
    assert (target if there == "file" else target / "mine").read_bytes() == b"mine"


def test_rule_3_an_empty_folder_is_fine(node, tmp_path):
    again = Folder(tmp_path / "again")
    again.root.mkdir()
    about = restore(made(node, tmp_path / "b"), again, BACKUP)
    assert about.party == node.party == again.config().party
    assert stat.S_IMODE(again.root.stat().st_mode) == 0o700
    contents = {path.name: path.read_bytes() for path in (node.folder.root / "contents").iterdir()}
    assert contents == {path.name: path.read_bytes() for path in (again.root / "contents").iterdir()}


@pytest.mark.parametrize("how", ["cut", "bent", "wrong passphrase", "not a backup"])
def test_rule_3_a_folder_appears_as_a_whole_or_not_at_all(node, tmp_path, how):
    file = made(node, tmp_path / "b")
    data = bytearray(file.read_bytes())
    assert len(data) > streams.CHUNK
    if how == "cut":
        del data[-1:]
    elif how == "bent":
        data[-100] ^= 1
    elif how == "not a backup":
        data = bytearray(b"PK\x03\x04" + data)
    file.write_bytes(bytes(data))
    for work in (
        lambda unlock: restore(file, Folder(tmp_path / "again"), unlock),
        lambda unlock: check(file, unlock),
    ):
        with pytest.raises((NotTrusted, BadInput)):
            work(UNLOCK if how == "wrong passphrase" else BACKUP)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b", "node"]


def forged(path, entries, about=None):
    """A backup by somebody who knows the passphrase, with any entries."""
    whole = {
        "made": "",
        "version": "",
        "party": "",
        "name": "",
        "leaves": 0,
        "charges": 0,
        "populations": [],
        "size": 0,
    }
    whole |= {"files": len(entries)} | (about or {})

    def plain():
        yield module._entry({"about": whole})
        for header, body in entries:
            yield module._entry(header) + body
        yield module._entry({"end": len(entries)})

    path.write_bytes(b"".join(streams.seal(plain(), KIND, BACKUP)))
    return path


EMPTY = {"size": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/evil",
        "a/../../evil",
        "",
        ".",
        "a//b",
        "a\\..\\evil",
        "C:evil",
        "a\x00b",
        "x" * 2000,
        "a/./b",
        3,
        None,
    ],
)
def test_rule_4_no_path_leads_out_of_the_folder(tmp_path, name):
    file = forged(tmp_path / "b", [({"path": name} | EMPTY, b"")])
    with pytest.raises(Tampered):
        restore(file, Folder(tmp_path / "deep" / "again"), BACKUP)
    assert not (tmp_path / "evil").exists()
    assert list(tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize(
    ("entries", "about"),
    [
        ([({"path": "a"} | EMPTY, b""), ({"path": "a"} | EMPTY, b"")], {}),
        ([({"path": "a"} | EMPTY | {"size": 1}, b"x")], {}),
        ([({"path": "a"} | EMPTY | {"size": -1}, b"")], {}),
        ([({"path": "a"} | EMPTY | {"size": True}, b"")], {}),
        ([({"path": "a"} | EMPTY | {"size": 1 << 52}, b"")], {}),
        ([({"path": "a", "size": 0}, b"")], {}),
        ([({"path": "a", "size": 0, "sha256": "ä"}, b"")], {}),
        ([], {"files": 1}),
        ([], {"leaves": "1"}),
        ([], {"populations": [1]}),
        ([], {"more": 1}),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, entries, about):
    file = forged(tmp_path / "b", entries, about)
    with pytest.raises(Tampered):
        check(file, BACKUP)


def test_entries_that_are_too_long_or_no_json_are_refused(tmp_path):
    for plain in (
        b"",
        b"\xff\xff\xff\xff",
        (5).to_bytes(4, "big") + b"{{{{{",
        (2).to_bytes(4, "big") + b"[]",
    ):
        (tmp_path / "b").write_bytes(b"".join(streams.seal([plain], KIND, BACKUP)))
        with pytest.raises(Tampered):
            check(tmp_path / "b", BACKUP)


def test_rule_5_sessions_and_tokens_do_not_come_back(node, tmp_path):
    with node.durable.transaction() as records:
        people = People(records.tx)
        people.add(Person("a1", "Ada", frozenset({"operator"})), "kept", 1)
        people.open("d1", Session("a1", 1, 1, 1))
        people.keep(Token("t1", "a1", "x", frozenset({"tasks.read"}), 1, 2))
    again = tmp_path / "again"
    restore(made(node, tmp_path / "b"), Folder(again), BACKUP)
    database = Database.open(again)
    with database.read() as tx:
        people = People(tx)
        assert people.get("a1") is not None
        assert (people.session("d1"), people.token("t1")) == (None, None)
    database.close()


def test_rule_5_privacy_is_not_spent_until_people_have_said_what_was(node, tmp_path):
    node.budgets.populations.open("plants", "record", 3.0, 1e-5, "sums")
    again = tmp_path / "again"
    about = restore(made(node, tmp_path / "b"), Folder(again), BACKUP)
    assert about.populations == ("plants",)
    with opened(again) as back:
        assert back.status()["budgets"]["clause"] == "budget-restored"
        with pytest.raises(CloisterError):
            back.budgets.health.require_sound()
        back.budgets.health.reconcile({"plants": {}})
        back.budgets.health.require_sound()
    with opened(again) as back:
        assert back.status()["budgets"] is None


def test_without_a_privacy_budget_nothing_has_to_be_said(node, tmp_path):
    again = tmp_path / "again"
    restore(made(node, tmp_path / "b"), Folder(again), BACKUP)
    with opened(again) as back:
        assert back.status()["budgets"] is None


def test_a_backup_of_a_newer_version_is_refused(node, tmp_path):
    with node.durable.transaction() as records:
        records.tx.connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    file = made(node, tmp_path / "b")
    with pytest.raises(CloisterError) as found:
        restore(file, Folder(tmp_path / "again"), BACKUP)
    assert getattr(found.value, "clause", "") == "schema-newer"
    assert not (tmp_path / "again").exists()


def test_people_and_samples_are_backed_up_before_there_is_an_organisation(tmp_path):
    database = Database.open(tmp_path / "node")
    folder = Folder(tmp_path / "node")
    with database.transaction() as tx:
        People(tx).add(Person("a1", "Ada", frozenset({"operator"})), "kept", 1)
    write(tmp_path / "b", backup(folder, database, BACKUP, FixedClock()))
    database.close()
    assert check(tmp_path / "b", BACKUP).party == ""
    restore(tmp_path / "b", Folder(tmp_path / "again"), BACKUP)
    assert not (tmp_path / "again" / "node.json").exists()


def test_a_database_that_is_a_servers_is_told_how(tmp_path):
    database = Database.memory()
    with pytest.raises(Conflict, match="PostgreSQL"):
        backup(Folder(tmp_path), database, BACKUP, FixedClock())
    database.close()


def test_a_backup_replaces_no_file_and_leaves_none_half_written(node, tmp_path, monkeypatch):
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(Conflict):
        made(node, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"mine"
    with pytest.raises(BadInput):
        made(node, tmp_path / "no folder" / "b")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OutOfSpace):
        made(node, tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b", "node"]


def test_the_format_is_what_it_was(node, tmp_path):
    """A backup is opened by later versions: its first line and first entry are fixed."""
    line = made(node, tmp_path / "b").read_bytes().partition(b"\n")[0]
    assert line.startswith(b'{"key":{')
    assert b'"type":"cloister/backup@1"' in line
    with io.BytesIO((tmp_path / "b").read_bytes()) as stream:
        first = next(streams.unseal(stream, KIND, BACKUP))
    length = int.from_bytes(first[:4], "big")
    assert first[4 : 4 + length].startswith(b'{"about":{"charges":')
    assert canonical({"end": 3}) == b'{"end":3}'
