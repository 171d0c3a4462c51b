"""An agreement as a plant manager reads it: plain sentences, each with the machine's name of its clause beside it.

Every clause of the terms has a sentence here, so that nothing is signed that was not shown; `sections` is what a web
page prints, `describe` the same for a terminal. Names are those printed in the agreement; where the reader's own
address book has another name for a fingerprint, both are shown.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloister.agreements.clauses import AllowedComputation, Duty, Floor, Member, UsableDataset
from cloister.agreements.terms import Terms
from cloister.claims.statements import ASSUMPTIONS, number, statement
from cloister.claims.vocabulary import Artefact, Assumption, Disclosed


@dataclass(frozen=True)
class Sentence:
    """One sentence, and the machine's name of the clause that it stands for (as in refusals)."""

    text: str
    clause: str


@dataclass(frozen=True)
class Section:
    """Sentences under a heading."""

    title: str
    sentences: tuple[Sentence, ...]


KINDS: Mapping[str, str] = {
    "training": "train a model on it",
    "query": "count and average over it",
    "join": "find what the owners' lists have in common",
    "scoring": "score records with a model",
    "statement": "prove a statement about it",
}
_ROLES = {
    "owner": "gives data to work on",
    "researcher": "may ask for work to be done",
    "user": "may use results",
    "witness": "watches the log",
    "auditor": "may look at the log's entries",
}
_SENSITIVITY = {
    "public": "public data only",
    "internal": "nothing more sensitive than internal data",
    "confidential": "nothing more sensitive than confidential data",
    "personal": "also personal data",
}


def sections(terms: Terms, names: Mapping[str, str] | None = None) -> tuple[Section, ...]:
    """The agreement in plain sentences.

    Args:
        terms: what was, or is to be, signed.
        names: the reader's own names for fingerprints.
    """
    people = _People(terms, names or {})
    found = (
        Section("Who takes part", tuple(_member(item, people) for item in terms.members)),
        Section("Which data may be used", tuple(_dataset(item, people) for item in terms.datasets)),
        Section("What may be done with it", _computations(terms)),
        Section("What each one gets to see", _sees(terms, people)),
        Section("What is promised", _promised(terms, people)),
        Section("What is not promised", _not_promised(terms)),
        Section("How much privacy may be spent", _budgets(terms, people)),
        Section("When a result may leave", _release(terms, people)),
        Section("Who watches", _witnesses(terms, people)),
        Section("What the servers do besides", tuple(_duty(item, people) for item in terms.duties)),
        Section("Until when, and how to stop", _ending(terms)),
    )
    return tuple(section for section in found if section.sentences)


def describe(terms: Terms, names: Mapping[str, str] | None = None, width: int = 100) -> str:
    """The agreement as text, the clauses' machine names in a column at the right.

    Args:
        terms: what was, or is to be, signed.
        names: the reader's own names for fingerprints.
        width: of the terminal, in characters; under 72 the clause's name follows its sentence.
    """
    version = f", version {terms.version}" if terms.version > 1 else ""
    lines = [f"{terms.title}{version}", "=" * min(width, len(terms.title) + len(version)), ""]
    lines.extend(printed(sections(terms, names), width))
    lines.append(f"Agreement {terms.digest}")
    return "\n".join(lines) + "\n"


def printed(found: Iterable[Section], width: int) -> list[str]:
    """Sections as lines, each with an empty line behind it; `width` as in `describe`."""
    lines = []
    for section in found:
        lines.append(section.title)
        for sentence in section.sentences:
            lines.extend(_columns(sentence.text, sentence.clause, width))
        lines.append("")
    return lines


def _columns(text: str, clause: str, width: int) -> list[str]:
    """A sentence as a list item with a clause's name at the right (`width` ≥ 72) or behind it."""
    if width < 72:
        return textwrap.wrap(
            f"{text} [{clause}]", max(20, width), initial_indent="  - ", subsequent_indent="    "
        )
    margin = 18
    wrapped = textwrap.wrap(text, width - margin - 2, initial_indent="  - ", subsequent_indent="    ")
    wrapped[0] = f"{wrapped[0]:<{width - margin}}[{clause}]"
    return wrapped


@dataclass(frozen=True)
class _People:
    terms: Terms
    names: Mapping[str, str]

    def name(self, party: str) -> str:
        printed, own = self.terms.name_of(party), self.names.get(party)
        return printed if own in (None, printed) else f"{printed} (you call it {own})"

    def list(self, parties: tuple[str, ...]) -> str:
        return join([self.name(party) for party in parties])


