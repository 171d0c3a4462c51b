"""An agreement's sentences about its limits: what is promised and what not, budgets, releases, witnesses, duties, its end."""

from __future__ import annotations

from cloister.agreements.clauses import Floor
from cloister.agreements.plain import Reader, Sentence, days, instant, join, size, times
from cloister.agreements.terms import Terms
from cloister.claims.statements import ASSUMPTIONS, number, statement
from cloister.claims.vocabulary import Artefact, Assumption, Disclosed


def promised(reader: Reader) -> tuple[Sentence, ...]:
    """What every plan has to keep."""
    terms, places = reader.terms, reader.places
    found = []
    for position, floor in enumerate(terms.floors):
        found.extend(_floor(reader, position, floor))
    if terms.minimum_parties > 1:
        text = f"Every result comes from the data of at least {terms.minimum_parties} owners."
        found.append(Sentence(text, "minimum-parties", places.term("minimum_parties")))
    if terms.minimum_group > 1:
        text = f"No answer speaks of a group of fewer than {terms.minimum_group}."
        found.append(Sentence(text, "minimum-group", places.term("minimum_group")))
    text = f"Methods that promise to withstand colluding parties must withstand {terms.colluders} of them."
    found.append(Sentence(text, "colluders", places.term("colluders")))
    who = "owner" if terms.dropouts == 1 else "owners"
    text = (
        f"Up to {terms.dropouts} {who} may drop out of a task that still gives a result."
        if terms.dropouts
        else "A task gives a result only if every owner stays to the end."
    )
    found.append(Sentence(text, "dropouts", places.term("dropouts")))
    if terms.residency:
        text = f"The data is kept in {join(list(terms.residency))}."
        found.append(Sentence(text, "residency", places.term("residency")))
    return tuple(found)


def _floor(reader: Reader, position: int, floor: Floor) -> list[Sentence]:
    whose = f"{reader.name(floor.party)} asks: " if floor.party else ""
    found = [
        Sentence(whose + statement(claim), "claims", reader.places.claim(position, place))
        for place, claim in enumerate(floor.claims)
    ]
    accepted = [ASSUMPTIONS[item] for item in floor.accepted if item is not Assumption.NONE]
    if accepted:
        text = f"{whose}This counts also {'; or '.join(accepted)}."
        found.append(Sentence(text, "claims", reader.places.term("floors", position)))
    return found


def not_promised(reader: Reader) -> tuple[Sentence, ...]:
    """What nobody should rely on."""
    terms, places = reader.terms, reader.places
    found = []
    for position, item in enumerate(terms.computations):
        if item.records == "owner-accepts":
            text = "Where an owner accepts training without added noise, the model may contain parts of its records."
            found.append(Sentence(text, "records", places.computation(position, "records"), "care"))
    if _coordinator_sees(terms):
        text = (
            "The coordinator of a training sees each owner's model update, which may contain input records."
        )
        found.append(Sentence(text, "claims", None, "care"))
    if not terms.budgets:
        text = "No limit is set on what results tell about single records; no privacy budget is agreed."
        found.append(Sentence(text, "budget", None, "care"))
    if terms.owners_per_unit is None and terms.budgets:
        text = "It is not stated that the owners' records are of different people or things; noise is planned for that."
        found.append(Sentence(text, "owners-per-unit"))
    if terms.owners_per_unit is not None:
        text = (
            f"It is assumed, and not checked, that one and the same person or thing is at no more than "
            f"{terms.owners_per_unit} of the owners."
        )
        found.append(Sentence(text, "owners-per-unit", places.term("owners_per_unit")))
    if terms.minimum_parties == 1:
        text = "A result may come from the data of one owner alone."
        found.append(Sentence(text, "minimum-parties", places.term("minimum_parties")))
    if terms.minimum_group == 1:
        text = "No smallest group is set for answers."
        found.append(Sentence(text, "minimum-group", places.term("minimum_group")))
    found.append(Sentence("Nobody can check that an owner's data is true.", "default"))
    found.append(
        Sentence("What a recipient does with an approved result cannot be taken back or watched.", "default")
    )
    return tuple(found)


