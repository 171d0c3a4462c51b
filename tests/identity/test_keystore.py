from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_parties import keys

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    Tampered,
)
from cloister.identity import keystore
from cloister.identity.keys import b64, unb64
from cloister.identity.keystore import (
    Cost,
    Keystore,
    Passphrase,
    SystemKeyring,
    read_recovery,
    write_recovery,
)
from cloister.identity.passphrases import ENVIRONMENT, passphrase

QUICK = Cost(iterations=1, lanes=1, memory_kib=64)
GOOD = Passphrase(b"correct horse battery", QUICK)
BAD = Passphrase(b"wrong horse battery", QUICK)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Keystore.create(tmp_path / "keys", GOOD).save_keys(keys("plant"))
    return tmp_path / "keys"


def test_keys_come_back_with_the_passphrase(folder: Path) -> None:
    store = Keystore.open(folder, GOOD)
    assert store.load_keys().encode() == keys("plant").encode()
    assert Keystore.exists(folder)
    assert not Keystore.exists(folder.parent)
    with pytest.raises(Conflict):
        Keystore.create(folder, GOOD)


def test_a_wrong_passphrase_is_a_clear_refusal(folder: Path) -> None:
    with pytest.raises(NotTrusted) as caught:
        Keystore.open(folder, BAD)
    assert caught.value.clause == "passphrase"
    assert "correct" not in str(caught.value)
    assert "wrong horse" not in str(caught.value)


def test_nothing_kept_lies_readable_on_disk(folder: Path) -> None:
    store = Keystore.open(folder, GOOD)
    store.put("salt", b"a very secret salt")
    secret = keys("plant").encode()
    for path in folder.iterdir():
        data = path.read_bytes()
        for part in (secret[:32], secret[32:64], b"very secret", b"correct horse"):
            assert part not in data
            assert b64(part).rstrip("=")[:-2].encode() not in data
        if os.name == "posix":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "very secret" not in repr(store)
    assert "horse" not in repr(GOOD)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_file_with_any_byte_changed_does_not_open(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    Keystore.create(folder, GOOD).put("salt", b"salt")
    path = folder / data.draw(st.sampled_from(["unlock.json", "salt.sealed"]))
    content = bytearray(path.read_bytes())
    # The final newline is no part of the document.
    content[data.draw(st.integers(0, len(content) - 2))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    with pytest.raises(CloisterError):
        Keystore.open(folder, GOOD).get("salt")


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_in_place_of_a_file_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "unlock.json").write_bytes(data)
    with pytest.raises(Tampered):
        Keystore.open(folder, GOOD)


def test_a_swapped_file_does_not_open(folder: Path) -> None:
    store = Keystore.open(folder, GOOD)
    store.put("one", b"1")
    store.put("two", b"2")
    (folder / "one.sealed").write_bytes((folder / "two.sealed").read_bytes())
    with pytest.raises(Tampered, match="swapped"):
        store.get("one")
    Keystore.create(folder.parent / "other", GOOD).put("one", b"3")
    (folder / "one.sealed").write_bytes((folder.parent / "other" / "one.sealed").read_bytes())
    with pytest.raises(Tampered, match="could not be opened"):
        store.get("one")


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_kib": 1 << 30},
        {"iterations": 10**9},
        {"lanes": 0},
        {"lanes": True},
        {"name": "md5"},
        {"salt": 3},
    ],
)
def test_costs_beyond_the_limits_are_refused_before_any_work(
    folder: Path, changes: dict[str, object]
) -> None:
    document = json.loads((folder / "unlock.json").read_bytes())
    header = json.loads(unb64(document["header"]))
    header["key"].update(changes)
    document["header"] = b64(canonical(header))
    (folder / "unlock.json").write_bytes(canonical(document) + b"\n")
    with pytest.raises(CloisterError):
        Keystore.open(folder, GOOD)


def test_a_changed_passphrase_replaces_the_old_one(folder: Path) -> None:
    Keystore.open(folder, GOOD).change_unlock(BAD)
    assert Keystore.open(folder, BAD).load_keys().public == keys("plant").public
    with pytest.raises(NotTrusted):
        Keystore.open(folder, GOOD)


def test_scrypt_serves_where_argon2_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(**_arguments: object) -> None:
        raise keystore.UnsupportedAlgorithm("no argon2")

    monkeypatch.setattr(keystore, "Argon2id", absent)
    Keystore.create(tmp_path, GOOD).put("salt", b"salt")
    header = json.loads(unb64(json.loads((tmp_path / "unlock.json").read_bytes())["header"]))
    assert header["key"]["name"] == "scrypt"
    monkeypatch.undo()
    assert Keystore.open(tmp_path, GOOD).get("salt") == b"salt"
    with pytest.raises(NotTrusted):
        Keystore.open(tmp_path, BAD)


