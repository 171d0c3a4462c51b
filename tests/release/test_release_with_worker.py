"""Training and release of a real ONNX model by the real sandboxed worker, from records in files."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from release_world import World

from cloister.claims.offers import Computation
from cloister.engines.pool import Engine
from cloister.foundation.digests import digest
from cloister.foundation.errors import TaskFailed
from cloister.journal.program import Message
from cloister.release import inspection, messages
from protections import federation as f

FEATURES = 3
METHODS = {name: f"cloister.training.methods:{name}" for name in ("initial", "train", "evaluate", "export")}
TRUTH = np.array([1.0, -2.0, 0.5])
RECIPE = {
    "loss": "mean-squared-error",
    "input": "x",
    "output": "y",
    "optimiser": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.0},
    "steps": 10,
    "batch": 16,
    "preparation": {
        "name": "tabular",
        "columns": [{"name": f"f{number}"} for number in range(FEATURES)],
        "label": "target",
    },
    "metric": "r2",
}


def linear_model(operator="Gemm", bias=0.0) -> bytes:
    weights = np.zeros((FEATURES, 1), np.float32)
    nodes = [helper.make_node(operator, ["x", "w", "b"], ["y"], name="linear")]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([bias], np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return model.SerializeToString()


MODEL = linear_model()


@pytest.fixture(scope="module")
def worker():
    with Engine(METHODS) as engine:
        yield engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each owner's records: the same law, other ranges."""
    place = tmp_path_factory.mktemp("records")
    for number, name in enumerate(f.OWNERS[:3]):
        rng = np.random.default_rng(number)
        x = rng.normal(size=(120, FEATURES), loc=0.3 * number)
        y = x @ TRUTH + 0.05 * rng.normal(size=120)
        rows = [",".join(f"{value:.6f}" for value in (*row, label)) for row, label in zip(x, y, strict=True)]
        header = ",".join([*(f"f{number}" for number in range(FEATURES)), "target"])
        (place / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    return place


def world(worker, folder, minimum=0.8, tamper=None):
    computation = Computation(kind="training", contents={"model": digest(MODEL)}, settings=RECIPE)
    made = World(
        agreement={
            "release": {"quorum": 2, "max_bytes": 10_000, "quality": {"metric": "r2", "minimum": minimum}}
        },
        model=MODEL,
        parameters=FEATURES + 1,
        worker=worker,
        folder=folder,
        tamper=tamper,
        computation=computation,
        preferences={"rounds": 4, "round_seconds": 60},
    )
    for name in made.owners:
        (port,) = made.loop.nodes[name].ports.values()
        port.folder = port.folder.with_name(f"{name}.csv")
        made.contexts[name].evaluate = lambda local, weights, metric: inspection.figure(
            local, RECIPE, local.data(made.request.datasets[local.party]), digest(MODEL), weights, metric
        )
    return made


def test_three_owners_train_and_release_a_model_that_predicts(worker, folder):
    made = world(worker, folder).run()
    assert not [node.error for node in made.loop.nodes.values() if node.error]
    (release,) = made.contexts[f.USER].shelf
    model = onnx.load_from_string(release.content)
    onnx.checker.check_model(model)
    values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    assert np.abs(values["w"].ravel() - TRUTH).max() < 0.3
    assert release.certificate.signed_by == frozenset(made.owners)


def test_a_quality_that_nobody_reaches_is_refused_and_no_figure_leaves(worker, folder):
    made = world(worker, folder, minimum=0.9999).run()
    assert isinstance(made.error(f.LAB), TaskFailed)
    assert made.error(f.LAB).what.endswith("3 of 3 owners: not approved.")
    for _, message in made.loop.sent:
        if message.kind == messages.VOTE:
            assert messages.read(messages.VoteHeader, message.body)[0].told == "not approved"


@pytest.mark.parametrize("what", ["graph", "constant", "document", "rubbish"])
def test_a_candidate_with_another_graph_is_refused_by_every_owner(worker, folder, what):
    def lie(_node, message):
        if message.kind != messages.CANDIDATE:
            return message
        header, content = messages.read(messages.CandidateHeader, message.body, max_content=1 << 20)
        model = onnx.load_from_string(content)
        if what == "graph":
            model.graph.node.append(helper.make_node("Tanh", ["y"], ["z"], name="more"))
            model.graph.output[0].name = "z"
        elif what == "constant":
            model.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "hidden"))
        elif what == "document":
            model.doc_string = "something smuggled"
        content = b"rubbish" if what == "rubbish" else model.SerializeToString(deterministic=True)
        return Message(message.to, message.kind, messages.write(header, content))

    made = world(worker, folder, tamper=lie).run()
    assert made.error(f.LAB).what.endswith("3 of 3 owners: model.")
    assert not made.contexts[f.USER].shelf


def test_another_model_of_the_same_shape_is_refused(worker, folder):
    other = linear_model(bias=0.5)

    def lie(_node, message):
        if message.kind != messages.CANDIDATE:
            return message
        header, _ = messages.read(messages.CandidateHeader, message.body, max_content=1 << 20)
        return Message(message.to, message.kind, messages.write(header, other))

    made = world(worker, folder, tamper=lie).run()
    assert isinstance(made.error(f.LAB), TaskFailed)
    assert not made.contexts[f.USER].shelf


def test_scores_of_units_come_from_the_worker_and_their_mean_is_the_figure(worker, folder):
    made = world(worker, folder)
    node = made.loop.nodes[made.owners[0]]
    port = node.data(made.request.datasets[node.party])
    weights = np.append(TRUTH, 0.0).astype(np.float32)
    asked = (RECIPE, port, digest(MODEL), weights, "accuracy")
    found = inspection.scores(node, *asked)
    assert found.dtype == np.float64
    assert set(found) <= {0.0, 1.0}
    assert found.mean() == pytest.approx(inspection.figure(node, *asked))
