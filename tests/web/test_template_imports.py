"""Templates import what they use and use what they import, and every shared part is used somewhere; read with Jinja's own parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta, nodes

import cloister.web
from cloister.web.filters import FILTERS

FOLDER = Path(cloister.web.__file__).parent / "templates"
ENVIRONMENT = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
ENVIRONMENT.filters |= dict.fromkeys((*FILTERS, "name"), str)
TEMPLATES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.html"))


def parsed(name: str) -> nodes.Template:
    """A template as Jinja reads it."""
    return ENVIRONMENT.parse((FOLDER / name).read_text("utf-8"))


def imported(tree: nodes.Template) -> Iterator[tuple[str, str, str]]:
    """From which template, which name, called what here."""
    for found in tree.find_all(nodes.FromImport):
        assert isinstance(found.template, nodes.Const), "where from has to be written out"
        for name in found.names:
            real, here = (name, name) if isinstance(name, str) else name
            yield found.template.value, real, here


def loaded(tree: nodes.Template) -> set[str]:
    """Names that are looked at anywhere: called, printed, handed on."""
    return {found.name for found in tree.find_all(nodes.Name) if found.ctx == "load"}


def offered(tree: nodes.Template) -> set[str]:
    """What others can import from a template."""
    sets = {
        found.target.name for found in tree.find_all(nodes.Assign) if isinstance(found.target, nodes.Name)
    }
    return {found.name for found in tree.find_all(nodes.Macro)} | sets


def unused(tree: nodes.Template) -> set[str]:
    """Imported for nothing."""
    return {here for _, _, here in imported(tree)} - loaded(tree)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_imports_what_it_uses_and_nothing_else(name):
    tree = parsed(name)
    assert not unused(tree)
    for source, real, _ in imported(tree):
        assert real in offered(parsed(source)), f"{source} has no {real}"
    assert not missing(tree)


def missing(tree: nodes.Template) -> set[str]:
    """Parts that are called and neither imported nor made here: they would be undefined when the page is shown."""
    known = {here for _, _, here in imported(tree)} | offered(tree)
    parts = offered(parsed("parts.html")) | offered(parsed("charts.html"))
    return {name for name in parts & meta.find_undeclared_variables(tree) - known if calls(tree, name)}


def calls(tree: nodes.Template, part: str) -> bool:
    """Whether a template calls something of this name."""
    return any(
        isinstance(call.node, nodes.Name) and call.node.name == part for call in tree.find_all(nodes.Call)
    )


def test_every_part_is_used_by_some_template():
    for source in ("parts.html", "charts.html"):
        used = {real for name in TEMPLATES for where, real, _ in imported(parsed(name)) if where == source}
        assert offered(parsed(source)) <= used | loaded(parsed(source)), source


def test_what_is_unused_or_missing_is_found():
    tree = ENVIRONMENT.parse(
        '{% from "parts.html" import facts, mark as sign %}{% block content %}{{ facts([]) }}{{ meter("a", 1, 2) }}{% endblock %}'
    )
    assert unused(tree) == {"sign"}
    assert missing(tree) == {"meter"}
