"""First visit, signing in and my account in a real browser, with Chromium's virtual security key."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from web.browser import Visit, check_page, shoot, tab_through
from web.street import EVA, PASSWORD, new_house


@pytest.fixture
def house(tmp_path):
    with new_house(tmp_path / "n") as made:
        yield made


class SecurityKey:
    """Chromium's virtual authenticator."""

    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)
        self.session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
        }
        options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
        self.id = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": options})[
            "authenticatorId"
        ]

    def verified(self, yes: bool) -> None:
        """Whether the finger is the right one."""
        self.session.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": yes})

    def passkeys(self) -> list[dict]:
        """What it holds."""
        return self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.id})["credentials"]


def local(house) -> str:
    return house.url.replace("127.0.0.1", "localhost")


def left(page: Page, path: str) -> None:
    """Waits until the page is another one."""
    page.wait_for_url(lambda url: path not in url)
    page.wait_for_load_state()


def test_the_first_account_with_a_passkey_alone_then_signing_in_with_it(house, visit: Visit, tmp_path):
    page = visit(local(house))
    key = SecurityKey(page)
    page.goto(local(house) + "/welcome")
    check_page(page)
    shoot(page, "welcome", tmp_path)
    page.get_by_label("Start key", exact=True).fill(house.site.accounts.start_key)
    page.get_by_label("Your name").fill(EVA)
    page.get_by_role("button", name="Create it with a passkey").click()
    left(page, "/welcome")
    assert page.url.endswith("/organisation")
    check_page(page)
    account = house.site.accounts.all()[0].account
    assert not house.site.accounts.has_password(account)
    assert [item["isResidentCredential"] for item in key.passkeys()] == [True]

    page.goto(local(house) + "/people")
    check_page(page)
    page.get_by_role("button", name="Sign out", exact=True).click()
    left(page, "/people")
    check_page(page)
    assert tab_through(page)[-4:] == [
        "Password",
        "Sign in",
        "Sign in with a passkey",
        "Forgotten your password?",
    ]
    page.get_by_role("button", name="Sign in with a passkey").click()
    left(page, "/sign-in")
    page.goto(local(house) + "/people")
    assert page.get_by_role("heading", name="My account").is_visible()


def test_a_finger_that_is_not_the_right_one_signs_nobody_in(house, visit: Visit):
    visit.expect(403)
    page = visit(local(house))
    key = SecurityKey(page)
    with_passkey(house, page)
    key.verified(False)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("alert").filter(has_text="told not to").wait_for()
    assert "/sign-in" in page.url


def with_passkey(house, page):
    """Eva has a password and a passkey, and is signed out."""
    house.site.accounts.first(EVA, PASSWORD, house.site.accounts.start_key)
    page.goto(local(house) + "/sign-in?next=/people/passkeys")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    left(page, "/sign-in")
    check_page(page)
    page.get_by_label("What do you call it?").fill("My phone")
    page.get_by_role("button", name="Add the passkey").click()
    left(page, "/people/passkeys")
    assert page.get_by_text("The passkey “My phone” is added.").is_visible()
    page.get_by_role("button", name="Sign out", exact=True).click()
    left(page, "/people")


def test_a_passkey_shows_again_who_one_is_and_the_same_device_is_not_added_twice(
    house, visit: Visit, tmp_path
):
    page = visit(local(house))
    SecurityKey(page)
    with_passkey(house, page)
    page.get_by_label("Name").fill(EVA)
    page.get_by_role("button", name="Sign in with a passkey").click()
    left(page, "/sign-in")
    page.goto(local(house) + "/confirm?next=/people/passkeys")
    check_page(page)
    before = page.context.cookies()
    page.get_by_role("button", name="Use a passkey").click()
    left(page, "/confirm")
    assert page.context.cookies() != before, "the session has another secret"
    page.get_by_label("What do you call it?").fill("The same")
    page.get_by_role("button", name="Add the passkey").click()
    page.get_by_role("alert").filter(has_text="has a passkey for this account already").wait_for()
    page.goto(local(house) + "/people")
    assert "used" in page.get_by_text("Passkey for localhost").inner_text()
    check_page(page)
    shoot(page, "my-account", tmp_path, tallest=2400)


def test_a_page_opened_by_its_address_says_why_it_has_no_passkeys(house, visit: Visit):
    house.site.accounts.first(EVA, PASSWORD, house.site.accounts.start_key)
    page = visit(local(house).replace("localhost", "127.0.0.1") + "/sign-in")
    assert page.get_by_text("Passkeys need a page with a name").is_visible()
    assert page.get_by_role("button", name="passkey").count() == 0


def test_the_first_visit_works_without_script(house, visit: Visit):
    visit.expect(422)
    page = visit(local(house) + "/welcome", script=False)
    assert page.get_by_role("button", name="passkey").count() == 0
    page.get_by_label("Start key", exact=True).fill(house.site.accounts.start_key)
    page.get_by_label("Your name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD + "x")
    page.get_by_role("button", name="Create the account").click()
    page.wait_for_load_state()
    assert page.get_by_role("alert").filter(has_text="not the same").is_visible()
    assert page.get_by_label("Your name").input_value() == EVA
    assert page.get_by_label("Start key", exact=True).input_value() == house.site.accounts.start_key
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    left(page, "/welcome")
    page.get_by_label("Name of the organisation").fill("Sugar works Tulln")
    page.get_by_label("Passphrase of the server").fill("four random words here")
    page.get_by_label("The same again").fill("four random words here")
    page.get_by_role("button", name="Make the keys").click()
    left(page, "/organisation")
    page.get_by_role("link", name="Work alone for now").click()
    left(page, "/connect")
    assert page.get_by_role("heading", name="Home").is_visible()


def test_the_screens_of_people_hold(house, visit: Visit, tmp_path):
    accounts = house.site.accounts
    eva = accounts.first(EVA, PASSWORD, accounts.start_key)
    bob = accounts.add("Bob Gruber", ["approver"], PASSWORD, given=True)
    accounts.add("Olga", ["auditor"], PASSWORD)
    accounts.tokens.make(eva.account, "Nightly report", ["tasks.read"], 3600)
    page = visit(local(house) + "/sign-in?next=/people")
    page.get_by_label("Name").fill(EVA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    left(page, "/sign-in")
    paths = [
        "/people",
        "/people/all",
        "/people/trail",
        "/people/new",
        f"/people/of/{bob.account}",
        "/people/password",
    ]
    for path in [*paths, "/people/tokens", "/people/passkeys"]:
        page.goto(local(house) + path)
        check_page(page)
    page.goto(local(house) + "/people/all")
    shoot(page, "people", tmp_path)
    page.goto(local(house) + "/people/new")
    page.get_by_label("Name").fill("Cem")
    page.get_by_label("Analyst").check()
    page.get_by_role("button", name="Add the person").click()
    check_page(page)
    page.get_by_role("link", name="Done").click()
    assert page.get_by_role("heading", name="Cem").is_visible()
