"""An agreement's sentences about its use: who takes part, which data, what may be done with it, who sees what."""

from __future__ import annotations

from collections.abc import Mapping

from cloister.agreements.clauses import AllowedComputation
from cloister.agreements.plain import Reader, Sentence, join, short
from cloister.foundation.text import several

KINDS: Mapping[str, str] = {
    "training": "train a model on it",
    "query": "count and average over it",
    "join": "find what the owners' lists have in common",
    "scoring": "score records with a model",
    "statement": "prove a statement about it",
}
WORK: Mapping[str, str] = {
    **KINDS,
    "training": "train a model",
    "query": "count and average",
    "statement": "prove a statement",
}
"""The same, where the data is named elsewhere."""
ROLES: Mapping[str, str] = {
    "owner": "gives data to work on",
    "researcher": "may ask for work to be done",
    "user": "may use results",
    "witness": "watches the log",
    "auditor": "may look at the log's entries",
}
SENSITIVITY: Mapping[str, str] = {
    "public": "public data only",
    "internal": "nothing more sensitive than internal data",
    "confidential": "nothing more sensitive than confidential data",
    "personal": "also personal data",
}


def members(reader: Reader) -> tuple[Sentence, ...]:
    """Who takes part, and as what."""
    found = []
    for number, member in enumerate(reader.terms.members):
        what = join([ROLES[role] for role in member.roles])
        seats = f" In a task it may sit as {join(list(member.seats))}." if member.seats else ""
        text = f"{reader.name(member.party)} {what}.{seats}"
        found.append(Sentence(text, "parties", reader.places.member(number)))
    return tuple(found)


def datasets(reader: Reader) -> tuple[Sentence, ...]:
    """Which data may be used, and how far."""
    found = []
    for number, item in enumerate(reader.terms.datasets):
        version = (
            f"exactly the version {short(item.commitment)}"
            if item.commitment
            else "as registered at the time"
        )
        columns = f" Only these columns: {', '.join(item.columns)}." if item.columns else ""
        text = f"“{item.name}” of {reader.name(item.owner)}, {version}; {SENSITIVITY[item.sensitivity]}.{columns}"
        found.append(Sentence(text, "datasets", reader.places.dataset(number)))
        if item.samples is not None:
            text = (
                f"{reader.name(item.owner)} may disclose at most {several(item.samples, 'record')} of “{item.name}” to the"
                " researchers named here: those that its people select, each time by a decision of their own, sealed, for one"
                " of the purposes named here and until a date. What somebody was shown cannot be made unseen."
            )
            place = reader.places.dataset(number, "samples")
            found.append(Sentence(text, "disclosed-records", place, "care"))
        if item.figures is not None:
            text = (
                f"{reader.name(item.owner)}'s server answers at most {several(item.figures, 'question')} of the researchers named"
                f" here about how well a tool does on the labelled pictures of “{item.name}”, without asking a person: rounded"
                " means over at least 10 pictures, with noise where there is a privacy budget. The same question is answered"
                " alike and counts once. Without noise such means tell something about single pictures."
            )
            place = reader.places.dataset(number, "figures")
            found.append(Sentence(text, "answered-figures", place, "care"))
    return tuple(found)


def computations(reader: Reader) -> tuple[Sentence, ...]:
    """What may be done with the data, and what for."""
    terms, places = reader.terms, reader.places
    found = []
    for number, item in enumerate(terms.computations):
        found.extend(_computation(reader, number, item))
    found.append(Sentence(f"Only for: {'; '.join(terms.purposes)}.", "purpose", places.term("purposes")))
    if terms.forbidden:
        listed = ", ".join(short(digest) for digest in terms.forbidden)
        text = f"Never, whoever approves it: the computations {listed}."
        found.append(Sentence(text, "forbidden", places.prohibition("forbidden")))
    text = "Everything else is forbidden. Nobody reads records outside their owner's server"
    shown = any(item.samples is not None for item in terms.datasets)
    text += ", except those that their owner discloses as said above." if shown else "."
    found.append(Sentence(text, "default", places.prohibition("reading-outside")))
    return tuple(found)


def _computation(reader: Reader, number: int, item: AllowedComputation) -> list[Sentence]:
    def place(field: str) -> str | None:
        return reader.places.computation(number, field) or reader.places.computation(number)

    methods = join(list(item.protections))
    found = [
        Sentence(
            f"Researchers may {KINDS[item.kind]}, by the privacy method {methods}.",
            "computation",
            reader.places.computation(number),
        )
    ]
    if item.experimental:
        text = f"Accepted although experimental: {join(list(item.experimental))}."
        found.append(Sentence(text, "experimental", place("experimental"), "care"))
    listed = ", ".join(short(digest) for digest in item.digests)
    if item.approval == "listed":
        text = f"Only these computations, which everybody approves by signing: {listed}."
    elif item.digests:
        text = f"Approved by signing: {listed}. Any other only after each owner concerned has approved it."
    else:
        text = "Each time, each owner concerned first looks at the computation and approves it."
    found.append(Sentence(text, "approval", place("digests" if item.digests else "approval")))
    if item.kind == "training" and item.records == "owner-accepts":
        text = (
            "A model may be trained without added noise only if each owner accepts, for that computation, that the "
            "result may contain input records."
        )
        if item.digests_with_records:
            with_records = ", ".join(short(digest) for digest in item.digests_with_records)
            text += f" By signing, everybody accepts it for {with_records}."
        found.append(Sentence(text, "records", place("records"), "care"))
    return found


def sees(reader: Reader) -> tuple[Sentence, ...]:
    """What each one gets to see."""
    return (
        Sentence(
            "Each owner sees its own data, every plan that uses it, and the state of every task.", "default"
        ),
        Sentence(
            "What each one sees on the way depends on the privacy method. Each plan lists it and is shown before "
            "anything runs.",
            "claims",
        ),
        Sentence(
            f"An approved result goes to {reader.list(reader.terms.recipients)}, and to nobody else.",
            "recipients",
            reader.places.term("recipients"),
        ),
        Sentence(
            "The relay passes sealed messages on. It sees who sends how much to whom, and when.", "claims"
        ),
    )
