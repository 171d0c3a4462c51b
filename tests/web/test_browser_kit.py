"""The kit of the browser's tests finds what it is there to find: each fault on a page of its own."""

from __future__ import annotations

import pytest
from fastapi import Response

from cloister.web.guard import OPEN
from web.browser import check_page, tab_through, too_small, too_wide
from web.plain import plain_site

PAGES = {
    "fine": "<p>Nothing is wrong here.</p><p><a class='button' href='/fine'>Again</a></p>",
    "outside": '<img src="http://192.0.2.1/spy.png" alt="">',
    "inline": '<p style="color: red">Red</p>',
    "script": "<script src='/bad.js'></script>",
    "missing": '<img src="/static/0123456789abcdef/none.png" alt="">',
    "failing": '<img src="/failing.png" alt="">',
    "wide": "<p><time>" + "12 " * 60 + "</time></p>",
    "small": '<p class="gloves"><a class="mark" href="/fine">x</a></p>',
    "headings": "<h1>Another</h1>",
    "unlabelled": "<input name='x'>",
    "hidden-focus": "<a href='/fine' class='unseen'>nowhere</a>",
}


def _more(routes, _pages):
    @routes.get("/bad.js", OPEN)
    def bad() -> Response:
        return Response("missing();", media_type="text/javascript")

    @routes.get("/failing.png", OPEN)
    def failing() -> Response:
        return Response(status_code=500)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with plain_site(tmp_path_factory.mktemp("kit"), PAGES, _more) as made:
        yield made


def _wrong(visit) -> str:
    said = "\n".join(visit.wrong)
    visit.wrong.clear()
    return said


def test_a_page_without_faults_passes(visit, url):
    check_page(visit(url + "/fine"))
    assert not visit.wrong


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("outside", "img-src"),
        ("inline", "style-src"),
        ("script", "missing is not defined"),
        ("missing", "404"),
        ("failing", "500"),
    ],
)
def test_what_goes_wrong_in_a_page_is_noticed(visit, url, name, said):
    page = visit(f"{url}/{name}")
    page.wait_for_timeout(200)
    assert said in _wrong(visit)


def test_a_request_that_leaves_is_noticed_and_leads_nowhere(visit, url):
    context = visit.context(url, bypass_csp=True)
    page = context.new_page()
    page.goto(url + "/outside")
    page.wait_for_timeout(200)
    assert "left the page: http://192.0.2.1/spy.png" in _wrong(visit)
    page.goto(url + "/fine")
    answer = page.evaluate("fetch('http://cloister.example/').then(() => 'answered', () => 'nothing')")
    assert answer == "nothing"
    assert "left the page: http://cloister.example/" in _wrong(visit)


def test_what_went_wrong_fails_the_test(visit, url):
    visit(url + "/missing")
    with pytest.raises(AssertionError, match="404"):
        visit.close()
    visit.wrong.clear()


@pytest.mark.parametrize(
    ("name", "said"), [("headings", "one heading"), ("unlabelled", "label"), ("wide", "wider than 360")]
)
def test_what_a_screen_has_to_hold_is_looked_at(visit, url, name, said):
    page = visit(f"{url}/{name}")
    with pytest.raises(AssertionError, match=said):
        check_page(page)


def test_targets_for_gloves_are_larger(visit, url):
    page = visit(url + "/small")
    assert any("of 44" in line for line in too_small(page))
    assert too_wide(page) == []


def test_a_focus_that_nobody_sees_is_found(visit, url):
    page = visit(url + "/hidden-focus", script=True)
    page.evaluate(
        "document.querySelector('main .unseen').classList.add('gone'); document.querySelector('main .unseen').hidden = false"
    )
    page.evaluate(
        "document.querySelector('main .unseen').style.cssText = 'position: fixed; top: -500px; outline: 0'"
    )
    with pytest.raises(AssertionError, match="focus"):
        tab_through(page)
