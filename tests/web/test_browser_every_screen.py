"""Every screen that can be reached by links, at an owner and at the lab of a street at work, holds what screens have to hold."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urldefrag, urlsplit

import pytest
from playwright.sync_api import Page

from cloister.web.frame import SCREENS
from node.town import LAB
from web.browser import Visit, check_page, tab_through
from web.records import asked, disclosed, photos
from web.street import EVA, PASSWORD
from web.work import working

OWNER = "Ash"
BESIDE = ["/ask", "/calibrations", "/disclosures", "/figures"]
"""Screens that are no entry of the rail."""
_MOST = 24
_NAMED = re.compile(r"(?<=/)(sha256:)?([0-9a-f]{12,}|[0-9]+)|(?<==)[^&]*")
_LED_TO = re.compile(r'\b(?:href|src)="([^"]*)"')


@pytest.fixture(scope="module")
def work():
    with working() as made:
        task = made.ask()
        made.approve(task)
        made.ended(task)
        waiting = made.ask()
        made.asked_at(OWNER, waiting)
        owner, lab = made[OWNER], made[LAB]
        photos(owner, lab, owner.node.folder.root.parent / "photos")
        asked(lab, owner)
        disclosed(owner, lab)
        yield made


def signed_in(visit: Visit, url: str) -> Page:
    """Eva's browser."""
    page = visit(url + "/sign-in")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda at: "/sign-in" not in at)
    return page


def links(page: Page, prefix: str) -> Iterator[str]:
    """Pages below a screen that this page leads to, downloads left out."""
    for href in page.eval_on_selector_all("a[href]:not([download])", "all => all.map((a) => a.href)"):
        found = urldefrag(href).url
        path = urlsplit(found).path
        if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
            yield found


def kind(url: str) -> str:
    """Addresses of one kind are alike but for digests and what stands in a query."""
    parts = urlsplit(url)
    return _NAMED.sub("*", f"{parts.path}?{parts.query}")


@pytest.mark.slow
@pytest.mark.parametrize("house", [OWNER, LAB])
@pytest.mark.parametrize("screen", [screen.path for screen in SCREENS if screen.path != "/"] + BESIDE)
def test_every_screen_holds_what_screens_hold(visit, work, house, screen):
    url = work[house].url
    page = signed_in(visit, url)
    to_see, seen = [url + screen], set()
    while to_see and len(seen) < _MOST:
        address = to_see.pop(0)
        if kind(address) in seen:
            continue
        seen.add(kind(address))
        answer = page.request.get(address)
        assert answer.status < 400, (answer.status, address)
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        page.goto(address)
        try:
            if len(seen) == 1:
                assert len(tab_through(page)) > len(SCREENS) / 2
            check_page(page)
        except AssertionError as error:
            raise AssertionError(f"{kind(address)}: {error}") from None
        to_see.extend(links(page, screen))
    assert seen


@pytest.mark.slow
@pytest.mark.parametrize("house", [OWNER, LAB])
def test_every_link_leads_somewhere_for_a_person_with_all_rights(work, house):
    """By what the server sends, without a browser: links, pictures, plots' files and downloads; of one kind of address, the first."""
    with closing(work[house].eva()) as browser:
        to_see: list[tuple[str, str]] = [("", screen.path) for screen in SCREENS]
        seen: dict[str, str] = {}
        broken = []
        while to_see:
            where, address = to_see.pop(0)
            if kind(address) in seen:
                continue
            seen[kind(address)] = address
            answer = browser.get(address)
            if answer.status_code >= 400 or "/sign-in" in str(answer.url):
                broken.append(f"{where} leads to {address}: {answer.status_code} {answer.url}")
            if answer.headers.get("content-type", "").startswith("text/html"):
                here = urlsplit(str(answer.url))
                found = [html.unescape(one) for one in _LED_TO.findall(answer.text)]
                to_see += [(here.path, one) for one in found if one.startswith("/")]
                # Of this page itself: an anchor that is there.
                ids = set(re.findall(r'\bid="([^"]+)"', answer.text))
                broken += [
                    f"{here.path} has no {one}" for one in found if one.startswith("#") and one[1:] not in ids
                ]
        assert not broken, "\n".join(broken)
        assert len(seen) > 40


@pytest.mark.parametrize("house", [OWNER, LAB])
def test_home_holds_what_screens_hold(visit, work, house):
    page = signed_in(visit, work[house].url)
    page.goto(work[house].url + "/")
    check_page(page)
