"""A researcher asks how a tool does on pictures that stay at their owner; the owner's gate decides what leaves."""

from __future__ import annotations

import dataclasses
import functools
import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest

from cloister.data.labels import Labels
from cloister.disclosure.questions import QUESTION_TYPE, read_question, sign_question
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import FixedClock, rfc3339
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    Unreachable,
)
from cloister.foundation.quotas import Quota
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import b64
from cloister.node.figures import measuring, scoring
from cloister.node.figures.asking import ANSWER, ASK, Wanted
from cloister.node.toolroom.workers import Looked, Told
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.log import LogRows
from cloister.storage.settings import Settings
from cloister.tools import serving
from cloister.tools.package import Package, pack
from node.town import LAB, PURPOSE, town, until
from tools.toolmaking import discs, discs_tool, png, spread_centres

ASH, OTHER = "Ash", "Birch"
NAMES = {ASH: ["owner"], LAB: ["researcher"]}
PICTURES, SIDE = 12, 110


class InThisProcess:
    """The worker's methods, called here; counts what it was given. A tool says of a picture what it said of it before: not looked at
    anew in each test."""

    looks = 0
    said: ClassVar[dict[tuple[str, bytes], Looked]] = {}

    def check(self, package):
        serving.load({}, {"package": np.frombuffer(pack(package), np.uint8)})
        return {}

    def look(self, package, owner, name, data, arguments):
        InThisProcess.looks += 1
        known = self.said.get((package.tool.digest, data))
        if known is None:
            known = self.said[package.tool.digest, data] = self._look(package, name, data, arguments)
        return known

    @staticmethod
    def _look(package, name, data, arguments):
        limits = {"max_bytes": 1 << 20, "max_pixels": 1 << 20, "max_rows": 10}
        told, arrays = serving.look(
            {"tool": package.tool.digest, "name": name, **limits, **arguments},
            {"data": np.frombuffer(data, np.uint8)},
        )
        files = {key: array.tobytes() for key, array in arrays.items()}
        return Looked(Told.model_validate(told), files, {}, started=False)

    def forget(self, _tool):
        pass

    def close(self):
        pass


def tool(**changes) -> bytes:
    return pack(Package(discs_tool(**changes)))


@functools.cache
def picture(place: int) -> tuple[list[tuple[float, float]], bytes]:
    """Where the discs of one are, and the file."""
    centres = spread_centres(SIDE, SIDE, 8, seed=place)
    return centres, png(discs(SIDE, SIDE, centres, seed=place))


