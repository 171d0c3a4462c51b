"""Coming in: the first account, signing in and out, showing the password again. The same for a server and for a relay."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import CloisterError, Refused
from cloister.web.cookies import with_session
from cloister.web.frame import Pages, here_only
from cloister.web.guard import OPEN
from cloister.web.pages.account import account_of, passkey_trouble
from cloister.web.routes import Routes
from cloister.web.twice import require_same

_TEXT = Form(max_length=1000)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Entrance", page=True)
    site = pages.site

    @routes.get("/welcome", OPEN)
    def welcome(request: Request) -> Response:
        if not site.accounts.none_yet():
            return pages.go(request, "/sign-in")
        return _welcome(request)

    def _welcome(
        request: Request, *, name: str = "", key: str = "", error: CloisterError | None = None
    ) -> Response:
        return pages.show(
            request,
            "entrance/welcome.html",
            title="Welcome to Cloister",
            lead="Nobody has an account here yet. The first one runs this server.",
            bare=True,
            name=name,
            key=key,
            trouble=passkey_trouble(request),
            tools=hasattr(site, "tools"),
            error=error,
        )

    @routes.post("/welcome", OPEN)
    def first(
        request: Request,
        name: Annotated[str, _TEXT] = "",
        password: Annotated[str, _TEXT] = "",
        key: Annotated[str, _TEXT] = "",
        again: Annotated[str, _TEXT] = "",
    ) -> Response:
        try:
            require_same(password, again, "passwords")
            site.accounts.first(name, password, key, pages.visit(request).remote)
            return _signed_in(request, name, password, "/")
        except CloisterError as error:
            # Whoever typed the start key has it; a wrong one is not worth keeping.
            wrong = isinstance(error, Refused) and error.clause == "start-key"
            return _welcome(request, name=name, key="" if wrong else key, error=error)

    def _signed_in(request: Request, name: str, password: str, path: str) -> Response:
        visit = pages.visit(request)
        browser = request.headers.get("user-agent", "")
        secret = site.accounts.sign_in(name, password, visit.remote, browser, visit.cookie)
        person = site.accounts.signed_in(secret)
        answer = pages.go(request, "/people/password" if person.given else path)
        return with_session(answer, visit.address, secret)

    @routes.get("/sign-in", OPEN)
    def sign_in_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name in the address
        if site.accounts.none_yet():
            return pages.go(request, "/welcome")
        return _sign_in(request, here_only(next))

    def _sign_in(request: Request, path: str, name: str = "", error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "entrance/sign_in.html",
            title="Sign in",
            bare=True,
            next=path,
            name=name,
            command="cloister node password" if hasattr(site, "tools") else "",
            trouble=passkey_trouble(request),
            error=error,
        )

    @routes.post("/sign-in", OPEN)
    def sign_in(
        request: Request,
        name: Annotated[str, _TEXT] = "",
        password: Annotated[str, _TEXT] = "",
        next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the name in the form
    ) -> Response:
        try:
            return _signed_in(request, name, password, here_only(next))
        except Refused as error:
            return _sign_in(request, here_only(next), name, error)

    @routes.post("/sign-out", OPEN)
    def sign_out(request: Request) -> Response:
        visit = pages.visit(request)
        if visit.cookie is not None:
            site.accounts.sign_out(visit.cookie)
        answer = pages.go(request, "/sign-in")
        answer.delete_cookie(visit.address.cookie, path="/", secure=visit.address.secure, httponly=True)
        return answer

    @routes.get("/confirm", "own-account")
    def confirm_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name in the address
        return _confirm(request, here_only(next))

    def _confirm(request: Request, path: str, error: CloisterError | None = None) -> Response:
        account = account_of(pages.caller(request))
        return pages.show(
            request,
            "entrance/confirm.html",
            title="Is it still you?",
            lead="What comes next binds your organisation, or changes who may. It takes your password or passkey once more.",
            bare=True,
            next=path,
            who=pages.caller(request).name,
            has_password=site.accounts.has_password(account),
            has_passkey=bool(site.accounts.passkeys.of(account)),
            trouble=passkey_trouble(request),
            error=error,
        )

    @routes.post("/confirm", "own-account")
    def confirm(
        request: Request,
        password: Annotated[str, _TEXT] = "",
        next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the name in the form
    ) -> Response:
        visit = pages.visit(request)
        try:
            secret = site.accounts.show_again(visit.cookie or "", password, visit.remote)
        except Refused as error:
            return _confirm(request, here_only(next), error)
        return with_session(pages.go(request, here_only(next)), visit.address, secret)
