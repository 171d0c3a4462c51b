"""A street of sites for the tests of pages: the nodes of `node.town`, each behind its page on a port of this machine.

Every site has one account, `EVA`, who has every role, signed in through the page as a person would be.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from cloister.node.node import Node
from cloister.web.listening import PageAt
from cloister.web.server import Serving
from cloister.web.site import Site
from node.town import ROLES, UNLOCK, LocalEngines, Town

EVA = "Eva"
PASSWORD = "seven green apples fall"


class Browser(httpx.Client):
    """A browser without script: keeps cookies, sends forms from the page that they belong to."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, headers={"origin": url}, follow_redirects=True, timeout=60)

    def sign_in(self, name: str = EVA, password: str = PASSWORD) -> httpx.Response:
        """As a person does."""
        return self.post("/sign-in", data={"name": name, "password": password})


class House:
    """One site and its open doors."""

    def __init__(self, site: Site, serving: Serving) -> None:
        self.site, self.serving = site, serving
        self.url = serving.url

    @property
    def node(self) -> Node:
        assert self.site.node is not None
        return self.site.node

    def visitor(self) -> Browser:
        """Somebody who has not signed in."""
        return Browser(self.url)

    def eva(self) -> Browser:
        """Who runs it, signed in."""
        browser = self.visitor()
        answer = browser.sign_in()
        assert answer.status_code == 200, answer.text
        return browser


@contextmanager
def new_house(folder: Path) -> Iterator[House]:
    """A site where nothing was set up."""
    site = Site(
        folder, make=lambda *a: Node(*a[:3], connect=lambda _: None, engines=LocalEngines, database=a[3])
    )
    try:
        with Serving(site, PageAt(port=0)) as serving:
            yield House(site, serving)
    finally:
        site.close()


class Street(dict[str, House]):
    """Houses by name, and the town whose nodes live in them."""

    def __init__(self, town: Town) -> None:
        super().__init__()
        self.town = town


@contextmanager
def street(names: Mapping[str, Sequence[str]] | None = None) -> Iterator[Street]:
    """Sites of a town by name; those of `node.town` unless others are wanted. Nodes see each other; nobody trusts anybody yet."""
    root = Path(tempfile.mkdtemp(prefix="st-"))  # short: sockets' paths have a limit
    town = Town(root, {name: list(roles) for name, roles in (names or ROLES).items()})
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)

        def make(folder, unlock, clock, database):
            return Node(folder, unlock, clock, connect=town.link, engines=LocalEngines, database=database)

        houses = Street(town)
        for name in town.roles:
            site = Site(root / name, town.clock, make)
            stack.callback(site.close)
            town.nodes[name] = site.open(UNLOCK)
            site.accounts.first(EVA, PASSWORD, site.accounts.start_key)
            houses[name] = House(site, stack.enter_context(Serving(site, PageAt(port=0))))
        yield houses


def settled(houses: Street) -> str:
    """Everybody trusts everybody, owners have data, an agreement is in force; returns its digest."""
    town = houses.town
    town.meet()
    town.data(*[name for name, roles in town.roles.items() if "owner" in roles])
    digest = town.agree(town.terms())
    town.catalogued()
    return digest
