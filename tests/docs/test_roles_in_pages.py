"""What the docs say of roles and tokens is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from cloister.people.roles import RIGHT_WORDS, ROLE_NAMES, WORDS
from cloister.web.guard import BINDING

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_roles_is_that_of_the_page() -> None:
    page = (DOCS / "explanation" / "the-page.md").read_text("utf-8")
    table = page.partition("| Role | What it is for |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()]
    assert rows == [(ROLE_NAMES[role].lower(), WORDS[role]) for role in WORDS]


def test_what_a_token_can_never_do_is_what_binds() -> None:
    page = (DOCS / "how-to" / "use-from-python.md").read_text("utf-8")
    listed = page.partition("A token can never do this:\n\n")[2].partition("\n\n")[0]
    acts = {re.split(r" \(|;", line.removeprefix("- "))[0] for line in listed.splitlines()}
    assert acts == {RIGHT_WORDS[right].lower() for right in BINDING} | {"make a backup"}
