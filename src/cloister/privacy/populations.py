"""Protected populations: whose units a budget protects, its limit, and which datasets belong to it.

Rules 1 and 8 of `budgets` are kept here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused, Tampered
from cloister.privacy.book import Book
from cloister.privacy.filters import Limit, Method

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Population(BaseModel):
    """A protected population as its owner declared it.

    Attributes:
        name: at its owner's node, as in agreements (`terms.Budget.population`).
        unit: what one unit is, for example `image`.
        limit: how much may be spent of it in all.
        highest: the highest epsilon and delta that the limit ever had (rule 8).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    unit: Name
    epsilon: float
    delta: float
    method: Method
    anchor: int
    highest: tuple[float, float] = Field(strict=False)
    opened: int

    @property
    def limit(self) -> Limit:
        """The present limit."""
        return Limit(self.epsilon, self.delta, self.method, self.anchor)


def open_population(
    book: Book, name: str, unit: str, epsilon: float, delta: float, method: Method = "sums", *, now: int
) -> Population:
    """Declares a population. Raises `Conflict` if it is there in another form, `BadInput` for impossible numbers."""
    limit = Limit(epsilon, delta, method)
    try:
        wanted = Population(
            name=name,
            unit=unit,
            epsilon=epsilon,
            delta=delta,
            method=method,
            anchor=limit.anchor,
            highest=(epsilon, delta),
            opened=now,
        )
    except ValidationError:
        raise BadInput("A population's name or unit is missing or too long.", "", "Choose another.") from None
    if book.population(name) is not None:
        found = population(book, name)
        if (found.unit, found.limit) == (unit, limit):
            return found
        raise Conflict(
            "There is a population of that name with another unit or budget.",
            "A population's budget is one, across datasets and agreements.",
            "Use its name, or change its limit.",
            clause="population",
        )
    book.put_population(name, _bytes(wanted))
    return wanted


def population(book: Book, name: str) -> Population:
    """A declared population. Raises `NotFound`."""
    found = book.population(name)
    if found is None:
        raise NotFound(
            "This server has no population of that name.",
            "Nobody has given it a privacy budget.",
            "Declare it with its unit and its limit.",
        )
    try:
        return Population.model_validate(parse(found))
    except (ValidationError, BadInput):
        raise Tampered("A population's record has changed.", "", "Restore a backup.") from None


def set_limit(book: Book, name: str, epsilon: float, delta: float) -> Population:
    """Raises or lowers a limit (rule 8); what was spent stays spent."""
    found = population(book, name)
    found.limit.raised(epsilon, delta)
    highest = (max(found.highest[0], epsilon), max(found.highest[1], delta))
    new = found.model_copy(update={"epsilon": epsilon, "delta": delta, "highest": highest})
    book.put_population(name, _bytes(new))
    return new


def bind(book: Book, keys: Iterable[str], name: str) -> None:
    """Says that datasets belong to a population (rule 1).

    Args:
        book: where it is kept.
        keys: what the data is known by at this node: `dataset/<name>`, `commitment/<digest>`.
        name: the population.

    Raises:
        NotFound: there is no such population.
        Refused: one of the keys belongs to another population (clause `population`).
    """
    population(book, name)
    for key in keys:
        present = book.member(key)
        if present is None:
            book.add_member(key, name)
        elif present != name:
            raise Refused(
                "This data belongs to another protected population.",
                "It was bound to one before, and what was spent there protects the same units.",
                "Name that population in the agreement.",
                clause="population",
            )


def _bytes(model: BaseModel) -> bytes:
    document: dict[str, Any] = model.model_dump(mode="json")
    return canonical(document)
