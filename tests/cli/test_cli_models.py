"""`cloister model`: weights are listed to choose from, adapters are put in and merged again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import mlp

from cloister.cli.main import cli


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "model.onnx"
    made.write_bytes(mlp(4, (8, 8), 3))
    return made


def model(*arguments):
    return CliRunner().invoke(cli, ["model", *map(str, arguments)])


def test_the_weights_are_listed_by_name_with_their_sizes(file):
    told = model("check", file)
    assert told.exit_code == 0, told.output
    assert [line.split() for line in told.stdout.splitlines() if line.startswith("w2")] == [
        ["w2", "8", "x", "8", "64"]
    ]
    found = json.loads(model("check", file, "--json", "-").stdout)["parameters"]
    assert {"name": "w2", "shape": [8, 8], "numbers": 64} in found
    assert sum(item["numbers"] for item in found) == 139


def test_adapting_says_how_many_numbers_would_be_trained_and_by_which_names(file, tmp_path):
    out = tmp_path / "adapted.onnx"
    told = model("adapt", file, "--rank", 2, "--on", "w2", "--on", "w4", "--out", out)
    assert told.exit_code == 0, told.output
    assert "Adapter of 32 numbers on w2 (8 x 8)" in told.stdout
    assert "--trainable adapter.up.   22 numbers" in told.stdout
    assert "--trainable adapter.      54 numbers" in told.stdout
    found = json.loads(model("check", out, "--json", "-").stdout)["parameters"]
    for prefix, numbers in (("adapter.up.", 22), ("adapter.", 54)):
        assert sum(item["numbers"] for item in found if item["name"].startswith(prefix)) == numbers


def test_merging_gives_the_plain_graph_back_and_warns_of_the_certificate(file, tmp_path):
    adapted, merged = tmp_path / "adapted.onnx", tmp_path / "merged.onnx"
    assert model("adapt", file, "--rank", 2, "--out", adapted).exit_code == 0
    told = model("merge", adapted, "--out", merged)
    assert told.exit_code == 0, told.output
    assert "does not hold for it" in told.stdout
    names = [item["name"] for item in json.loads(model("check", merged, "--json", "-").stdout)["parameters"]]
    assert names == [
        item["name"] for item in json.loads(model("check", file, "--json", "-").stdout)["parameters"]
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--on", "nobody"), "No weight's name begins with 'nobody'."),
        (("--rank", "8"), "Take a smaller rank"),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_what_to_do(file, tmp_path, arguments, words):
    told = model("adapt", file, "--out", tmp_path / "out.onnx", *arguments)
    assert told.exit_code == 2
    assert words in told.stderr
    assert not (tmp_path / "out.onnx").exists()
    assert "plain graph already" in model("merge", file, "--out", tmp_path / "out.onnx").stderr
