"""Every command of every page is one that the program takes: names, options and their values, without running any.

The tutorials are run as they stand (`test_tutorials`). The how-to pages need several servers for minutes, which is `make soak`;
here it is noticed within a second that a command in them has changed.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_tutorials import BLOCK, ROOT, run, script_of, with_free_ports

from cloister.cli.main import cli
from protections import federation as f

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FINGERPRINT = "a" * 52
INSIDE = re.compile(r"\$\(\s*(cloister [^()]*)\)")
REDIRECTED = re.compile(r"\s\d?>>?\s?\S+|\s\d>&\d")
REMARK = re.compile(r"(^|\s)#.*")
HOWTO = ROOT / "docs/how-to"


def commands(text: str) -> list[list[str]]:
    """The words of every call of the program in shell text."""
    found = []
    for written in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = REMARK.sub("", written)
        bare = INSIDE.sub(FINGERPRINT, line)
        parts = [match.group(1) for match in INSIDE.finditer(line)]
        parts += re.split(r"\|\||&&|[;|]|\b(?:do|then)\b|&(?:\s|$)", REDIRECTED.sub(" ", f"{bare} "))
        for part in parts:
            words = shlex.split(part)
            if words and words[0] == "cloister":
                found.append(words[1:])
    return found


def parsed(words: list[str]) -> None:
    """Raises `click.UsageError` where the program would not take these words. Nothing is run; no file has to be there."""
    command, names = cli, []
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        parent = click.Context(command)
        found = command.get_command(parent, words[0])
        if found is None:
            raise click.UsageError(f"no command {' '.join([*names, words[0]])}")
        names.append(words[0])
        command, words = found, words[1:]
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.exists = False  # or the first file that is not there would end the check
    try:
        command.make_context(" ".join(names), list(words))
    except click.exceptions.Exit:  # --help
        return


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_program_takes_every_command_of_the_page(page):
    for language, _, text in BLOCK.findall(page.read_text("utf-8")):
        if language not in ("sh", "bash"):
            continue
        for words in commands(text):
            try:
                parsed(words)
            except click.UsageError as error:
                pytest.fail(f"cloister {' '.join(words)}: {error.format_message()}")


@pytest.mark.parametrize(
    "line",
    [
        "cloister ask train --agreement a --modle m.onnx",
        "cloister agreement new --title t --purpose p --template bank --out f",
        "cloister budget raise customers",
        "cloister ask train --tool crystals",
        "if true; then cloister node fly; fi",
        'cloister party trust "$(cloister party card --fingerprints)" --folder x',
        "cloister dataset list --unknown | head > x && true",
        "cloister model adapt model.onnx --rank many --out x",
    ],
)
def test_a_command_that_has_changed_would_be_noticed(line):
    (words,) = [
        words for words in commands(line) if words != ["party", "trust", FINGERPRINT, "--folder", "x"]
    ]
    with pytest.raises(click.UsageError):
        parsed(words)


def test_what_the_page_on_adapters_does_with_a_model_works_as_it_stands(tmp_path):
    page = HOWTO / "choose-what-is-trained.md"
    kept = [line for line in script_of(page).splitlines() if not line.startswith("cloister ask")]
    told = run("\n".join([*kept, "cmp model.onnx merged.onnx"]), tmp_path, 60)
    assert "128 numbers: one factor of each" in told
    numbers = {
        name: int(size.replace(",", ""))
        for name, size in re.findall(r"^(\S+) .* ([\d,]+) *$", told, re.MULTILINE)
    }
    assert sum(size for name, size in numbers.items() if name.startswith("head.")) == 66
    assert sum(size for name, size in numbers.items() if name.startswith(("head.", "encoder."))) == 1666


def test_the_page_on_few_numbers_has_the_plans_own_figures_of_noise():
    text = (HOWTO / "choose-what-is-trained.md").read_text("utf-8")
    table = {
        int(size.replace(",", "")): share
        for size, share in re.findall(r"^\| ([\d,]+):.*\| ([\d.]+) % \|$", text, re.MULTILINE)
    }
    agreed = f.terms(
        dropouts=0, minimum_parties=3, owners_per_unit=1, budgets=f.budgets(epsilon=8.0, delta=1e-6)
    )  # fmt: skip
    asked = f.request(agreed, preferences={"rounds": 20, "units": 800, "batch": 300, "epsilon": 3.0})
    assert len(table) == 4
    for size, share in table.items():
        found = f.offer(agreed, asked, "secure-private", parameters=size, trained=size).prediction
        assert f"{100 * found.noise:.2g}" == share


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_the_page_on_privacy_trains_spends_and_is_refused_as_it_stands(tmp_path):
    page = HOWTO / "train-with-privacy.md"
    told = run(with_free_ports(script_of(page)), tmp_path, 1100)
    assert "with secure sums and noise" in told
    assert re.search(r"Spent +epsilon 2\.99", told)
    assert re.search(r"Left +epsilon 5\.0", told)
    assert "refused, exit code 3" in told
    assert (tmp_path / "loans.onnx").is_file()