def pictures(folder, number: int = PICTURES):
    """Pictures of 8 discs; of every second one, one disc too few is labelled, so that the tool counts 8 of 7."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for place in range(number):
        centres, data = picture(place)
        (folder / "images" / f"secret-{place}.png").write_bytes(data)
        told = centres[: 7 if place % 2 else 8]
        labels = {"centres": told, "diameters": [12.0] * len(told)}
        (folder / "labels" / f"secret-{place}.json").write_text(json.dumps(labels))
    return folder


@contextmanager
def begun(place, names):
    with town(place, names=names, clock=FixedClock(1_800_000_000)) as made:
        made.start()
        made.meet()
        InThisProcess.looks = 0
        for node in made.nodes.values():
            node.figures.answering._make_looker = InThisProcess
        facts = {"name": "photos", "title": "Photos", "residency": "DE", "sensitivity": {"image": "internal"}}
        made[ASH].datasets.add(pictures(place / "photos"), {**facts})
        made[ASH].steward.wake("documents")
        until("the catalogue", made[LAB].datasets.catalogue)
        yield made


@pytest.fixture
def here(tmp_path):
    """An owner with pictures, and a lab."""
    with begun(tmp_path, NAMES) as made:
        yield made


@pytest.fixture
def three(tmp_path):
    """The same, and another organisation."""
    with begun(tmp_path, NAMES | {OTHER: ["owner"]}) as made:
        yield made


def drafted(here, who: str = LAB, **changes) -> str:
    """A question that is signed, and not sent yet."""
    fields = {
        "owner": here.party[ASH],
        "dataset": "photos",
        "tool": tool(),
        "figures": (),
        "purpose": PURPOSE,
        "epsilon": None,
        "by": "lena",
    }
    return here[who].figures.asking.ask(Wanted(**fields | changes))["question"]


def ask(here, who: str = LAB, **changes) -> str:
    name = drafted(here, who, **changes)
    here[who].figures.asking.tell()
    return name


def settled(here, name: str, who: str = LAB):
    def reached():
        here[ASH].figures.answering.work()
        here[ASH].figures.tell()
        found = here[who].figures.asking.one(name)
        return found if found["state"] in ("answered", "refused") else None

    return until("the answer", reached, 60)


def approved(here, name: str):
    here[ASH].figures.answering.decide(name, "anna", approve=True)
    return settled(here, name)


def entries(node, kind: str) -> list[str]:
    with node.durable.database.read() as tx:
        return [row.document for row in LogRows(tx).scan(0, LogRows(tx).size()) if row.kind == kind]


def agreed(here, figures: int | None = 3, title: str = "Figures", **changes) -> str:
    owner = {"party": here.party[ASH], "name": ASH, "dataset": "photos"}
    made = here.terms(
        template="one-researcher-one-owner",
        quality=None,
        title=title,
        owners=[owner if figures is None else {**owner, "figures": figures}],
        **changes,
    )
    lab, ash = here[LAB], here[ASH]
    digest = lab.agreements.propose(made)
    until("it", lambda: ash.agreements.find(digest))
    ash.agreements.sign(digest)
    until("it to hold", lambda: str(ash.agreements.state(digest)) == "finalized")
    return digest


def test_a_person_lets_the_figures_out_and_both_logs_and_the_signature_say_so(here):
    name = ask(here)
    assert here[LAB].figures.asking.one(name)["state"] == "waiting"
    here[ASH].figures.answering.work()
    assert here[ASH].figures.one(name)["state"] == "waiting", "nobody's silence is a yes"
    assert InThisProcess.looks == 0, "nothing is even measured"
    found = approved(here, name)
    assert InThisProcess.looks == PICTURES
    # Half the pictures are counted right, half 8 instead of 7; the step is 0.1, as one of twelve can change a twelfth.
    assert found["figures"] == {
        "count-accuracy": round((1 + 6 / 7) / 2, 1),
        "f1": round((1 + 14 / 15) / 2, 1),
        "d50-accuracy": found["figures"]["d50-accuracy"],
    }
    assert found["step"] == 0.1
    assert found["records"] == 10, "in tens"
    assert found["noise"] is None
    assert here[ASH].figures.one(name)["decided_by"] == "anna"
    assert set(entries(here[ASH], "disclosure")) == set(entries(here[LAB], "disclosure"))
    assert len(entries(here[ASH], "disclosure")) == 2
    assert entries(here[ASH], "decision")
    assert not list((here[ASH].folder.root / "figures" / "taken").iterdir()), "the tool is not kept"


def test_a_person_says_no_and_nothing_is_measured(here):
    name = ask(here)
    here[ASH].figures.answering.decide(name, "anna", approve=False)
    found = settled(here, name)
    assert found["state"] == "refused"
    assert found["refused"] == "a-person"
    assert found["figures"] == {}
    assert InThisProcess.looks == 0
    with pytest.raises(Conflict):
        here[ASH].figures.answering.decide(name, "anna", approve=True)


def test_the_same_question_is_measured_once_and_answered_alike(here):
    first = approved(here, ask(here))
    here.clock.advance(60)
    again = ask(here, figures=("f1",), epsilon=1.0)
    second = approved(here, again)
    assert InThisProcess.looks == PICTURES
    assert second["figures"] == {"f1": first["figures"]["f1"]}
    assert here[ASH].figures.one(again)["measured"] == 1
    here.clock.advance(60)
    approved(here, ask(here, tool=tool(min_distance=6)))
    assert here[ASH].figures.one(again)["measured"] == 2, "another tool is another question"


def test_an_agreement_with_the_clause_asks_nobody_as_often_as_it_says(here):
    agreement = agreed(here, figures=1)
    name = ask(here)
    found = settled(here, name)
    assert found["state"] == "answered"
    assert here[ASH].figures.one(name)["under"] == [agreement]
    assert here[ASH].figures.one(name)["decided_by"] is None
    here.clock.advance(5)
    assert settled(here, ask(here))["state"] == "answered", "the same question counts once"
    here.clock.advance(5)
    other = ask(here, tool=tool(min_distance=6))
    assert here[LAB].figures.asking.one(other)["state"] == "waiting", "the next one needs a person"


def unsent(here, **changes) -> bytes:
    """A question as the lab's server would send it."""
    name = drafted(here, **changes)
    with here[LAB].durable.database.read() as tx:
        signed = Envelope.stored(Documents(tx).get(name)).encode()
    return struct.pack(">I", len(signed)) + signed + here[LAB].figures.asking._place(name).read_bytes()


