"""A real Chromium for tests of the page, and what every screen has to hold.

    def test_home_shows_what_waits(visit: Visit) -> None:
        page = visit(url)                 # a new context; fails the test if a request leaves the page's own origin, on any error
        page.get_by_role("link", name="Tools").click()    # of a script or of the console, on any answer of 500 and above, and if
        check_page(page)                  # the content security policy had to stop something
        shoot(page, "home")

Fixtures stand in `conftest.py`. Answers of 400 to 499 are errors too unless a test says that it wants them: `visit.expect(403)`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
SCREENS = Path(__file__).parents[2] / "docs" / "screens"
_WRITE = os.environ.get("CLOISTER_SCREENS") == "write"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--font-render-hinting=none", "--force-color-profile=srgb",
    # Whatever is asked of another host fails at once, even if a test did not notice.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)  # fmt: skip
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def chromium_path() -> str:
    """Where Chromium is; skips the test where there is none."""
    named = os.environ.get("CLOISTER_TEST_CHROMIUM")
    found = named or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found or not Path(found).exists():
        pytest.skip(
            "no Chromium here: install Debian's package chromium, or name one in CLOISTER_TEST_CHROMIUM"
        )
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser per module. Not per session: while Playwright runs, its thread cannot run another event loop."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Visit:
    """Opens pages, each in a context of its own, and remembers what went wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._expected: set[int] = set()
        self.wrong: list[str] = []

    def __call__(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        script: bool = True,
        **settings: Any,
    ) -> Page:
        """A page of a fresh browser that has visited nothing, at `url`."""
        context = self.context(url, width=width, height=height, scheme=scheme, script=script, **settings)
        page = context.new_page()
        page.goto(url)
        return page

    def context(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        script: bool = True,
        **settings: Any,
    ) -> BrowserContext:
        """A context that may speak with the origin of `url` alone; for tests that open several pages in one browser."""
        parts = urlsplit(url)
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            java_script_enabled=script,
            locale="en-GB",
            timezone_id="UTC",
            **settings,
        )
        context.set_default_timeout(20_000)
        self._contexts.append(context)
        self._watch(context, f"{parts.scheme}://{parts.netloc}")
        return context

    def expect(self, *statuses: int) -> None:
        """Answers with these statuses are what the test wants."""
        self._expected |= set(statuses)

    def _watch(self, context: BrowserContext, origin: str) -> None:
        def asked(request: Request) -> None:
            address = request.url
            if not address.startswith((origin + "/", "data:", f"blob:{origin}/")):
                self.wrong.append(f"a request left the page: {address[:200]}")

        def answered(response: Response) -> None:
            if response.status >= 400 and response.status not in self._expected:
                self.wrong.append(f"{response.status} of {response.request.method} {response.url}")

        def said(message: ConsoleMessage) -> None:
            # The browser repeats here what `answered` knows better.
            if message.type == "error" and not message.text.startswith(
                "Failed to load resource: the server responded"
            ):
                self.wrong.append(f"console: {message.text[:500]}")

        context.on("request", asked)
        context.on("response", answered)
        context.on("console", said)
        context.on("weberror", lambda error: self.wrong.append(f"script: {error.error}"))
        context.on("requestfailed", self._failed)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (event) => console.error(`stopped by the policy: ${event.violatedDirective} ${event.blockedURI}`))"
        )

    def _failed(self, request: Request) -> None:
        reason = request.failure or ""
        # Leaving a page ends what it was still loading; its event stream always is.
        if "ERR_ABORTED" not in reason:
            self.wrong.append(f"no answer: {request.url[:200]} ({reason})")

    def close(self) -> None:
        """Ends all contexts. Raises `AssertionError` if anything went wrong in one of them."""
        for context in self._contexts:
            context.close()
        assert not self.wrong, "\n".join(self.wrong)


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens pages; see `Visit`."""
    made = Visit(chromium)
    yield made
    made.close()


# What every screen has to hold ---------------------------------------------------------------------------------------


def check_page(page: Page, *, touch: int = 24) -> None:
    """What every screen has to hold: title, language, one heading of the first level, no violation that axe finds in light or dark,
    nothing wider than a phone's screen, targets large enough for fingers.

    Args:
        page: at the screen.
        touch: how large targets are at least, in CSS pixels; 44 within `.gloves` whatever is given.
    """
    page.wait_for_load_state()  # a click may have led here just now
    assert page.title().strip(), "the page has no title"
    assert page.evaluate("document.documentElement.lang"), "the page does not name its language"
    assert page.locator("h1").count() == 1, "a page has one heading of the first level"
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert not (found := violations(page)), "\n".join([f"in {scheme}:", *found])
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 740})
    settle(page)
    assert not (found := too_wide(page)), "\n".join(["wider than 360 pixels:", *found])
    assert not (found := too_small(page, touch)), "\n".join(["too small for a finger:", *found])
    assert not (found := violations(page)), "\n".join(["at 360 pixels:", *found])
    if size is not None:
        page.set_viewport_size(size)
        settle(page)


def settle(page: Page) -> None:
    """Waits until fonts are there and the layout has been drawn."""
    page.evaluate(
        "document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60))))"
    )


def violations(page: Page) -> list[str]:
    """What axe finds, a line for each rule and place."""
    settle(page)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        _RULES,
    )
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]} ({' '.join(node['failureSummary'].split())[:300]})"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """Elements that make the whole page scroll sideways."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= wide) return [];
          const scrolls = (e) => e && (/(auto|scroll|hidden|clip)/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
          const out = [...document.body.querySelectorAll("*")].filter((e) =>
            e.getBoundingClientRect().right > wide + 1 && !scrolls(e.parentElement));
          return [`${document.documentElement.scrollWidth} of ${wide}`, ...out.slice(0, 8).map((e) => e.outerHTML.slice(0, 120))];
        }"""
    )
    return found


def too_small(page: Page, least: int = 24) -> list[str]:
    """Targets smaller than `least` pixels either way; links within a sentence are as high as their line."""
    found: list[str] = page.evaluate(
        """(least) => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=button], [tabindex='0']")]
          .filter((e) => e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && e.type !== "hidden")
          .filter((e) => !e.matches(".skip, .unseen"))
          .filter((e) => !(e.tagName === "A" && getComputedStyle(e).display === "inline"))
          .flatMap((e) => {
            const box = e.getBoundingClientRect();
            const label = e.matches("[type=checkbox], [type=radio], [type=file]") ? e.labels?.[0]?.getBoundingClientRect() : null;
            const high = Math.max(box.height, label?.height ?? 0), wide = Math.max(box.width, label?.width ?? 0);
            const wanted = e.closest(".gloves") ? Math.max(44, least) : least;
            return high + 0.5 < wanted || wide + 0.5 < wanted
              ? [`${Math.round(wide)} by ${Math.round(high)} of ${wanted}: ${e.outerHTML.slice(0, 140)}`] : [];
          })""",
        least,
    )
    return found


def tab_through(page: Page, most: int = 200) -> list[str]:
    """Where the Tab key leads, by accessible text, from the start of the page to its end; each stop is seen and outlined."""
    page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
    stops: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
              const e = document.activeElement;
              if (!e || e === document.body || e === document.documentElement) return null;
              const first = !e.hasAttribute("data-tabbed");
              e.setAttribute("data-tabbed", "");
              const style = getComputedStyle(e), box = e.getBoundingClientRect();
              const text = e.getAttribute("aria-label") ?? (e.labels?.[0]?.textContent || e.textContent || e.title || e.name || e.tagName);
              return {first, text: text.trim().replace(/\\s+/g, " "), html: e.outerHTML.slice(0, 140),
                outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight};
            }"""
        )
        if stop is None or not stop["first"]:
            break
        assert stop["seen"], f"the focus is where nobody sees it: {stop['html']}"
        assert stop["outlined"], f"the focus is not shown: {stop['html']}"
        stops.append(stop["text"])
    page.evaluate(
        "document.querySelectorAll('[data-tabbed]').forEach((e) => e.removeAttribute('data-tabbed'))"
    )
    return stops


def shoot(page: Page, name: str, tmp: Path | None = None, *, tallest: int = 800) -> Path:
    """A picture of the screen: into the documentation if CLOISTER_SCREENS=write is set, else into a temporary folder.

    Args:
        page: at the screen; its viewport becomes 1280 wide, light.
        name: of the picture, without `.png`; lower case with hyphens.
        tmp: the temporary folder; without it, nothing is written unless it is for the documentation.
        tallest: as much of the page as so many pixels hold, and at least 800.
    """
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
    settle(page)
    if tallest > 800:
        height = page.evaluate("() => document.documentElement.scrollHeight")
        page.set_viewport_size({"width": 1280, "height": max(800, min(tallest, height))})
        settle(page)
    path = SCREENS / f"{name}.png"
    if not _WRITE:
        folder = tmp or os.environ.get("CLOISTER_SCREENS_TRIAL")
        if folder is None:
            return path
        path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, caret="hide", animations="disabled")
    return path
