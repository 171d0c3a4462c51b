"""Asking by the page, without script: agreement, model, recipe, plan, other wishes, sending."""

from __future__ import annotations

import re
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest

from cloister.web.views.asking import Wanted, keep_training, recipe_of
from web.street import PASSWORD
from web.work import LAB, OWNERS, PRIVATE, PURPOSE, hidden, model, text_of, working

RECIPE = {
    "input": "x",
    "output": "y",
    "columns": "heat, time",
    "label": "strength",
    "loss": "mean-squared-error",
    "metric": "r2",
    "learning_rate": "0.1",
    "batch": "16",
}


@pytest.fixture(scope="module")
def work():
    with working() as made:
        yield made


@pytest.fixture
def lab(work):
    with closing(work[LAB].eva()) as browser:
        yield browser


def uploaded(lab, work, data=None):
    return lab.post(
        "/ask",
        data={"agreement": work.agreement, "what": "model"},
        files={"model": ("line.onnx", model() if data is None else data)},
    )


def planned(lab, work, **changes):
    """The page with a plan for a linear model."""
    told = uploaded(lab, work)
    query = {name: values[0] for name, values in parse_qs(urlsplit(str(told.url)).query).items()}
    return lab.post("/ask/recipe", data={**RECIPE, **query, **changes})


def test_from_a_model_file_to_a_task_that_waits_for_its_owners(lab, work):
    told = uploaded(lab, work)
    assert urlsplit(str(told.url)).path == "/ask/recipe"
    assert 'value="heat, time"' in told.text, "the columns that every table has are proposed"
    plan = planned(lab, work)
    assert urlsplit(str(plan.url)).path == "/ask/plan"
    said = text_of(plan.text)
    for part in (
        "Guaranteed",
        "Not protected",
        "What each organisation sees",
        "Why not another way",
        "Rounds 5",
    ):
        assert part in said
    assert "Each owner's own contribution is hidden from the coordinator" in said
    assert "It promises less than federated-averaging with secure sums" in said
    assert "Owners approve the result only with r2 of at least 0.5" in said

    sent = lab.post("/ask/send", data={"plan": hidden(plan.text, "plan")})
    task = urlsplit(str(sent.url)).path.rpartition("/")[2]
    assert work[LAB].node.tasks.plan(task).request.purpose == PURPOSE
    assert "Waits for Ash, Birch, Cedar." in text_of(sent.text)
    for name in OWNERS:
        work.asked_at(name, task)


def test_what_is_sent_is_the_plan_that_was_shown(lab, work):
    plan = planned(lab, work)
    shown = lab.get(f"{plan.url}&rounds=3")
    sent = lab.post("/ask/send", data={"plan": hidden(shown.text, "plan")})
    task = urlsplit(str(sent.url)).path.rpartition("/")[2]
    assert work[LAB].node.tasks.plan(task).offer.parameters["rounds"] == 3


def test_other_wishes_make_another_plan_and_keep_what_was_typed(lab, work):
    plan = planned(lab, work)
    four = lab.get(f"{plan.url}&rounds=4&compare=rounds")
    assert "Rounds 4" in text_of(four.text)
    assert 'name="rounds" type="number" inputmode="decimal" value="4"' in four.text
    compared = text_of(four.text).partition("What if the rounds were others")[2]
    assert re.search(r"\b1 \d+ (s|minutes?) ", compared), "how long one round takes"
    for value in ("1", "2", "4 now", "8", "16"):
        assert f" {value} " in compared


@pytest.mark.parametrize(
    ("wish", "said", "status"),
    [
        ("rounds=many", "“rounds” is not a whole number", 422),
        ("epsilon=1e", "“epsilon” is not a number", 422),
        ("rounds=100000", "The wish `rounds` cannot be met", 403),
        ("deadline=1", "1 second were asked for", 403),
        ("protection=nothing-known", "Another method was asked for", 403),
        ("owners=somebody", "has no dataset here", 422),
    ],
)
def test_a_wish_that_cannot_be_is_told_with_the_form_still_there(lab, work, wish, said, status):
    answer = lab.get(f"{planned(lab, work).url}&{wish}")
    assert answer.status_code == status
    assert said in text_of(answer.text)
    assert 'action="/ask/plan"' in answer.text
    assert "Send to everybody" not in answer.text


def test_fewer_owners_than_agreed_are_refused_with_the_reason(lab, work):
    two = "&".join(f"owners={work[name].node.party}" for name in OWNERS[:2])
    answer = lab.get(f"{planned(lab, work).url}&{two}")
    assert answer.status_code == 403
    assert "No privacy method can do this under the agreement." in text_of(answer.text)


