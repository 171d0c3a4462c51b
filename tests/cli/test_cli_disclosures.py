"""`cloister disclosure` at a running node: what is refused before anything is done, what is listed, nothing overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloister.cli.main import cli


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """A plant and a lab on one machine, without a relay: they know each other's cards, and files are carried."""
    folder = tmp_path_factory.mktemp("n")
    secret = folder / "passphrase"
    secret.write_text("four random words here\n")
    secret.chmod(0o600)
    (folder / "runs.csv").write_text("load,failed\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40)))
    run, processes = [sys.executable, "-m", "cloister.cli.main", "node"], []
    try:
        for name in ("plant", "lab"):
            environment = {
                **os.environ,
                "CLOISTER_PASSPHRASE_FILE": str(secret),
                "CLOISTER_FOLDER": str(folder / name),
            }
            init = [*run, "init", name.title()]
            subprocess.run(init, env=environment, check=True, capture_output=True, timeout=120)
            processes.append(
                subprocess.Popen(
                    [*run, "up"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
        for name in ("plant", "lab"):
            assert call(folder, name, "node", "status", "--wait", "60").exit_code == 0
        for name, other in (("plant", "lab"), ("lab", "plant")):
            assert call(folder, name, "party", "add", folder / other / "card.json").exit_code == 0
            told = call(folder, name, "party", "trust", fingerprint(folder, other))
            assert told.exit_code == 0, told.output
        added = call(folder, "plant", "dataset", "add", "runs", folder / "runs.csv", "--residency", "AT")
        assert added.exit_code == 0, added.output
        yield folder
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def call(folder, name, *arguments):
    words = [str(item) for item in arguments]
    return CliRunner().invoke(cli, words, env={"CLOISTER_FOLDER": str(folder / name)})


def fingerprint(folder, name):
    return call(folder, name, "party", "card", "--fingerprint").output.strip()


def listed(folder, name):
    return json.loads(call(folder, name, "disclosure", "list", "--json", "-").stdout)


def give(folder, file, *records, until="2099-01-31"):
    chosen = [word for record in records for word in ("--record", record)]
    to = ["--to", fingerprint(folder, "lab"), "--purpose", "Look at wear", "--until", until, "--yes"]
    return call(folder, "plant", "disclosure", "give", "runs", file, *chosen, *to)


def soon(days: int) -> str:
    import datetime as dt

    return str(dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days))


def test_a_row_goes_by_file_and_its_withdrawal_and_receipts_come_and_go_by_file(nodes):
    package = nodes / "for-the-lab.package"
    told = give(nodes, package, "3", "7", until=soon(5))
    assert told.exit_code == 0, told.output
    assert "No software can show that nobody made a copy" in told.output
    assert package.stat().st_mode & 0o077 == 0
    name = listed(nodes, "plant")[0]["disclosure"]
    assert call(nodes, "plant", "disclosure", "open", package).exit_code != 0
    opened = call(nodes, "lab", "disclosure", "open", package, "--json", "-")
    assert opened.exit_code == 0, opened.output
    place = json.loads(opened.stdout)["folder"]
    assert (Path(place) / "rows.csv").read_text() == "load,failed\n2.5,0\n6.5,0\n"
    assert call(nodes, "lab", "disclosure", "open", package).exit_code != 0, "it opens once"
    receipt = nodes / "receipt.json"
    assert call(nodes, "lab", "disclosure", "document", name[7:20], receipt).exit_code == 0
    assert call(nodes, "lab", "disclosure", "document", name[7:20], receipt).exit_code != 0, (
        "nothing overwritten"
    )
    assert call(nodes, "plant", "disclosure", "take", receipt).exit_code == 0
    assert listed(nodes, "plant")[0]["state"] == "received"
    withdrawn = call(nodes, "plant", "disclosure", "withdraw", name[7:20], "--yes", "--reason", "Ended")
    assert withdrawn.exit_code == 0, withdrawn.output
    paper = nodes / "withdrawal.json"
    assert call(nodes, "plant", "disclosure", "document", name[7:20], paper).exit_code == 0
    assert call(nodes, "lab", "disclosure", "take", paper).exit_code == 0
    assert not Path(place).exists()
    last = nodes / "deleted.json"
    assert call(nodes, "lab", "disclosure", "document", name[7:20], last).exit_code == 0
    assert call(nodes, "plant", "disclosure", "take", last).exit_code == 0
    shown = call(nodes, "plant", "disclosure", "show", name[7:20]).output
    assert "State: deleted" in shown
    assert "Which: 3, 7" in shown
    assert "Decided by: the operator of this machine" in shown
    assert "Withdrawn: " in shown
    assert call(nodes, "plant", "disclosure", "save", name[7:20], nodes / "again").exit_code == 3


def test_what_cannot_be_given_is_refused_and_leaves_no_file(nodes):
    file = nodes / "new.package"
    for wrong in (
        give(nodes, file, "41", until=soon(5)),
        give(nodes, file, "../runs.csv", until=soon(5)),
        give(nodes, file, "1", until="2099-01-31"),
        give(nodes, file, "1", until="yesterday"),
    ):
        assert wrong.exit_code != 0
        assert not file.exists()
    file.write_text("mine")
    before = len(listed(nodes, "plant"))
    assert give(nodes, file, "1", until=soon(5)).exit_code != 0
    assert file.read_text() == "mine"
    assert len(listed(nodes, "plant")) == before, "nothing is disclosed where it could not be written"


def test_published_settings_are_signed_here_checked_there_and_drawn_from(nodes):
    ranges, file, drawn = nodes / "ranges.json", nodes / "our.settings", nodes / "drawn"
    ranges.write_text('{"width": 128, "height": 96, "diameter": [12, 18], "habits": {"cube": 1}}')
    made = call(nodes, "plant", "dataset", "publish", ranges, file, "--name", "our-plant")
    assert made.exit_code == 0, made.output
    assert call(nodes, "plant", "dataset", "publish", ranges, file, "--name", "our-plant").exit_code != 0
    told = call(nodes, "lab", "dataset", "sample", drawn, "--settings", file, "--pictures", "2")
    assert told.exit_code == 0, told.output
    assert sorted(path.name for path in (drawn / "images").iterdir()) == [
        "our-plant-0000.png",
        "our-plant-0001.png",
    ]
    envelope = json.loads(file.read_text())
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    file.write_text(json.dumps(envelope))
    refused = call(nodes, "lab", "dataset", "sample", nodes / "no", "--settings", file)
    assert refused.exit_code != 0
    assert not (nodes / "no").exists()
    ranges.write_text('{"crystals": [1, 1000000]}')
    refused = call(nodes, "plant", "dataset", "publish", ranges, nodes / "no.settings", "--name", "our-plant")
    assert refused.exit_code == 2, refused.output
    assert "crystals" in refused.output


def test_a_file_that_is_something_else_is_refused_in_words(nodes):
    other = nodes / "runs.csv"
    told = call(nodes, "lab", "disclosure", "open", other)
    assert told.exit_code == 2, told.output
    assert call(nodes, "lab", "disclosure", "take", other).exit_code == 2
    assert call(nodes, "lab", "disclosure", "show", "ffff").exit_code != 0
