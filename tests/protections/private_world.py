"""Worlds in which owners train behind secure sums, with noise or without: real signatures, a worker that obeys the interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cloister.aggregation import PartySigning
from cloister.privacy.runs import private_run
from cloister.privacy.sampling import poisson_sample
from cloister.privacy.stream import NoiseStream
from cloister.protections.federated import secure_coordinator, secure_owner
from cloister.protections.federated.offers import NAME
from cloister.protections.federated.settings import Settings
from protections import federation as f
from protections.loop import Loop, Node

KEYS = f.Keys(f.LAB, f.USER, *f.OWNERS)
UNITS = 200


def records(name: str, count: int = UNITS) -> tuple[np.ndarray, np.ndarray]:
    """An owner's records: the same line for everybody."""
    rng = np.random.default_rng(abs(hash_of(name)))
    x = rng.normal(size=(count, f.LENGTH))
    return x, x @ np.ones(f.LENGTH) + 0.01 * rng.normal(size=count)


def hash_of(name: str) -> int:
    return int.from_bytes(f.hashlib.sha256(name.encode()).digest()[:4], "big")


class PrivateEngine(f.FakeEngine):
    """Also gives clipped gradient sums, as `training.private` does, on least squares."""

    def __init__(self, behaviour=None, trained=((0, f.LENGTH),)):
        super().__init__(behaviour)
        self.trained = trained
        self.sums: list[tuple[str, str, np.ndarray]] = []

    def call(self, method, arguments, arrays=None, deadline=600.0):
        if method == "initial" and "recipe" in arguments:
            _, found = super().call("initial", {}, arrays, deadline)
            return {"parameters": f.LENGTH, "trained": [list(item) for item in self.trained]}, found
        if method == "private-sum":
            return self._sum(arguments, dict(arrays or {})["weights"])
        figures, found = super().call(method, arguments, arrays, deadline)
        if method == "train":
            frozen = np.ones(f.LENGTH, bool)
            for start, stop in self.trained:
                frozen[start:stop] = False
            found["weights"] = np.where(frozen, dict(arrays)["weights"], found["weights"])
        return figures, found

    def _sum(self, arguments, weights):
        name = Path(arguments["dataset"]).name
        x, y = records(name)
        drawn = poisson_sample(NoiseStream(bytes.fromhex(arguments["seed"]), "s"), len(x), arguments["rate"])
        drawn = drawn[: arguments["capacity"]]
        each = (x[drawn] @ weights - y[drawn])[:, None] * x[drawn]
        norms = np.linalg.norm(each, axis=1, keepdims=True)
        each *= np.minimum(1, arguments["clip"] / np.maximum(norms, 1e-12))
        total = np.concatenate([each.sum(0)[start:stop] for start, stop in self.trained]).astype(np.float32)
        self.sums.append((name, arguments["seed"], total))
        return {"sampled": len(drawn)}, {"sum": total}


def settings(
    owners: int = 3, *, dropouts: int = 0, rounds: int = 3, epsilon: float | None = None, secure: bool = True,
    trained: int = f.LENGTH, colluders: int = 1, **changes,
) -> Settings:  # fmt: skip
    private = None
    if epsilon is not None:
        private = private_run(
            epsilon=epsilon, delta=1e-5, dimension=trained, clip=4.0, units=UNITS, rate=0.2, steps=rounds,
            nodes=owners, distributed=secure, dropouts=dropouts if secure else 0,
            colluders=colluders if secure else 0, accountant="renyi",
        )  # fmt: skip
    document = {
        "algorithm": "fedavg",
        "rounds": rounds,
        "local_steps": 1 if private else 30,
        "proximal_mu": 0.0,
        "server": {"name": "average", "learning_rate": 0.5} if private else {"name": "average"},
        "round_seconds": 600,
        "minimum_answers": owners - dropouts,
        "dropouts": dropouts,
        "parameters": f.LENGTH,
        "trained": trained,
        "norm_limit": 100.0,
        "aggregation": (
            {"name": "secure-sum", "colluders": colluders, "update_norm": 0.0 if private else 8.0}
            if secure
            else {"name": "none"}
        ),
        "noise": (
            {"name": "private-steps", "run": private.model_dump(mode="json"), "unit": "row"}
            if private
            else {"name": "none"}
        ),
    } | changes
    return Settings.model_validate(document)


def request(owners: int = 3):
    return f.request(f.terms(owners))


def programs(of: Settings, owners: int = 3):
    asked = request(owners)
    return {
        "owner": secure_owner.owner(of, asked, f.LAB),
        "coordinator": secure_coordinator.coordinator(of, asked, f.LAB),
    }


def world(
    of: Settings, owners: int = 3, *, engine: PrivateEngine | None = None, made=None, **options
) -> Loop:
    """A lab that coordinates and owners, each with a dataset of its own; `made`: their programs, if not by `of`."""
    asked, made = request(owners), made or programs(of, owners)
    worker = engine or PrivateEngine()
    contents = {f.digest(f.MODEL): f.MODEL}
    nodes = [
        Node(
            party,
            "owner",
            made["owner"],
            contents,
            {asked.datasets[party]: f.FakePort(asked.datasets[party], Path("/data") / party)},
            worker,
            signing=PartySigning(KEYS, KEYS.secret[party]),
        )
        for party in sorted(asked.datasets)
    ]
    lab = Node(f.LAB, "coordinator", made["coordinator"], {}, {}, worker, signing=PartySigning(KEYS))
    return Loop([*nodes, lab], **options)


def weights_of(node: Node) -> np.ndarray:
    assert node.candidate is not None, node.error
    return np.frombuffer(node.candidate.content[len(f.TAG) :], "<f4")


__all__ = ["KEYS", "NAME", "PrivateEngine", "programs", "request", "settings", "weights_of", "world"]
