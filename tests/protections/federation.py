"""A small world for the tests of protections and releases: a lab, owners, a recipient, their agreement, a fake worker.

The worker's "models" are a tag and a float32 vector; training is gradient steps on least squares. It obeys the same
interface as the real one and misbehaves on request.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cloister.agreements.terms import Terms
from cloister.claims.offers import Computation, Facts, Offer, Plan, Request
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, NotTrusted, Refused
from cloister.identity.keys import SecretKeys
from cloister.protections.federated.offers import Variant, offers

NOW = 1_800_000_000
TAG = b"FAKEMODEL"
LENGTH = 6


def party(name: str) -> str:
    """A fingerprint-shaped id for tests."""
    return base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=").lower()


LAB, USER = party("lab"), party("user")
OWNERS = tuple(sorted(party(f"owner-{number}") for number in range(5)))


def model_bytes(weights: np.ndarray) -> bytes:
    return TAG + np.asarray(weights, "<f4").tobytes()


INITIAL = np.linspace(-1, 1, LENGTH).astype(np.float32)
MODEL = model_bytes(INITIAL)


def recipe(**changes: Any) -> dict[str, Any]:
    return {
        "loss": "mean-squared-error",
        "input": "x",
        "output": "y",
        "optimiser": {"name": "sgd", "learning_rate": 0.05},
        "steps": 30,
        "preparation": {"name": "points"},
    } | changes


def terms(owners: int = 3, **changes: Any) -> Terms:
    names = OWNERS[:owners]
    members = [
        {"party": LAB, "name": "Lab", "roles": ["researcher"], "seats": ["coordinator"]},
        {"party": USER, "name": "User", "roles": ["user"], "seats": ["recipient"]},
        *(
            {"party": name, "name": f"Owner {number}", "roles": ["owner"], "seats": ["owner"]}
            for number, name in enumerate(names)
        ),
    ]
    document = {
        "uid": "urn:uuid:6f0a9b3c-0000-4000-8000-000000000001",
        "title": "Counting together",
        "members": members,
        "datasets": [{"owner": name, "name": "records"} for name in names],
        "computations": [
            {"kind": "training", "protections": ["federated-averaging"], "records": "owner-accepts"}
        ],
        "purposes": ["Count better"],
        "dropouts": 1,
        "minimum_parties": 2,
        "recipients": [LAB, USER],
        "release": {"quorum": 2, "max_bytes": 10_000, "quality": {"metric": "accuracy", "minimum": 0.5}},
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2028-01-01T00:00:00Z",
    } | changes
    return Terms.model_validate_json(json.dumps(document))


def request(agreement: Terms, **changes: Any) -> Request:
    fields = {
        "agreement": agreement.digest,
        "requester": LAB,
        "computation": Computation(kind="training", contents={"model": digest(MODEL)}, settings=recipe()),
        "datasets": {name: digest(name.encode()) for name in agreement.owners},
        "purpose": "Count better",
        "recipients": (LAB, USER),
        "preferences": {"rounds": 3, "round_seconds": 30},
    } | changes
    return Request(**fields)


def facts(under: Terms, **changes: Any) -> Facts:
    return Facts(**({"agreement": under.to_odrl(), "parameters": LENGTH} | changes))


def offer(agreement: Terms, asked: Request, variant: Variant = "plain", **changes: Any) -> Offer:
    """The offer of one variant, by default that in which the coordinator sees updates."""
    (found,) = offers(asked, facts(agreement, **changes), (variant,))
    assert isinstance(found, Offer), found
    return found


def budgets(owners: int = 3, **changes: Any) -> list[dict[str, Any]]:
    """A privacy budget for each owner's dataset, as in `terms(budgets=…)`."""
    clause = {"dataset": "records", "population": "people", "unit": "record", "epsilon": 8.0, "delta": 1e-5}
    return [{**clause, "owner": name, **changes} for name in OWNERS[:owners]]


def plan(agreement: Terms, asked: Request | None = None, variant: Variant = "plain", **changes: Any) -> Plan:
    wanted = asked or request(agreement)
    made = offer(agreement, wanted, variant, **changes)
    return Plan(request=wanted, offer=made, created="2027-01-15T08:00:00Z", nonce="0" * 32)


@dataclass
class FakePort:
    """A dataset: its folder's name decides what the fake worker trains on."""

    digest: str
    folder: Path
    description: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)


class FakeEngine:
    """The jax worker's interface on least squares; `behaviour` makes one folder's training go wrong."""

    def __init__(self, behaviour: dict[str, str] | None = None) -> None:
        self.behaviour = behaviour or {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, method, arguments, arrays=None, deadline=600.0):
        self.calls.append((method, dict(arguments)))
        given = dict(arrays or {})
        model = given["model"].tobytes()
        if not model.startswith(TAG):
            raise BadInput("The model could not be read.")
        weights = np.frombuffer(model[len(TAG) :], "<f4").astype(np.float32)
        if method == "initial":
            return {"parameters": len(weights)}, {"weights": weights}
        if method == "export":
            return {}, {"model": np.frombuffer(model_bytes(given["weights"]), np.uint8)}
        if method == "evaluate":
            assert arguments["recipe"]["metric"] == "accuracy"
            error = float(np.abs(given["weights"] - 1).mean())
            return {"value": 1 - error, "higher_is_better": True}, {}
        if method == "train":
            return self._train(Path(arguments["dataset"]).name, arguments, given["weights"])
        raise AssertionError(method)

    def _train(self, name, arguments, weights):
        how = self.behaviour.get(name, "")
        if how == "nothing":
            return {"loss": 0.0}, {"weights": weights.copy()}
        if how == "diverges":
            return {"loss": 0.0}, {"weights": np.full_like(weights, np.nan)}
        if how == "huge":
            return {"loss": 0.0}, {"weights": np.full_like(weights, 1e6)}
        if how == "crashes":
            raise Refused("The worker was killed.", "It used too much memory.")
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
        x = rng.normal(size=(40, len(weights)))
        y = x @ np.ones(len(weights)) + 0.01 * rng.normal(size=40)
        moved = weights.astype(np.float64)
        mu = float(arguments["recipe"].get("proximal", 0.0))
        for _ in range(arguments["steps"]):
            moved = moved - 0.05 * (x.T @ (x @ moved - y) / len(y) + mu * (moved - weights))
        return {"loss": float(np.mean((x @ moved - y) ** 2))}, {"weights": moved.astype(np.float32)}


class Keys:
    """Everybody's keys, and the directory of them."""

    def __init__(self, *parties: str) -> None:
        self.secret = {name: SecretKeys.generate() for name in parties}

    def keys(self, name: str, keyset: str):
        found = self.secret.get(name)
        if found is None or found.public.keyset != keyset:
            raise NotTrusted("Unknown keys.", clause="signature")
        return found.public
