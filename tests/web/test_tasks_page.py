"""Tasks by the page, without script: seen, decided on, followed, failed, asked again."""

from __future__ import annotations

from contextlib import closing

import pytest

from cloister.web.guard import BINDING, right_of
from web.street import PASSWORD
from web.work import LAB, OWNERS, USER, text_of, until, working


@pytest.fixture(scope="module")
def work():
    with working() as made:
        yield made


@pytest.fixture(scope="module")
def done(work):
    """A task that was approved by every owner and ran to its end."""
    return work.result()


@pytest.fixture
def ash(work):
    with closing(work["Ash"].eva()) as browser:
        yield browser


def test_a_task_waits_for_a_person_who_approves_it_and_accepts_what_the_agreement_asks_for(work, ash):
    task = work.ask()
    work.asked_at("Ash", task)
    listed = ash.get("/tasks")
    assert "A person here has to approve it." in text_of(listed.text)
    assert f'href="/tasks/{task}/decide"' in listed.text
    page = ash.get(f"/tasks/{task}/decide")
    said = text_of(page.text)
    for part in ("Guaranteed", "Not protected", "What each organisation sees", "Approve for Ash"):
        assert part in said
    without = ash.post(f"/tasks/{task}/approve")
    assert without.status_code == 403
    assert work["Ash"].node.party not in work["Ash"].node.tasks.admissions(task)
    approved = ash.post(f"/tasks/{task}/approve", data={"with_records": "yes"})
    assert approved.status_code == 200
    assert "Approved: your organisation takes part." in text_of(approved.text)
    assert work["Ash"].node.party in work["Ash"].node.tasks.admissions(task)

    back = ash.post(f"/tasks/{task}/withdraw", data={"reason": "The wrong table"})
    assert "The approval is withdrawn." in text_of(back.text)
    lab = work[LAB].node
    until("the lab to hear of it", lambda: lab.tasks.summary(task)["refusals"])
    with closing(work[LAB].eva()) as browser:
        told = text_of(browser.get(f"/tasks/{task}").text)
    assert "Ash: An owner withdrew its approval of the task." in told
    assert "The wrong table" in told


def test_a_refusal_is_told_with_its_reason_and_the_same_can_be_asked_again(work, ash):
    task = work.ask(rounds=3)
    work.asked_at("Ash", task)
    refused = ash.post(f"/tasks/{task}/refuse", data={"reason": "Not <b>now</b>"})
    assert "Refused. The others are told." in text_of(refused.text)
    until("the lab to hear of it", lambda: work[LAB].node.tasks.summary(task)["refusals"])
    with closing(work[LAB].eva()) as lab:
        page = lab.get(f"/tasks/{task}")
        assert "Ash: A person at this server refused the task." in text_of(page.text)
        assert "Not &lt;b&gt;now&lt;/b&gt;" in page.text
        assert "Try again" in text_of(page.text)
        again = lab.post(f"/tasks/{task}/again")
        assert "Rounds 3" in text_of(again.text)
        assert 'value="3"' in again.text
    assert ash.post(f"/tasks/{task}/again").status_code == 403, "only who asked asks again"


def test_a_task_that_ran_tells_who_did_what_and_what_crossed_the_wire(work, done):
    with closing(work[LAB].eva()) as lab:
        said = text_of(lab.get(f"/tasks/{done}").text)
    assert "Rounds 2 of 2" in said
    for name in OWNERS:
        assert f" {name} owner " in said
    assert "an owner's contribution under a mask; alone it tells nothing received Ash, Birch, Cedar 6" in said
    assert "Round 2: 3 owners in the sum" in said
    assert "There is a result." in said
    with closing(work[USER].eva()) as user:
        seen = text_of(user.get(f"/tasks/{done}").text)
    assert "the approved result, to its recipients" in seen
    assert "under a mask" not in seen.partition("What crossed the wire")[2].partition("The plan")[0]


def test_what_crossed_is_what_the_server_counted(work, done):
    from cloister.node.tasks.crossing import crossed, events_of

    durable = work["Ash"].node.durable
    events = list(events_of(durable, done))
    rows = crossed(events)
    assert sum(row.messages for row in rows if row.direction == "sent") == sum(
        event.kind == "message.delivered" for event in events
    )
    assert sum(row.size for row in rows if row.direction == "received") == sum(
        event.facts["bytes"] for event in events if event.kind == "message.accepted"
    )
    assert {row.party for row in rows} <= {house.node.party for house in work.houses.values()}


