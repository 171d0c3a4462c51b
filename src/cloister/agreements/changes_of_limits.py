"""Differences between two versions about the limits: guarantees, budgets, numbers, releases, witnesses, time, duties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from cloister.agreements.changes import Difference, Effect, Kind, Pair, grew, keyed, opposite
from cloister.agreements.clauses import Budget, Duty, Floor, ReleaseTerms, Witnesses
from cloister.agreements.plain import days, instant, join, size
from cloister.agreements.terms import Terms
from cloister.claims.statements import ASSUMPTIONS, number, statement
from cloister.foundation.clock import parse_rfc3339

_NUMBERS: tuple[tuple[str, str, Effect], ...] = (
    ("dropouts", "So many owners may drop out of a task that still gives a result", "more"),
    ("colluders", "So many colluding parties have to be withstood", "less"),
    ("minimum_parties", "The fewest owners whose data are in a result", "less"),
    ("minimum_group", "The smallest group that an answer may speak of", "less"),
)
_OWNERS = "the owners"


def limits(old: Terms, new: Terms, names: Mapping[str, str]) -> Iterator[Difference]:
    """The differences of these fields."""
    pair = Pair.of(old, new, names)
    yield from _floors(pair)
    for field, what, rising in _NUMBERS:
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            yield Difference(
                field, "changed", f"{what}: it was {was} and is {now}.", grew(was, now, rising), _OWNERS
            )
    yield from _residency(old.residency, new.residency)
    if old.owners_per_unit != new.owners_per_unit:
        was, now = _units(old.owners_per_unit), _units(new.owners_per_unit)
        text = f"At how many owners one and the same person or thing may be: it was {was} and is {now}."
        effect = grew(old.owners_per_unit, new.owners_per_unit, "less")
        yield Difference("owners_per_unit", "changed", text, effect, _OWNERS)
    yield from _budgets(pair)
    yield from _release(old.release, new.release)
    yield from _witnesses(pair)
    yield from _time(old, new)
    yield from _duties(pair)


# Guarantees ----------------------------------------------------------------------------------------------------------


def _floors(pair: Pair) -> Iterator[Difference]:
    before, after = keyed(pair.old.floors, lambda f: f.party), keyed(pair.new.floors, lambda f: f.party)
    for party in dict.fromkeys((*before, *after)):
        old, new = before.get(party), after.get(party)
        if old != new:
            yield from _floor(pair, old, new)


def _floor(pair: Pair, old: Floor | None, new: Floor | None) -> Iterator[Difference]:
    party = (new or old).party  # type: ignore[union-attr]
    whose = f"{pair.name(party)} asks" if party else "Everybody asks"
    whom = pair.name(party) if party else "everybody"
    claims = [tuple(dict.fromkeys(map(statement, floor.claims))) if floor else () for floor in (old, new)]
    accepted = [set(floor.accepted) if floor else set() for floor in (old, new)]
    found = [
        *(
            Difference("floors", "removed", f"{whose} no longer: {text}", "more", whom)
            for text in claims[0]
            if text not in claims[1]
        ),
        *(
            Difference("floors", "added", f"{whose} now: {text}", "less", whom)
            for text in claims[1]
            if text not in claims[0]
        ),
    ]
    # What a guarantee may rest on matters only where there is a floor before and after.
    if old and new:
        for item in sorted(accepted[0] ^ accepted[1]):
            kind: Kind = "added" if item in accepted[1] else "removed"
            under = ASSUMPTIONS[item] or "under no assumption"
            text = f"{whose}: a guarantee {'now' if kind == 'added' else 'no longer'} counts {under}."
            found.append(Difference("floors", kind, text, "more" if kind == "added" else "less", whom))
    if not found:
        text = f"{whose} the same in another order or number."
        found.append(Difference("floors", "changed", text, "other"))
    yield from found


def _residency(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Difference]:
    if set(old) == set(new):
        return
    effect: Effect = "other"
    if not old or not new:
        effect = "less" if new else "more"
    elif set(old) < set(new) or set(new) < set(old):
        effect = "more" if set(old) < set(new) else "less"
    was, now = (join(list(item)) if item else "anywhere" for item in (old, new))
    text = f"Where the data must be kept: it was {was} and is {now}."
    yield Difference("residency", "changed", text, effect, _OWNERS)


def _units(count: int | None) -> str:
    return "not stated" if count is None else str(count)


# Budgets -------------------------------------------------------------------------------------------------------------


def _budgets(pair: Pair) -> Iterator[Difference]:
    before = keyed(pair.old.budgets, lambda b: (b.owner, b.dataset))
    after = keyed(pair.new.budgets, lambda b: (b.owner, b.dataset))
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if old is not None and new is not None:
            if old != new:
                yield from _budget(pair, old, new)
            continue
        item = new or old
        assert item is not None
        kind: Kind = "removed" if new is None else "added"
        change = "no longer a limit on" if new is None else "a limit now on"
        text = (
            f"There is {change} what may be spent of “{item.dataset}” of {pair.name(item.owner)}"
            f"{'' if new is None else f': epsilon {number(item.epsilon)}, delta {number(item.delta)}'}."
        )
        effect: Effect = "more" if new is None else "less"
        yield Difference("budgets", kind, text, effect, pair.name(item.owner))


def _budget(pair: Pair, old: Budget, new: Budget) -> Iterator[Difference]:
    which, whom = f"“{new.dataset}” of {pair.name(new.owner)}", pair.name(new.owner)
    for field in ("epsilon", "delta"):
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            told = (number(was), number(now)) if number(was) != number(now) else (repr(was), repr(now))
            text = f"The {field} that may be spent of {which} was {told[0]} and is {told[1]}."
            yield Difference("budgets", "changed", text, grew(was, now, "more"), whom)
    for field, what in (("population", "protected population"), ("unit", "unit that is protected by itself")):
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            text = f"The {what} of {which} was “{was}” and is “{now}”."
            yield Difference("budgets", "changed", text, "other", whom)


# Releases, witnesses, time, duties -----------------------------------------------------------------------------------


def _release(old: ReleaseTerms, new: ReleaseTerms) -> Iterator[Difference]:
    def changed(field: str, text: str, effect: Effect) -> Difference:
        return Difference(f"release.{field}", "changed", text, effect, _OWNERS)

    if old.quorum != new.quorum:
        text = f"So many owners must sign a result: it was {old.quorum} and is {new.quorum}."
        yield changed("quorum", text, grew(old.quorum, new.quorum, "less"))
    if old.attempts != new.attempts:
        text = f"So often may a computation be tried: it was {old.attempts} and is {new.attempts}."
        yield changed("attempts", text, grew(old.attempts, new.attempts, "more"))
    if old.max_bytes != new.max_bytes:
        told = size(old.max_bytes), size(new.max_bytes)
        was, now = told if told[0] != told[1] else (f"{old.max_bytes} bytes", f"{new.max_bytes} bytes")
        text = f"The largest result was {was} and is {now}."
        yield changed("max_bytes", text, grew(old.max_bytes, new.max_bytes, "more"))
    if old.quality != new.quality:
        was, now = (
            "none" if item is None else f"{item.metric} of at least {item.minimum!r}"
            for item in (old.quality, new.quality)
        )
        effect: Effect = "other"
        if old.quality is None or new.quality is None:
            effect = "more" if new.quality is None else "less"
        elif old.quality.metric == new.quality.metric:
            effect = grew(old.quality.minimum, new.quality.minimum, "less")
        yield changed("quality", f"The quality that a result must have was {was} and is {now}.", effect)


def _witnesses(pair: Pair) -> Iterator[Difference]:
    old, new = pair.old.witnesses, pair.new.witnesses
    if old == new:
        return
    was, now = _watching(old), _watching(new)
    kind: Kind = "added" if old is None else "removed" if new is None else "changed"
    effect: Effect = "other"
    if old is None or new is None:
        effect = "less" if old is None else "more"
    elif old.parties == new.parties:
        effect = grew(old.threshold, new.threshold, "less")
    text = f"Who countersigns the log: it was {was}, and is {now}."
    yield Difference("witnesses", kind, text, effect, "everybody")


def _watching(item: Witnesses | None) -> str:
    if item is None:
        return "nobody"
    return f"{item.threshold} of {join([witness.name for witness in item.parties])}"


def _time(old: Terms, new: Terms) -> Iterator[Difference]:
    for field, what, rising in (("valid_from", "beginning", "less"), ("valid_until", "end", "more")):
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            effect = grew(parse_rfc3339(was), parse_rfc3339(now), rising)  # type: ignore[arg-type]
            text = f"The {what} was {instant(was)} and is {instant(now)}."
            yield Difference(field, "changed", text, effect, _OWNERS)


def _duties(pair: Pair) -> Iterator[Difference]:
    before, after = Counter(pair.old.duties), Counter(pair.new.duties)
    gone, come = before - after, after - before
    for items, kind in ((gone, "removed"), (come, "added")):
        for duty in items:
            text = f"{'No longer a duty' if kind == 'removed' else 'A new duty'}: {_duty(pair, duty)}"
            effect: Effect = "less" if duty.action != "attribute" else "other"
            yield Difference(
                "duties",
                kind,  # type: ignore[arg-type]
                text,
                effect if kind == "added" else opposite(effect),
                _OWNERS if duty.action != "attribute" else "",
            )


def _duty(pair: Pair, duty: Duty) -> str:
    who = f"{pair.name(duty.by)}'s server" if duty.by else "every server"
    match duty.action:
        case "delete":
            return f"{who} erases working data within {days(duty.days)}."
        case "inform":
            return f"{who} shows each release to its owner's people within {days(duty.days)}."
        case "report":
            return f"{who} writes a summary every {days(duty.days)}."
        case "attribute":
            return f"{who} prints “{duty.text}” in certificates and tools."
