"""Where commands take passphrases from: one place for all of them (`cli.common.given_passphrase`)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloister.cli import common
from cloister.cli.common import given_passphrase, openers
from cloister.cli.main import cli
from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import BadInput, NotFound
from cloister.identity.keystore import Cost, Keystore, Passphrase, SystemKeyring
from cloister.node.setup import init_node

OLD, NEW = b"an old passphrase", b"a new passphrase"


@pytest.fixture(autouse=True)
def _without_passphrases(monkeypatch):
    for name in ("CLOISTER_PASSPHRASE_FILE", "CLOISTER_PASSPHRASE_FD"):
        monkeypatch.delenv(name, raising=False)


def descriptor(monkeypatch, text):
    read, write = os.pipe()
    os.write(write, text + b"\n")
    os.close(write)
    monkeypatch.setenv("CLOISTER_PASSPHRASE_FD", str(read))


def private(path, text):
    path.write_bytes(text)
    path.chmod(0o600)
    return path


def test_the_descriptor_opens_secrets_for_every_command_about_keys(tmp_path, monkeypatch):
    opener = Passphrase(OLD, Cost(1, 1, 64))
    init_node(tmp_path / "node", "Plant", ["owner"], opener, opener, SystemClock())
    file = private(tmp_path / "new", NEW)
    descriptor(monkeypatch, OLD)
    told = CliRunner().invoke(
        cli, ["node", "passphrase", "--folder", str(tmp_path / "node"), "--new-file", str(file)]
    )
    assert told.exit_code == 0, told.output
    assert Keystore.open(tmp_path / "node" / "secrets", Passphrase(NEW))
    descriptor(monkeypatch, NEW)
    told = CliRunner().invoke(cli, ["node", "rotate", "--folder", str(tmp_path / "node")])
    assert told.exit_code == 0, told.output
    # The recovery keys kept their own passphrase, which comes from its own file.
    old = private(tmp_path / "old", OLD)
    descriptor(monkeypatch, NEW)
    told = CliRunner().invoke(
        cli, ["node", "recover", "--folder", str(tmp_path / "node"), "--recovery-passphrase", str(old)]
    )
    assert told.exit_code == 0, told.output


def test_a_descriptor_is_read_once_and_never_for_a_passphrase_that_is_another(monkeypatch):
    descriptor(monkeypatch, OLD)
    assert given_passphrase() is not None
    assert "CLOISTER_PASSPHRASE_FD" not in os.environ
    with pytest.raises(NotFound):
        given_passphrase()
    descriptor(monkeypatch, OLD)
    with pytest.raises(NotFound):  # there is no terminal here
        given_passphrase(new=True, elsewhere=True)


def test_a_descriptor_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("CLOISTER_PASSPHRASE_FD", "three")
    with pytest.raises(BadInput) as caught:
        given_passphrase()
    assert caught.value.remedy


def test_recovery_keys_have_a_passphrase_also_where_the_keyring_opens_the_rest(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOISTER_PASSPHRASE_FILE", str(private(tmp_path / "file", OLD)))
    opener, recovery = openers(keyring=True)
    assert isinstance(opener, SystemKeyring)
    assert isinstance(recovery, Passphrase)
    opener, recovery = openers(keyring=False)
    assert opener is recovery


def test_no_other_file_of_the_command_line_asks_for_passphrases():
    for path in Path(common.__file__).parent.glob("*.py"):
        if path.name != "common.py":
            assert not re.search(r"identity\.passphrases|PASSPHRASE_FD", path.read_text()), path.name