def test_the_live_part_is_sent_as_things_happen_and_ends_with_the_task(work, done, ash):
    with ash.stream("GET", f"/tasks/{done}/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = "".join(answer.iter_text())
    assert "event: end" in told
    assert told.count("event: \n") >= 1
    assert "The result was delivered." in told
    with ash.stream("GET", f"/api/v1/tasks/{done}/events") as answer:
        events = "".join(answer.iter_text())
    assert "event: task.finished" in events
    assert events.rstrip().endswith("data:")
    assert "What crossed the wire" in ash.get(f"/tasks/{done}/live").text


def test_a_running_task_is_stopped_with_a_reason_and_says_why(work):
    task = work.ask(rounds=60)
    work.approve(task)
    until("the start", lambda: work[LAB].node.durable.task(task))
    with closing(work["Birch"].eva()) as birch:
        until("the start at Birch", lambda: work["Birch"].node.durable.task(task))
        stopped = birch.post(f"/tasks/{task}/stop", data={"reason": "Maintenance"})
        assert "Stopped. The others are told." in text_of(stopped.text)
        said = text_of(birch.get(f"/tasks/{task}").text)
    assert "The task was stopped by a person at one of its servers." in said
    assert "Maintenance" in said
    assert "It was at this step:" in said
    work.ended(task)
    with closing(work[LAB].eva()) as lab:
        told = text_of(lab.get(f"/tasks/{task}").text)
    assert "left" in told
    assert "Try again" in told


def test_who_may_only_read_neither_decides_nor_stops(work, done, ash):
    task = work.ask()
    work.asked_at("Ash", task)
    work["Ash"].site.accounts.add("Ana", {"analyst"}, PASSWORD)
    with work["Ash"].visitor() as analyst:
        analyst.sign_in("Ana")
        assert analyst.get(f"/tasks/{task}").status_code == 200
        assert f"/tasks/{task}/decide" not in analyst.get(f"/tasks/{task}").text
        for act in ("approve", "refuse", "withdraw", "stop"):
            assert analyst.post(f"/tasks/{task}/{act}").status_code == 403
        assert analyst.get(f"/tasks/{task}/decide").status_code == 403
    assert work["Ash"].node.tasks.summary(task)["status"] == "pending"
    ash.post(f"/tasks/{task}/refuse")


def test_deciding_takes_the_right_that_asks_for_the_password_again(work):
    found = {
        (method, route.path): right_of(route)
        for route in work["Ash"].serving._app.routes
        if route.path.startswith("/tasks/")
        for method in route.methods
    }
    for act in (("GET", "decide"), ("POST", "approve"), ("POST", "refuse"), ("POST", "withdraw")):
        assert found[act[0], f"/tasks/{{task}}/{act[1]}"] in BINDING


def test_a_request_from_elsewhere_decides_nothing(work, ash):
    task = work.ask()
    work.asked_at("Ash", task)
    answer = ash.post(
        f"/tasks/{task}/approve",
        headers={"origin": "https://elsewhere.example"},
        data={"with_records": "yes"},
    )
    assert answer.status_code == 403
    assert work["Ash"].node.tasks.summary(task)["status"] == "pending"
    ash.post(f"/tasks/{task}/refuse")


@pytest.mark.parametrize(
    "task", ["sha256:" + "0" * 64, "%2e%2e%2fetc", "x" * 3000, "<script>", "latest", "\u202e"]
)
@pytest.mark.parametrize("part", ["", "/live", "/stream", "/decide"])
def test_a_task_that_is_not_here_is_not_found_whatever_it_is_called(ash, task, part):
    answer = ash.get(f"/tasks/{task}{part}")
    assert answer.status_code in {400, 404}
    assert "<script>" not in answer.text


def test_a_reason_that_is_too_long_is_refused(work, ash):
    task = work.ask()
    work.asked_at("Ash", task)
    assert ash.post(f"/tasks/{task}/refuse", data={"reason": "x" * 201}).status_code == 422
    assert work["Ash"].node.tasks.summary(task)["status"] == "pending"
    assert ash.post(f"/tasks/{task}/refuse", data={"reason": "x" * 200}).status_code == 200
