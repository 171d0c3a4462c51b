"""Backup and restore by command, with the server running and stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from cloister.cli.main import cli
from cloister.foundation.errors import Refused
from cloister.identity.passphrases import passphrase
from cloister.storage.database import Database


@pytest.fixture
def place(tmp_path):
    for name, text in (("own", "four random words here"), ("backup", "other words for a backup")):
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o600)
    made = call(tmp_path, "node", "init", "Our plant")
    assert made.exit_code == 0, made.output
    return tmp_path


def environment(place):
    return {"CLOISTER_FOLDER": str(place / "node"), "CLOISTER_PASSPHRASE_FILE": str(place / "own")}


def call(place, *arguments, folder=None):
    words = [str(item) for item in arguments]
    more = {} if folder is None else {"CLOISTER_FOLDER": str(folder)}
    return CliRunner().invoke(cli, words, env=environment(place) | more)


def backup(place, name):
    return call(place, "node", "backup", place / name, "--passphrase", place / "backup", "--json", "-")


def test_a_running_server_is_backed_up_and_its_copy_comes_back(place):
    process = subprocess.Popen(
        [sys.executable, "-m", "cloister.cli.main", "node", "up", "--no-page"],
        env={**os.environ, **environment(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert call(place, "node", "status", "--wait", "60").exit_code == 0
        told = backup(place, "running.cloister-backup")
        assert told.exit_code == 0, told.output
        party = json.loads(call(place, "node", "status", "--json", "-").output)["party"]
    finally:
        process.terminate()
        process.wait(30)
    assert json.loads(told.output)["size"] == (place / "running.cloister-backup").stat().st_size
    restored = call(
        place, "node", "restore", place / "running.cloister-backup", "--passphrase", place / "backup", "--json", "-",
        folder=place / "again",
    )  # fmt: skip
    assert restored.exit_code == 0, restored.output
    assert json.loads(restored.output)["party"] == party
    card = call(place, "party", "card", "--fingerprint", folder=place / "again").output
    assert "".join(card.split()) == party


def test_a_stopped_server_is_backed_up_and_the_backup_checked(place):
    Database.open(place / "node").close()
    assert backup(place, "stopped").exit_code == 0
    told = call(place, "node", "restore", place / "stopped", "--check", "--passphrase", place / "backup")
    assert "The backup is whole" in told.output
    assert "of Our plant" in told.output
    wrong = call(place, "node", "restore", place / "stopped", "--check", "--passphrase", place / "own")
    assert wrong.exit_code == 3
    assert "passphrase is wrong" in wrong.output


def test_nothing_is_replaced(place):
    (place / "there").write_bytes(b"mine")
    Database.open(place / "node").close()
    assert backup(place, "there").exit_code == 3
    assert (place / "there").read_bytes() == b"mine"
    assert backup(place, "b").exit_code == 0
    over = call(place, "node", "restore", place / "b", "--passphrase", place / "backup")
    assert over.exit_code == 3
    assert "is not empty" in over.output


def test_what_a_restore_does_not_bring_back_is_said(place):
    Database.open(place / "node").close()
    backup(place, "b")
    told = call(
        place, "node", "restore", place / "b", "--passphrase", place / "backup", folder=place / "again"
    )
    for words in ("Never run it while the old one runs", "signs in again", "witnesses have seen more"):
        assert words in told.output


def test_a_folder_without_a_server_is_told(tmp_path):
    (tmp_path / "backup").write_text("other words for a backup\n")
    (tmp_path / "backup").chmod(0o600)
    told = call(tmp_path, "node", "backup", tmp_path / "b", "--passphrase", tmp_path / "backup")
    assert told.exit_code == 2
    assert "There is no server" in told.output


def test_a_passphrase_file_that_others_can_read_is_refused(place):
    (place / "backup").chmod(0o644)
    with pytest.raises(Refused):
        passphrase({"CLOISTER_PASSPHRASE_FILE": str(place / "backup")})
    assert backup(place, "b").exit_code == 3
