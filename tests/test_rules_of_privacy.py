"""The page that lists every rule of privacy names tests and proofs that are there, and leaves no rule with nothing beside it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "proofs" / "rules.md"
ROW = re.compile(r"^\| (\d)\.(\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([a-z_/]+\.py)::(\w+)`")
PROOF = re.compile(r"\]\((?:\.\./)?[a-z-]+(?:/[a-z-]+)?\.md\)")
ROWS = {
    f"{part}.{number}": (rule, shown) for part, number, rule, shown in ROW.findall(PAGE.read_text("utf-8"))
}


@cache
def functions(path: Path) -> frozenset[str]:
    """The tests of a file by name; nothing is run."""
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_the_page_has_all_five_parts_and_counts_its_rules():
    text = PAGE.read_text("utf-8")
    assert len(re.findall(r"^\| \d", text, re.MULTILINE)) == len(ROWS)
    for part in "12345":
        numbers = [int(name.partition(".")[2]) for name in ROWS if name.startswith(part)]
        assert numbers == list(range(1, len(numbers) + 1)), part
        assert len(numbers) >= 4


@pytest.mark.parametrize("number", ROWS)
def test_every_test_that_a_rule_names_is_there(number):
    rule, shown = ROWS[number]
    missing = [
        f"{path}::{name}"
        for path, name in NAMED.findall(shown)
        if not (TESTS / path).exists() or name not in functions(TESTS / path)
    ]
    assert not missing, f"{number} {rule}"


@pytest.mark.parametrize("number", ROWS)
def test_no_rule_stands_without_a_test_a_proof_or_what_is_missing(number):
    _, shown = ROWS[number]
    assert NAMED.search(shown) or PROOF.search(shown) or "**In part" in shown
    assert shown.count("`") == 2 * len(re.findall(r"`[^`]+`", shown)), "a name is not closed"
    assert len(NAMED.findall(shown)) == shown.count(".py::")
