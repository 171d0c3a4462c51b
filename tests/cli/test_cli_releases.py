"""Releases as people see them: a revoked one never looks like one that may be used."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from cloister.cli import releases
from cloister.cli.main import cli

RELEASE = "sha256:" + "3" * 64


class Shelf:
    """A node with one release."""

    def __init__(self, status="released", **more):
        self.item = {
            "release": RELEASE, "kind": "model", "title": "Failures", "here": True, "status": status,
            "at": "2026-11-22T12:00:00Z",
        } | more  # fmt: skip

    def get(self, path):
        return [self.item] if path == "/releases" else self.item


@pytest.fixture
def shelf(monkeypatch):
    def put(node):
        @contextmanager
        def client(_folder, timeout=0):
            yield node

        monkeypatch.setattr(releases, "client", client)

    return put


def test_a_revoked_release_is_listed_as_that_and_not_as_here(shelf):
    shelf(Shelf())
    assert "here" in CliRunner().invoke(cli, ["release", "list"]).stdout
    shelf(Shelf("revoked"))
    told = CliRunner().invoke(cli, ["release", "list"]).stdout
    assert "revoked" in told
    assert "here" not in told


@pytest.mark.parametrize("command", [["save", "latest", "model.onnx"], ["install", "latest"]])
def test_an_owner_that_holds_the_certificate_only_is_told_to_whom_the_result_goes(command, shelf, tmp_path):
    shelf(Shelf(here=False, receives=False, recipients=["lab"]))
    command = [str(tmp_path / item) if item.endswith(".onnx") else item for item in command]
    told = CliRunner().invoke(cli, ["release", *command])
    assert told.exit_code == 2
    assert (
        "This server holds the certificate only: under the agreement the result goes to lab, not to owners."
        in told.stderr
    )
    assert not list(tmp_path.iterdir())


def test_a_fingerprint_that_is_none_is_told_as_such(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"{}")
    told = CliRunner().invoke(
        cli, ["release", "verify", str(file), "--certificate", str(file), "--owner", "abc"]
    )
    assert told.exit_code == 2
    assert "“abc” is no fingerprint: it has 52 letters and digits." in told.stderr