def join(items: list[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "nobody"


def _member(member: Member, people: _People) -> Sentence:
    what = join([_ROLES[role] for role in member.roles])
    seats = f" In a task it may sit as {join(list(member.seats))}." if member.seats else ""
    return Sentence(f"{people.name(member.party)} {what}.{seats}", "parties")


def _dataset(item: UsableDataset, people: _People) -> Sentence:
    version = (
        f"exactly the version {_short(item.commitment)}" if item.commitment else "as registered at the time"
    )
    columns_ = f" Only these columns: {', '.join(item.columns)}." if item.columns else ""
    text = (
        f"“{item.name}” of {people.name(item.owner)}, {version}; {_SENSITIVITY[item.sensitivity]}.{columns_}"
    )
    return Sentence(text, "datasets")


def _computations(terms: Terms) -> tuple[Sentence, ...]:
    found = []
    for item in terms.computations:
        found.extend(_computation(item))
    found.append(Sentence(f"Only for: {'; '.join(terms.purposes)}.", "purpose"))
    if terms.forbidden:
        listed = ", ".join(_short(digest) for digest in terms.forbidden)
        found.append(Sentence(f"Never, whoever approves it: the computations {listed}.", "forbidden"))
    found.append(
        Sentence(
            "Everything else is forbidden. Nobody reads records outside their owner's server.", "default"
        )
    )
    return tuple(found)


def _computation(item: AllowedComputation) -> list[Sentence]:
    methods = join(list(item.protections))
    found = [Sentence(f"Researchers may {KINDS[item.kind]}, by the privacy method {methods}.", "computation")]
    if item.experimental:
        text = f"Accepted although experimental: {join(list(item.experimental))}."
        found.append(Sentence(text, "experimental"))
    listed = ", ".join(_short(digest) for digest in item.digests)
    if item.approval == "listed":
        text = f"Only these computations, which everybody approves by signing: {listed}."
    elif item.digests:
        text = f"Approved by signing: {listed}. Any other only after each owner concerned has approved it."
    else:
        text = "Each time, each owner concerned first looks at the computation and approves it."
    found.append(Sentence(text, "approval"))
    if item.kind == "training" and item.records == "owner-accepts":
        text = (
            "A model may be trained without added noise only if each owner accepts, for that computation, that the "
            "result may contain input records."
        )
        if item.digests_with_records:
            with_records = ", ".join(_short(digest) for digest in item.digests_with_records)
            text += f" By signing, everybody accepts it for {with_records}."
        found.append(Sentence(text, "records"))
    return found


def _sees(terms: Terms, people: _People) -> tuple[Sentence, ...]:
    found = [
        Sentence(
            "Each owner sees its own data, every plan that uses it, and the state of every task.", "default"
        ),
        Sentence(
            "What each one sees on the way depends on the privacy method. Each plan lists it and is shown before "
            "anything runs.",
            "claims",
        ),
        Sentence(
            f"An approved result goes to {people.list(terms.recipients)}, and to nobody else.", "recipients"
        ),
        Sentence(
            "The relay passes sealed messages on. It sees who sends how much to whom, and when.", "claims"
        ),
    ]
    return tuple(found)


def _promised(terms: Terms, people: _People) -> tuple[Sentence, ...]:
    found = []
    for floor in terms.floors:
        found.extend(_floor(floor, people))
    together = terms.minimum_parties
    if together > 1:
        found.append(
            Sentence(f"Every result comes from the data of at least {together} owners.", "minimum-parties")
        )
    if terms.minimum_group > 1:
        text = f"No answer speaks of a group of fewer than {terms.minimum_group}."
        found.append(Sentence(text, "minimum-group"))
    text = f"Methods that promise to withstand colluding parties must withstand {terms.colluders} of them."
    found.append(Sentence(text, "colluders"))
    text = (
        f"Up to {terms.dropouts} {'owner' if terms.dropouts == 1 else 'owners'} may drop out of a task that still gives a result."
        if terms.dropouts
        else "A task gives a result only if every owner stays to the end."
    )
    found.append(Sentence(text, "dropouts"))
    if terms.residency:
        found.append(Sentence(f"The data is kept in {join(list(terms.residency))}.", "residency"))
    return tuple(found)


def _floor(floor: Floor, people: _People) -> list[Sentence]:
    whose = f"{people.name(floor.party)} asks: " if floor.party else ""
    found = [Sentence(whose + statement(claim), "claims") for claim in floor.claims]
    accepted = [ASSUMPTIONS[item] for item in floor.accepted if item is not Assumption.NONE]
    if accepted:
        found.append(Sentence(f"{whose}This counts also {'; or '.join(accepted)}.", "claims"))
    return found


def _not_promised(terms: Terms) -> tuple[Sentence, ...]:
    found = []
    if any(item.records == "owner-accepts" for item in terms.computations):
        text = (
            "Where an owner accepts training without added noise, the model may contain parts of its records."
        )
        found.append(Sentence(text, "records"))
    if _coordinator_sees(terms):
        text = (
            "The coordinator of a training sees each owner's model update, which may contain input records."
        )
        found.append(Sentence(text, "claims"))
    if not terms.budgets:
        text = "No limit is set on what results tell about single records; no privacy budget is agreed."
        found.append(Sentence(text, "budget"))
    if terms.owners_per_unit is None and terms.budgets:
        text = "It is not stated that the owners' records are of different people or things; noise is planned for that."
        found.append(Sentence(text, "owners-per-unit"))
    if terms.owners_per_unit is not None:
        text = (
            f"It is assumed, and not checked, that one and the same person or thing is at no more than "
            f"{terms.owners_per_unit} of the owners."
        )
        found.append(Sentence(text, "owners-per-unit"))
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


def _budgets(terms: Terms, people: _People) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(
            f"Of {people.name(item.owner)}'s “{item.dataset}” (protected population “{item.population}”, each "
            f"{item.unit} by itself): epsilon {number(item.epsilon)} and delta {number(item.delta)} in all. Smaller "
            "means more private; when it is spent, nothing more is answered.",
            "budget",
        )
        for item in terms.budgets
    )


def _release(terms: Terms, people: _People) -> tuple[Sentence, ...]:
    release = terms.release
    of = len(terms.owners)
    found = [
        Sentence(f"At least {release.quorum} of {of} owners must sign a result before it leaves.", "quorum")
    ]
    if release.quality is not None:
        text = (
            f"An owner's server signs only if {release.quality.metric}, measured there on its own check data, is at "
            f"least {number(release.quality.minimum)}; the figure itself stays there."
        )
        if terms.budgets:
            text += " Where a privacy budget covers that data, noise decides close calls, so that on little data it may be wrong."
        found.append(Sentence(text, "quality"))
    text = (
        f"A computation may be tried on an owner's data {_times(release.attempts)}: every task that gets an answer from"
        " the data counts, however it ends."
    )
    found.append(Sentence(text, "attempts"))
    found.append(Sentence(f"A result has at most {_size(release.max_bytes)}.", "size"))
    found.append(Sentence(f"It goes to {people.list(terms.recipients)}.", "recipients"))
    return tuple(found)


def _witnesses(terms: Terms, people: _People) -> tuple[Sentence, ...]:
    if terms.witnesses is None:
        return (Sentence("Nobody is named to countersign the log; each server keeps its own.", "witnesses"),)
    listed = tuple(item.party for item in terms.witnesses.parties)
    text = f"{people.list(listed)} countersign the log; {terms.witnesses.threshold} of {len(listed)} must."
    if set(listed) <= {
        member.party for member in terms.members if set(member.roles) - {"witness", "auditor"}
    }:
        text += " All of them have a part in the work: if so many of them change the log together, nobody else notices it."
    return (Sentence(text, "witnesses"),)


def _duty(duty: Duty, people: _People) -> Sentence:
    who = f"{people.name(duty.by)}'s server" if duty.by else "Every server"
    match duty.action:
        case "delete":
            text = f"{who} erases working data and results that were not approved within {_days(duty.days)}."
        case "inform":
            text = f"{who} shows each release to its owner's people within {_days(duty.days)}."
        case "report":
            text = f"{who} writes a summary of what was done every {_days(duty.days)}."
        case "attribute":
            text = f"{who} prints in certificates and tools: “{duty.text}”."
    return Sentence(text, f"duty-{duty.action}")


def _ending(terms: Terms) -> tuple[Sentence, ...]:
    first, last = (
        text.replace("T", " ").replace("Z", " UTC") for text in (terms.valid_from, terms.valid_until)
    )
    return (
        Sentence(f"It holds from {first} until {last}, once every party has signed.", "validity"),
        Sentence(
            "Any party can suspend it, or end it for good, alone and at once, with a reason: tasks stop, nothing more "
            "is answered. What was already released stays released.",
            "state",
        ),
        Sentence("A change needs a new version that every party signs.", "signatures"),
    )


def _short(digest: str) -> str:
    # 64 bits: long enough that nobody finds another document with the same beginning.
    return digest.removeprefix("sha256:")[:16] + "…"


def _times(count: int) -> str:
    return "once only" if count == 1 else f"at most {count} times"


def _days(count: int | None) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _size(size: int) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << power:
            return f"{size / (1 << power):.4g} {unit}"
    return f"{size} bytes"
