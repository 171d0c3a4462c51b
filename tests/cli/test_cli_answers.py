"""Every command answers people and programs: exit codes, JSON beside the text, errors with what, why and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cloister.cli.main import cli
from cloister.cli.output import Answer, command
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Refused, Unreachable

LONG = {"up", "node up", "hub up", "demo"}  # run until they are told to stop


def every_command():
    def walk(found, words):
        if not isinstance(found, click.Group):
            yield " ".join(words), found
            return
        for name in found.list_commands(click.Context(found)):
            yield from walk(found.get_command(click.Context(found), name), [*words, name])

    return dict(walk(cli, []))


def call(*arguments, stdin=None, env=None):
    return CliRunner().invoke(cli, list(arguments), input=stdin, env=env)


@pytest.mark.parametrize("name", sorted(every_command()))
def test_every_command_explains_itself_and_offers_json(name):
    found = every_command()[name]
    told = call(*name.split(" "), "--help")
    assert told.exit_code == 0
    assert "--json" in told.output
    assert (found.help or "").rstrip().endswith((".", ")", "`"))
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.opts == ["--template"], f"{name} {parameter.opts} has no help"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("What.", "Why.", "Remedy."), 2),
        (NotFound("What.", "Why.", "Remedy."), 2),
        (Refused("What.", "Why.", "Remedy.", clause="purpose"), 3),
        (Conflict("What.", "Why.", "Remedy."), 3),
        (Unreachable("What.", "Why.", "Remedy."), 4),
        (CloisterError("What.", "Why.", "Remedy."), 1),
    ],
)
def test_an_error_ends_with_its_exit_code_and_is_told_whole(error, code):
    group = click.Group("made")

    @command(group, "fail")
    def fail() -> Answer:
        """Fails."""
        raise error

    told = CliRunner().invoke(group, ["fail"])
    assert told.exit_code == code
    assert "What." in told.stderr
    assert "Why: Why." in told.stderr
    assert "What to do: Remedy." in told.stderr
    assert ("Rule: purpose" in told.stderr) == isinstance(error, Refused)
    problem = json.loads(CliRunner().invoke(group, ["fail", "--json", "-"]).stdout)
    assert problem["title"] == "What."
    assert problem["type"].startswith("urn:cloister:problem:")
    assert problem["remedy"] == "Remedy."


def test_what_changed_in_a_dataset_is_told_to_its_owner():
    from cloister.data.registration import DatasetChanged

    group = click.Group("made")

    @command(group, "fail")
    def fail() -> Answer:
        """Fails."""
        raise DatasetChanged("machines", ("images/7.png was removed",))

    told = CliRunner().invoke(group, ["fail", "--json", "-"])
    assert "Only you see this: images/7.png was removed" in told.stderr
    assert "7.png" not in told.stdout  # a problem document may travel


def arguments_of(found, tmp_path):
    """Words that are well-formed, for a node that is not there."""
    given = []
    for parameter in found.params:
        if isinstance(parameter, click.Argument) and parameter.required:
            if isinstance(parameter.type, click.Path):
                file = tmp_path / "given"
                file.write_bytes(b"{}")
                given.append(
                    str(tmp_path if parameter.type.dir_okay and not parameter.type.file_okay else file)
                )
            else:
                given.append("a" * 52)
        elif isinstance(parameter, click.Option) and parameter.required:
            value = str(tmp_path / "written") if isinstance(parameter.type, click.Path) else "AT"
            value = "0.5" if isinstance(parameter.type, click.FloatRange) else value
            given += [parameter.opts[0], value]
    return given


@pytest.mark.parametrize("name", sorted(set(every_command()) - LONG - {"doctor"}))
def test_every_command_writes_json_even_when_it_fails(name, tmp_path):
    found = every_command()[name]
    given = arguments_of(found, tmp_path)
    folder = [] if name.startswith("hub") else ["--folder", str(tmp_path / "none")]
    if not any("--folder" in parameter.opts for parameter in found.params):
        folder = []
    yes = ["--yes"] if any("--yes" in parameter.opts for parameter in found.params) else []
    short = ["--wait", "1"] if name == "hub invite" else []
    secret = tmp_path / "passphrase"
    secret.write_text("four random words here\n")
    secret.chmod(0o600)
    told = call(
        *name.split(" "),
        *given,
        *folder,
        *yes,
        *short,
        "--json",
        str(tmp_path / "answer.json"),
        env={"CLOISTER_PASSPHRASE_FILE": str(secret), "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
    )
    assert told.exception is None or isinstance(told.exception, SystemExit), told.exception
    answer = json.loads((tmp_path / "answer.json").read_text())
    if told.exit_code != 0 and isinstance(answer, dict) and "type" in answer:
        assert answer["title"]
        assert told.stderr.startswith(answer["title"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no-such-command"], 2),
        (["tool", "run", "crystals"], 2),
        (["tool", "run", "no-such-tool", "x.png"], 2),
        (["tool", "run", "crystals", "x.png", "--set", "threshold"], 2),
        (["tool", "run", "crystals", "x.png", "--set", "no-such-setting=1"], 2),
        (["tool", "rollback", "crystals"], 2),
        (["node", "status", "--folder", "none"], 2),
        (["party", "list", "--folder", "none"], 2),
        (["ask", "train", "--agreement", "a", "--folder", "none"], 2),
        (["hub", "invite", "--folder", "none", "--wait", "1"], 4),
        (["doctor", "--folder", "none"], 0),
    ],
)
def test_exit_codes_of_real_mistakes(words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = call(*words, env={"XDG_DATA_HOME": str(tmp_path)})
    assert told.exit_code == code, told.output
    if code and "Usage" not in told.stderr:
        assert "What to do:" in told.stderr


def test_a_folder_without_a_node_is_told_as_such_by_every_command(tmp_path):
    told = call("node", "status", "--folder", str(tmp_path / "none"))
    assert "There is no server in" in told.stderr
    assert "cloister node init" in told.stderr


def test_a_passphrase_file_that_is_missing_is_told_as_such(tmp_path):
    secret = str(tmp_path / "none")
    told = call(
        "node", "init", "X", "--folder", str(tmp_path / "n"), env={"CLOISTER_PASSPHRASE_FILE": secret}
    )
    assert told.exit_code == 2
    assert f"There is no passphrase file {secret}" in told.stderr


@pytest.mark.parametrize("content", ["{}", "[]", "hello", '{"@type": "Offer"}'])
def test_a_file_that_is_no_agreement_is_named_and_not_called_unenforceable(content, tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text(content)
    told = call("agreement", "show", str(file))
    assert told.exit_code == 2
    assert f"{file} is not an agreement." in told.stderr


def test_a_model_that_is_refused_ends_with_3_and_its_reason(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no model at all")
    told = call("model", "check", str(file))
    assert told.exit_code in {2, 3}


def test_a_recipe_is_checked_before_anything_is_asked_of_the_node(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a")
    (tmp_path / "recipe.json").write_text('{"loss": "cross-entropy", "input": "x"}')
    told = call(
        "ask", "train", "--agreement", "a" * 20, "--model", str(tmp_path / "model.onnx"),
        "--recipe", str(tmp_path / "recipe.json"), "--folder", str(tmp_path / "none"),
    )  # fmt: skip
    assert told.exit_code == 2
    assert "At output" in told.stderr


def test_a_node_is_not_made_twice_and_its_keys_are_closed_to_others(tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("four random words here\n")
    secret.chmod(0o600)
    env = {"CLOISTER_PASSPHRASE_FILE": str(secret)}
    folder = str(tmp_path / "node")
    first = call("node", "init", "Our plant", "--folder", folder, env=env)
    assert first.exit_code == 0, first.output
    assert "four random words" not in first.output
    assert call("node", "init", "Our plant", "--folder", folder, env=env).exit_code == 3
    assert Path(folder).stat().st_mode & 0o077 == 0
    whole = b"".join(path.read_bytes() for path in (tmp_path / "node").rglob("*") if path.is_file())
    assert b"four random words" not in whole
    rotated = call("node", "rotate", "--folder", folder, "--json", "-", env=env)
    assert json.loads(rotated.stdout)["card"] == 1
    secret.chmod(0o644)
    assert call("node", "rotate", "--folder", folder, env=env).exit_code == 3


def test_the_passphrase_is_changed_and_the_old_one_opens_nothing(tmp_path):
    for name, text in (("old", "four random words here"), ("new", "quite other words now")):
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o600)
    folder = str(tmp_path / "node")
    old, new = ({"CLOISTER_PASSPHRASE_FILE": str(tmp_path / name)} for name in ("old", "new"))
    assert call("node", "init", "Our plant", "--folder", folder, env=old).exit_code == 0
    changed = call("node", "passphrase", "--new-file", str(tmp_path / "new"), "--folder", folder, env=old)
    assert changed.exit_code == 0, changed.output
    assert call("node", "rotate", "--folder", folder, env=old).exit_code == 3
    assert call("node", "rotate", "--folder", folder, env=new).exit_code == 0
    # The recovery keys keep their own passphrase.
    gone = call("node", "revoke", "--yes", "--folder", folder, env=old)
    assert gone.exit_code == 0, gone.output


def test_no_option_takes_a_secret():
    for name, found in every_command().items():
        for parameter in found.params:
            secret = {"passphrase", "password", "secret", "key"} & set((parameter.name or "").split("_"))
            assert not secret or isinstance(parameter.type, click.Path), f"{name}: {parameter.name}"


def test_a_file_of_noise_is_an_error_wherever_a_file_is_asked_for(tmp_path):
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)) * 4)
    node = str(tmp_path / "node")
    secret = tmp_path / "passphrase"
    secret.write_text("four random words here\n")
    secret.chmod(0o600)
    env = {"CLOISTER_PASSPHRASE_FILE": str(secret)}
    assert call("node", "init", "Our plant", "--folder", node, env=env).exit_code == 0
    for words in (
        ["node", "connect", str(noise), "--folder", node],
        ["party", "add", str(noise), "--folder", node],
        ["agreement", "show", str(noise)],
        ["agreement", "propose", str(noise), "--folder", node],
        ["ledger", "verify", str(noise)],
        ["ledger", "verify", str(noise), "--checkpoint", str(noise)],
        ["model", "check", str(noise)],
        ["tool", "import", str(noise), "--folder", node],
        ["tool", "run", "crystals", str(noise)],
        ["release", "verify", str(noise), "--certificate", str(noise)],
        ["node", "revoke", "--yes", "--recovery", str(noise), "--folder", node],
    ):
        told = call(*words, env=env)
        assert told.exit_code in {2, 3}, f"{words}: {told.output} {told.exception!r}"
        assert isinstance(told.exception, SystemExit)


def test_an_answer_that_cannot_be_written_is_an_error_not_a_traceback(tmp_path):
    told = call("doctor", "--folder", str(tmp_path / "none"), "--json", str(tmp_path))
    assert told.exit_code == 2
    assert "could not be written" in told.stderr


def test_questions_go_beside_the_answer_so_that_json_stays_json(tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("four random words here\n")
    secret.chmod(0o600)
    env = {"CLOISTER_PASSPHRASE_FILE": str(secret)}
    folder = str(tmp_path / "node")
    assert call("node", "init", "Our plant", "--folder", folder, env=env).exit_code == 0
    no = call("node", "revoke", "--folder", folder, "--json", "-", stdin="n\n", env=env)
    assert no.exit_code == 1
    assert no.stdout == ""
    assert "End the identity of Our plant" in no.stderr
    yes = call("node", "revoke", "--folder", folder, "--json", "-", stdin="y\n", env=env)
    assert json.loads(yes.stdout)["status"] == "revoked"


def test_a_relay_tells_what_it_can_see_or_that_it_never_ran(tmp_path):
    assert call("hub", "status", "--folder", str(tmp_path)).exit_code == 2
    passed = [{"from": "a" * 52, "to": "b" * 52, "messages": 3, "bytes": 4567}]
    (tmp_path / "traffic.json").write_text(json.dumps(passed))
    told = call("hub", "status", "--folder", str(tmp_path))
    assert told.exit_code == 0
    assert "4,567" in told.output


def test_a_signature_that_arrives_while_one_signs_is_not_called_missing(monkeypatch):
    from cloister.cli import agreements

    reads = []

    class Node:
        def get(self, path):
            if path == "/agreements":
                return [{"agreement": "sha256:" + "1" * 64}]
            reads.append(path)
            return self.post(path, signed=len(reads) > 1, confirmed=len(reads) > 2)

        def post(self, _path, _body=None, *, signed=False, confirmed=False):
            parties = [{"name": "North", "signed": True}, {"name": "River", "signed": signed}]
            return {
                "agreement": "sha256:" + "1" * 64,
                "parties": parties,
                "state": "finalized" if confirmed else "agreed" if signed else "offered",
            }

        def __enter__(self):
            return self

        def __exit__(self, *_exc):
            pass

    monkeypatch.setattr(agreements, "client", lambda *_given, **_named: Node())
    told = call("agreement", "sign", "latest", "--yes")
    assert told.exit_code == 0, told.output
    assert "Every party has signed. State: in force." in told.output


@pytest.mark.parametrize(
    ("move", "state", "words"),
    [
        (
            "revoke",
            "revoked",
            (
                "The agreement is revoked, for ever and for everybody. Its running tasks stop; what was released stays"
                " released."
            ),
        ),
        ("suspend", "suspended", "The agreement is suspended. Its running tasks stop until you resume it."),
        ("resume", "finalized", "The agreement is in force again."),
        ("resume", "suspended", "The agreement is suspended."),
    ],
)
def test_what_stopping_an_agreement_means_is_said(move, state, words, monkeypatch):
    from cloister.cli import agreements

    class Node:
        def get(self, _path):
            return [{"agreement": "sha256:" + "1" * 64}]

        def post(self, _path, _body):
            return {"state": state}

        def __enter__(self):
            return self

        def __exit__(self, *_exc):
            pass

    monkeypatch.setattr(agreements, "client", lambda *_given, **_named: Node())
    assert call("agreement", move, "latest").stdout.strip() == words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tool", "run", "x.png"], "Name the tool first: cloister tool run crystals x.png"),
        (["tool", "run", "crystals"], "Write: cloister tool run crystals PICTURE.png"),
        (["tool", "run", "crystal", "x.png"], "cloister tool list"),
        (["tool", "run", "crystals", "x.png", "--um-per-pixel", "1,8"], "Write numbers with a point: 1.8"),
        (["tool", "run", "crystals", "x.png", "--set", "scale=0,5"], "Write numbers with a point: 0.5"),
        (["party", "add", "note.txt"], "note.txt is not a card file: it is no JSON."),
        (
            ["ask", "train", "--agreement", "a", "--model", "note.txt", "--recipe", "note.txt"],
            "note.txt is not a recipe: it is no JSON.",
        ),
    ],
)
def test_a_common_slip_is_answered_with_what_to_write(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("import csv\n")
    done = call(*words, env={"XDG_DATA_HOME": str(tmp_path)})
    assert done.exit_code == 2
    assert told in done.stderr


def test_who_resumes_first_of_two_is_told_that_it_stays_suspended(monkeypatch):
    from cloister.cli import agreements

    class Node:
        def get(self, _path):
            return [{"agreement": "sha256:" + "1" * 64}]

        def post(self, _path, _body):
            return {"state": "suspended", "waiting": {"kind": "resume"}}

        def __enter__(self):
            return self

        def __exit__(self, *_exc):
            pass

    monkeypatch.setattr(agreements, "client", lambda *_given, **_named: Node())
    assert call("agreement", "resume", "latest").stdout.strip() == (
        "It stays suspended until a second person has confirmed it on the page of this server."
    )
