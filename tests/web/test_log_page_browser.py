"""The log verified by a real browser itself; whatever is changed on the way, it finds."""

from __future__ import annotations

import json

import pytest

from web.browser import Visit, check_page
from web.street import EVA, PASSWORD
from web.work import LAB, working

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work():
    with working() as made:
        yield made


@pytest.fixture
def page(work, visit: Visit):
    made = visit(f"{work[LAB].url}/sign-in?next=/log/verify")
    made.fill("input[name=name]", EVA)
    made.fill("input[name=password]", PASSWORD)
    made.press("input[name=password]", "Enter")
    made.wait_for_url("**/log/verify")
    return made


def verdict(page) -> str:
    page.click("[data-verify]")
    return page.locator("[data-verdict]").get_attribute("data-verdict")


def served(page, change) -> None:
    """Has what the server sends for the export changed on its way."""

    def answer(route):
        got = route.fetch()
        route.fulfill(response=got, body=change(got.body()))

    page.route("**/log/export", answer)


def flipped(data: bytes, index: int, field: bytes) -> bytes:
    """One byte of an entry's field changed."""
    lines = data.split(b"\n")
    place = next(number for number, line in enumerate(lines) if f'"index":{index},'.encode() in line)
    line = bytearray(lines[place])
    at = line.index(field) + len(field) + 10
    line[at] = line[at] ^ 1
    lines[place] = bytes(line)
    return b"\n".join(lines)


def test_an_unchanged_log_verifies_and_what_was_not_checked_is_said(page):
    assert verdict(page) == "holds"
    said = page.locator("[data-outcome]").inner_text()
    assert "Ed25519 signatures under the checkpoints were verified" in said
    assert "ML-DSA-65" in said.partition("What it did not")[2]
    check_page(page)


@pytest.mark.parametrize("index", [0, 3, 7])
@pytest.mark.parametrize("field", [b'"digest":"sha256:', b'"hash":"'])
def test_one_changed_byte_of_an_entry_is_found_at_its_place(page, index, field):
    served(page, lambda data: flipped(data, index, field))
    assert verdict(page) == "broken"
    assert page.locator("[data-first-bad]").get_attribute("data-first-bad") == str(index)
    assert page.locator("[data-first-bad]").get_attribute("href") == f"/log/entries/{index}"


def _without(data: bytes, wanted: bytes) -> bytes:
    lines = data.split(b"\n")
    place = next(number for number, line in enumerate(lines) if wanted in line)
    return b"\n".join(lines[:place] + lines[place + 1 :])


def _signature(data: bytes) -> bytes:
    """One letter of the log's Ed25519 signature under every checkpoint changed."""
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        if line.startswith(b'{"checkpoint"'):
            note = json.loads(line)["checkpoint"]
            head, _, tail = note.partition("\n\n")
            first, *others = tail.split("\n")
            signature = first[:-9] + ("A" if first[-9] != "A" else "B") + first[-8:]
            text = "\n".join([f"{head}\n", signature, *others])
            lines[number] = json.dumps(
                {"checkpoint": text}, ensure_ascii=False, separators=(",", ":")
            ).encode()
    return b"\n".join(lines)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: _without(data, b'"index":4,'),
        lambda data: data[: data.rindex(b'{"end"')],
        _signature,
        lambda data: data.replace(b'"origin":"cloister/ledger/', b'"origin":"cloister/ledger/a', 1),
        lambda data: data.replace(b'{"entry":{"hash"', b'{"entry": {"hash"', 1),
    ],
    ids=["an entry removed", "cut short", "a wrong signature", "another origin", "another form"],
)
def test_other_changes_are_found_too(page, change):
    served(page, change)
    assert verdict(page) == "broken"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}\n", b"\xff\xfe", b'{"type":"cloister/ledger-export@1"}\n'])
def test_what_is_no_log_is_told_as_such(page, body):
    served(page, lambda _: body)
    assert verdict(page) == "unread"


def test_a_server_that_cannot_write_its_log_out_now_says_when_to_come_again(page, visit: Visit):
    visit.expect(429)
    page.route("**/log/export", lambda route: route.fulfill(status=429, headers={"retry-after": "7"}))
    assert verdict(page) == "later"
    assert "Try again in 7 seconds" in page.locator("[data-outcome]").inner_text()
    check_page(page)


def test_an_entry_is_proven_by_the_browser(work, page):
    page.goto(f"{work[LAB].url}/log/entries/3")
    said = page.locator("[data-outcome] [data-verdict=holds]")
    said.first.wait_for()
    assert said.count() == 2
    assert "under the root of" in said.first.inner_text()
    check_page(page)


def test_without_script_the_server_and_the_command_are_offered(work, visit: Visit):
    page = visit(f"{work[LAB].url}/sign-in?next=/log/verify", script=False)
    page.fill("input[name=name]", EVA)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/log/verify")
    assert not page.locator("[data-verify]").is_visible()
    page.get_by_role("button", name="Have this server verify it").click()
    assert page.get_by_text("Nothing is wrong").is_visible()
