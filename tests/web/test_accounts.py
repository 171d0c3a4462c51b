"""The accounts of a node, rule by rule (see `cloister.web.accounts`)."""

from __future__ import annotations

import threading
from typing import get_args

import pytest

from cloister.foundation.clock import FixedClock
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused
from cloister.people import passwords
from cloister.people.attempts import FREE
from cloister.people.roles import Role
from cloister.people.sessions import FRESH, IDLE, LIFE, stored
from cloister.storage.database import Database
from cloister.storage.people import People
from cloister.web import accounts as module
from cloister.web import sessions as signing_in
from cloister.web.accounts import Accounts
from cloister.web.guard import NOBODY, Caller

PASSWORD = "seven green apples fall"
OTHER = "eight blue plums rise"
HERE = "192.0.2.7"
BROWSER = "Browser/1 (Linux)"


class Steady:
    """A clock for the pace that stands still until moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def steady():
    return Steady()


@pytest.fixture
def empty(clock, steady, monkeypatch):
    # What hashing costs is shown in `people/test_passwords.py`.
    monkeypatch.setattr(passwords, "_HASHER", passwords.PasswordHasher(1, 8, 1))
    database = Database.memory()
    yield Accounts(database, clock, steady)
    database.close()


@pytest.fixture
def accounts(empty):
    empty.first("Ada Lovelace", PASSWORD, empty.start_key)
    return empty


def ada(accounts):
    return next(person for person in accounts.all() if person.name == "Ada Lovelace")


def signed_in(accounts, name="Ada Lovelace", password=PASSWORD, **more):
    return accounts.sign_in(name, password, HERE, BROWSER, **more)


def refused(work, clause):
    with pytest.raises(Refused) as found:
        work()
    assert found.value.clause == clause
    return found.value


def did(accounts):
    return [(entry.name, entry.what, entry.about) for entry in accounts.trail()]


# The first account ------------------------------------------------------------------------------------------------


def test_rule_1_the_first_account_is_made_with_the_start_key_and_has_every_role(empty):
    assert empty.none_yet()
    person = empty.first("  Ada   Lovelace ", PASSWORD, f" {empty.start_key}\n")
    assert (person.name, person.roles) == ("Ada Lovelace", frozenset(get_args(Role)))
    assert not empty.none_yet()
    assert empty.caller(signed_in(empty)).rights == person.rights


@pytest.mark.parametrize("key", ["", "x", "ä", "\ud800", "A" * 22])
def test_rule_1_nobody_without_the_start_key_takes_the_place(empty, key):
    refused(lambda: empty.first("Mallory", PASSWORD, key), "start-key")
    assert empty.none_yet()


def test_rule_1_the_start_key_is_another_at_every_start_and_long_enough(clock):
    database = Database.memory()
    keys = {Accounts(database, clock).start_key for _ in range(50)}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {22}
    database.close()


def test_rule_1_wrong_start_keys_have_a_pace_and_the_right_one_never_waits(empty):
    stranger, another = "192.0.2.66", "192.0.2.7"
    for _ in range(FREE):
        refused(lambda: empty.first("Mallory", PASSWORD, "guess", stranger), "start-key")
    error = refused(lambda: empty.first("Mallory", PASSWORD, "guess", stranger), "too-often")
    assert error.detail["seconds"] <= 10
    refused(lambda: empty.first("Ada", PASSWORD, "mistyped", another), "too-often")
    for _ in range(200):
        refused(lambda: empty.first("Mallory", PASSWORD, "guess", stranger), "too-often")
    assert empty.first("Ada", PASSWORD, empty.start_key, another).name == "Ada", (
        "at once, though others are slowed down"
    )


def test_rule_1_there_is_one_first_account(accounts):
    with pytest.raises(Conflict):
        accounts.first("Mallory", PASSWORD, accounts.start_key)


def test_rule_1_of_many_at_once_one_is_first(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", passwords.PasswordHasher(1, 8, 1))
    database = Database.open(tmp_path)
    accounts, outcomes = Accounts(database, clock), []

    def begin(number):
        try:
            accounts.first(f"Ada {number}", PASSWORD, accounts.start_key)
            outcomes.append("made")
        except (Conflict, Refused) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("made") == len(accounts.all()) == 1
    database.close()


def test_a_first_account_has_a_good_password_and_a_name(empty):
    for name, password in (("", PASSWORD), ("x" * 81, PASSWORD), ("Ada", "short"), ("\u202e", PASSWORD[:3])):
        with pytest.raises(BadInput):
            empty.first(name, password, empty.start_key)
    assert empty.none_yet()


# People -----------------------------------------------------------------------------------------------------------


def test_rule_2_somebody_can_always_manage_people(accounts):
    account = ada(accounts).account
    refused(lambda: accounts.change(account, roles=["auditor"]), "last-operator")
    refused(lambda: accounts.change(account, enabled=False), "last-operator")
    bob = accounts.add("Bob", ["operator"], OTHER)
    accounts.change(account, roles=["auditor"])
    refused(lambda: accounts.change(bob.account, enabled=False), "last-operator")


def test_rule_3_a_change_ends_sessions_and_disabling_ends_tokens_too(accounts):
    bob = accounts.add("Bob", ["operator", "analyst"], OTHER)
    cookie = signed_in(accounts, "Bob", OTHER)
    token = accounts.tokens.make(bob.account, "reports", ["tasks.read"], 3600)
    accounts.change(bob.account, roles=["analyst"])
    assert accounts.caller(cookie) == NOBODY
    assert accounts.caller_of_token(token).rights == {"tasks.read"}
    cookie = signed_in(accounts, "Bob", OTHER)
    accounts.change(bob.account, enabled=False)
    assert accounts.caller(cookie) == NOBODY
    assert accounts.caller_of_token(token) == NOBODY
    refused(lambda: signed_in(accounts, "Bob", OTHER), "sign-in")


def test_rule_3_a_new_password_ends_the_other_sessions(accounts):
    one, two = signed_in(accounts), signed_in(accounts)
    accounts.set_password(ada(accounts).account, OTHER, but=two)
    assert accounts.caller(one) == NOBODY
    assert accounts.caller(two) != NOBODY
    refused(lambda: signed_in(accounts), "sign-in")
    signed_in(accounts, password=OTHER)


def test_who_has_a_password_of_somebody_elses_may_only_choose_another(accounts):
    bob = accounts.add("Bob", ["operator"], OTHER, given=True)
    cookie = signed_in(accounts, "Bob", OTHER)
    assert accounts.caller(cookie).rights == {"own-account"}
    accounts.set_password(bob.account, PASSWORD + "!", but=cookie)
    assert "people.manage" in accounts.caller(cookie).rights
    accounts.set_password(bob.account, OTHER, given=True)
    assert accounts.caller(signed_in(accounts, "Bob", OTHER)).rights == {"own-account"}


def test_names_are_one_per_person_in_capitals_or_not(accounts):
    with pytest.raises(Conflict):
        accounts.add("ADA lovelace", ["auditor"], OTHER)
    assert accounts.caller(signed_in(accounts, " ada   LOVELACE ")).name == "Ada Lovelace"


@pytest.mark.parametrize("roles", [[], ["root"], ["operator", "root"]])
def test_roles_are_those_there_are(accounts, roles):
    with pytest.raises(BadInput):
        accounts.add("Bob", roles, OTHER)


def test_there_are_so_many_accounts(accounts, monkeypatch):
    monkeypatch.setattr(module, "PEOPLE_MOST", 2)
    accounts.add("Bob", ["auditor"], OTHER)
    with pytest.raises(Conflict):
        accounts.add("Cem", ["auditor"], OTHER)


# Signing in -------------------------------------------------------------------------------------------------------


def test_rule_4_an_error_does_not_tell_whether_there_is_an_account(accounts):
    bob = accounts.add("Bob", ["auditor"], OTHER)
    accounts.add("Cem", ["operator"], OTHER)
    accounts.change(bob.account, enabled=False)
    told = {
        str(refused(lambda case=case: signed_in(accounts, *case), "sign-in").problem())
        for case in (("Ada Lovelace", "wrong wrong wrong"), ("Nobody", PASSWORD), ("Bob", OTHER), ("", ""))
    }
    assert len(told) == 1


def test_rule_4_a_name_without_an_account_is_hashed_and_paced_alike(accounts, monkeypatch):
    hashed = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda *case: hashed.append(case) or real(*case))
    for name in ("Ada Lovelace", "Nobody"):
        for _ in range(FREE):
            refused(lambda name=name: signed_in(accounts, name, "wrong wrong wrong"), "sign-in")
        refused(lambda name=name: signed_in(accounts, name, "wrong wrong wrong"), "too-often")
    assert len(hashed) == 2 * FREE


def test_the_right_password_waits_as_long_as_a_wrong_one_and_then_counts(accounts, steady):
    for _ in range(FREE):
        refused(lambda: signed_in(accounts, "ADA lovelace", "wrong wrong wrong"), "sign-in")
    assert refused(lambda: signed_in(accounts), "too-often").detail["seconds"] == 1
    steady.time += 1
    signed_in(accounts)
    refused(lambda: signed_in(accounts, password="wrong wrong wrong"), "sign-in")


def test_rule_7_more_passwords_than_a_few_are_not_looked_at_at_once(accounts, monkeypatch):
    gate, inside = threading.Event(), threading.Semaphore(0)

    def slow(*_):
        inside.release()
        gate.wait(20)
        return False

    monkeypatch.setattr(passwords, "matches", slow)
    outcomes = []

    def attempt(number):
        try:
            accounts.sign_in(f"x{number}", PASSWORD, f"10.0.0.{number}", BROWSER)
        except Refused as error:
            outcomes.append(error.clause)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert inside.acquire(timeout=10)
    while len(outcomes) < 4:
        threading.Event().wait(0.01)
    assert outcomes == ["too-often"] * 4
    assert not inside.acquire(timeout=0.1), "two at once are hashed, the others wait"
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["sign-in"] * 8 + ["too-often"] * 4


def test_a_session_has_a_new_secret_and_an_earlier_one_of_that_browser_ends(accounts):
    fixed = "a-secret-that-somebody-else-set"
    cookie = signed_in(accounts, old=fixed)
    assert cookie != fixed
    assert accounts.caller(fixed) == NOBODY
    again = signed_in(accounts, old=cookie)
    assert accounts.caller(cookie) == NOBODY
    assert accounts.caller(again).name == "Ada Lovelace"


def test_only_the_digest_of_a_secret_is_stored(accounts):
    cookie = signed_in(accounts)
    with accounts._database.read() as tx:
        assert People(tx).session(cookie) is None
        assert People(tx).session(stored(cookie)) is not None
    assert accounts.caller(stored(cookie)) == NOBODY


def test_a_session_ends_by_idleness_and_after_its_life(accounts, clock):
    cookie = signed_in(accounts)
    clock.advance(IDLE)
    assert accounts.caller(cookie) == NOBODY
    cookie = signed_in(accounts)
    began = clock.now()
    while clock.now() + IDLE - 60 < began + LIFE:
        clock.advance(IDLE - 60)
        assert accounts.caller(cookie).name, "what is used stays"
    clock.time = began + LIFE
    assert accounts.caller(cookie) == NOBODY
    assert accounts.person(cookie) is None
    assert accounts.sessions(ada(accounts).account) == []


def test_showing_the_password_again_makes_fresh_and_gives_the_session_a_new_secret(accounts, clock):
    cookie = signed_in(accounts)
    assert accounts.caller(cookie).fresh
    clock.advance(FRESH)
    assert not accounts.caller(cookie).fresh
    refused(lambda: accounts.show_again(cookie, "wrong wrong wrong", HERE), "sign-in")
    assert not accounts.caller(cookie).fresh
    new = accounts.show_again(cookie, PASSWORD, HERE)
    assert accounts.caller(cookie) == NOBODY
    assert accounts.caller(new).fresh
    ((_, session),) = accounts.sessions(ada(accounts).account)
    assert (session.began, session.browser, session.address) == (clock.now() - FRESH, BROWSER, HERE)


def test_showing_it_again_is_paced_and_needs_a_session(accounts):
    refused(lambda: accounts.show_again("none", PASSWORD, HERE), "sign-in")
    cookie = signed_in(accounts)
    for _ in range(FREE):
        refused(lambda: accounts.show_again(cookie, "wrong wrong wrong", HERE), "sign-in")
    refused(lambda: accounts.show_again(cookie, PASSWORD, HERE), "too-often")


def test_signing_out_here_and_everywhere(accounts):
    cookies = [signed_in(accounts) for _ in range(4)]
    accounts.sign_out(cookies[0])
    assert accounts.caller(cookies[0]) == NOBODY
    account = ada(accounts).account
    accounts.end_sessions(account, digest=stored(cookies[1]))
    assert [accounts.caller(cookie) == NOBODY for cookie in cookies] == [True, True, False, False]
    accounts.end_sessions(account, but=cookies[2])
    assert [accounts.caller(cookie) == NOBODY for cookie in cookies] == [True, True, False, True]
    accounts.end_sessions(account)
    assert accounts.caller(cookies[2]) == NOBODY


def test_nobody_ends_the_session_of_somebody_else(accounts):
    bob = accounts.add("Bob", ["auditor"], OTHER)
    cookie = signed_in(accounts)
    accounts.end_sessions(bob.account, digest=stored(cookie))
    assert accounts.caller(cookie) != NOBODY


def test_a_person_has_so_many_sessions_and_the_oldest_goes(accounts, clock, monkeypatch):
    monkeypatch.setattr(signing_in, "_SESSIONS_MOST", 3)
    cookies = []
    for _ in range(5):
        clock.advance(1)
        cookies.append(signed_in(accounts))
    assert [accounts.caller(cookie) == NOBODY for cookie in cookies] == [True, True, False, False, False]


def test_rule_5_the_only_way_in_is_not_removed(accounts):
    refused(lambda: accounts.drop_password(ada(accounts).account), "last-key")
    assert accounts.has_password(ada(accounts).account)


# Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_does_what_it_was_made_for_and_is_never_fresh(accounts):
    account = ada(accounts).account
    token = accounts.tokens.make(account, "reports", ["tasks.read", "agreements.sign"], 3600)
    caller = accounts.caller_of_token(token)
    assert (caller.rights, caller.fresh) == ({"tasks.read", "agreements.sign"}, False)
    assert caller.name == "Ada Lovelace, by reports"
    assert accounts.caller(token) == NOBODY, "a token is no cookie"
    assert accounts.caller_of_token(signed_in(accounts)) == NOBODY, "a cookie is no token"


def test_a_token_does_no_more_than_its_maker(accounts):
    bob = accounts.add("Bob", ["auditor"], OTHER)
    for scopes in ([], ["tasks.approve"], ["tasks.read", "node.manage"], ["own-account"], ["unheard-of"]):
        refused(lambda scopes=scopes: accounts.tokens.make(bob.account, "x", scopes, 3600), "token-scopes")


def test_a_token_has_an_end(accounts, clock):
    account = ada(accounts).account
    for seconds in (0, -1, 59, 367 * 24 * 3600):
        with pytest.raises(BadInput):
            accounts.tokens.make(account, "x", ["tasks.read"], seconds)
    token = accounts.tokens.make(account, "x", ["tasks.read"], 3600)
    clock.advance(3599)
    assert accounts.caller_of_token(token).rights
    clock.advance(1)
    assert accounts.caller_of_token(token) == NOBODY


def test_a_token_is_listed_with_its_use_and_revoked_by_its_owner_only(accounts, clock):
    account, bob = ada(accounts).account, accounts.add("Bob", ["auditor"], OTHER)
    secret = accounts.tokens.make(account, "reports", ["tasks.read"], 3600)
    (token,) = accounts.tokens.of(account)
    assert (token.title, token.used, token.ends) == ("reports", None, clock.now() + 3600)
    accounts.caller_of_token(secret)
    assert accounts.tokens.of(account)[0].used == clock.now()
    with pytest.raises(NotFound):
        accounts.tokens.revoke(bob.account, token.digest)
    accounts.tokens.revoke(account, token.digest)
    assert accounts.caller_of_token(secret) == NOBODY


def test_there_are_so_many_tokens_and_those_that_ended_do_not_count(accounts, clock, monkeypatch):
    monkeypatch.setattr("cloister.web.tokens.EACH_MOST", 2)
    account = ada(accounts).account
    for _ in range(2):
        accounts.tokens.make(account, "x", ["tasks.read"], 60)
    with pytest.raises(Conflict):
        accounts.tokens.make(account, "x", ["tasks.read"], 60)
    clock.advance(60)
    accounts.tokens.make(account, "x", ["tasks.read"], 60)
    assert len(accounts.tokens.of(account)) == 1


# What people did --------------------------------------------------------------------------------------------------


def test_rule_6_what_people_did_is_written_down(accounts):
    cookie = signed_in(accounts)
    by = accounts.caller(cookie)
    bob = accounts.add("Bob", ["auditor"], OTHER, given=True, by=by)
    accounts.change(bob.account, roles=["approver"], by=by)
    accounts.change(bob.account, enabled=False, by=by)
    accounts.set_password(bob.account, PASSWORD, given=True, by=by)
    accounts.tokens.make(by.account, "reports", ["tasks.read"], 3600)
    accounts.note(Caller("Cem", account="c"), "approved the task", "sha256:00")
    assert did(accounts) == [
        ("Cem", "approved the task", "sha256:00"),
        ("Ada Lovelace", "made a token", "reports: See tasks"),
        ("Ada Lovelace", "set a new password", "Bob"),
        ("Ada Lovelace", "disabled an account", "Bob"),
        ("Ada Lovelace", "changed roles", "Bob: Auditor → Approver"),
        ("Ada Lovelace", "made an account", "Bob: Auditor"),
        ("Ada Lovelace", "signed in with the password", ""),
        ("Ada Lovelace", "made the first account", ""),
    ]
    assert accounts.trail(account=by.account)[-2].address == HERE


def test_rule_6_what_was_refused_leaves_nothing(accounts):
    before = did(accounts)
    refused(lambda: accounts.change(ada(accounts).account, enabled=False), "last-operator")
    assert did(accounts) == before


def test_failures_are_written_down_but_strangers_do_not_fill_the_trail(accounts, steady):
    before = len(did(accounts))
    for number in range(30):
        steady.time += 1
        address = f"10.0.0.{number}"
        with pytest.raises(Refused):
            accounts.sign_in("Ada Lovelace", "wrong wrong wrong", address, BROWSER)
        with pytest.raises(Refused):
            accounts.sign_in(f"x{number}", "wrong wrong wrong", address, BROWSER)
    assert did(accounts)[: len(did(accounts)) - before] == [
        ("somebody", "tried a wrong password for an account", "Ada Lovelace")
    ]


def test_no_secret_stands_in_the_trail_or_in_an_error(accounts):
    cookie = signed_in(accounts)
    token = accounts.tokens.make(ada(accounts).account, "reports", ["tasks.read"], 3600)
    error = refused(lambda: signed_in(accounts, password="wrong wrong wrong"), "sign-in")
    told = f"{accounts.trail()} {error.problem()}"
    for secret in (cookie, token, PASSWORD, "wrong wrong wrong", accounts.start_key):
        assert secret not in told
