"""The crystal model at two servers: asked for, approved, trained, released, installed and used, each step on the pages alone."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from cloister.agreements.templates import new_from_template
from cloister.applications.crystals.factories import preset
from cloister.applications.crystals.synthesis import write_dataset
from cloister.foundation.clock import rfc3339
from web.street import street
from web.work import LAB, Work, hidden, text_of, until

ROLES = {LAB: ["researcher"], "Ash": ["owner"]}
PURPOSE = "Count crystals"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c") / "pictures"
    write_dataset(folder, preset("north"), 5, 7)
    return folder


@pytest.fixture(scope="module")
def work(pictures):
    with street(ROLES) as houses:
        made = Work(houses, ROLES)
        made.meet()
        made.agreement = agreed(made, pictures)
        yield made


def agreed(work: Work, pictures: Path) -> str:
    ash, lab = work["Ash"].node, work[LAB].node
    ash.datasets.add(pictures, {"name": "micrographs", "title": "Micrographs", "residency": "AT"})
    ash.steward.wake("documents")
    inputs = {
        "title": "Crystals",
        "owners": [{"party": ash.party, "name": "Ash", "dataset": "micrographs"}],
        "researchers": [{"party": lab.party, "name": LAB}],
        "purposes": [PURPOSE],
        "starts": rfc3339(lab.clock.now() - 60),
        "days": 3,
    }
    digest = lab.agreements.propose(new_from_template("one-researcher-one-owner", inputs).to_odrl())
    until("the agreement at Ash", lambda: ash.agreements.find(digest))
    ash.agreements.sign(digest)
    until("the agreement", lambda: str(lab.agreements.state(digest)) == "finalized")
    until("the catalogue", lab.datasets.catalogue)
    return digest


def test_the_crystal_model_goes_from_the_question_to_a_tool_that_counts(work, pictures):
    with closing(work[LAB].eva()) as lab, closing(work["Ash"].eva()) as ash:
        assert re.search(r'value="crystals"[^>]* checked', lab.get("/ask").text)
        plan = lab.post("/ask", data={"agreement": work.agreement, "what": "crystals"})
        assert "It starts from the crystal model that comes with Cloister" in text_of(plan.text)
        small = lab.get(f"{plan.url.raw_path.decode()}&rounds=1&local_steps=1")
        sent = lab.post("/ask/send", data={"plan": hidden(small.text, "plan")})
        task = sent.url.path.rpartition("/")[2]

        work.asked_at("Ash", task)
        assert "It starts from the crystal model" in text_of(ash.get(f"/tasks/{task}/decide").text)
        ash.post(f"/tasks/{task}/approve", data={"with_records": "yes"})
        assert set(work.ended(task).values()) == {"done"}
        told = text_of(lab.get(f"/tasks/{task}").text)
        assert "their contributions to round 1 are collected" in told
        assert "mask" not in told, "updates were in the clear, and nothing may say otherwise"

        result = re.search(r'href="(/results/[^"]+)"', lab.get("/results").text)[1]
        page = text_of(lab.get(result).text)
        assert "A model after 1 round " in page
        assert "Records of 1 owner, at its own server" in page
        installed = lab.post(f"{result}/tool", data={"how": "base", "base": "crystals"})
        assert "crystals 0.1.1 is installed." in text_of(installed.text)

        picture = min((pictures / "images").iterdir())
        sample = lab.post("/tools/crystals", files={"file": (picture.name, picture.read_bytes())})
        counted = text_of(sample.text)
        assert "version 0.1.1" in counted
        assert int(re.search(r"Count (\d+)", counted)[1]) > 10
        assert "Nothing left this machine" in counted
