"""Passkeys of accounts, rule by rule (see `cloister.web.passkeys`), with a security key in software."""

from __future__ import annotations

import pytest

from cloister.foundation.clock import FixedClock
from cloister.foundation.errors import BadInput, Conflict, NotFound, NotFresh, Refused
from cloister.people import passwords
from cloister.people.challenges import LIFE
from cloister.people.sessions import FRESH
from cloister.storage.database import Database
from cloister.storage.people import People
from cloister.web.accounts import Accounts
from cloister.web.guard import NOBODY, Caller
from people.authenticator import Device

PASSWORD = "seven green apples fall"
HOST = "localhost:8480"
ORIGIN = "http://localhost:8480"
ORIGINS = frozenset({ORIGIN, "http://127.0.0.1:8480"})
HERE = "192.0.2.7"
MINE = "the secret of this browser's cookie"


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def empty(clock, monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", passwords.PasswordHasher(1, 8, 1))
    database = Database.memory()
    yield Accounts(database, clock)
    database.close()


@pytest.fixture
def accounts(empty):
    empty.first("Ada", PASSWORD, empty.start_key)
    return empty


@pytest.fixture
def device():
    return Device()


def cookie_of(accounts, name="Ada"):
    return accounts.sign_in(name, PASSWORD, HERE, "Browser")


def add(accounts, device, cookie, title="Phone"):
    asked = accounts.passkeys.ask_to_add(cookie, HOST, "Plant A")
    return accounts.passkeys.add(cookie, device.create(asked, ORIGIN), title, ORIGINS)


def sign_in(accounts, device, name="", old=None, **more):
    asked = accounts.passkeys.ask_to_sign_in(name, MINE, HOST)
    return accounts.passkeys.sign_in(device.get(asked, ORIGIN, **more), MINE, HERE, "Browser", ORIGINS, old)


def refused(work, clause="passkey"):
    with pytest.raises(Refused) as found:
        work()
    assert found.value.clause == clause


def test_a_passkey_is_added_and_signs_in_with_or_without_a_name(accounts, device):
    cookie = cookie_of(accounts)
    made = add(accounts, device, cookie)
    assert (made.title, made.host) == ("Phone", "localhost")
    for name in ("", "ada"):
        caller = accounts.caller(sign_in(accounts, device, name))
        assert (caller.name, caller.fresh) == ("Ada", True)
    assert accounts.passkeys.of(caller.account)[0].count == device.count


def test_signing_in_makes_a_new_session_and_ends_that_browsers_earlier_one(accounts, device):
    old = cookie_of(accounts)
    add(accounts, device, old)
    new = sign_in(accounts, device, old=old)
    assert accounts.caller(old) == NOBODY
    assert accounts.caller(new).name == "Ada"


def test_rule_1_adding_takes_a_session_that_has_just_shown_who_it_is(accounts, device, clock):
    cookie = cookie_of(accounts)
    asked = accounts.passkeys.ask_to_add(cookie, HOST, "")
    clock.advance(FRESH)
    with pytest.raises(NotFresh):
        accounts.passkeys.ask_to_add(cookie, HOST, "")
    with pytest.raises(NotFresh):
        accounts.passkeys.add(cookie, device.create(asked, ORIGIN), "Phone", ORIGINS)
    refused(lambda: accounts.passkeys.ask_to_add("none", HOST, ""), "sign-in")


def test_a_challenge_is_good_once_soon_and_for_its_session(accounts, device, clock):
    cookie, other = cookie_of(accounts), cookie_of(accounts)
    asked = accounts.passkeys.ask_to_add(cookie, HOST, "")
    refused(lambda: accounts.passkeys.add(other, device.create(asked, ORIGIN), "x", ORIGINS), "challenge")
    refused(lambda: accounts.passkeys.add(cookie, device.create(asked, ORIGIN), "x", ORIGINS), "challenge")
    asked = accounts.passkeys.ask_to_add(cookie, HOST, "")
    answer = device.create(asked, ORIGIN)
    made = accounts.passkeys.add(cookie, answer, "x", ORIGINS)
    refused(lambda: accounts.passkeys.add(cookie, answer, "x", ORIGINS), "challenge")
    asked = accounts.passkeys.ask_to_sign_in("", MINE, HOST)
    late = device.get(asked, ORIGIN, made.id)
    clock.advance(LIFE)
    refused(lambda: accounts.passkeys.sign_in(late, MINE, HERE, "B", ORIGINS), "challenge")


def test_rule_5_a_challenge_of_another_browser_is_refused_though_it_has_the_same_address(accounts, device):
    add(accounts, device, cookie_of(accounts))
    asked = accounts.passkeys.ask_to_sign_in("", MINE, HOST)
    answer = device.get(asked, ORIGIN)
    for other in ("another browser's", ""):
        refused(lambda other=other: accounts.passkeys.sign_in(answer, other, HERE, "B", ORIGINS), "challenge")
    assert accounts.passkeys.sign_in(answer, MINE, "192.0.2.8", "B", ORIGINS)


@pytest.mark.parametrize("counts", [True, False])
def test_an_answer_signs_in_once_also_where_the_device_does_not_count(accounts, device, counts):
    device.counts = counts
    add(accounts, device, cookie_of(accounts))
    asked = accounts.passkeys.ask_to_sign_in("", MINE, HOST)
    answer = device.get(asked, ORIGIN)
    assert accounts.passkeys.sign_in(answer, MINE, HERE, "B", ORIGINS)
    clause = "passkey-copied" if counts else "challenge"
    refused(lambda: accounts.passkeys.sign_in(answer, MINE, HERE, "B", ORIGINS), clause)


def test_ten_thousand_strangers_at_the_same_address_do_not_stop_one_persons_sign_in(accounts, device):
    add(accounts, device, cookie_of(accounts))
    asked = accounts.passkeys.ask_to_sign_in("Ada", MINE, HOST)
    for number in range(10_000):
        accounts.passkeys.ask_to_sign_in("", f"stranger {number}", HOST)
    assert accounts.passkeys.sign_in(device.get(asked, ORIGIN), MINE, HERE, "B", ORIGINS)


def test_an_answer_to_showing_again_does_not_sign_in(accounts, device):
    cookie = cookie_of(accounts)
    add(accounts, device, cookie)
    asked = accounts.passkeys.ask_again(cookie, HOST)
    refused(
        lambda: accounts.passkeys.sign_in(device.get(asked, ORIGIN), MINE, HERE, "B", ORIGINS), "challenge"
    )


def test_rule_2_what_is_asked_tells_nothing_about_accounts(accounts, device):
    add(accounts, device, cookie_of(accounts))
    accounts.add("Bob", ["auditor"], PASSWORD)

    def ids(name):
        return accounts.passkeys.ask_to_sign_in(name, MINE, HOST).get("allowCredentials", [])

    real, without, nobody = ids("Ada"), ids("Bob"), ids("Nobody")
    assert len(real) == len(without) == len(nobody) == 1
    assert len(real[0]["id"]) == len(without[0]["id"]) == len(nobody[0]["id"])
    assert without == ids(" BOB ")
    assert nobody == ids("nobody")
    assert without != nobody
    later = Accounts(accounts._database, accounts._clock)
    assert later.passkeys.ask_to_sign_in("Nobody", MINE, HOST)["allowCredentials"] == nobody
    assert ids("") == []


def test_rule_3_a_passkey_is_its_accounts_alone(accounts, device):
    cookie = cookie_of(accounts)
    made = add(accounts, device, cookie)
    asked = accounts.passkeys.ask_to_add(cookie, HOST, "")
    assert [item["id"] for item in asked["excludeCredentials"]] == [made.id]
    key, page, _ = device.keys[made.id]
    device.keys[made.id] = (key, page, b"another account")
    refused(lambda: sign_in(accounts, device))


def test_rule_3_a_passkey_that_is_known_is_not_added_again(accounts, device, monkeypatch):
    cookie = cookie_of(accounts)
    made = add(accounts, device, cookie)
    monkeypatch.setattr(
        "people.authenticator.secrets.token_bytes",
        lambda _: __import__("base64").urlsafe_b64decode(made.id + "="),
    )
    with pytest.raises(Conflict):
        add(accounts, device, cookie)


def test_rule_4_a_copy_is_refused_and_written_down_and_the_passkey_stays(accounts, device):
    made = add(accounts, device, cookie_of(accounts))
    sign_in(accounts, device)
    device.count -= 1
    refused(lambda: sign_in(accounts, device), "passkey-copied")
    entry = accounts.trail(1)[0]
    assert (entry.what, entry.about) == ("used a passkey that may have been copied, for an account", "Ada")
    assert [item.id for item in accounts.passkeys.of(made.account)] == [made.id]


def test_rule_5_wrong_answers_are_paced_by_address_and_lock_no_name(accounts, device):
    add(accounts, device, cookie_of(accounts))
    stranger = Device()
    stranger.create(accounts.passkeys.ask_to_add(cookie_of(accounts), HOST, ""), ORIGIN)
    clauses = []
    for _ in range(22):
        with pytest.raises(Refused) as found:
            sign_in(accounts, stranger)
        clauses.append(found.value.clause)
    assert clauses == ["passkey"] * 20 + ["too-often"] * 2
    asked = accounts.passkeys.ask_to_sign_in("Ada", MINE, HOST)
    accounts.passkeys.sign_in(device.get(asked, ORIGIN), MINE, "192.0.2.99", "B", ORIGINS)


def test_an_account_that_was_disabled_or_a_passkey_that_was_removed_signs_nobody_in(accounts, device):
    bob = accounts.add("Bob", ["auditor"], PASSWORD)
    made = add(accounts, device, cookie_of(accounts, "Bob"))
    accounts.change(bob.account, enabled=False)
    refused(lambda: sign_in(accounts, device))
    accounts.change(bob.account, enabled=True)
    sign_in(accounts, device)
    accounts.passkeys.remove(bob.account, made.id, Caller("Bob"))
    refused(lambda: sign_in(accounts, device))


def test_a_passkey_of_another_name_of_this_page_is_not_taken(accounts, device):
    add(accounts, device, cookie_of(accounts))
    asked = accounts.passkeys.ask_to_sign_in("", MINE, "node.example")
    answer = device.get(asked, ORIGIN)
    refused(lambda: accounts.passkeys.sign_in(answer, MINE, HERE, "B", ORIGINS), "challenge")


def test_showing_a_passkey_again_counts_like_the_password(accounts, device, clock):
    cookie = cookie_of(accounts)
    with pytest.raises(NotFound):
        accounts.passkeys.ask_again(cookie, HOST)
    add(accounts, device, cookie)
    clock.advance(FRESH)
    asked = accounts.passkeys.ask_again(cookie, HOST)
    new = accounts.passkeys.show_again(cookie, device.get(asked, ORIGIN), HERE, ORIGINS)
    assert accounts.caller(cookie) == NOBODY
    assert accounts.caller(new).fresh


def test_somebody_elses_passkey_does_not_show_who_i_am(accounts, device):
    accounts.add("Bob", ["auditor"], PASSWORD)
    bobs = Device()
    add(accounts, bobs, cookie_of(accounts, "Bob"))
    cookie = cookie_of(accounts)
    add(accounts, device, cookie)
    asked = accounts.passkeys.ask_again(cookie, HOST)
    answer = bobs.get(asked, ORIGIN, next(iter(bobs.keys)))
    refused(lambda: accounts.passkeys.show_again(cookie, answer, HERE, ORIGINS))


def test_an_account_has_a_password_or_a_passkey_or_both_never_neither(accounts, device):
    cookie = cookie_of(accounts)
    made, by = add(accounts, device, cookie), accounts.caller(cookie)
    accounts.drop_password(made.account, but=cookie)
    refused(lambda: accounts.sign_in("Ada", PASSWORD, HERE, "B"), "sign-in")
    refused(lambda: accounts.passkeys.remove(made.account, made.id, by), "last-key")
    second = add(accounts, Device(), cookie, "Stick")
    accounts.passkeys.remove(made.account, made.id, by)
    refused(lambda: accounts.passkeys.remove(made.account, second.id, by), "last-key")
    accounts.set_password(made.account, PASSWORD, but=cookie)
    accounts.passkeys.remove(made.account, second.id, by)
    assert accounts.passkeys.of(made.account) == []


def test_nobody_removes_the_passkey_of_somebody_else(accounts, device):
    bob = accounts.add("Bob", ["auditor"], PASSWORD)
    made = add(accounts, device, cookie_of(accounts))
    with pytest.raises(NotFound):
        accounts.passkeys.remove(bob.account, made.id, Caller("Bob"))


def test_the_first_account_can_be_made_with_a_passkey_alone(empty, device):
    refused(lambda: empty.passkeys.ask_first("Ada", "guess", MINE, HERE, HOST), "start-key")
    asked = empty.passkeys.ask_first("Ada", empty.start_key, MINE, HERE, HOST)
    answer = device.create(asked, ORIGIN)
    cookie = empty.passkeys.first(answer, MINE, HERE, "Browser", ORIGINS)
    assert "people.manage" in empty.caller(cookie).rights
    assert not empty.has_password(empty.caller(cookie).account)
    assert sign_in(empty, device)
    with pytest.raises(Conflict):
        empty.passkeys.ask_first("Eve", empty.start_key, MINE, HERE, HOST)


def test_of_two_first_accounts_one_is_made(empty, device):
    one, two = (empty.passkeys.ask_first(name, empty.start_key, MINE, HERE, HOST) for name in ("Ada", "Eve"))
    empty.passkeys.first(device.create(one, ORIGIN), MINE, HERE, "B", ORIGINS)
    with pytest.raises(Conflict):
        empty.passkeys.first(device.create(two, ORIGIN), MINE, HERE, "B", ORIGINS)
    assert [person.name for person in empty.all()] == ["Ada"]
    assert len(empty.passkeys.of(empty.all()[0].account)) == 1


def test_a_page_seen_by_its_address_has_no_passkeys_and_says_so(accounts):
    for work in (
        lambda: accounts.passkeys.ask_to_sign_in("", MINE, "127.0.0.1:8480"),
        lambda: accounts.passkeys.ask_to_add(cookie_of(accounts), "192.0.2.1", ""),
    ):
        with pytest.raises(BadInput, match="need a page with a name"):
            work()


def test_whoever_is_helped_back_in_has_neither_the_passkeys_nor_the_tokens_of_before(accounts, device):
    cookie = cookie_of(accounts)
    add(accounts, device, cookie)
    person = accounts.signed_in(cookie)
    secret = accounts.tokens.make(person.account, "Planted", {"tools.use"}, 3600)
    assert accounts.caller_of_token(secret).rights
    accounts.set_password(person.account, "five other words entirely", given=True)
    accounts.set_password(person.account, "six words of the owner again")
    assert not accounts.caller_of_token(secret).rights
    with accounts._database.read() as tx:
        assert People(tx).passkeys_of(person.account) == []
    refused(lambda: sign_in(accounts, device))