def test_questions_asked_at_once_find_no_more_room_than_the_clause_leaves(here, monkeypatch):
    agreed(here, figures=1)
    answering = here[ASH].figures.answering
    permitted = answering._permitted

    def slowly(question):
        found = permitted(question)
        time.sleep(0.2)
        return found

    monkeypatch.setattr(answering, "_permitted", slowly)
    bodies = [unsent(here, tool=tool(min_distance=distance)) for distance in (5, 6, 7, 8)]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda body: answering.on_question(here.party[LAB], body), bodies))
    assert sorted(told) == [b'{"state":"approved"}', *[b'{"state":"waiting"}'] * 3]


def test_what_no_person_let_out_waits_for_one_when_the_clause_has_no_room_left_at_measuring(here):
    agreement = agreed(here, figures=1)
    first = ask(here)
    second = ask(here, tool=tool(min_distance=6))
    key = f"figures/taken/{second}"
    with here[ASH].durable.database.transaction() as tx:
        note = Settings(tx).get(key)
        Settings(tx).put(key, {**note, "state": "approved", "under": [agreement]})
    answering = here[ASH].figures.answering
    answering.work()
    assert sorted(answering.one(name)["state"] for name in (first, second)) == ["answered", "waiting"]
    (waits,) = answering.waiting()
    assert approved(here, waits["question"])["state"] == "answered"


def test_an_agreement_without_the_clause_leaves_it_to_a_person_and_another_purpose_forbids(here):
    agreed(here, figures=None)
    assert here[LAB].figures.asking.one(ask(here))["state"] == "waiting"
    name = ask(here, purpose="Something else")
    found = here[LAB].figures.asking.one(name)
    assert found["state"] == "refused"
    assert "purposes" in found["why"]
    with pytest.raises(NotFound):
        here[ASH].figures.answering.one(name)


def test_two_agreements_both_have_to_permit(here):
    agreed(here, figures=3)
    agreed(here, figures=None, title="Another")
    assert here[LAB].figures.asking.one(ask(here))["state"] == "waiting"


def test_under_a_budget_figures_have_noise_are_charged_once_and_never_without_an_epsilon(here):
    agreed(here, figures=5, epsilon=4.0, delta=1e-5, unit="image")
    node = here[ASH]
    bare = settled(here, ask(here))
    assert (bare["state"], bare["refused"]) == ("refused", "budget")
    here.clock.advance(5)
    found = settled(here, ask(here, epsilon=2.0))
    assert found["state"] in ("answered", "refused")
    assert len(entries(node, "charge")) == 1
    if found["state"] == "answered":
        assert found["noise"]["epsilon"] == 2.0
    here.clock.advance(5)
    again = settled(here, ask(here, epsilon=2.0))
    assert again["figures"] == found["figures"]
    assert len(entries(node, "charge")) == 1, "the same answer costs nothing"
    here.clock.advance(5)
    more = settled(here, ask(here, epsilon=3.0, tool=tool(min_distance=6)))
    assert more["refused"] == "budget", "2 of 4 are spent"
    assert len(entries(node, "charge")) == 1