def _coordinator_sees(terms: Terms) -> bool:
    # Methods are no names to know here. Training without added noise shows the coordinator every update unless the
    # method hides them, and then a floor can ask for that; where none does, nobody has promised it.
    hidden = any(
        claim.artefact is Artefact.UPDATE
        and "coordinator" in claim.against.seats
        and not isinstance(claim.reached, Disclosed)
        for floor in terms.floors
        for claim in floor.claims
    )
    return not hidden and any(
        item.kind == "training" and item.records == "owner-accepts" for item in terms.computations
    )


def budgets(reader: Reader) -> tuple[Sentence, ...]:
    """How much privacy may be spent."""
    return tuple(
        Sentence(
            f"Of {reader.name(item.owner)}'s “{item.dataset}” (protected population “{item.population}”, each "
            f"{item.unit} by itself): epsilon {number(item.epsilon)} and delta {number(item.delta)} in all. Smaller "
            "means more private; when it is spent, nothing more is answered.",
            "budget",
            reader.places.term("budgets", position),
        )
        for position, item in enumerate(reader.terms.budgets)
    )


def release(reader: Reader) -> tuple[Sentence, ...]:
    """When a result may leave."""
    terms, places = reader.terms, reader.places
    text = (
        f"At least {terms.release.quorum} of {len(terms.owners)} owners must sign a result before it leaves."
    )
    found = [Sentence(text, "quorum", places.term("release.quorum"))]
    if terms.release.quality is not None:
        text = (
            f"An owner's server signs only if {terms.release.quality.metric}, measured there on its own check data, is "
            f"at least {number(terms.release.quality.minimum)}; the figure itself stays there."
        )
        if terms.budgets:
            text += " Where a privacy budget covers that data, noise decides close calls, so that on little data it may be wrong."
        found.append(Sentence(text, "quality", places.term("release.quality")))
    text = (
        f"A computation may be tried on an owner's data {times(terms.release.attempts)}: every task that gets an answer "
        "from the data counts, however it ends."
    )
    found.append(Sentence(text, "attempts", places.term("release.attempts")))
    text = f"A result has at most {size(terms.release.max_bytes)}."
    found.append(Sentence(text, "size", places.term("release.max_bytes")))
    text = f"It goes to {reader.list(terms.recipients)}."
    found.append(Sentence(text, "recipients", places.term("recipients")))
    return tuple(found)


def witnesses(reader: Reader) -> tuple[Sentence, ...]:
    """Who countersigns the log."""
    terms = reader.terms
    if terms.witnesses is None:
        text = "Nobody is named to countersign the log; each server keeps its own."
        return (Sentence(text, "witnesses", None, "care"),)
    listed = tuple(item.party for item in terms.witnesses.parties)
    text = f"{reader.list(listed)} countersign the log; {terms.witnesses.threshold} of {len(listed)} must."
    if set(listed) <= {
        member.party for member in terms.members if set(member.roles) - {"witness", "auditor"}
    }:
        text += " All of them have a part in the work: if so many of them change the log together, nobody else notices it."
    return (Sentence(text, "witnesses", reader.places.term("witnesses")),)


def duties(reader: Reader) -> tuple[Sentence, ...]:
    """What the servers do besides."""
    found = []
    for position, duty in enumerate(reader.terms.duties):
        who = f"{reader.name(duty.by)}'s server" if duty.by else "Every server"
        match duty.action:
            case "delete":
                text = (
                    f"{who} erases working data and results that were not approved within {days(duty.days)}."
                )
            case "inform":
                text = f"{who} shows each release to its owner's people within {days(duty.days)}."
            case "report":
                text = f"{who} writes a summary of what was done every {days(duty.days)}."
            case "attribute":
                text = f"{who} prints in certificates and tools: “{duty.text}”."
        found.append(Sentence(text, f"duty-{duty.action}", reader.places.duty(position)))
    return tuple(found)


def ending(reader: Reader) -> tuple[Sentence, ...]:
    """Until when it holds, and how to stop it."""
    terms, places = reader.terms, reader.places
    first, last = instant(terms.valid_from), instant(terms.valid_until)
    return (
        Sentence(
            f"It holds from {first} until {last}, once every party has signed.",
            "validity",
            places.term("valid_from"),
            also=(places.term("valid_until") or "",),
        ),
        Sentence(
            "Any party can suspend it, or end it for good, alone and at once, with a reason: tasks stop, nothing more "
            "is answered. What was already released stays released.",
            "state",
        ),
        Sentence("A change needs a new version that every party signs.", "signatures"),
    )
