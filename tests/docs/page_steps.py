"""Plays a tutorial of the page in a real browser: what its numbered steps say is done, word for word.

A step is an item of a numbered list. In it these sentences are done; what is bold is looked for on the page by exactly that name,
what is code is typed, opened or chosen:

    Open `http://localhost:8480`.            the address (the test's own port in place of 8480)
    Press **Tools**.                         a link, button or fold
    Write `Eva` into **Your name**.          a field
    Write **the start key** into **Start key**.   something that only the reader has, from `given`
    Choose `pictures/a.png` at **Pictures**. a file, by a button or a field; or the entry of a list
    Tick **I have read it**.                 a box or a choice
    Tick **Our plant** under **The owner**.  one of those under a heading
    You read **Nothing left this machine**.  must be visible, anywhere on the page

A step in which none of them stands is a mistake of the page's author, and so is a bold name that no sentence used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

_STEP = re.compile(r"^\d+\. (.*?)(?=^\d+\. |^\S|\Z)", re.MULTILINE | re.DOTALL)
_SENTENCES = (
    ("open", re.compile(r"\bOpen `([^`]+)`()")),
    ("press", re.compile(r"\b[Pp]ress \*\*([^*]+)\*\*()")),
    ("write", re.compile(r"\b[Ww]rite `([^`]+)` into \*\*([^*]+)\*\*")),
    ("given", re.compile(r"\b[Ww]rite \*\*(the [^*]+)\*\* into \*\*([^*]+)\*\*")),
    ("choose", re.compile(r"\b[Cc]hoose `([^`]+)` at \*\*([^*]+)\*\*")),
    ("tick", re.compile(r"\b[Tt]ick \*\*([^*]+)\*\*(?: under \*\*([^*]+)\*\*)?")),
    ("read", re.compile(r"\b[Yy]ou read \*\*([^*]+)\*\*()")),
)


@dataclass(frozen=True)
class Action:
    """One thing that a reader does or reads."""

    kind: str
    what: str
    where: str


def actions(text: str) -> Iterator[list[Action]]:
    """The actions of each step, in order. Raises `AssertionError` for a step that says nothing to do."""
    for found in _STEP.finditer(text):
        step = " ".join(found[1].split())
        done = sorted(
            (match.start(), Action(kind, match[1], match[2] or ""))
            for kind, pattern in _SENTENCES
            for match in pattern.finditer(step)
        )
        assert done, f"nothing is done in this step: {step[:120]}"
        named = set(re.findall(r"\*\*([^*]+)\*\*", step))
        used = {word for _, action in done for word in (action.what, action.where)}
        assert named <= used, f"bold, but no sentence does anything with it: {named - used}"
        yield [action for _, action in done]


def play(page: Page, steps: list[list[Action]], folder: Path, url: str, given: Mapping[str, str]) -> None:
    """Does all steps."""
    for number, step in enumerate(steps, 1):
        for action in step:
            try:
                _do(page, action, folder, url, given)
            except Exception as error:
                raise AssertionError(
                    f"step {number}, {action}: {error}\n{page.locator('main').inner_text()[:3000]}"
                ) from error


def _do(page: Page, action: Action, folder: Path, url: str, given: Mapping[str, str]) -> None:
    if action.kind == "open":
        page.goto(re.sub(r"http://localhost:8480", url, action.what))
    elif action.kind == "press":
        _pressed(page, action.what).click()
    elif action.kind in {"write", "given"}:
        text = given[action.what] if action.kind == "given" else action.what
        page.get_by_label(action.where, exact=True).fill(text)
    elif action.kind == "tick":
        place = page.get_by_role("group", name=action.where, exact=True) if action.where else page
        place.get_by_label(action.what, exact=True).first.check()
    elif action.kind == "choose":
        page.wait_for_load_state()  # scripts may put a button in a plain field's place
        button = page.get_by_role("button", name=action.where, exact=True).filter(visible=True).first
        if button.is_visible():
            with page.expect_file_chooser() as chooser:
                button.click()
            chooser.value.set_files(folder / action.what)
            return
        field = page.get_by_label(action.where, exact=True)
        if field.evaluate("field => field.type") == "file":
            field.set_input_files(folder / action.what)
        else:
            field.select_option(label=action.what)
    else:
        expect(page.get_by_text(action.what).filter(visible=True).first).to_be_visible(timeout=60_000)


def _pressed(page: Page, name: str) -> Locator:
    """What a person would press: a button, a link or a fold of that name; screen readers may be told more after it."""
    begins = re.compile(rf"^\s*{re.escape(name)}(\s|$)")
    either = page.get_by_role("button", name=begins).or_(page.get_by_role("link", name=begins))
    found = either.or_(page.locator("summary").filter(has_text=begins)).filter(visible=True).first
    expect(found).to_be_visible(timeout=20_000)
    return found
