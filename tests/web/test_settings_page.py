"""Settings: what the server is, how it is, its relay, its backups."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from cloister.identity.keystore import Passphrase, read_recovery
from cloister.node.folder import Folder
from cloister.node.restoring import check, restore
from cloister.node.setup import RECOVERY_FILE
from web.browser import Visit, check_page
from web.street import EVA, PASSWORD, Browser, new_house

BACKUP = "other words for a backup"
WORDS = "four random words here"
PATHS = ("/settings", "/settings/health", "/settings/relay", "/settings/backup")


@pytest.fixture
def house(tmp_path):
    with new_house(tmp_path / "n") as made:
        made.site.accounts.first(EVA, PASSWORD, made.site.accounts.start_key)
        opener = Passphrase(WORDS.encode())
        made.site.found("Sugar works Tulln", ["owner"], opener, opener)
        yield made


@pytest.fixture
def eva(house):
    with closing(house.eva()) as browser:
        yield browser


def stale(house):
    from dataclasses import replace

    from cloister.people.sessions import FRESH
    from cloister.storage.people import People

    with house.site.database.transaction() as tx:
        people = People(tx)
        for person in people.all():
            for digest, session in people.sessions_of(person.account):
                people.open(digest, replace(session, shown=session.shown - FRESH - 1))


def test_the_server_says_who_it_is_and_where_its_recovery_keys_are(house, eva):
    told = eva.get("/settings").text
    assert "Sugar works Tulln" in told
    assert str(house.site.folder.root / RECOVERY_FILE) in told
    shown = re.sub(r"<[^>]+>|\s", "", told)
    assert house.node.party in shown, "the fingerprint, to read out"
    (house.site.folder.root / RECOVERY_FILE).rename(house.site.folder.root.parent / "away")
    assert "recovery keys are still" not in eva.get("/settings").text


def test_health_says_what_doctor_says(house, eva, monkeypatch):
    told = eva.get("/settings/health").text
    assert "Nothing is wrong" in told
    assert "Not connected to one" in told
    house.node.ledger.lock("witness-rollback", "A witness has seen more of the log.", "w")
    told = eva.get("/settings/health").text
    assert "1 thing to put right" in told
    assert told.index("A witness has seen more of the log.") < told.index("Python")


def test_a_closed_server_says_that_it_is_closed(house, eva):
    house.node.close()
    house.site.node = None
    for path, words in (
        ("/settings", "Closed"),
        ("/settings/health", "it is closed"),
        ("/settings/relay", "Open the server"),
    ):
        assert words.lower() in eva.get(path).text.lower(), path


@pytest.mark.parametrize("path", ["/settings/relay", "/connect"])
def test_an_invitation_that_is_none_is_told_and_stays_in_its_field(eva, path):
    answer = eva.post(path, data={"invitation": "no <i>invitation</i> at all"})
    assert answer.status_code == 422
    assert "It is cut short, or no invitation of a Cloister relay." in answer.text
    field = re.search(r"<textarea[^>]*>(.*?)</textarea>", answer.text, re.DOTALL)
    assert field[1].strip() == "no &lt;i&gt;invitation&lt;/i&gt; at all"


def test_a_backup_is_downloaded_and_comes_back(house, eva, tmp_path):
    answer = eva.post("/settings/backup", data={"passphrase": BACKUP, "again": BACKUP, "where": "download"})
    assert answer.status_code == 200
    name = answer.headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="sugar-works-tulln-\d{8}t\d{6}z\.cloister-backup"', name)
    assert answer.headers["cache-control"] == "no-store"
    (tmp_path / "b").write_bytes(answer.content)
    about = restore(tmp_path / "b", Folder(tmp_path / "again"), Passphrase(BACKUP.encode()))
    assert about.party == house.node.party
    assert "Made a backup" in eva.get("/people/trail").text


def test_a_backup_is_made_on_the_server_and_listed(house, eva):
    answer = eva.post("/settings/backup", data={"passphrase": BACKUP, "again": BACKUP, "where": "here"})
    assert "Move it off this machine" in answer.text
    (made,) = (house.site.folder.root / "backups").iterdir()
    assert made.name in answer.text
    assert check(made, Passphrase(BACKUP.encode())).party == house.node.party


def test_a_backup_takes_the_password_once_more_and_a_good_passphrase(house, eva):
    assert eva.post("/settings/backup", data={"passphrase": "short", "again": "short"}).status_code == 422
    stale(house)
    assert eva.get("/settings/backup").url.path == "/confirm"
    answer = eva.post(
        "/settings/backup", data={"passphrase": BACKUP, "again": BACKUP}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/confirm?next=/settings/backup")
    assert not (house.site.folder.root / "backups").exists()


def test_a_backup_whose_passphrase_was_mistyped_is_not_made(house, eva):
    answer = eva.post("/settings/backup", data={"passphrase": BACKUP, "again": BACKUP + "x", "where": "here"})
    assert answer.status_code == 422
    assert "The two passphrases are not the same." in answer.text
    assert not (house.site.folder.root / "backups").exists()


def test_the_recovery_keys_are_taken_along_as_a_file_that_opens(house, eva, tmp_path):
    page = eva.get("/settings").text
    assert "chosen when the keys were made" in page
    answer = eva.get("/settings/recovery-keys")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"] == (
        'attachment; filename="sugar-works-tulln-recovery-keys.txt"'
    )
    (tmp_path / "keys").write_bytes(answer.content)
    assert read_recovery(tmp_path / "keys", Passphrase(WORDS.encode())).public
    assert "Downloaded the recovery keys" in eva.get("/people/trail").text
    stale(house)
    assert eva.get("/settings/recovery-keys").url.path == "/confirm"
    house.site.recovery_file.rename(tmp_path / "moved")
    eva.post("/confirm", data={"password": PASSWORD})
    assert eva.get("/settings/recovery-keys").status_code == 404


def test_a_token_makes_no_backup(house, eva):
    account = house.site.accounts.all()[0].account
    token = house.site.accounts.tokens.make(account, "x", ["node.manage"], 3600)
    with closing(Browser(house.url)) as program:
        program.headers["authorization"] = f"Bearer {token}"
        answer = program.post("/api/v1/backup", json={"passphrase": BACKUP})
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:cloister:problem:not-fresh"


def test_no_secret_is_in_an_address_or_shown_again(eva):
    answer = eva.post("/settings/backup", data={"passphrase": BACKUP, "again": BACKUP, "where": "here"})
    assert BACKUP not in answer.text
    assert all(BACKUP not in str(item.url) for item in (*answer.history, answer))
    assert (
        "passphrase=" not in eva.post("/settings/backup", data={"passphrase": "short", "again": "short"}).text
    )


def test_the_passphrase_of_a_closed_server_is_tried_at_a_pace(house, eva):
    house.node.close()
    house.site.node = None
    for _ in range(5):
        assert "could not be opened" in eva.post("/unlock", data={"passphrase": "wrong words here"}).text
    answer = eva.post("/unlock", data={"passphrase": "four random words here"})
    assert answer.status_code == 403
    assert "Too many tries" in answer.text
    assert house.site.node is None


def test_a_closed_server_is_opened_and_that_is_written_down(house, eva):
    house.node.close()
    house.site.node = None
    eva.post("/unlock", data={"passphrase": "four random words here"})
    assert house.site.node is not None
    assert "Opened the server" in eva.get("/people/trail").text


@pytest.mark.parametrize("path", PATHS)
def test_settings_are_the_operators(house, path):
    house.site.accounts.add("Olga", ["auditor", "approver", "analyst", "tool-user"], PASSWORD)
    with closing(Browser(house.url)) as browser:
        browser.post("/sign-in", data={"name": "Olga", "password": PASSWORD})
        assert browser.get(path).status_code == 403


def test_the_screens_of_settings_hold(house, visit: Visit):
    page = visit(house.url + "/sign-in?next=/settings")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    for path in PATHS:
        page.goto(house.url + path)
        check_page(page)
    page.get_by_label("Passphrase of this backup").fill(BACKUP)
    page.get_by_label("The same again").fill(BACKUP)
    for _ in range(2):  # the form is usable again after a download
        with page.expect_download() as got:
            page.get_by_role("button", name="Make the backup").click()
        assert got.value.suggested_filename.endswith(".cloister-backup")
