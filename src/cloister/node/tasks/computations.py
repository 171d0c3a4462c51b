"""Computations that people at this node ask for: their parts kept by digest, checked, turned into plans."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from cloister.claims.offers import Computation, Facts, Plan, Request
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, NotFound, Refused
from cloister.journal.program import Engine
from cloister.node.agreements_service import AgreementsService
from cloister.node.bench import figures
from cloister.node.datasets_service import DatasetsService
from cloister.node.peers.parties import Parties
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.known import known_models
from cloister.planner.explain import explain, starting_point
from cloister.planner.planner import make_plan
from cloister.protections.interface import Protection
from cloister.release.inspection import EXAMINER
from cloister.storage.database import Database
from cloister.storage.settings import Settings
from cloister.training.fitting import check_schema, read_recipe, trained_numbers

_CHECK_SECONDS = 120.0


class ComputationsService:
    """Keeps computations' parts and makes plans from requests."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        parties: Parties,
        agreements: AgreementsService,
        datasets: DatasetsService,
        contents: Contents,
        protections: Sequence[Protection],
        engines: Callable[[str, str], Engine],
    ) -> None:
        self._database = database
        self._clock = clock
        self._parties = parties
        self._agreements = agreements
        self._datasets = datasets
        self._contents = contents
        self._protections = protections
        self._engines = engines

    def add_model(self, data: bytes) -> dict[str, Any]:
        """Keeps an ONNX model after checking it within limits, in a worker. Returns its digest and the findings."""
        report, _arrays = self._engines(EXAMINER, self._parties.own.party).call(
            "check", {}, {"model": np.frombuffer(data, np.uint8)}, _CHECK_SECONDS
        )
        _require_accepted(report)
        with self._database.transaction() as tx:
            # In one: the same bytes may be here as a part of somebody's plan, and on their way out (see `parts`).
            name = self._contents.put(data)
            Settings(tx).put(f"model/{name}", {"parameters": int(report.get("size", 0)), "own": True})
        return {"digest": name, "check": report}

    def check_plan(self, plan: Plan) -> None:
        """Whether a plan's training can run at all, before any person is asked (see `training.fitting`).

        Raises:
            CloisterError: naming the model's node, or the recipe's field, and the reason.
        """
        self._check(plan.request)

    def _check(self, request: Request) -> None:
        """The recipe against the schemas, then against the model, in a worker that may read nothing."""
        computation = request.computation
        model = computation.contents.get("model")
        if computation.kind != "training" or model is None:
            return
        recipe = read_recipe(computation.settings)
        catalogue = self._datasets.catalogue(request.datasets)
        for commitment in sorted(request.datasets.values()):
            if commitment in catalogue:
                check_schema(recipe, catalogue[commitment])
        with self._database.read() as tx:
            if Settings(tx).get(_fits(computation)) is not None:
                return
        answer, _arrays = self._engines(EXAMINER, request.requester).call(
            "fit",
            {"recipe": dict(computation.settings)},
            {"model": np.frombuffer(self._contents.get(model), np.uint8)},
            _CHECK_SECONDS,
        )
        _require_accepted(answer["report"])
        with self._database.transaction() as tx:
            Settings(tx).put(_fits(computation), {"trained": trained_numbers(recipe, answer["report"])})

    def plan(self, asked: Mapping[str, Any]) -> tuple[Plan, dict[str, Any]]:
        """A plan for what a person asks, with its explanation; nothing is sent yet.

        Args:
            asked: `agreement`, `computation` (`kind`, `contents`, `settings`), `purpose`, and optionally `datasets`
                (owner → commitment; every agreed one if absent), `recipients` (the agreement's if absent),
                `preferences`.
        """
        request = self._request(asked)
        self._check(request)
        plan = make_plan(
            request,
            self._facts(request),
            self._protections,
            now=self._clock.now(),
            nonce=secrets.token_hex(16),
        )
        names = self._parties.names()
        return plan, {
            "plan": plan.model_dump(mode="json"),
            "task": plan.digest,
            "text": explain(plan, names, models=known_models()),
            "starts_from": starting_point(plan, known_models()),
            "names": names,
        }

    def _request(self, asked: Mapping[str, Any]) -> Request:
        digest = str(asked.get("agreement", ""))
        terms = self._agreements.in_force(digest).terms
        given = asked.get("datasets")
        document = {
            "agreement": digest,
            "requester": self._parties.own.party,
            "computation": asked.get("computation"),
            "datasets": dict(given) if given else self._agreed_datasets(digest),
            "purpose": asked.get("purpose") or terms.purposes[0],
            "recipients": sorted(asked.get("recipients") or terms.recipients),
            "preferences": dict(asked.get("preferences") or {}),
        }
        try:
            return Request.model_validate_json(canonical(document))
        except ValidationError as error:
            raise invalid(error, "A request") from None

    def _agreed_datasets(self, digest: str) -> dict[str, str]:
        terms = self._agreements.in_force(digest).terms
        found: dict[str, str] = {}
        versions: dict[str, int] = {}
        for entry in self._datasets.entries():
            commitment = entry.commitment
            usable = terms.dataset(entry.owner, commitment, entry)
            if usable is not None and entry.version >= versions.get(entry.owner, 0):
                found[entry.owner] = commitment
                versions[entry.owner] = entry.version
        missing = [terms.name_of(owner) for owner in terms.owners if owner not in found]
        if missing:
            raise NotFound(
                "Not every owner's dataset is in the catalogue here.",
                f"Missing: {', '.join(missing)}.",
                "Wait until their servers have been connected, or name the datasets to use.",
            )
        return found

    def _facts(self, request: Request) -> Facts:
        terms = self._agreements.in_force(request.agreement).terms
        catalogue = self._datasets.catalogue(request.datasets)
        model = request.computation.contents.get("model")
        parameters = trained = None
        with self._database.read() as tx:
            measured = figures(tx, request.computation)
        if model is not None:
            with self._database.read() as tx:
                known = Settings(tx).get(f"model/{model}")
                fits = Settings(tx).get(_fits(request.computation))
            if known is None:
                raise BadInput(
                    "The request's model is not at this server.",
                    "",
                    "Ask with: cloister ask train --model FILE",
                )
            parameters = known["parameters"]
            trained = None if fits is None else fits["trained"]
        return Facts(
            agreement=terms.to_odrl(),
            catalogue={
                name: catalogue[name].model_dump(mode="json")
                for name in request.datasets.values()
                if name in catalogue
            },
            sizes={name: self._contents.size(name) for name in request.computation.contents.values()},
            parameters=parameters,
            trained=trained,
            bench=measured,
        )


def _fits(computation: Computation) -> str:
    """Where it is kept that a computation's recipe fits its model, and how many numbers it trains."""
    return f"trains/{computation.digest}"


def _require_accepted(report: Mapping[str, Any]) -> None:
    if not report.get("accepted"):
        first = (report.get("refusals") or [{}])[0]
        raise Refused(
            "The model is refused.",
            f"At {first.get('node') or 'the graph'}: {first.get('reason', 'it cannot be used')}",
            str(first.get("remedy") or "See: cloister model check FILE"),
            clause="model",
        )
