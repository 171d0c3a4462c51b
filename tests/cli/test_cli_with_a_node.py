"""Commands at a running node without a relay: what the operator is told, and what a changed dataset looks like."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from cloister.cli.main import cli


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("n")
    secret = folder / "passphrase"
    secret.write_text("four random words here\n")
    secret.chmod(0o600)
    (folder / "machines.csv").write_text("load,failed\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40)))
    environment = {
        **os.environ,
        "CLOISTER_PASSPHRASE_FILE": str(secret),
        "CLOISTER_FOLDER": str(folder / "node"),
    }
    run = [sys.executable, "-m", "cloister.cli.main", "node"]
    subprocess.run([*run, "init", "Our plant"], env=environment, check=True, capture_output=True, timeout=120)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*run, "up"], env=environment, stdout=log, stderr=log)
        try:
            told = call(folder, "node", "status", "--wait", "60")
            assert told.exit_code == 0, told.output
            yield folder
        finally:
            process.terminate()
            process.wait(30)
    assert b"four random words" not in (folder / "log").read_bytes()


def call(folder, *arguments):
    words = [str(item) for item in arguments]
    return CliRunner().invoke(cli, [*words], env={"CLOISTER_FOLDER": str(folder / "node")})


def test_the_operator_sees_parties_their_trust_and_fingerprints(node):
    told = call(node, "party", "list")
    assert "Our plant: you" in told.output
    only = call(node, "party", "card", "--fingerprint").output.strip()
    assert len(only) == 52
    assert only in "".join(told.output.split())


def test_a_changed_dataset_is_told_file_by_file_to_its_owner_with_exit_code_3(node):
    source = node / "machines.csv"
    added = call(node, "dataset", "add", "machines", source, "--residency", "at")
    assert added.exit_code == 0, added.output
    assert call(node, "dataset", "check", "machines").exit_code == 0
    assert call(node, "dataset", "check", "no-such").exit_code == 2
    before = source.read_text()
    source.write_text(before.replace("7.5", "8.5"))
    told = call(node, "dataset", "check", "machines", "--json", "-")
    assert told.exit_code == 3
    assert json.loads(told.stdout)["type"] == "urn:cloister:problem:refused"
    assert "Only you see this:" in told.stderr
    assert "Rule: dataset-unchanged" in told.stderr
    listed = call(node, "dataset", "list").output
    assert "CHANGED" in listed
    assert "cloister dataset check machines" in listed
    assert "--version" in listed
    assert call(node, "doctor").exit_code == 1
    # As the error advises, the new state is registered as a new version, which takes the place of the old one.
    again = ["dataset", "add", "machines", source, "--residency", "AT"]
    assert call(node, *again).exit_code == 3
    assert call(node, *again, "--version", "2").exit_code == 0
    assert call(node, *again, "--version", "2").exit_code == 3
    assert call(node, "dataset", "check", "machines").exit_code == 0
    assert len(json.loads(call(node, "dataset", "list", "--json", "-").stdout)) == 1


def test_a_decimal_comma_is_declared_or_refused_and_what_was_read_is_printed(node):
    source = node / "comma.csv"
    source.write_text("a;b\n1,5;2\n2,5;3\n")
    add = ["dataset", "add", "comma", source, "--residency", "AT"]
    told = call(node, *add)
    assert told.exit_code == 2
    assert "Column 'a' looks like numbers with a decimal comma." in told.stderr
    assert "Say --decimal , or --column a=text." in told.stderr
    assert "Columns: a text, b integer." in call(node, *add, "--column", "a=text").stdout
    assert "Columns: a real, b integer." in call(node, *add, "--decimal", ",", "--version", "2").stdout
    for wrong in ("a", "a=number", "=text"):
        assert call(node, *add, "--column", wrong, "--version", "3").exit_code == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--residency", "Atlantis"],
            "Its English name or its two letters are needed; “Atlantis” was given.",
        ),
        (["--residency", "AT", "--unit", "plant"], "--unit with one of: load, failed."),
        (["--residency", "AT", "--unit", "image"], "A table has no pictures."),
    ],
)
def test_what_a_dataset_is_said_to_be_is_told_wrong_in_words(node, options, told):
    done = call(node, "dataset", "add", "units", node / "machines.csv", *options)
    assert done.exit_code == 2
    assert told in done.stderr


def test_sensitivity_is_asked_for_by_column_in_a_table(node):
    add = ["dataset", "add", "loads", node / "machines.csv", "--residency", "AT", "--sensitivity"]
    for wrong in ("confidential", "load=secret"):
        told = call(node, *add, wrong)
        assert told.exit_code == 2
        assert "What to do: Write" in told.stderr
    assert call(node, *add, "load=personal").exit_code == 0


def test_a_draft_of_an_agreement_is_written_and_read_without_being_sent(node):
    draft = node / "draft.json"
    made = call(
        node, "agreement", "new", "--template", "one-researcher-one-owner", "--title", "Trial", "--owner",
        "Our plant=machines", "--researcher", "Our plant", "--purpose", "trial", "--out", draft,
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert f"cloister agreement show {draft}" in made.output
    assert "What is not promised" not in made.output  # `show` prints the terms
    # It allows queries, which no method that is installed can do: told by the clause, before anybody signs.
    assert "nothing installed here can do any query under these terms (clause protection)" in made.output
    shown = call(node, "agreement", "show", draft)
    assert "What is not promised" in shown.output
    assert json.loads(call(node, "agreement", "list", "--json", "-").stdout) == []
    assert call(node, "agreement", "sign", draft, "--yes").exit_code == 2  # nobody has proposed it
    wrong = call(
        node, "agreement", "new", "--title", "Trial", "--owner", "Nobody=x", "--purpose", "p", "--out", draft
    )
    assert wrong.exit_code == 2
    assert "no parties named Nobody" in wrong.stderr


def test_a_log_is_exported_verified_and_one_flipped_byte_found(node):
    file = node / "ours.ledger"
    assert call(node, "ledger", "export", file).exit_code == 0
    party = call(node, "party", "card", "--fingerprint").output.strip()
    assert call(node, "ledger", "verify", file, "--party", party).exit_code == 0
    assert call(node, "ledger", "verify", file, "--party", "a" * 52).exit_code == 3
    assert call(node, "ledger", "verify", file, "--witness", party, "--threshold", "1").exit_code == 3
    # The witnesses that a file names itself count for nothing.
    unnamed = call(node, "ledger", "verify", file, "--threshold", "1")
    assert unnamed.exit_code == 2
    assert "--threshold counts the witnesses that you name: add --witness FINGERPRINT." in unnamed.stderr
    for option in ("--witness", "--party"):
        told = call(node, "ledger", "verify", file, option, "abc")
        assert told.exit_code == 2
        assert "“abc” is no fingerprint: it has 52 letters and digits." in told.stderr
    # What somebody kept of it earlier is compared, in whatever form; another log's is not taken for a comparison.
    told = call(node, "ledger", "verify", file, "--checkpoint", file)
    assert told.exit_code == 0
    assert "from elsewhere compared (" in told.stdout
    assert "agree" in told.stdout.splitlines()[-1]
    (node / "note.txt").write_text("nothing of the kind")
    told = call(node, "ledger", "verify", file, "--checkpoint", node / "note.txt")
    assert told.exit_code == 2
    assert "note.txt is nothing that holds a log's checkpoint." in told.stderr
    lines = file.read_bytes().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if b"entry" in line)
    flipped = bytearray(lines[place])
    flipped[len(flipped) // 2] ^= 1
    file.write_bytes(b"".join([*lines[:place], bytes(flipped), *lines[place + 1 :]]))
    assert call(node, "ledger", "verify", file, "--json", "-").exit_code == 3


def test_a_log_that_was_rolled_back_does_not_agree_with_what_was_kept_of_it(node):
    later = node / "later.ledger"
    assert call(node, "ledger", "export", later).exit_code == 0
    add = ["dataset", "add", "more", node / "machines.csv", "--residency", "AT"]
    assert call(node, *add).exit_code == 0
    newest = node / "newest.ledger"
    assert call(node, "ledger", "export", newest).exit_code == 0
    assert call(node, "ledger", "verify", newest, "--checkpoint", later).exit_code == 0
    told = call(node, "ledger", "verify", later, "--checkpoint", newest)
    assert told.exit_code == 3
    assert "rollback" in told.stdout
    assert "see what is wrong above." in told.stdout.splitlines()[-1]


def test_what_doctor_advises_can_be_copied(node):
    advised = json.loads(call(node, "doctor", "--folder", node / "node", "--json", "-").stdout)
    relay = next(item for item in advised if item["about"] == "Relay")
    assert relay["remedy"].endswith("cloister node connect INVITATION")
    told = CliRunner().invoke(cli, ["doctor", "--folder", str(node / "node"), "--json", "-"])
    relay = next(item for item in json.loads(told.stdout) if item["about"] == "Relay")
    assert relay["remedy"].endswith(f"cloister node connect INVITATION --folder {node / 'node'}")


def test_a_second_process_at_the_same_node_is_refused(node):
    secret = {"CLOISTER_PASSPHRASE_FILE": str(node / "passphrase"), "CLOISTER_FOLDER": str(node / "node")}
    for words in (["node", "rotate"], ["node", "up"]):
        done = subprocess.run(
            [sys.executable, "-m", "cloister.cli.main", *words],
            env={**os.environ, **secret},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        assert "What to do:" in done.stderr


def test_everything_that_is_asked_of_a_node_is_json_too(node):
    for words in (
        ["node", "status"], ["party", "list"], ["dataset", "list"], ["dataset", "catalogue"],
        ["agreement", "list"], ["task", "list"], ["release", "list"], ["ledger", "head"],
    ):  # fmt: skip
        told = call(node, *words, "--json", "-")
        assert told.exit_code == 0
        json.loads(told.stdout)


def test_a_population_is_declared_bound_raised_and_listed(node):
    (node / "people.csv").write_text("age,cured\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(30)))
    assert call(node, "dataset", "add", "people", node / "people.csv", "--residency", "AT").exit_code == 0
    opened = call(
        node, "budget", "open", "our patients", "--unit", "record", "--epsilon", "3", "--delta", "1e-5"
    )
    assert opened.exit_code == 0, opened.output
    again = call(
        node, "budget", "open", "our patients", "--unit", "image", "--epsilon", "3", "--delta", "1e-5"
    )
    assert again.exit_code == 3
    assert "cloister budget set" in again.stderr or "change its limit" in again.stderr
    assert call(node, "budget", "bind", "people", "our patients").exit_code == 0
    assert call(node, "budget", "bind", "nothing", "our patients").exit_code == 2
    assert call(node, "budget", "set", "our patients").exit_code == 2
    assert call(node, "budget", "set", "our patients", "--epsilon", "2,5").exit_code == 2
    assert call(node, "budget", "set", "our patients", "--epsilon", "2").exit_code == 0
    told = call(node, "budget", "list")
    assert "“our patients”, each record by itself" in told.output
    assert "Limit  epsilon 2, delta 1e-05" in told.output
    assert "higher before: epsilon 3" in told.output
    assert "Data   people" in told.output
    listed = json.loads(call(node, "budget", "list", "--json", "-").stdout)
    assert listed["trouble"] is None
    assert listed["populations"][0]["left"] == {"epsilon": 2.0, "delta": 1e-5}


def test_there_is_nothing_to_reconcile_and_what_cannot_be_read_is_said(node):
    assert call(node, "budget", "reconcile", "--gone", "our patients", "--yes").exit_code == 3
    for given in ("our patients", "our patients=1", "our patients=1,0:1e-6", "=1:0", "our patients=1:2:3:4"):
        told = call(node, "budget", "reconcile", "--spent", given, "--yes")
        assert told.exit_code == 2, given
        assert "--spent" in told.stderr or "point" in told.stderr or "nothing" in told.stderr.lower()


def test_who_proposes_an_agreement_with_a_budget_reads_which_population_was_opened(node):
    (node / "visits.csv").write_text("age,cured\n" + "".join(f"{i}.25,{i % 2}\n" for i in range(30)))
    assert call(node, "dataset", "add", "visits", node / "visits.csv", "--residency", "AT").exit_code == 0
    draft = node / "private.json"

    def made(*given, dataset="visits"):
        return call(
            node, "agreement", "new", "--template", "one-researcher-one-owner", "--title", "Private trial", "--owner",
            f"Our plant={dataset}", "--researcher", "Our plant", "--purpose", "trial", "--out", draft, *given,
        )  # fmt: skip

    assert made("--epsilon", "4", "--unit", "image").exit_code == 0
    refused = call(node, "agreement", "propose", draft)
    assert refused.exit_code == 3
    assert "Rule: budget-unit" in refused.stderr
    assert made("--epsilon", "4", "--delta", "1e-5").exit_code == 0
    told = call(node, "agreement", "propose", draft)
    assert told.exit_code == 0, told.output
    assert (
        "The protected population “visits” (each record by itself) was opened; “visits” belongs to it"
        in told.output
    )
    assert "epsilon 4 and delta 1e-05 may be spent of it" in told.output
    # Another name for the files of a population is no other population.
    assert call(node, "dataset", "add", "again", node / "visits.csv", "--residency", "AT").exit_code == 0
    assert made("--epsilon", "1", dataset="again").exit_code == 0
    refused = call(node, "agreement", "propose", draft)
    assert refused.exit_code == 3
    assert "Rule: population" in refused.stderr
    assert "name the population “visits”" in refused.stderr
    assert made("--epsilon", "0").exit_code == 2