def test_too_few_pictures_tell_nothing(here, tmp_path):
    facts = {"name": "few", "title": "Few", "residency": "DE"}
    here[ASH].datasets.add(pictures(tmp_path / "few", 9), facts)
    here[ASH].steward.wake("documents")
    until("the catalogue", lambda: len(here[LAB].datasets.catalogue()) == 2)
    found = approved(here, ask(here, dataset="few"))
    assert found["refused"] == "too-few-records"
    assert found["figures"] == {}


def test_who_is_not_trusted_or_is_somebody_else_is_not_heard(three):
    name = ask(three)
    with three[LAB].durable.database.read() as tx:
        envelope = Envelope.stored(Documents(tx).get(name))
    signed = envelope.encode()
    body = struct.pack(">I", len(signed)) + signed + tool()
    with pytest.raises(NotTrusted):
        three[OTHER].call(three.party[ASH], ASK, body, 20)
    forged = sign_question(read_question(envelope), three[OTHER].keys).encode()
    with pytest.raises(NotTrusted):
        three[OTHER].call(three.party[ASH], ASK, struct.pack(">I", len(forged)) + forged + tool(), 20)
    with pytest.raises(BadInput):
        three[LAB].call(three.party[ASH], ASK, struct.pack(">I", 99999999) + signed, 20)
    three[ASH].parties.unpin(three.party[LAB])
    with pytest.raises(Refused):
        three[LAB].call(three.party[ASH], ASK, body, 20)


def test_another_tool_than_was_named_is_refused(here):
    node = here[LAB]
    name = ask(here)
    with node.durable.database.read() as tx:
        question = read_question(Envelope.stored(Documents(tx).get(name)))
    changed = question.model_copy(update={"made": rfc3339(here.clock.now() - 1)})
    signed = sign_question(changed, node.keys).encode()
    with pytest.raises(BadInput):
        node.call(here.party[ASH], ASK, struct.pack(">I", len(signed)) + signed + tool(min_distance=7), 20)


@pytest.mark.parametrize("said", [b"[]", b'"x"', b"", b'{"state":"evil"}', b'{"state":["waiting"]}'])
def test_whatever_an_owner_says_of_a_question_it_waits(here, monkeypatch, said):
    monkeypatch.setattr(here[LAB].figures.asking, "_call", lambda *_: said)
    assert here[LAB].figures.asking.one(ask(here))["state"] == "waiting"


def test_an_owner_that_never_answers_holds_the_others_up_once_a_round(three, monkeypatch):
    asking, called = three[LAB].figures.asking, []
    three[OTHER].datasets.add(
        three[ASH].folder.root.parent / "photos", {"name": "theirs", "title": "Theirs", "residency": "DE"}
    )
    three[OTHER].steward.wake("documents")
    until("the catalogue", lambda: len(three[LAB].datasets.catalogue()) == 2)

    def call(owner, *_):
        called.append(owner)
        if owner == three.party[ASH]:
            raise Unreachable("It does not answer.", "", "")
        return b'{"state":"waiting"}'

    monkeypatch.setattr(asking, "_call", lambda *_: (_ for _ in ()).throw(Unreachable("Not yet.", "", "")))
    for purpose in ("One", "Two", "Three"):
        ask(three, purpose=purpose)
    other = ask(three, owner=three.party[OTHER], dataset="theirs")
    monkeypatch.setattr(asking, "_call", call)
    asking.tell()
    assert sorted(called) == sorted([three.party[ASH], three.party[OTHER]])
    assert asking.one(other)["state"] == "waiting"