def test_a_machine_without_argon2_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(**_arguments: object) -> None:
        raise keystore.UnsupportedAlgorithm("no argon2")

    monkeypatch.setattr(keystore, "Argon2id", absent)
    with pytest.raises(BadInput, match="Argon2id"):
        Keystore.open(folder, GOOD)


def test_the_default_cost_is_that_of_rfc_9106() -> None:
    assert Passphrase(b"x" * 10).new()[1] | {"salt": ""} == {
        "name": "argon2id",
        "salt": "",
        "iterations": 3,
        "lanes": 4,
        "memory_kib": 65536,
    }


def test_small_secrets_are_made_once_and_removed(folder: Path) -> None:
    store = Keystore.open(folder, GOOD)
    first = store.get_or_create("dataset-salt.a", 16)
    assert len(first) == 16
    assert store.get_or_create("dataset-salt.a", 16) == first
    store.remove("dataset-salt.a")
    store.remove("dataset-salt.a")
    assert not store.has("dataset-salt.a")
    with pytest.raises(NotFound):
        store.get("dataset-salt.a")
    with pytest.raises(BadInput):
        store.put("huge", bytes(1 << 20))


@pytest.mark.parametrize("label", ["", "../x", "a/b", "A", ".x", "x" * 101, "a\n"])
def test_a_label_cannot_leave_the_folder(folder: Path, label: str) -> None:
    with pytest.raises(BadInput):
        Keystore.open(folder, GOOD).put(label, b"x")


def test_recovery_keys_have_a_file_and_a_passphrase_of_their_own(folder: Path) -> None:
    path = folder.parent / "recovery.key"
    write_recovery(path, keys("plant-recovery"), BAD)
    assert read_recovery(path, BAD).public == keys("plant-recovery").public
    with pytest.raises(NotTrusted):
        read_recovery(path, GOOD)
    with pytest.raises(Conflict):
        write_recovery(path, keys("other"), BAD)
    assert not any("recovery" in item.name for item in folder.iterdir())


class FakeKeyring:
    """Stands in for the system's keyring, which test machines lack."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, entry: str, value: str) -> None:
        self.entries[service, entry] = value

    def get_password(self, service: str, entry: str) -> str | None:
        return self.entries.get((service, entry))


def test_the_systems_keyring_opens_a_keystore_without_a_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    fake = FakeKeyring()
    monkeypatch.setattr(keyring, "set_password", fake.set_password)
    monkeypatch.setattr(keyring, "get_password", fake.get_password)
    Keystore.create(tmp_path, SystemKeyring()).put("salt", b"salt")
    assert {service for service, _ in fake.entries} == {"cloister"}
    assert Keystore.open(tmp_path, SystemKeyring()).get("salt") == b"salt"
    with pytest.raises(BadInput, match="keyring"):
        Keystore.open(tmp_path, GOOD)
    fake.entries.clear()
    with pytest.raises(NotFound, match="keyring"):
        Keystore.open(tmp_path, SystemKeyring())


def test_a_machine_without_a_keyring_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backends import fail

    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
    with pytest.raises(CloisterError, match="keyring is not available"):
        Keystore.create(tmp_path, SystemKeyring())


def test_a_passphrase_file_must_be_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery\nmore\n")
    path.chmod(0o600)
    assert passphrase({ENVIRONMENT: str(path)}) == b"correct horse battery"
    if os.name == "posix":
        for mode in (0o640, 0o604, 0o620):
            path.chmod(mode)
            with pytest.raises(Refused) as caught:
                passphrase({ENVIRONMENT: str(path)})
            assert caught.value.clause == "passphrase-file"
            assert "horse" not in str(caught.value)
    with pytest.raises(NotFound):
        passphrase({ENVIRONMENT: str(tmp_path / "absent")})
    with pytest.raises(BadInput):
        passphrase({ENVIRONMENT: str(tmp_path)})


def test_a_passphrase_comes_through_a_file_descriptor() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"correct horse battery\n")
    os.close(writer)
    assert passphrase({ENVIRONMENT: "/absent"}, descriptor=reader) == b"correct horse battery"
    os.close(reader)
    with pytest.raises(BadInput):
        passphrase({}, descriptor=reader)


def test_a_new_passphrase_is_typed_twice_and_long_enough() -> None:
    typed = iter(["correct horse", "correct horse", "correct horse", "other", "short", "short"])
    assert passphrase({}, new=True, prompt=lambda _: next(typed)) == b"correct horse"
    with pytest.raises(BadInput, match="differ"):
        passphrase({}, new=True, prompt=lambda _: next(typed))
    with pytest.raises(BadInput, match="short"):
        passphrase({}, new=True, prompt=lambda _: next(typed))


def test_a_passphrase_is_the_same_however_its_letters_are_composed() -> None:
    assert passphrase({}, prompt=lambda _: "Schlu\u0308ssel") == passphrase(
        {}, prompt=lambda _: "Schl\u00fcssel"
    )


def test_without_file_or_terminal_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115 - closed with the process
    with pytest.raises(NotFound, match=ENVIRONMENT):
        passphrase({})
