"""Studies made of numbers, without pictures or a tool."""

from __future__ import annotations

import numpy as np

from cloister.acceptance.counts import OneCount, PeoplesCounts
from cloister.acceptance.method import Method
from cloister.acceptance.study import Limits, Plan, Study, StudyPicture, ToolRun

METHOD = Method(
    tool="crystals",
    version="0.1.0",
    content="sha256:" + "ab" * 32,
    models={"crystals": "sha256:" + "cd" * 32},
    settings={"threshold": 0.35, "scale": 1},
    micrometres_per_pixel=2.0,
    programs={"cloister": "0.1.0", "numpy": "2.3.0"},
)


def limits(form="objects", bias=5.0, agreement=20.0, **more):
    return Limits(form=form, bias=bias, agreement=agreement, **more)


def plan(number=30, repeats=2, people=("person 1", "person 2"), **more):
    given = {
        "title": "Line 3",
        "counted": "crystals",
        "created": "2026-11-22T14:00:00Z",
        "method": METHOD,
        "pictures": tuple(
            StudyPicture(name=f"p{place:03}.png", content=f"sha256:{place:064x}") for place in range(number)
        ),
        "people": people,
        "repeats": repeats,
        "limits": limits(),
        "seed": 5,
    }
    return Plan(**(given | more))


def study(made, tool):
    """`tool`: repeats x pictures; None where there is no count."""
    rows = tuple(tuple(None if count is None else int(count) for count in row) for row in tool)
    return Study(plan=made, run=ToolRun(plan=made.digest(), time="2026-11-22T15:00:00Z", counts=rows))


def counted(made, cube):
    """`cube`: pictures x people x repeats; a negative count is a missing one."""
    return PeoplesCounts(
        plan=made.digest(),
        counts=tuple(
            OneCount(image=picture.name, person=person, repeat=repeat + 1, count=int(cube[i][j][repeat]))
            for i, picture in enumerate(made.pictures)
            for j, person in enumerate(made.people)
            for repeat in range(made.repeats)
            if cube[i][j][repeat] >= 0
        ),
    )


def simulated(
    number=30, repeats=2, *, noise=1.5, tool_bias=0.0, seed=1, lowest=20, highest=150, factor=1.0, **more
):
    """A study of which everything is known: (study, counts)."""
    random = np.random.default_rng(seed)
    true = random.integers(lowest, highest, number)
    made = plan(number, repeats, **more)
    people = len(made.people)
    cube = np.maximum(0, np.round(true[:, None, None] + random.normal(0, noise, (number, people, repeats))))
    tool = np.maximum(0, np.round(factor * true + tool_bias + random.normal(0, noise, number)))
    return study(made, [tool] * max(2, repeats)), counted(made, cube)
