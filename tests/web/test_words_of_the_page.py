"""The words of the page: one source for the page and the glossary; what pages link to is there."""

from __future__ import annotations

import re
from pathlib import Path

from cloister.web.words import all_words, glossary, shown_words

ROOT = Path(__file__).parents[2]


def test_the_glossary_of_the_documentation_says_what_the_page_says():
    assert glossary() in (ROOT / "docs" / "explanation" / "glossary.md").read_text("utf-8")


def test_every_word_has_its_own_place_and_those_that_pages_link_to_are_there():
    anchors = [word.anchor for word in shown_words()]
    assert len(set(anchors)) == len(anchors) > 30
    templates = (ROOT / "src" / "cloister" / "web" / "templates").rglob("*.html")
    linked = {
        found for page in templates for found in re.findall(r"/words#([a-z-]+)", page.read_text("utf-8"))
    }
    assert linked
    assert linked <= set(anchors)


def test_what_people_read_speaks_of_servers_relays_and_organisations():
    for word in shown_words():
        assert not re.search(r"\b(node|hub|party|parties)s?\b", word.meaning), word.word
        assert len(word.meaning) < 320, word.word
    assert len(all_words()) == len({word.word for word in all_words()})
