"""What people forget: docs that name every command and variable, links that lead somewhere, pages that are up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
VARIABLE = re.compile(r"CLOISTER_[A-Z_]+")
COMMAND = re.compile(r"(?:^|[`\s(])cloister ([a-z]+(?: [a-z-]+)?)", re.MULTILINE)


def generator():
    found = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def commands():
    from cloister.cli.main import cli

    return {path for path, _ in generator().walk(cli, "cloister")}


@pytest.mark.parametrize("name", ["cli.md", "api.md", "python.md", "recipes.md", "errors.md"])
def test_a_generated_page_is_up_to_date(name):
    assert (DOCS / "reference" / name).read_text("utf-8") == generator().PAGES[name](), "run: make docs"


def test_the_reference_names_every_command():
    told = (DOCS / "reference" / "cli.md").read_text("utf-8")
    missing = [path for path in commands() if f"# {path}\n" not in told]
    assert not missing


def test_every_environment_variable_is_documented():
    used = {
        name
        for folder in ("src", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in {"", ".py"} and path.name != "generate_docs.py"
        for name in VARIABLE.findall(path.read_text("utf-8", errors="replace"))
    }
    told = set(VARIABLE.findall((DOCS / "reference" / "cli.md").read_text("utf-8")))
    assert used <= told
    assert told - {"_CLOISTER_COMPLETE", "CLOISTER_COMPLETE"} <= used


def test_the_docs_name_no_command_that_is_not_there():
    known = commands()
    firsts = {path.split(" ")[1] for path in known if " " in path}
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for found in COMMAND.findall(block):
                words = found.split(" ")
                assert words[0] in firsts, f"{page.name}: cloister {found}"
                group = any(path.startswith(f"cloister {words[0]} ") for path in known)
                if group and len(words) > 1:
                    assert f"cloister {found}" in known, f"{page.name}: cloister {found}"


def test_the_lines_of_the_help_stand_for_commands_that_are_there():
    import click

    from cloister.cli.main import COMMANDS, cli

    for name, entry in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.name == name
        assert entry.line.endswith(".")
        assert command.help


def test_every_link_leads_somewhere():
    broken = []
    for page in PAGES:
        for target in LINK.findall(re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)):
            if (
                not target.startswith(("http://", "https://", "mailto:"))
                and not (page.parent / target).exists()
            ):
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_the_index_names_every_page_for_readers():
    index = (DOCS / "README.md").read_text("utf-8")
    pages = [
        path.relative_to(DOCS).as_posix()
        for folder in ("tutorial", "how-to", "reference", "explanation")
        for path in (DOCS / folder).glob("*.md")
    ]
    assert not [page for page in pages if page not in index]


def test_every_decision_has_what_was_decided_and_why():
    for path in (DOCS / "decisions").glob("0*.md"):
        text = path.read_text("utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert "**Decided.**" in text, path.name


def test_the_list_of_decisions_names_each():
    listed = LINK.findall((DOCS / "decisions" / "README.md").read_text("utf-8"))
    assert listed == [path.name for path in sorted((DOCS / "decisions").glob("0*.md"))]


def test_a_changelogs_list_has_each_heading_once():
    for part in re.split(r"^##+ ", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE):
        headings = re.findall(r"^- \*\*(.+?)\*\*", part, re.MULTILINE)
        assert len(headings) == len(set(headings)), sorted(headings)


def test_the_readme_stays_short_and_names_the_two_commands():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) < 150
    assert "scripts/demo" in text
    assert "scripts/test" in text
    assert "without a budget no noise is added" in text
