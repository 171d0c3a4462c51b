"""A tool of one's own from its description: what only a machine writes well is filled in, what does not fit is refused."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cloister.applications.maintenance import work
from cloister.cli.main import cli
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError
from cloister.tools.making import make_tool, models_used
from cloister.tools.package import load_tool, pack, unpack

MODEL = work.network()


def test_digests_are_filled_in_and_the_file_is_a_tool():
    package = make_tool(work.description(), {"states": MODEL})
    assert package.tool.manifest.models == {"states": digest(MODEL)}
    assert package.tool.manifest.certificate is None
    assert unpack(pack(package)) == package
    assert models_used(work.description()) == ["states"]


@pytest.mark.parametrize(
    ("change", "models", "told"),
    [
        ({"models": {"states": digest(MODEL)}}, {"states": MODEL}, "does not say its models"),
        ({}, {}, "'states' that was not given"),
        ({}, {"states": MODEL, "other": MODEL[:-1]}, "."),
        ({"pipeline": []}, {"states": MODEL}, "."),
        ({"limits": 3}, {"states": MODEL}, "."),
        ({"surprise": 1}, {"states": MODEL}, "."),
    ],
)
def test_what_does_not_fit_is_refused(change, models, told):
    with pytest.raises(BadInput, match=told):
        make_tool({**work.description(), **change}, models)


def test_a_certificate_that_is_none_is_refused():
    with pytest.raises(CloisterError):
        make_tool(work.description(), {"states": MODEL}, b"{}")


def test_the_command_writes_the_same_file(tmp_path):
    (tmp_path / "pumps.json").write_text(json.dumps(work.description(), indent=1))
    (tmp_path / "model.onnx").write_bytes(MODEL)
    target = tmp_path / "pumps.tool"
    made = CliRunner().invoke(
        cli,
        [
            "tool",
            "make",
            str(tmp_path / "pumps.json"),
            str(target),
            "--model",
            f"states={tmp_path / 'model.onnx'}",
        ],
    )
    assert made.exit_code == 0, made.output
    assert "nobody vouches for it" in made.output
    assert load_tool(target) == make_tool(work.description(), {"states": MODEL})


@pytest.mark.parametrize("wrong", ["[]", "{", '{"a": 1, "a": 2}'])
def test_a_file_that_describes_no_tool_is_refused_by_the_command(tmp_path, wrong):
    (tmp_path / "pumps.json").write_text(wrong)
    made = CliRunner().invoke(cli, ["tool", "make", str(tmp_path / "pumps.json"), str(tmp_path / "x.tool")])
    assert made.exit_code != 0
    assert not (tmp_path / "x.tool").exists()
