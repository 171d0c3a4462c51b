"""Datasets: what this organisation registered, what others see of it, what others tell; budgets, versions, withdrawal.

Rules:
1. What is in the data (the profile, examples, what exactly changed, where it lies) is shown to those who may register data
   (`datasets.write`), and to nobody else.
2. Raising what may be spent of a population takes `budgets.write`, which binds the organisation: a password shown just now.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import CloisterError, NotFound
from cloister.node.chores import DOCUMENTS
from cloister.web.desk.dataset_drafts import Drafts
from cloister.web.desk.work import Piece, Work
from cloister.web.frame import Pages
from cloister.web.pages import dataset_wizard
from cloister.web.routes import Routes
from cloister.web.views import dataset_wizard as wizard
from cloister.web.views import datasets as views
from cloister.web.views.agreements import STATES

_TEXT = Form(max_length=1000)
_PATIENCE = 8.0


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Datasets", page=True)
    profiles, work = views.Profiles(), Work()
    dataset_wizard.add(app, pages, profiles, work)

    def drafts() -> Drafts:
        return Drafts(pages.site.database, pages.site.clock)

    @routes.get("/datasets", "datasets.read")
    def listing(request: Request) -> Response:
        node = pages.node()
        return pages.show(
            request,
            "datasets/list.html",
            title="Datasets",
            lead="Your data stays where it is. Others see its shape and its rules, and nothing of what is in it.",
            rows=views.rows(node, budgets=pages.may(request, "budgets.read")),
            drafts=drafts().all() if pages.may(request, "datasets.write") else [],
            others=len(views.told_by_others(node)),
            amount=views.amount,
            **views.WORDS,
        )

    @routes.get("/datasets/others", "datasets.read")
    def others(request: Request) -> Response:
        return pages.show(
            request,
            "datasets/others.html",
            title="What others tell",
            lead="The catalogue entries of the organisations that you know: exactly this, no more.",
            owners=views.told_by_others(pages.node()),
            unit=views.unit_words,
            **views.WORDS,
        )

    # One dataset -------------------------------------------------------------------------------------------------

    @routes.get("/datasets/own/{name}", "datasets.read")
    def one(request: Request, name: str) -> Response:
        return _one(request, name)

    def _one(request: Request, name: str, error: CloisterError | None = None, **given: Any) -> Response:
        node = pages.node()
        item = node.datasets.one(name)
        description = views.described(item["catalogue"])
        looks = pages.may(request, "datasets.write")
        found, trouble = None, None
        if looks:
            manifest = node.datasets.glance(item["commitment"]).manifest
            try:
                source = node.datasets.glance(item["commitment"]).source
                found = profiles.of(source, manifest.kinds, manifest.decimal)
            except CloisterError as problem:
                trouble = problem
            except OSError:
                trouble = NotFound(
                    "The files cannot be read.", "The system refuses it.", "Check their permissions."
                )
        population = views.population_of(node, name) if pages.may(request, "budgets.read") else None
        return pages.show(
            request,
            "datasets/one.html",
            title=description.title,
            lead="",
            error=error,
            item=item,
            entry=description.model_dump(mode="json"),
            unit=views.unit_words(description.unit_of_privacy),
            kind=views.kind_words(description),
            looks=looks,
            found=found,
            trouble=trouble,
            agreements=views.agreements_about(node, description)
            if pages.may(request, "agreements.read")
            else [],
            population=population,
            charges=views.charges(population) if population else [],
            amount=views.amount,
            state=lambda name: STATES[name],
            changes=given.get("changes", ()),
            notes=given.get("notes", item["notes"]),
            **views.WORDS,
        )

    @routes.post("/datasets/own/{name}/notes", "datasets.write")
    def notes(request: Request, name: str, notes: Annotated[str, Form(max_length=10_000)] = "") -> Response:
        try:
            pages.node().datasets.note(name, notes)
        except NotFound:
            raise
        except CloisterError as error:
            return _one(request, name, error, notes=notes)
        return pages.go(request, f"/datasets/own/{quote(name)}", told="The notes are kept.")

    @routes.post("/datasets/own/{name}/check", "datasets.write")
    def check(request: Request, name: str) -> Response:
        node = pages.node()
        commitment = node.datasets.one(name)["commitment"]
        piece = work.begin(f"check {commitment}", lambda: node.datasets.still_same(commitment))
        return _checked(request, name, commitment, piece)

    @routes.get("/datasets/own/{name}/check", "datasets.write")
    def checking(request: Request, name: str) -> Response:
        commitment = pages.node().datasets.one(name)["commitment"]
        piece = work.known(f"check {commitment}")
        if piece is None:
            return pages.go(request, f"/datasets/own/{quote(name)}")
        return _checked(request, name, commitment, piece)

    def _checked(request: Request, name: str, commitment: str, piece: Piece) -> Response:
        if not piece.ended.wait(_PATIENCE if request.method == "POST" else 1.0):
            if request.method == "POST":
                return pages.go(request, f"/datasets/own/{quote(name)}/check")
            return pages.show(
                request,
                "datasets/busy.html",
                title="Comparing every byte",
                lead=f"{name} is read and compared with what was registered.",
                here=request.url.path,
                busy=f"/datasets/own/{quote(name)}/check",
                seconds=piece.seconds,
            )
        work.seen(f"check {commitment}")
        if piece.error is not None:
            return _one(request, name, piece.error, changes=tuple(getattr(piece.error, "local", ()))[:50])
        return pages.go(
            request, f"/datasets/own/{quote(name)}", told="Every byte is as it was when it was registered."
        )

    @routes.post("/datasets/own/{name}/version", "datasets.write")
    def version(request: Request, name: str) -> Response:
        node = pages.node()
        known = wizard.again(node, name)
        source = node.datasets.glance(node.datasets.one(name)["commitment"]).source
        draft = drafts().begin(str(source), pages.caller(request).name, **known)
        return pages.go(request, f"/datasets/new/{draft.id}")

    @routes.get("/datasets/own/{name}/withdraw", "datasets.write")
    def withdraw_page(request: Request, name: str) -> Response:
        return _withdraw(request, name)

    def _withdraw(request: Request, name: str, error: CloisterError | None = None) -> Response:
        node = pages.node()
        item = node.datasets.one(name)
        description = views.described(item["catalogue"])
        about = [entry for entry in views.agreements_about(node, description) if entry["live"]]
        return pages.show(
            request,
            "datasets/withdraw.html",
            title=f"Withdraw {name}",
            lead="Nothing is computed on it from then on.",
            error=error,
            name=name,
            agreements=about,
            running=views.running_on(node, item["commitment"]),
        )

    @routes.post("/datasets/own/{name}/withdraw", "datasets.write")
    def withdraw(request: Request, name: str, typed: Annotated[str, _TEXT] = "") -> Response:
        if typed.strip() != name:
            error = NotFound(
                "That is not the dataset's name.",
                "It is asked so that nothing is withdrawn by mistake.",
                f"Type {name}",
            )
            return _withdraw(request, name, error)
        node = pages.node()
        node.datasets.withdraw(name)
        node.steward.wake(DOCUMENTS)
        profiles.forget()
        return pages.go(request, "/datasets", told=f"{name} is withdrawn. Its files are where they were.")

    # Budgets -----------------------------------------------------------------------------------------------------

    @routes.get("/datasets/own/{name}/budget", "budgets.write")
    def budget_page(
        request: Request, name: str, population: str = "", epsilon: str = "", delta: str = "", known: str = ""
    ) -> Response:
        given = {"population": population, "epsilon": epsilon, "delta": delta, "known": known}
        return _budget(request, name, given)

    def _budget(
        request: Request, name: str, given: dict[str, str], error: CloisterError | None = None
    ) -> Response:
        node = pages.node()
        item = node.datasets.one(name)
        description = views.described(item["catalogue"])
        word = description.unit_of_privacy.word
        return pages.show(
            request,
            "datasets/budget.html",
            title="Privacy budget",
            lead=f"How much privacy may be spent of the units behind {name}, in all and by everybody.",
            error=error,
            name=name,
            word=word,
            population=views.population_of(node, name),
            known=[entry for entry in wizard.budgets(node) if entry["unit"] == word],
            given={key: value[:200] for key, value in given.items()},
            amount=views.amount,
        )

    @routes.post("/datasets/own/{name}/budget", "budgets.write")
    def budget(
        request: Request,
        name: str,
        population: Annotated[str, _TEXT] = "",
        epsilon: Annotated[str, _TEXT] = "",
        delta: Annotated[str, _TEXT] = "",
        known: Annotated[str, _TEXT] = "",
        do: Annotated[str, _TEXT] = "",
    ) -> Response:
        node = pages.node()
        given = {"population": population, "epsilon": epsilon, "delta": delta, "known": known}
        populations = node.budgets.populations
        try:
            present = views.population_of(node, name)
            if present is not None:
                most = wizard.limit(epsilon, delta)
                populations.set_limit(present["population"], *most)
                told = "The limit is set. What was spent stays spent."
            elif do == "bind":
                populations.bind(name, known)
                told = f"{name} belongs to “{known}” from now on."
            else:
                unit = views.described(node.datasets.one(name)["catalogue"]).unit_of_privacy
                called, most = wizard.population_name(population), wizard.limit(epsilon, delta)
                populations.open(called, unit.word, *most)
                populations.bind(name, called)
                told = f"“{called}” has a budget now, and {name} belongs to it."
        except CloisterError as error:
            return _budget(request, name, given, error)
        return pages.go(request, f"/datasets/own/{quote(name)}", told=told)
