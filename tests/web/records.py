"""What the tests of figures and disclosed records share: labelled pictures at an owner, a question about them from the lab."""

from __future__ import annotations

from pathlib import Path

from cloister.disclosure.documents import DAY
from cloister.node.chores import DISCLOSURES
from cloister.node.disclosures.giving import Offer
from cloister.node.figures.asking import Wanted
from node.test_figures_of_tools import InThisProcess, pictures, tool
from node.town import PURPOSE, until
from web.street import House


def photos(owner: House, lab: House, folder: Path) -> None:
    """The owner registers labelled pictures; the lab's server knows of them, and no worker is started to look at them."""
    owner.node.figures.answering._make_looker = InThisProcess
    facts = {"name": "photos", "title": "Photos", "residency": "DE", "sensitivity": {"image": "internal"}}
    owner.node.datasets.add(pictures(folder), facts)
    owner.node.steward.wake("documents")
    until("the pictures in the lab's catalogue", lambda: known(lab, owner))


def disclosed(owner: House, lab: House) -> str:
    """The owner sends one of them to the lab; returns the disclosure once it waits there."""
    node = owner.node
    until_day = node.clock.now() // DAY * DAY + 3 * DAY
    offer = Offer("photos", ("secret-1.png",), lab.node.party, "To see the light", until_day, 1, "Eva")
    name = str(node.disclosures.giving.give(offer)["disclosure"])
    node.disclosures.sending.send(name, "Eva")
    node.steward.wake(DISCLOSURES)
    until("the package", lambda: [item for item in lab.node.disclosures.arriving.listing() if item["whole"]])
    return name


def known(lab: House, owner: House) -> bool:
    return ("photos", owner.node.party) in {
        (item.name, item.owner) for item in lab.node.datasets.catalogue().values()
    }


def asked(lab: House, owner: House, purpose: str = PURPOSE, **changes: int) -> str:
    """The lab asks about them; returns the question once it waits at the owner."""
    wanted = Wanted(owner.node.party, "photos", tool(**changes), (), purpose, None, "lena")
    name = str(lab.node.figures.asking.ask(wanted)["question"])
    lab.node.figures.asking.tell()
    until("the question", lambda: owner.node.figures.answering.one(name))
    return name
