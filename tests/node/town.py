"""A small town for the tests of nodes: owners with tables, a lab, a user; whole nodes in one process, without a hub.

The carrier is the transport's memory hub; workers are called in this process instead of in a sandbox, which starts in
no time. Everything else is what runs in earnest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cloister.agreements.templates import new_from_template
from cloister.claims.offers import PLAN_TYPE, Plan
from cloister.engines.methods import resolve
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, SystemClock, rfc3339
from cloister.foundation.errors import CloisterError
from cloister.identity.envelopes import Envelope, sign
from cloister.identity.keystore import Cost, Passphrase
from cloister.node.engines import METHODS
from cloister.node.folder import Folder
from cloister.node.node import Node
from cloister.node.peers.hub_link import Ends, Link
from cloister.node.setup import init_node
from cloister.transport.memory import MemoryHub
from cloister.transport.messenger import Tuning
from simulators.lock_order import watched

UNLOCK = Passphrase(b"a passphrase of the tests", Cost(1, 1, 64))
OWNERS = ("Ash", "Birch", "Cedar")
LAB, USER = "Lab", "User"
ROLES = {"Ash": ["owner"], "Birch": ["owner"], "Cedar": ["owner"], LAB: ["researcher"], USER: ["user"]}
PURPOSE = "Predict strength"
TUNING = Tuning(patience=0.5)


def table(path: Path, seed: int, rows: int = 160) -> Path:
    """A CSV in which `strength` depends on two columns."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2))
    y = x @ np.array([1.5, -1.0]) + 0.05 * random.normal(size=rows)
    lines = ["heat,time,strength", *(f"{a:.4f},{b:.4f},{c:.4f}" for (a, b), c in zip(x, y, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def model(seed: int = 0) -> bytes:
    """A linear model of two columns as ONNX."""
    weight = np.random.default_rng(seed).normal(size=(1, 2), scale=0.1).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1, name="line")],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.zeros(1, np.float32), "b")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return made.SerializeToString()


def recipe(**changes: Any) -> dict[str, Any]:
    """How the linear model is trained on the tables."""
    return {
        "loss": "mean-squared-error",
        "input": "x",
        "output": "y",
        "optimiser": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0},
        "steps": 10,
        "batch": 16,
        "metric": "r2",
        "seed": 7,
        "preparation": {
            "name": "tabular",
            "columns": [{"name": "heat"}, {"name": "time"}],
            "label": "strength",
        },
    } | changes


