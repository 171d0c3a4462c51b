"""The templates in words, for whoever chooses among them: what each is for, whom it needs, what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class UsualCase:
    """One template as people choose it.

    Attributes:
        name: the template's.
        title: what it is called.
        says: what it is for, in a sentence or two.
        owners: who brings data.
        researchers: who asks.
        least_owners: how many bring data at least.
        least_researchers: how many ask at least; 0 where the owners ask themselves.
        always_noise: whether results are always differentially private.
        groups: whether answers speak of groups, so that a smallest size can be set.
    """

    name: str
    title: str
    says: str
    owners: str
    researchers: str
    least_owners: int = 1
    least_researchers: int = 1
    always_noise: bool = False
    groups: bool = False


_CASES = (
    UsualCase(
        "factories-and-lab",
        "Factories and a lab",
        "Three or more factories train a model together. A lab asks for it and coordinates. Nobody sees another's records, and no "
        "factory learns another's contribution.",
        "The factories, and what each brings",
        "The lab",
        least_owners=3,
    ),
    UsualCase(
        "banks",
        "Banks",
        "Banks compare notes, for example on fraud: joint counts and overlaps. Nobody's customers are shown.",
        "The banks, and what each brings",
        "Who may ask; the banks themselves, if nobody is chosen",
        least_owners=2,
        least_researchers=0,
        groups=True,
    ),
    UsualCase(
        "retailers",
        "Retailers",
        "Retailers learn how much their customers overlap and what they spend together, in groups of 50 or more.",
        "The retailers, and what each brings",
        "Who may ask; the retailers themselves, if nobody is chosen",
        least_owners=2,
        least_researchers=0,
        groups=True,
    ),
    UsualCase(
        "clinic-and-lab",
        "A clinic and a lab",
        "Patients' records help a lab's model. Noise is always added, and recipients are few.",
        "The clinics, and what each brings",
        "The lab",
        always_noise=True,
        groups=True,
    ),
    UsualCase(
        "vendor-scoring",
        "Scoring by a vendor",
        "A customer has its records scored by a vendor's model. Neither shows the other what it has; only the customer gets the "
        "scores.",
        "The customers, and what each brings",
        "The vendor",
    ),
    UsualCase(
        "one-researcher-one-owner",
        "One researcher, one owner",
        "The smallest case: one researcher asks, one owner looks at each computation and approves it.",
        "The owner, and what it brings",
        "The researcher",
        groups=True,
    ),
)

USUAL_CASES: Mapping[str, UsualCase] = MappingProxyType({case.name: case for case in _CASES})
"""By the template's name, in the order in which people are asked."""
