"""The style sheet and the templates know the same classes."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

_WEB = resources.files("cloister.web")
_STYLE = (_WEB / "static" / "cloister.css").read_text(encoding="utf-8")
_DEFINED = set(
    re.findall(r"\.([a-z][a-z0-9-]*)", re.sub(r'url\("[^"]*"\)|/\*.*?\*/', "", _STYLE, flags=re.DOTALL))
)
_IMPORTED = re.compile(r'{%-?\s*from "parts\.html" import (.*?)-?%}', re.DOTALL)


def _templates(folder, prefix=""):
    for item in folder.iterdir():
        if item.is_dir():
            yield from _templates(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".html"):
            yield prefix + item.name, item.read_text(encoding="utf-8")


TEMPLATES = dict(_templates(_WEB / "templates"))


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_class_that_a_template_names_is_in_the_style_sheet(name):
    text = re.sub(r"{#.*?#}", "", TEMPLATES[name], flags=re.DOTALL)
    used: set[str] = set()
    for value in re.findall(r'class="((?:{{.*?}}|{%.*?%}|[^"])*)"', text):
        # Of an expression, the words that it may give; of a statement, nothing.
        words = re.sub(r"{%.*?%}", " ", value)
        for expression in re.findall(r"{{(.*?)}}", words):
            used |= {word for quoted in re.findall(r"'([^']*)'", expression) for word in quoted.split()}
        used |= set(re.sub(r"{{.*?}}", "", words).split())
    unknown = used - _DEFINED
    assert not unknown


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_no_template_has_script_style_or_handlers_of_its_own(name):
    text = TEMPLATES[name]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|\bjs:", text, flags=re.IGNORECASE)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text
    assert "http://" not in text.replace("http://www.w3.org/", "")


def test_every_part_is_shown_on_the_page_of_parts():
    from web.test_browser_style import TEMPLATE

    style = TEMPLATE.read_text(encoding="utf-8")
    macros = set(re.findall(r"{%-? macro ([a-z_]+)", TEMPLATES["parts.html"])) - {"attributes"}
    imported = {word.strip() for line in _IMPORTED.findall(style) for word in line.split(",")}
    assert macros == imported
    for macro in macros:
        assert re.search(rf"\b{macro}\(", style), macro


def test_colours_are_named_once():
    root, rest = _STYLE.split(":root {", 1)[1].split("}", 1)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rest)) <= {"#fff"}
    for line in re.findall(r"--[a-z-]+: (#[^;]+);", root):
        pytest.fail(f"{line} has no counterpart in the dark")


def test_every_class_of_the_style_sheet_is_used():
    scripts = [item.read_text("utf-8") for item in (_WEB / "static").iterdir() if item.name.endswith(".js")]
    sources = [path.read_text("utf-8") for path in Path(str(_WEB)).rglob("*.py")]
    told = "\n".join([*TEMPLATES.values(), *scripts, *sources])
    libraries = {"htmx-request", "u-cursor-x", "u-hz"}  # htmx and uPlot give these
    unused = {name for name in _DEFINED - libraries if not re.search(rf"(?<![\w-]){name}(?![\w-])", told)}
    assert not unused
