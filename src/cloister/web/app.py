"""The application of one site: the JSON interface and the pages, every route with the right that it needs."""

from __future__ import annotations

from fastapi import FastAPI

from cloister.web import assets, description, problems
from cloister.web.api import (
    agreements,
    budgets,
    datasets,
    disclosures,
    figures,
    happenings,
    parties,
    releases,
)
from cloister.web.api import log as log_api
from cloister.web.api import passkeys as passkeys_api
from cloister.web.api import people as people_api
from cloister.web.api import settings as settings_api
from cloister.web.api import tasks as tasks_api
from cloister.web.api import tools as tools_api
from cloister.web.frame import Pages
from cloister.web.pages import (
    account,
    ask,
    calibrations,
    entrance,
    home,
    log,
    people,
    results,
    samples,
    settings,
    signing_in,
    tasks,
    tools,
)
from cloister.web.pages import agreements as agreements_pages
from cloister.web.pages import datasets as datasets_pages
from cloister.web.pages import disclosures as disclosures_pages
from cloister.web.pages import figures as figures_pages
from cloister.web.pages import parties as parties_pages
from cloister.web.routes import Routes
from cloister.web.site import Site

_INTERFACE = (
    parties,
    happenings,
    datasets,
    disclosures,
    figures,
    agreements,
    budgets,
    tasks_api,
    releases,
    log_api,
)
_SCREENS = (
    assets,
    settings_api,
    passkeys_api,
    people_api,
    signing_in,
    account,
    people,
    settings,
    entrance,
    home,
    tools_api,
    tools,
    calibrations,
    samples,
    ask,
    tasks,
    datasets_pages,
    disclosures_pages,
    figures_pages,
    parties_pages,
    agreements_pages,
    results,
    log,
)


def make_app(site: Site) -> FastAPI:
    """The application. Doors say who comes in (`doors`); a route without a right answers nobody (`guard`)."""
    app = FastAPI(title="Cloister server", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    pages = Pages(site)
    problems.add(app, pages)
    description.add(app)
    for subject in _INTERFACE:
        subject.add(app, pages.node)
    for screen in _SCREENS:
        screen.add(app, pages)

    @Routes(app, "Interface").get("/api/v1/openapi.json", "own-account", include_in_schema=False)
    def interface() -> dict[str, object]:
        return app.openapi()

    return app


__all__ = ["make_app"]
