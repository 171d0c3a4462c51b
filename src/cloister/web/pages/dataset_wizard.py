"""Registering a dataset, step by step: where it is, what it holds, its rules, a review of who will see what.

Rules:
1. Only whoever may register data (`datasets.write`) gets here; only files in the server's data folders are read
   (`node.data_folders`), and that is looked at again at each step.
2. Nothing that was typed is lost: each step is kept in a draft at this node before anything is complained about.
3. What is reviewed is what is registered: others see what the right side shows, and the kinds of columns do not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile

from cloister.data.countries import COUNTRIES
from cloister.data.profile import PicturesProfile, TableProfile
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Refused
from cloister.node.chores import DOCUMENTS
from cloister.node.data_folders import UPLOAD_MOST, Place
from cloister.node.node import Node
from cloister.web.desk.dataset_drafts import Drafts
from cloister.web.desk.work import Piece, Work
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.views import dataset_wizard as wizard
from cloister.web.views import datasets as views
from cloister.web.views.dataset_draft import Draft

_PATIENCE = 8.0
_FIELDS_MOST = 2000
_FORM_MOST = 2 << 20


async def _typed(request: Request) -> dict[str, str]:
    """A form of many fields; the last of each name counts. Raises `BadInput`."""
    try:
        text = (await request.body()).decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MOST))
    except ValueError:
        raise BadInput(
            "The form could not be read.", "It is not as this page sends it.", "Open the page again."
        ) from None


Typed = Annotated[dict[str, str], Depends(_typed)]


def add(app: FastAPI, pages: Pages, profiles: views.Profiles, work: Work) -> None:
    """Adds the routes."""
    routes = Routes(app, "Datasets", page=True)

    def drafts() -> Drafts:
        return Drafts(pages.site.database, pages.site.clock)

    def look(node: Node, draft: Draft) -> views.Profile:
        """The profile of a draft's data, if it still may be read."""
        place = node.datasets.places.may_register(Path(draft.source))
        return profiles.of(node.datasets.places.source(place), draft.kinds, draft.decimal)

    # 1: where the data is ----------------------------------------------------------------------------------------

    @routes.get("/datasets/new", "datasets.write")
    def where(request: Request, folder: int = -1, path: str = "") -> Response:
        return _where(request, Place(folder, path[:4000]))

    def _where(request: Request, place: Place, error: CloisterError | None = None) -> Response:
        places = pages.node().datasets.places
        found = []
        if place.root < 0 and len(places.roots) == 1:
            place = Place(0)
        if place.root >= 0:
            try:
                found = places.listing(place)
            except (NotFound, Refused) as problem:
                error, place = error or problem, Place(-1)
        return pages.show(
            request,
            "datasets/where.html",
            title="Register a dataset",
            lead="Registering reads everything once and commits to it. The data stays where it is.",
            error=error,
            steps=wizard.STEPS,
            roots=[str(root) for root in places.roots],
            place=place,
            found=found,
            trail=_trail(place),
            address=_address,
            most=UPLOAD_MOST,
        )

    @routes.post("/datasets/new", "datasets.write")
    def begin(
        request: Request,
        folder: Annotated[int, Form()] = -1,
        path: Annotated[str, Form(max_length=4000)] = "",
    ) -> Response:
        return _begin(request, Place(folder, path), uploaded=False)

    def _begin(request: Request, place: Place, *, uploaded: bool) -> Response:
        node = pages.node()
        try:
            source = node.datasets.places.source(place)
            profiles.of(source)
        except CloisterError as error:
            if uploaded:
                node.datasets.places.drop(place)
            return _where(request, Place(0) if uploaded else place.parent, error)
        name = wizard.first_name(source)
        taken = {item["name"] for item in node.datasets.own()}
        draft = drafts().begin(
            str(source),
            pages.caller(request).name,
            uploaded=uploaded,
            name="" if name in taken else name,
            title=source.stem.replace("-", " ").replace("_", " ")[:200],
        )
        return pages.go(request, f"/datasets/new/{draft.id}")

    @routes.post("/datasets/upload", "datasets.write", body=UPLOAD_MOST + (1 << 16))
    def upload(request: Request, table: Annotated[UploadFile | None, File()] = None) -> Response:
        try:
            if table is None or not table.filename:
                raise BadInput("No file was chosen.", "", "Choose a CSV or Parquet file.")
            place = pages.node().datasets.places.receive(table.filename[:300], table.file)
        except CloisterError as error:
            return _where(request, Place(-1), error)
        return _begin(request, place, uploaded=True)

    @routes.post("/datasets/new/{draft}/discard", "datasets.write")
    def discard(request: Request, draft: str) -> Response:
        known = drafts().get(draft)
        node = pages.node()
        place = node.datasets.places.place_of(Path(known.source))
        used = {item["private"]["source"] for item in node.datasets.own()}
        if known.uploaded and place is not None and known.source not in used:
            node.datasets.places.drop(place)
        drafts().drop(known.id)
        return pages.go(request, "/datasets", told="Given up. Nothing was registered.")

    # 2: what it holds --------------------------------------------------------------------------------------------

    @routes.get("/datasets/new/{draft}", "datasets.write")
    def columns(request: Request, draft: str, part: int = 0) -> Response:
        return _columns(request, drafts().get(draft), part)

    def _columns(request: Request, draft: Draft, part: int, error: CloisterError | None = None) -> Response:
        try:
            found = look(pages.node(), draft)
        except CloisterError as problem:
            return _gone(request, draft, problem)
        pictures = isinstance(found, PicturesProfile)
        parts = 1 if pictures else max(1, -(-len(found.columns) // wizard.PART))  # type: ignore[union-attr]
        part = min(max(part, 0), parts - 1)
        return pages.show(
            request,
            "datasets/pictures.html" if pictures else "datasets/columns.html",
            title="What the pictures are" if pictures else "What the columns are",
            lead="Only you see what was found. Others see names, kinds and sensitivity.",
            error=error,
            steps=wizard.STEPS,
            draft=draft,
            found=found,
            unit=wizard.unit_of(draft, found),
            part=part,
            parts=parts,
            first=part * wizard.PART,
            columns=[] if pictures else list(enumerate(found.columns))[part * wizard.PART :][: wizard.PART],  # type: ignore[union-attr]
            **views.WORDS,
        )

    def _gone(request: Request, draft: Draft, error: CloisterError) -> Response:
        return pages.show(
            request,
            "datasets/gone.html",
            title="The data cannot be read",
            lead="What you typed is kept.",
            error=error,
            draft=draft,
        )

    @routes.post("/datasets/new/{draft}", "datasets.write", body=_FORM_MOST)
    def save_columns(request: Request, draft: str, given: Typed, part: int = 0) -> Response:
        known = drafts().get(draft)
        do = given.get("do", "next")
        try:
            found = look(pages.node(), known)
        except CloisterError as error:
            return _gone(request, known, error)
        if isinstance(found, TableProfile):
            known = wizard.with_columns(known, found, given, part * wizard.PART)
        else:
            known = wizard.with_pictures(known, given)
        drafts().keep(known)
        address = f"/datasets/new/{known.id}"
        if do in {"again", "every"}:
            profiles.forget()
            return pages.go(request, f"{address}?part={part}")
        if isinstance(found, TableProfile) and (part + 1) * wizard.PART < len(found.columns):
            return pages.go(request, f"{address}?part={part + 1}")
        try:
            found = look(pages.node(), known)
            wizard.check_columns(known, found)
        except CloisterError as error:
            return _columns(request, known, part, error)
        drafts().keep(known.model_copy(update={"columns_done": True}))
        return pages.go(request, f"{address}/rules")

    # 3: its rules ------------------------------------------------------------------------------------------------

    @routes.get("/datasets/new/{draft}/rules", "datasets.write")
    def rules(request: Request, draft: str) -> Response:
        return _rules(request, drafts().get(draft))

    def _rules(request: Request, draft: Draft, error: CloisterError | None = None) -> Response:
        node = pages.node()
        try:
            found = look(node, draft)
        except CloisterError as problem:
            return _gone(request, draft, problem)
        word = wizard.unit_word(wizard.unit_of(draft, found))
        bound = views.population_of(node, draft.name) if draft.replaces else None
        return pages.show(
            request,
            "datasets/rules.html",
            title="Its rules",
            lead="What holds for all of it.",
            error=error,
            steps=wizard.STEPS,
            draft=draft,
            word=word,
            bound=bound,
            known=[item for item in wizard.budgets(node) if item["unit"] == word],
            amount=views.amount,
            countries=COUNTRIES.items(),
        )

    @routes.post("/datasets/new/{draft}/rules", "datasets.write")
    def save_rules(request: Request, draft: str, given: Typed) -> Response:
        node = pages.node()
        known = drafts().get(draft)
        if not pages.may(request, "budgets.write"):
            given = {key: value for key, value in given.items() if key != "population"}
        known = wizard.with_rules(known, given)
        drafts().keep(known)
        if given.get("do") == "back":
            return pages.go(request, f"/datasets/new/{known.id}")
        try:
            wizard.check_rules(known, look(node, known), node)
        except CloisterError as error:
            return _rules(request, known, error)
        drafts().keep(known.model_copy(update={"rules_done": True}))
        return pages.go(request, f"/datasets/new/{known.id}/review")

    # 4: review ---------------------------------------------------------------------------------------------------

    @routes.get("/datasets/new/{draft}/review", "datasets.write")
    def review(request: Request, draft: str) -> Response:
        known = drafts().get(draft)
        if not known.columns_done or not known.rules_done:
            return pages.go(request, f"/datasets/new/{known.id}" + ("/rules" if known.columns_done else ""))
        return _review(request, known)

    def _review(request: Request, draft: Draft, error: CloisterError | None = None) -> Response:
        node = pages.node()
        try:
            found = look(node, draft)
        except CloisterError as problem:
            return _gone(request, draft, problem)
        try:
            wizard.fields(draft, found, node)
            entry = wizard.shown(draft, found, node)
        except CloisterError as problem:
            return _rules(request, draft, error or problem)
        return pages.show(
            request,
            "datasets/review.html",
            title="Who will see what",
            lead="On the left what only you see, on the right everything that others are told.",
            error=error,
            steps=wizard.STEPS,
            draft=draft,
            found=found,
            entry=entry,
            unit=views.unit_words(views.described(entry).unit_of_privacy),
            **views.WORDS,
        )

    @routes.post("/datasets/new/{draft}/register", "datasets.write")
    def register(request: Request, draft: str) -> Response:
        node, known = pages.node(), drafts().get(draft)
        if not known.columns_done or not known.rules_done:
            return pages.go(request, f"/datasets/new/{known.id}")
        try:
            profiles.forget()
            given = wizard.fields(known, look(node, known), node)
            source = node.datasets.places.source(node.datasets.places.may_register(Path(known.source)))
            piece = work.begin(f"register {known.id}", lambda: _register(node, source, given, known))
        except CloisterError as error:
            return _review(request, known, _for_page(error))
        return _registered(request, known, piece)

    def _register(node: Node, source: Path, given: dict[str, Any], draft: Draft) -> dict[str, Any]:
        made = node.datasets.add(source, given)
        node.steward.wake(DOCUMENTS)
        if draft.notes:
            node.datasets.note(draft.name, draft.notes)
        drafts().drop(draft.id)
        return made

    @routes.get("/datasets/new/{draft}/register", "datasets.write")
    def registering(request: Request, draft: str) -> Response:
        piece = work.known(f"register {draft[:40]}")
        if piece is None:
            return pages.go(request, f"/datasets/new/{drafts().get(draft).id}/review")
        return _registered(request, piece.about or drafts().get(draft), piece)

    def _registered(request: Request, draft: Draft, piece: Piece) -> Response:
        piece.about = draft
        if not piece.ended.wait(_PATIENCE if request.method == "POST" else 1.0):
            here = f"/datasets/new/{draft.id}/register"
            if request.method == "POST":
                return pages.go(request, here)
            return pages.show(
                request,
                "datasets/busy.html",
                title="Registering",
                lead=f"{draft.name} is read, checked and committed to. Large tables take minutes.",
                here=here,
                busy=here,
                seconds=piece.seconds,
            )
        work.seen(f"register {draft.id}")
        if piece.error is not None:
            return _review(request, draft, _for_page(piece.error))
        records = f"{piece.result['private']['records']:,}"
        told = f"{draft.name} is registered: {records} records, a number that only you see."
        if not draft.population:
            return pages.go(request, f"/datasets/own/{quote(draft.name)}", told=told)
        return _to_budget(request, draft, told)

    def _to_budget(request: Request, draft: Draft, told: str) -> Response:
        """What was chosen of a budget is for whoever may bind the organisation, and shows the password again."""
        if draft.population == "existing":
            given = {"known": draft.population_name}
        else:
            given = {"population": draft.population_name, "epsilon": draft.epsilon, "delta": draft.delta}
        path = f"/datasets/own/{quote(draft.name)}/budget?{urlencode(given)}"
        return pages.go(request, path, told=f"{told} One step is left: its privacy budget.")


def _for_page(error: CloisterError) -> CloisterError:
    """An error whose advice is for the command line, with advice for the page."""
    if "--" not in error.remedy and "cloister " not in error.remedy:
        return error
    kind = Conflict if isinstance(error, Conflict) else BadInput
    return kind(
        error.what,
        error.why,
        "Correct the file, or go back and choose how the column is read, then try again.",
    )


def _address(place: Place) -> str:
    return "/datasets/new?" + urlencode({"folder": place.root, "path": place.path})


def _trail(place: Place) -> list[tuple[str, Place]]:
    """The folders from the allowed one down to a place."""
    parts = place.path.split("/") if place.path else []
    return [(part, Place(place.root, "/".join(parts[: number + 1]))) for number, part in enumerate(parts)]