def test_a_file_that_is_no_model_is_refused_before_anything_else(lab, work):
    answer = uploaded(lab, work, b"\x00not a model")
    assert answer.status_code in {403, 422}
    assert "Ask for a computation" in text_of(answer.text)
    none = lab.post("/ask", data={"agreement": work.agreement, "what": "model"})
    assert none.status_code == 422
    assert "No model was chosen." in text_of(none.text)


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": "heat, <script>alert(1)</script>"},
        {"label": "no such column"},
        {"learning_rate": "quick"},
        {"batch": "-3"},
        {"loss": "made-up"},
        {"recipe": "[1, 2"},
        {"recipe": "[]"},
        {"recipe": '{"loss": "mean-squared-error"}'},
        {"output": "z"},
    ],
)
def test_a_recipe_that_cannot_be_is_told_and_nothing_typed_is_lost(lab, work, changes):
    answer = planned(lab, work, **changes)
    assert answer.status_code in {403, 422}
    assert urlsplit(str(answer.url)).path == "/ask/recipe"
    assert "<script>alert" not in answer.text
    ((name, typed),) = changes.items()
    if name != "recipe":
        assert (
            typed.replace("<", "&lt;").replace(">", "&gt;") in answer.text or f'"{typed}"' not in answer.text
        )


def test_a_plan_of_somebody_else_is_not_sent(lab, work):
    shown = planned(lab, work)
    forged = hidden(shown.text, "plan").replace(work[LAB].node.party, work["Ash"].node.party)
    answer = lab.post("/ask/send", data={"plan": forged})
    assert answer.status_code >= 400
    assert lab.post("/ask/send", data={"plan": "{"}).status_code == 422


def test_a_computation_that_is_not_kept_and_an_agreement_that_is_none_are_told(lab, work):
    assert lab.get(f"/ask/plan?agreement={work.agreement}&computation=sha256:{'0' * 64}").status_code == 404
    assert lab.get(f"/ask/plan?agreement=sha256:{'0' * 64}&computation=x").status_code == 404


def test_who_may_not_ask_sees_no_form_and_sends_nothing(lab, work):
    site = work[LAB].site
    site.accounts.add("Auda", {"auditor"}, PASSWORD)
    with work[LAB].visitor() as auditor:
        auditor.sign_in("Auda")
        assert auditor.get("/ask").status_code == 403
        assert auditor.post("/ask/send", data={"plan": "{}"}).status_code == 403
        page = auditor.get("/tasks")
        assert page.status_code == 200
        assert 'href="/ask"' not in page.text


def test_an_organisation_that_is_no_researcher_is_told_why_it_cannot_ask(work):
    with closing(work["Ash"].eva()) as owner:
        assert "no agreement in force under which your organisation may ask" in text_of(
            owner.get("/ask").text
        )


def test_the_last_computations_are_kept_and_older_ones_go(work):
    from cloister.foundation.errors import NotFound
    from cloister.node.tasks import asked

    database = work["User"].node.durable.database
    made = [
        asked.keep(database, {"kind": "training", "contents": {}, "settings": {"n": n}})
        for n in range(asked.MOST + 1)
    ]
    assert asked.kept(database, made[-1].digest) == made[-1]
    with pytest.raises(NotFound):
        asked.kept(database, made[0].digest)


def test_every_table_loss_and_metric_that_is_offered_is_known():
    from cloister.applications.trainings import TABLE_LOSSES, TABLE_METRICS
    from cloister.models.losses import LOSSES
    from cloister.training.metrics import METRICS

    assert set(TABLE_LOSSES) <= set(LOSSES)
    assert set(TABLE_METRICS) <= set(METRICS)


@pytest.mark.slow
def test_with_a_budget_less_epsilon_is_tried_and_its_noise_predicted():
    with working(**PRIVATE) as private, closing(private[LAB].eva()) as lab:
        told = uploaded(lab, private)
        query = {name: values[0] for name, values in parse_qs(urlsplit(str(told.url)).query).items()}
        made = keep_training(private[LAB].node, query["model"], recipe_of({**RECIPE, "metric": "loss"}))
        wanted = Wanted(
            private.agreement,
            made.digest,
            wishes={"epsilon": "1", "units": "1000", "batch": "100", "rounds": "10"},
        )
        page = lab.get(wanted.path(), timeout=200)
        said = text_of(page.text)
        assert "epsilon 0.999 of each owner's data" in said
        assert "largest signal that there could be" in said
        assert "4 is agreed" in said


def test_a_comparison_that_takes_too_long_says_what_it_left_out(lab, work, monkeypatch):
    monkeypatch.setattr("cloister.web.views.asking.COMPARING", -1.0)
    page = lab.get(f"{planned(lab, work).url}&rounds=4&compare=rounds")
    assert "Not computed: it takes long." in text_of(page.text)
