"""My account: password, passkeys, browsers, tokens. And the other half of passkeys' ceremonies, for `passkeys.js`.

Rule: what changes how somebody signs in takes a session whose person has just shown who it is.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.people.passkeys import host_of
from cloister.people.roles import RIGHT_WORDS, ROLE_NAMES, WORDS
from cloister.people.sessions import stored
from cloister.storage.people import Token
from cloister.web.frame import Pages
from cloister.web.guard import BINDING, Caller, require_fresh
from cloister.web.routes import Routes
from cloister.web.twice import require_same
from cloister.web.views.browsers import named

_TEXT = Form(max_length=1000)
_DAY = 24 * 3600
LIVES = {"1": "A day", "30": "30 days", "90": "90 days", "366": "A year"}
"""How long a token may be good for, by days."""


def tabs(pages: Pages, request: Request) -> list[tuple[str, str, None]]:
    """The views of the subject that this caller may see."""
    found = [("/people", "My account", None)]
    if pages.may(request, "people.read"):
        found += [("/people/all", "People", None), ("/people/trail", "What people did", None)]
    return found


def fresh(pages: Pages, request: Request) -> Caller:
    """Who asks. Raises `NotFresh` unless the person has just shown who it is."""
    caller = pages.caller(request)
    require_fresh(caller, "This changes how you sign in, or who may.")
    return caller


def account_of(caller: Caller) -> str:
    """The caller's account. Raises `Conflict` for the operator of the machine, who has none."""
    if caller.account is None:
        raise Conflict("There is no account behind this.", "", "Sign in on the page.")
    return caller.account


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Account", page=True)
    accounts = pages.site.accounts

    @routes.get("/people", "own-account")
    def mine(request: Request) -> Response:
        return _mine(request)

    def _mine(request: Request, error: CloisterError | None = None) -> Response:
        caller, cookie = pages.caller(request), pages.visit(request).cookie
        account = account_of(caller)
        person, here = accounts.get(account), stored(cookie or "")
        return pages.show(
            request,
            "people/account.html",
            title="My account",
            tabs=tabs(pages, request),
            who=person,
            roles=[(ROLE_NAMES[role], WORDS[role]) for role in WORDS if role in person.roles],
            has_password=accounts.has_password(account),
            passkeys=accounts.passkeys.of(account),
            sessions=[
                {"id": digest, "browser": named(item.browser), "session": item, "here": digest == here}
                for digest, item in accounts.sessions(account)
            ],
            tokens=[_token(item) for item in accounts.tokens.of(account)],
            now=pages.site.clock.now(),
            error=error,
        )

    # Password ------------------------------------------------------------------------------------------------------

    @routes.get("/people/password", "own-account")
    def password_page(request: Request) -> Response:
        fresh(pages, request)
        return _password(request)

    def _password(request: Request, error: CloisterError | None = None) -> Response:
        account = account_of(pages.caller(request))
        return pages.show(
            request,
            "people/password.html",
            title="Your password",
            lead="A password that you use nowhere else.",
            who=accounts.get(account),
            has_password=accounts.has_password(account),
            removable=bool(accounts.passkeys.of(account)),
            error=error,
        )

    @routes.post("/people/password", "own-account")
    def set_password(
        request: Request, password: Annotated[str, _TEXT] = "", again: Annotated[str, _TEXT] = ""
    ) -> Response:
        caller = fresh(pages, request)
        try:
            require_same(password, again, "passwords")
            accounts.set_password(account_of(caller), password, but=pages.visit(request).cookie, by=caller)
        except CloisterError as error:
            return _password(request, error)
        return pages.go(
            request, "/people", told="The password is changed. Your other browsers are signed out."
        )

    @routes.post("/people/password/remove", "own-account")
    def remove_password(request: Request) -> Response:
        caller = fresh(pages, request)
        try:
            accounts.drop_password(account_of(caller), but=pages.visit(request).cookie, by=caller)
        except CloisterError as error:
            return _password(request, error)
        return pages.go(
            request, "/people", told="The password is removed. Sign in with a passkey from now on."
        )

    # Passkeys ------------------------------------------------------------------------------------------------------

    @routes.get("/people/passkeys", "own-account")
    def passkey_page(request: Request) -> Response:
        fresh(pages, request)
        return pages.show(
            request,
            "people/passkey.html",
            title="Add a passkey",
            lead="Sign in with a finger, your face, a PIN or a security key. Nothing to remember, and nothing to phish.",
            trouble=passkey_trouble(request),
        )

    @routes.post("/people/passkeys/remove", "own-account")
    def remove_passkey(request: Request, passkey: Annotated[str, Form(max_length=2100)] = "") -> Response:
        caller = pages.caller(request)
        if not caller.fresh:
            return pages.go(request, "/confirm?next=/people")
        try:
            accounts.passkeys.remove(account_of(caller), passkey, caller)
        except CloisterError as error:
            return _mine(request, error)
        return pages.go(request, "/people", told="The passkey is removed.")

    # Browsers ------------------------------------------------------------------------------------------------------

    @routes.post("/people/sessions/end", "own-account")
    def end_session(request: Request, session: Annotated[str, _TEXT] = "") -> Response:
        account = account_of(pages.caller(request))
        if session:
            accounts.end_sessions(account, digest=session)
            return pages.go(request, "/people", told="That browser is signed out.")
        accounts.end_sessions(account, but=pages.visit(request).cookie)
        return pages.go(request, "/people", told="All other browsers are signed out.")

    # Tokens --------------------------------------------------------------------------------------------------------

    @routes.get("/people/tokens", "own-account")
    def token_page(request: Request) -> Response:
        fresh(pages, request)
        return _new_token(request)

    def _new_token(
        request: Request,
        title: str = "",
        scopes: tuple[str, ...] = (),
        days: str = "30",
        error: CloisterError | None = None,
    ) -> Response:
        rights = pages.caller(request).rights - BINDING - {"own-account"}
        return pages.show(
            request,
            "people/new_token.html",
            title="Make a token",
            lead="A program or a script signs in with it, in your name.",
            name=title,
            scopes=list(scopes),
            days=days,
            lives=list(LIVES.items()),
            rights=[(right, text, "") for right, text in RIGHT_WORDS.items() if right in rights],
            error=error,
        )

    @routes.post("/people/tokens", "own-account")
    def make_token(
        request: Request,
        title: Annotated[str, _TEXT] = "",
        scopes: Annotated[list[str] | None, Form(max_length=50)] = None,
        days: Annotated[str, _TEXT] = "30",
    ) -> Response:
        caller = fresh(pages, request)
        try:
            if days not in LIVES:
                raise BadInput("A token needs an end.", "", "Choose one of the times.")
            secret = accounts.tokens.make(account_of(caller), title, scopes or (), int(days) * _DAY)
        except CloisterError as error:
            return _new_token(request, title, tuple(scopes or ()), days, error)
        return pages.show(
            request,
            "people/token.html",
            title="Your new token",
            lead="It is shown this once, and never again.",
            secret=secret,
            name=title,
            url=next(iter(sorted(pages.visit(request).address.origins))),
        )

    @routes.post("/people/tokens/revoke", "own-account")
    def revoke_token(request: Request, token: Annotated[str, _TEXT] = "") -> Response:
        caller = pages.caller(request)
        accounts.tokens.revoke(account_of(caller), token, caller)
        return pages.go(
            request, "/people", told="The token is revoked. Programs that used it are refused from now on."
        )


def passkey_trouble(request: Request) -> CloisterError | None:
    """Why there can be no passkey on this page, or nothing."""
    try:
        host_of(request.headers.get("host", "")[:300])
    except BadInput as error:
        return error
    return None


def _token(token: Token) -> dict[str, Any]:
    return {
        "token": token,
        "scopes": [RIGHT_WORDS[right] for right in RIGHT_WORDS if right in token.scopes],
    }