class LocalEngines:
    """The worker's methods, called in this process. `before` lets a test do something as the worker begins."""

    def __init__(self, *_: object) -> None:
        self.before: Callable[[str, dict[str, Any]], None] = lambda _method, _arguments: None

    def get(self, _name: str, _agreement: str = "") -> LocalEngines:
        return self

    def call(self, method, arguments, arrays=None, _deadline=600.0):
        self.before(method, dict(arguments))
        return resolve(METHODS, method)(dict(arguments), dict(arrays or {}))

    def report(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


class Town:
    """Folders, and the nodes that run in them."""

    def __init__(self, root: Path, names: dict[str, list[str]] | None = None, clock: Clock | None = None):
        self.root = root
        self.hub = MemoryHub()
        self.clock = clock or SystemClock()
        self.nodes: dict[str, Node] = {}
        self.party: dict[str, str] = {}
        self.roles = names or ROLES
        for name, roles in self.roles.items():
            made = init_node(root / name, name, roles, UNLOCK, UNLOCK, self.clock)
            self.party[name] = made.party

    def link(self, ends: Ends) -> Link:
        transport = self.hub.transport(
            ends.parties.own.party, ends.keys, ends.parties, clock=ends.clock, tuning=TUNING
        )
        return Link(transport)

    def make(self, name: str, folder: Path | None = None, clock: Clock | None = None) -> Node:
        """A node that has not been started."""
        return Node(
            folder or self.root / name, UNLOCK, clock or self.clock, connect=self.link, engines=LocalEngines
        )

    def start(self, *names: str) -> None:
        for name in names or tuple(self.roles):
            self.nodes[name] = self.make(name)
            self.nodes[name].start()

    def stop(self, *names: str) -> None:
        for name in names or tuple(self.nodes):
            self.nodes.pop(name).close()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def meet(self) -> None:
        """Everybody gets everybody's card and compares fingerprints."""
        for node in self.nodes.values():
            for other in self.nodes.values():
                if other is not node:
                    node.parties.accept_chain(other.parties.chain(other.party))
                    node.parties.pin(other.party, other.party)
            node.steward.wake("documents")

    def data(self, *names: str) -> None:
        """Each owner registers a table."""
        for seed, name in enumerate(names or OWNERS):
            path = table(self.root / f"{name.lower()}.csv", seed)
            fields = {"name": "tests", "title": "Strength tests", "residency": "DE"}
            self.nodes[name].datasets.add(path, {**fields, "sensitivity": dict.fromkeys(COLUMNS, "internal")})
            self.nodes[name].steward.wake("documents")

    def terms(self, template: str = "factories-and-lab", **changes: Any) -> dict[str, Any]:
        """The agreement from the template, as it is shown and signed."""
        inputs = {
            "title": "Strength together",
            "owners": [
                {"party": self.party[n], "name": n, "dataset": "tests"} for n in self._having("owner")
            ],
            "researchers": [{"party": self.party[n], "name": n} for n in self._having("researcher")],
            "users": [{"party": self.party[n], "name": n} for n in self._having("user")],
            "purposes": [PURPOSE],
            "starts": rfc3339(self.clock.now() - 60),
            "days": 30,
            "quality": {"metric": "r2", "minimum": 0.5},
        } | changes
        return new_from_template(template, inputs).to_odrl()

    def _having(self, role: str) -> list[str]:
        return [name for name, roles in self.roles.items() if role in roles]

    def agree(self, document: dict[str, Any] | None = None, by: str = LAB) -> str:
        """Proposes, has everybody sign, waits until it is in force everywhere."""
        digest = self.nodes[by].agreements.propose(document or self.terms())
        for name, node in self.nodes.items():
            if name != by:
                until(f"{name} to hold the agreement", lambda node=node: node.agreements.find(digest))
                node.agreements.sign(digest)
        for name, node in self.nodes.items():
            until(
                f"the agreement at {name}",
                lambda node=node: str(node.agreements.state(digest)) == "finalized",
            )
        return digest

    def asked(self, agreement: str, **changes: Any) -> dict[str, Any]:
        """What the lab asks for."""
        known = self.nodes[LAB].computations.add_model(model())["digest"]
        return {
            "agreement": agreement,
            "computation": {"kind": "training", "contents": {"model": known}, "settings": recipe()},
            "purpose": PURPOSE,
            "preferences": {"rounds": 2, "local_steps": 10, "round_seconds": 60},
        } | changes

    def catalogued(self) -> None:
        """Waits until the lab sees the owners' entries."""
        owners = {self.party[name] for name in self._having("owner")}
        until(
            "the catalogue",
            lambda: {entry.owner for entry in self.nodes[LAB].datasets.catalogue().values()} >= owners,
        )

    def ready(self, **terms: Any) -> str:
        """All of it up to an agreement in force."""
        self.start()
        self.meet()
        self.data(*self._having("owner"))
        digest = self.agree(self.terms(**terms))
        self.catalogued()
        return digest

    def approve(self, task: str, *names: str) -> None:
        for name in names or tuple(self._having("owner")):
            node = self.nodes[name]
            until(f"the plan at {name}", lambda node=node: node.tasks.records.known(task))
            asked = until(
                f"a question at {name}",
                lambda node=node: (
                    node.tasks.records.note(task).get("pending")
                    or (node.party in node.tasks.admissions(task) and "no question")
                ),
            )
            if asked != "no question":  # the computation was approved before
                node.tasks.approve(task, with_records=True)

    def plan(self, agreement: str, **changes: Any) -> Plan:
        return self.nodes[LAB].computations.plan(self.asked(agreement, **changes))[0]

    def run(self, agreement: str, **changes: Any) -> str:
        """A task that every owner approves; returns when it has begun."""
        plan = self.plan(agreement, **changes)
        self.nodes[LAB].tasks.submit(plan)
        self.approve(plan.digest)
        return plan.digest

    def ended(self, task: str, *names: str, seconds: float = 60) -> dict[str, str]:
        """How the task ended at each node."""
        for name in names or tuple(self.nodes):
            node = self.nodes[name]
            until(
                f"the task's end at {name}",
                lambda node=node: (row := node.durable.task(task)) is not None and row.status != "running",
                seconds,
            )
        return {name: self.nodes[name].durable.task(task).status for name in names or self.nodes}


COLUMNS = ("heat", "time", "strength")


def until(what: str | Callable[[], str], holds: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until something holds; fails by its name, which may be made then, to tell how things stand."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = holds()
        except CloisterError:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            named = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {seconds:.0f} s for {named}")
        time.sleep(0.02)


PAIR = {LAB: ["researcher"], "Ash": ["owner"]}
"""The smallest town: one lab, one owner."""


def pair_terms(here: Town, **changes: Any) -> dict[str, Any]:
    """What the two of `PAIR` agree on."""
    return (
        here.terms(template="one-researcher-one-owner", quality=None)
        if not changes
        else here.terms(**{"template": "one-researcher-one-owner", "quality": None, **changes})
    )


def signed_plan(here: Town, plan: Plan, by: str = LAB, **request: Any) -> Envelope:
    """The plan with some fields of its request changed, signed by `by`: what a dishonest requester would send."""
    document = plan.model_dump(mode="json")
    changed = Plan.model_validate_json(canonical({**document, "request": {**document["request"], **request}}))
    node = here.nodes[by]
    return sign(PLAN_TYPE, changed.model_dump(mode="json"), node.party, node.keys)


@contextmanager
def town(root: Path, **settings: Any) -> Iterator[Town]:
    """A town that is closed at the end. Fails if its nodes could have waited for each other in a circle."""
    with watched():
        made = Town(root, **settings)
        try:
            yield made
        finally:
            for node in list(made.nodes.values()):
                node.close()


def folder_of(made: Town, name: str) -> Folder:
    return Folder(made.root / name)
