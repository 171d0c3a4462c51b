"""What script may do on a page: replace parts, follow events. What markup that slipped in could not do (the rules of `page.js`)."""

from __future__ import annotations

import time

import pytest
from fastapi import Request, Response
from starlette.responses import HTMLResponse, StreamingResponse

from cloister.web.guard import OPEN
from web.plain import plain_site

PAGES = {
    "parts": (
        '<button hx-get="/part" hx-target="#place" hx-swap="innerMorph">More</button>'
        '<div id="place"><details class="fold" id="kept"><summary>Kept</summary><p>within</p></details></div>'
    ),
    "live": '<div hx-sse:connect="/events" hx-swap="innerHTML">waiting</div>',
    "form": (
        '<form method="post" action="/done" hx-post="/done" hx-target="#place"><input name="word" aria-label="Word">'
        '<button>Send</button></form><div id="place"></div>'
    ),
    "twice": '<form method="post" action="/slow"><button>Send</button></form>',
    "slipped": "{{ slipped }}",
}
SLIPPED = {
    "a request by itself that changes something": '<div hx-post="/done" hx-trigger="load">x</div>',
    "a form that sends itself": '<form hx-post="/done" action="/done" hx-trigger="load">x</form>',
    "a form that sends elsewhere than it says": '<form hx-post="/done" action="/other"><button>x</button></form>',
    "a request elsewhere": '<div hx-get="http://127.0.0.2:9/" hx-trigger="load">x</div>',
    "code in an attribute": "<div hx-on:htmx:after:init=\"document.title='owned'\">x</div>",
    "code in values": '<div hx-get="/part" hx-vals="js:{a: (document.title=\'owned\')}" hx-trigger="load">x</div>',
    "code in a trigger": '<div hx-get="/part" hx-trigger="click[document.title=\'owned\']"><button>x</button></div>',
    "code as an address": '<a hx-get="javascript:document.title=\'owned\'" hx-trigger="load">x</a>',
    "a handler": '<img src="/nothing.png" alt="" onerror="document.title=\'owned\'">',
    "a script": "<script>document.title = 'owned'</script>",
    "a script in an answer": '<div hx-get="/script" hx-trigger="load">x</div>',
}


class Server:
    """What was asked of it."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.slipped = ""

    def add(self, routes, pages):
        @routes.get("/part", OPEN)
        def part() -> Response:
            return HTMLResponse(
                '<details class="fold" id="kept"><summary>Kept</summary><p>renewed</p></details>'
            )

        @routes.get("/script", OPEN)
        def script() -> Response:
            return HTMLResponse("<p>here</p><script>document.title = 'owned'</script>")

        @routes.get("/nothing.png", OPEN)
        def nothing() -> Response:
            return Response(status_code=204)

        @routes.get("/slip/{name}", OPEN)
        def slip(request: Request, name: str) -> Response:
            from markupsafe import Markup

            return pages.show(request, "slipped", title="Slipped", slipped=Markup(SLIPPED[name]))

        @routes.get("/events", OPEN)
        def events() -> Response:
            def told():
                for number in range(3):
                    yield f"data: <p>phase {number} <em>of three</em></p>\n\n"
                    time.sleep(0.2)

            return StreamingResponse(told(), media_type="text/event-stream")

        @routes.post("/done", OPEN)
        def done() -> Response:
            self.changed.append("done")
            return HTMLResponse("<p>Done.</p>")

        @routes.post("/slow", OPEN)
        def slow() -> Response:
            self.changed.append("slow")
            time.sleep(1)
            return HTMLResponse("<!doctype html><html lang='en'><title>Slow</title><h1>Slow</h1></html>")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    server = Server()
    with plain_site(tmp_path_factory.mktemp("script"), PAGES, server.add) as url:
        server.url = url
        yield server


@pytest.fixture(autouse=True)
def _nothing_changed_yet(site):
    site.changed.clear()


def test_a_part_is_replaced_and_a_fold_stays_as_the_person_left_it(visit, site):
    page = visit(site.url + "/parts")
    page.get_by_text("Kept").click()
    page.get_by_role("button", name="More").click()
    page.get_by_text("renewed").wait_for(state="visible")
    assert page.locator("#kept").get_attribute("open") is not None


def test_events_of_the_server_replace_a_part(visit, site):
    page = visit(site.url + "/live")
    page.get_by_text("phase 2 of three").wait_for()


def test_a_form_that_a_person_sends_is_answered_in_place(visit, site):
    page = visit(site.url + "/form")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Done.").wait_for()
    assert site.changed == ["done"]
    assert page.url.endswith("/form")


def test_a_form_is_sent_once_however_often_it_is_clicked(visit, site):
    page = visit(site.url + "/twice")
    page.evaluate(
        "() => { const b = document.querySelector('form button'); for (let i = 0; i < 5; i++) b.click(); }"
    )
    page.get_by_role("heading", name="Slow").wait_for()
    assert site.changed == ["slow"]


@pytest.mark.parametrize("name", sorted(SLIPPED))
def test_markup_that_slipped_in_changes_nothing_and_runs_nothing(visit, site, name):
    page = visit(f"{site.url}/slip/{name}")
    for button in page.locator("main button").all():
        button.click()
    page.wait_for_timeout(600)
    assert page.title().startswith("Slipped")
    assert site.changed == []
    # The browser says what it stopped; nothing but that may have gone wrong.
    assert not any("left the page" in line for line in visit.wrong)
    visit.wrong.clear()


def test_text_does_not_become_markup_but_through_the_pages_own_policy(visit, site):
    page = visit(site.url + "/parts")
    for attempt in (
        "document.body.innerHTML = '<p>x</p>'",
        "document.write('<p>x</p>')",
        "document.body.insertAdjacentHTML('beforeend', '<p>x</p>')",
        "document.createElement('script').src = '/x.js'",
        "window.trustedTypes.createPolicy('other', {createHTML: (text) => text})",
        "window.trustedTypes.createPolicy('cloister', {createHTML: (text) => text})",
    ):
        stopped = page.evaluate(
            f"() => {{ try {{ {attempt}; return false; }} catch (error) {{ return error instanceof TypeError; }} }}"
        )
        assert stopped, attempt
    page.wait_for_timeout(300)
    visit.wrong.clear()
