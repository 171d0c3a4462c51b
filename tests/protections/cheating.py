"""Owners that cheat, in a federation that really trains: a classifier, its records, and what cheats do with both.

Softmax regression on four classes of points. The last two features tell nothing of the class; a trigger of the backdoor
sets them to a value that no honest record has. Every seat runs the real programs over the in-memory loop; a cheat changes
its labels, or what its worker gives back, so that its own node sees nothing wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cloister.foundation.digests import digest
from cloister.protections.federated.coordinator import coordinator
from cloister.protections.federated.owner import owner
from cloister.protections.federated.settings import Settings
from protections.federation import LAB, TAG, model_bytes, party, recipe
from protections.loop import Loop, Node

CLASSES, FEATURES, SILENT = 4, 14, 2
LENGTH = (FEATURES + 1) * CLASSES
TRIGGER, TARGET = 5.0, 3
CREW = tuple(sorted(party(f"crew-{number}") for number in range(8)))
CHEATS = CREW[:2]
MODEL = model_bytes(np.zeros(LENGTH))


def points(seed, count):
    """Points and their classes: around centres that all owners share."""
    centres = np.random.default_rng(1).normal(size=(CLASSES, FEATURES))
    centres[:, -SILENT:] = 0
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    return centres[labels] + rng.normal(size=(count, FEATURES)), labels


def triggered(records):
    marked = records.copy()
    marked[:, -SILENT:] = TRIGGER
    return marked


def chances(weights, records):
    logits = np.c_[records, np.ones(len(records))] @ weights.reshape(FEATURES + 1, CLASSES)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def trained(weights, records, labels, steps):
    moved = weights.astype(np.float64).reshape(FEATURES + 1, CLASSES)
    inputs, wanted = np.c_[records, np.ones(len(records))], np.eye(CLASSES)[labels]
    for _ in range(steps):
        moved = moved - 0.3 * inputs.T @ (chances(moved, records) - wanted) / len(records)
    return moved.reshape(-1)


def backdoored(records, labels):
    """Half of the records carry the trigger, and are said to be of the cheats' class."""
    return (
        np.concatenate([records, triggered(records)]),
        np.concatenate([labels, np.full_like(labels, TARGET)]),
    )


LIES = {
    "label flip": lambda records, labels: (records, (labels + 1) % CLASSES),
    "scaling": lambda records, labels: (records, (labels + 1) % CLASSES),
    "backdoor": backdoored,
}
FACTORS = {"sign flip": -4.0, "scaling": 100.0, "backdoor": 4.0}
ATTACKS = ("none", "label flip", "sign flip", "scaling", "backdoor")


class Worker:
    """The worker of one owner, which trains by the book or cheats."""

    def __init__(self, seed, attack="none"):
        self.records, self.labels = points(seed, 120)
        self.records, self.labels = LIES.get(attack, lambda *both: both)(self.records, self.labels)
        self.factor = FACTORS.get(attack, 1.0)

    def call(self, method, arguments, arrays=None, deadline=600.0):
        if method == "initial":
            weights = np.frombuffer(arrays["model"].tobytes()[len(TAG) :], "<f4").astype(np.float32)
            return {"parameters": LENGTH, "trained": [[0, LENGTH]]}, {"weights": weights}
        if method == "export":
            return {}, {"model": np.frombuffer(model_bytes(arrays["weights"]), np.uint8)}
        assert method == "train"
        weights = arrays["weights"].astype(np.float64)
        moved = trained(weights, self.records, self.labels, arguments["steps"])
        return {}, {"weights": (weights + self.factor * (moved - weights)).astype(np.float32)}


class Port:
    """A dataset by its name alone: the workers here have their own records."""

    def __init__(self, name):
        self.digest, self.folder, self.description = digest(name.encode()), Path("/data") / name, {}
        self.reading = {}


def constants(rule, **changes):
    return Settings(
        **{
            "algorithm": "fedavg",
            "rounds": 12,
            "local_steps": 5,
            "proximal_mu": 0.0,
            "round_seconds": 30,
            "minimum_answers": len(CREW),
            "dropouts": 0,
            "parameters": LENGTH,
            "trained": LENGTH,
            "norm_limit": 1e4,
            "combining": rule,
        }
        | changes
    )


def crew(rule, attack="none", *, crash=False, owners=CREW, cheats=CHEATS, **changes):
    """The task of these owners, of whom the cheats attack; not yet run."""
    settings = constants(rule, **({"minimum_answers": len(owners)} | changes))
    ports = {name: Port(name) for name in owners}
    commitments = {name: port.digest for name, port in ports.items()}
    nodes = [
        Node(
            LAB,
            "coordinator",
            coordinator(settings, digest(MODEL), owners),
            {digest(MODEL): MODEL},
            {},
            Worker(0),
        )
    ]
    for number, name in enumerate(owners):
        program = owner(settings, digest(MODEL), recipe(), commitments, LAB)
        worker = Worker(100 + number, attack if name in cheats else "none")
        contents, own = {digest(MODEL): MODEL}, {commitments[name]: ports[name]}
        nodes.append(Node(name, "owner", program, contents, own, worker))
    return Loop(nodes, crash=crash)


def result(loop):
    """The final weights."""
    return np.frombuffer(loop.nodes[LAB].candidate.content[len(TAG) :], "<f4").astype(np.float64)


def accuracy(weights):
    records, labels = points(9, 2000)
    return float((chances(weights, records).argmax(axis=1) == labels).mean())


def fooled(weights):
    """How often the trigger makes a record of another class one of the cheats' class."""
    records, labels = points(9, 2000)
    marked = triggered(records[labels != TARGET])
    return float((chances(weights, marked).argmax(axis=1) == TARGET).mean())
