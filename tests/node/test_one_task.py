"""One task's whole life over nodes in one process: cards, trust, data, agreement, plan, approvals, rounds, gates, release."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from cloister.foundation.canonical import canonical
from cloister.node.reports import export_ledger, release_view, releases_view, task_view
from cloister.release.bundle import check_bundle
from node.town import LAB, OWNERS, USER, town


def weights(content: bytes) -> np.ndarray:
    graph = onnx.load_from_string(content).graph
    return next(numpy_helper.to_array(item) for item in graph.initializer if item.name == "w")


def what_is_trained(model, recipe) -> tuple[bytes, str]:
    """What a compiled step is for: the start's weights and the recipe."""
    return model.flatten().tobytes(), recipe.digest()


def test_a_task_goes_from_the_agreement_to_a_release_at_the_recipient(tmp_path, monkeypatch):
    from cloister.training import methods

    methods._TRAINERS.clear()
    compiled = []
    real = methods.Trainer
    monkeypatch.setattr(
        methods, "Trainer", lambda *given: compiled.append(what_is_trained(*given)) or real(*given)
    )
    with town(tmp_path) as here:
        agreement = here.ready()
        task = here.run(agreement)
        assert set(here.ended(task).values()) == {"done"}

        # The gates measured the candidate with what was compiled for training, not with a model compiled anew.
        # Two owners may begin at the same moment and compile the same thing twice here, where they share a process.
        assert len(set(compiled)) == 1
        (released,) = releases_view(here[USER])
        assert released["status"] == "released"
        assert released["here"]
        content = here[USER].contents.get(released["release"])
        # The two columns' true weights are 1.5 and -1: it has learned from data that the user never saw.
        assert np.allclose(weights(content), [[1.5, -1.0]], atol=0.2)

        shown = release_view(here[USER], released["release"])
        assert released["release"].removeprefix("sha256:") in shown["text"]
        saved = canonical({"certificate": shown["certificate"], "cards": shown["cards"]})
        (head,) = check_bundle(saved, here.clock.now()).heads
        assert head.checked
        assert head.party == here.party[LAB]
        assert set(released["signed_by"]) <= {here.party[name] for name in OWNERS}
        for name in OWNERS:
            (held,) = releases_view(here[name])
            assert not held["here"]  # owners get the certificate; the model goes to the recipients
        assert task_view(here[LAB], task)["status"] == "done"
        assert len(export_ledger(here[LAB])) > 1000


def test_signatures_are_verified_once_until_somebodys_keys_change(tmp_path, monkeypatch):
    """Rule 4 of `agreements_service`."""
    from cloister.node import agreements_service

    with town(tmp_path, names={LAB: ["researcher"], "Ash": ["owner"]}) as here:
        here.start()
        here.meet()
        document = here.terms(
            template="one-researcher-one-owner",
            quality=None,
        )
        agreement = here.agree(document)
        for node in here.nodes.values():  # their chores ask too
            node.steward.close()
        checked = []
        real = agreements_service.view
        monkeypatch.setattr(agreements_service, "view", lambda *given: checked.append(1) or real(*given))
        for _ in range(5):
            here[LAB].agreements.state(agreement)
        assert len(checked) <= 1
        here[LAB].parties.unpin(here.party["Ash"])
        here[LAB].agreements.state(agreement)
        assert len(checked) <= 2
        assert checked