def test_answers_leave_whatever_becomes_of_questions(here, monkeypatch):
    name = ask(here)
    here[ASH].figures.answering.decide(name, "anna", approve=True)
    here[ASH].figures.answering.work()

    def broken():
        raise RuntimeError

    monkeypatch.setattr(here[ASH].figures.asking, "tell", broken)
    with pytest.raises(RuntimeError):
        here[ASH].figures.tell()
    assert here[LAB].figures.asking.one(name)["state"] == "answered"


def test_an_answer_by_another_than_the_owner_or_a_changed_one_does_not_count(three):
    name = ask(three)
    approved(three, name)
    with three[ASH].durable.database.read() as tx:
        ((_, answer),) = Documents(tx).find("application/vnd.cloister.figures-answer+json", question=name)
    other = ask(three, tool=tool(min_distance=6))
    good = Envelope.decode(answer)
    moved = b64(canonical({**good.document(), "question": other}))
    forged = Envelope.from_json({**good.model_dump(mode="json"), "payload": moved})
    for body in (forged.encode(), answer[:-10], b"{}"):
        with pytest.raises(CloisterError):
            three[ASH].call(three.party[LAB], ANSWER, body, 20)
    with pytest.raises(NotTrusted):
        three[OTHER].call(three.party[LAB], ANSWER, answer, 20)
    assert three[LAB].figures.asking.one(other)["figures"] == {}


def test_a_tool_that_fails_at_a_picture_or_finds_nothing_scores_nothing_there_and_tells_no_more(
    here, monkeypatch
):
    """No refusal tells of one picture: a tool made to fail where a picture has something gets a figure like any other."""
    real = InThisProcess.look

    def look(self, package, owner, name, data, arguments):
        if InThisProcess.looks % 3 == 0:
            InThisProcess.looks += 1
            raise BadInput("secret-1.png", "its pixels are …", "")
        return real(self, package, owner, name, data, arguments)

    monkeypatch.setattr(InThisProcess, "look", look)
    found = approved(here, ask(here))
    assert found["state"] == "answered"
    assert found["figures"]["count-accuracy"] == pytest.approx(round((2 / 3) * (1 + 6 / 7) / 2, 1), abs=0.1)
    assert "secret" not in json.dumps(here[LAB].figures.asking.one(ask(here)))


def test_a_picture_too_large_for_the_tool_scores_nothing_and_the_others_are_measured(here, monkeypatch):
    limits = measuring.LIMITS
    sizes = sorted(len(picture(place)[1]) for place in range(PICTURES))
    monkeypatch.setattr(measuring, "LIMITS", dataclasses.replace(limits, file_bytes=sizes[-1] - 1))
    found = approved(here, ask(here))
    assert found["state"] == "answered"
    assert 0 < InThisProcess.looks < PICTURES


def test_more_objects_than_are_matched_in_time_count_as_none_found(monkeypatch):
    labels = Labels(centres=((0.0, 0.0), (50.0, 0.0)), diameters=(10.0, 10.0))
    table = b"x (px),y (px)\n" + b"0,0\n50,0\n90,90\n"
    assert scoring.scores(labels, 3, table)["f1"] == 0.8
    monkeypatch.setattr(scoring, "MAX_PAIRS", 5)
    assert scoring.scores(labels, 3, table)["f1"] == 0.0
    # Laid out on a line, where an assignment takes longest: answered at once.
    monkeypatch.undo()
    line = tuple((float(place), 0.0) for place in range(5000))
    many = b"x (px),y (px)\n" + b"".join(b"%d,0\n" % place for place in range(20_000))
    begun_at = time.monotonic()
    assert scoring.scores(Labels(centres=line, diameters=(1e5,) * 5000), 1, many)["f1"] == 0.0
    assert time.monotonic() - begun_at < 5


def test_a_list_looks_at_the_questions_about_a_dataset_once(here, monkeypatch):
    names = [ask(here, purpose=purpose) for purpose in ("One", "Two", "Three")]
    approved(here, names[0])
    answering = here[ASH].figures.answering
    history, looked = answering._history, []

    def counted(commitment):
        looked.append(commitment)
        return history(commitment)

    monkeypatch.setattr(answering, "_history", counted)
    assert [item["measured"] for item in answering.listing()] == [1, 1, 1]
    assert len(looked) == 1


