"""What the tests of datasets, home and organisations share: a small street, people with roles, forms filled in as in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser

import httpx

from node.town import ROLES, Town
from web.street import PASSWORD, Browser, House, street

TWO = {"Ash": ["owner"], "Lab": ["researcher"]}


@contextmanager
def two_houses() -> Iterator[dict[str, House]]:
    """An owner and a lab that have not met."""
    with street(TWO) as made:
        yield made


def town_of(houses: Mapping[str, House]) -> Town:
    """The nodes of a street as a town, for what happens between them."""
    town = Town.__new__(Town)
    first = next(iter(houses.values())).site
    town.root, town.clock = first.folder.root.parent, first.clock
    town.nodes = {name: house.node for name, house in houses.items()}
    town.party = {name: house.node.party for name, house in houses.items()}
    town.roles = {name: ROLES[name] for name in houses}
    return town


def person(house: House, name: str, *roles: str) -> Browser:
    """Somebody with these roles, signed in."""
    if name not in {item.name for item in house.site.accounts.all()}:
        house.site.accounts.add(name, roles, PASSWORD)
    browser = house.visitor()
    assert browser.sign_in(name).status_code == 200
    return browser


class _Form(HTMLParser):
    def __init__(self, action: str) -> None:
        super().__init__()
        self._action, self._inside, self._select, self._text = action, False, "", ""
        self.fields: dict[str, str] = {}
        self.found = False

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("action") == self._action
            self.found |= self._inside
        if not self._inside:
            return
        name = given.get("name", "")
        if tag == "input" and given.get("type") in {"checkbox", "radio"}:
            if "checked" in given:
                self.fields[name] = given.get("value", "on")
        elif tag == "input" and name:
            self.fields[name] = given.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = given.get("value", "")
        elif tag == "textarea":
            self._text = name

    def handle_endtag(self, tag):
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._text = ""

    def handle_data(self, data):
        if self._inside and self._text:
            self.fields[self._text] = self.fields.get(self._text, "") + data.removeprefix("\n")


def fields(page: httpx.Response, action: str) -> dict[str, str]:
    """What a browser would send of the form with this action, as the page filled it in."""
    form = _Form(action)
    form.feed(page.text)
    assert form.found, f"no form for {action}"
    return form.fields


def heading(page: httpx.Response) -> str:
    """The page's heading."""
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    assert found, page.text[:500]
    return found[1]


def alert(page: httpx.Response) -> str:
    """What the page complains about."""
    found = re.search(r'role="alert">(.*?)</div>', page.text, re.DOTALL)
    return "" if not found else " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())