def forbidden(here, number: int) -> bytes:
    """A question for a purpose that no agreement permits, each another one, as the lab's server would send it."""
    with here[LAB].durable.database.read() as tx:
        names = [name for name, _ in Documents(tx).find(QUESTION_TYPE)]
        question = read_question(Envelope.stored(Documents(tx).get(names[0])))
    changed = question.model_copy(update={"purpose": f"Probing, the {number}th time"})
    signed = sign_question(changed, here[LAB].keys).encode()
    return struct.pack(">I", len(signed)) + signed + tool()


def clause_of(here, body: bytes) -> str:
    with pytest.raises(Refused) as refused:
        here[LAB].call(here.party[ASH], ASK, body, 20)
    return refused.value.clause


def test_questions_that_an_agreement_forbids_are_counted_and_seen(here):
    """A refusal tells something (the purposes, how many were measured): nobody gets as many of them as it likes."""
    agreed(here, figures=3)
    ask(here)
    quota = here[ASH].figures.answering._quotas.limits["questions about figures"]
    for number in range(quota.burst - 1):
        assert clause_of(here, forbidden(here, number)) == "purpose"
    # The one that was sent before is no way around it, and neither is one that would be permitted.
    assert clause_of(here, forbidden(here, 0)) == "quota"
    here.clock.advance(1)
    late = here[LAB].figures.asking.one(ask(here, tool=tool(min_distance=6)))
    assert late["state"] == "refused"
    assert "Try again in" in late["why"]
    with here[ASH].durable.database.read() as tx:
        told = list(Events(tx).latest(("figures.forbidden",), 100))
    assert len(told) == quota.burst - 1, "and the owner's people see each, no more than were counted"
    assert told[0].facts["researcher"] == here.party[LAB]


def test_forbidden_questions_take_no_room_and_slow_down_nobody_else(three):
    agreed(three, figures=3)
    first = ask(three)
    quotas = three[ASH].figures.answering._quotas
    quota = Quota(number=3, size=1 << 20, burst=2, per_hour=60)
    quotas.limits = {**quotas.limits, "questions about figures": quota}
    three.clock.advance(3600)
    for number in range(quota.number + 2):
        three.clock.advance(60)
        assert clause_of(three, forbidden(three, number)) == "purpose"
    assert set(three[ASH].figures.answering._notes()) == {first}
    three.clock.advance(60)
    assert three[LAB].figures.asking.one(ask(three, tool=tool(min_distance=6)))["state"] == "approved"
    assert clause_of(three, forbidden(three, 0)) == "purpose"
    assert clause_of(three, forbidden(three, 0)) == "quota"
    assert three[OTHER].figures.asking.one(other_asks(three))["state"] == "waiting"


def other_asks(here) -> str:
    until("the catalogue", here[OTHER].datasets.catalogue)
    return ask(here, OTHER)


def test_what_is_no_tool_counts_like_any_question(here):
    ask(here)
    quota = here[ASH].figures.answering._quotas.limits["questions about figures"]
    with here[LAB].durable.database.read() as tx:
        ((_, signed),) = Documents(tx).find(QUESTION_TYPE)
    question = read_question(Envelope.stored(signed))
    clauses = []
    for number in range(quota.burst + 1):
        changed = question.model_copy(update={"purpose": f"Number {number}"})
        body = sign_question(changed, here[LAB].keys).encode()
        with pytest.raises((BadInput, Refused)) as error:
            here[LAB].call(here.party[ASH], ASK, struct.pack(">I", len(body)) + body + b"no tool", 20)
        clauses.append(getattr(error.value, "clause", ""))
    assert clauses[-1] == "quota"
    assert "quota" not in clauses[: quota.burst - 1]
