"""Differences between two versions about the use: title, parties, datasets, computations, purposes, recipients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from cloister.agreements.changes import Difference, Effect, Kind, Pair, came_and_went, grew, keyed, widened
from cloister.agreements.clauses import AllowedComputation, Member, UsableDataset
from cloister.agreements.plain import join, short
from cloister.agreements.terms import Terms
from cloister.agreements.uses import KINDS, ROLES, SENSITIVITY
from cloister.foundation.text import several

_SENSITIVITIES = tuple(SENSITIVITY)


def uses(old: Terms, new: Terms, names: Mapping[str, str]) -> Iterator[Difference]:
    """The differences of these fields."""
    pair = Pair.of(old, new, names)
    if old.title != new.title:
        text = f"The title was “{old.title}” and is “{new.title}”."
        yield Difference("title", "changed", text, "other")
    yield from _members(pair)
    yield from _datasets(pair)
    yield from _computations(pair)
    yield from came_and_went(
        old.forbidden,
        new.forbidden,
        lambda item, kind: Difference(
            "forbidden",
            kind,
            f"The computation {short(item)} is {'forbidden now' if kind == 'added' else 'no longer forbidden'}.",
            "less" if kind == "added" else "more",
            "the owners",
        ),
    )
    yield from came_and_went(
        old.purposes,
        new.purposes,
        lambda item, kind: _permitted(
            "purposes", kind, f"It may {'now' if kind == 'added' else 'no longer'} be done for “{item}”."
        ),
    )
    yield from came_and_went(
        old.recipients,
        new.recipients,
        lambda item, kind: _permitted(
            "recipients",
            kind,
            f"Results {'now go' if kind == 'added' else 'no longer go'} to {pair.name(item)}.",
        ),
    )


def _permitted(field: str, kind: Kind, text: str, whom: str = "the owners") -> Difference:
    return Difference(field, kind, text, "more" if kind == "added" else "less", whom)


# Parties -------------------------------------------------------------------------------------------------------------


def _members(pair: Pair) -> Iterator[Difference]:
    before, after = keyed(pair.old.members, lambda m: m.party), keyed(pair.new.members, lambda m: m.party)
    for party, member in before.items():
        if party not in after:
            effect: Effect = "less" if "researcher" in member.roles else "other"
            text = f"{pair.name(member.party)} no longer takes part ({_roles(member)})."
            yield Difference("members", "removed", text, effect, "the owners")
    for party, member in after.items():
        if party not in before:
            effect = "more" if "researcher" in member.roles else "other"
            text = f"{pair.name(member.party)} now takes part ({_roles(member)})."
            yield Difference("members", "added", text, effect, "the owners")
        elif member != before[party]:
            yield from _member(pair, before[party], member)


def _member(pair: Pair, old: Member, new: Member) -> Iterator[Difference]:
    name = pair.name(new.party)
    if old.name != new.name:
        yield Difference("members", "changed", f"“{old.name}” is called “{new.name}” now.", "other")
    for role in sorted(set(old.roles) ^ set(new.roles)):
        gained = role in new.roles
        effect: Effect = "other"
        if role == "researcher":
            effect = "more" if gained else "less"
        text = f"{name} {'now' if gained else 'no longer'}: {ROLES[role]}."
        yield Difference("members", "added" if gained else "removed", text, effect, "the owners")
    for seat in sorted(set(old.seats) ^ set(new.seats)):
        text = f"{name} may {'now' if seat in new.seats else 'no longer'} sit as {seat} in a task."
        yield _permitted("members", "added" if seat in new.seats else "removed", text, "the other parties")


def _roles(member: Member) -> str:
    return join([ROLES[role] for role in member.roles])


# Datasets ------------------------------------------------------------------------------------------------------------


def _datasets(pair: Pair) -> Iterator[Difference]:
    counted = [Counter((item.owner, item.name) for item in terms.datasets) for terms in (pair.old, pair.new)]

    def same(item: UsableDataset) -> tuple[str, ...]:
        # By name alone, unless one version has several of that name.
        alone = all(count[item.owner, item.name] <= 1 for count in counted)
        return (item.owner, item.name) if alone else (item.owner, item.name, item.commitment or "")

    before, after = keyed(pair.old.datasets, same), keyed(pair.new.datasets, same)
    for key, item in before.items():
        if key not in after:
            text = f"{_of(pair, item)} may no longer be used."
            yield _permitted("datasets", "removed", text, pair.name(item.owner))
    for key, item in after.items():
        if key not in before:
            yield _permitted(
                "datasets", "added", f"{_of(pair, item)} may be used now.", pair.name(item.owner)
            )
        elif item != before[key]:
            yield from _dataset(pair, before[key], item)


def _dataset(pair: Pair, old: UsableDataset, new: UsableDataset) -> Iterator[Difference]:
    which, whom = _of(pair, new), pair.name(new.owner)
    if old.commitment != new.commitment:
        effect: Effect = "other"
        if None in (old.commitment, new.commitment):
            effect = "more" if new.commitment is None else "less"
        now = "whichever is registered" if new.commitment is None else f"exactly {short(new.commitment)}"
        was = "whichever is registered" if old.commitment is None else f"exactly {short(old.commitment)}"
        text = f"{which}: the version was {was} and is {now}."
        yield Difference("datasets", "changed", text, effect, whom)
    if old.columns != new.columns:
        text = f"{which}: {_columns(old.columns, new.columns)}"
        effect = "other"
        if old.columns is None or new.columns is None:
            effect = "more" if new.columns is None else "less"
        else:
            effect = widened(old.columns, new.columns)
        yield Difference("datasets", "changed", text, effect, whom)
    if old.sensitivity != new.sensitivity:
        more = _SENSITIVITIES.index(new.sensitivity) > _SENSITIVITIES.index(old.sensitivity)
        text = f"{which}: it was {SENSITIVITY[old.sensitivity]}, and is {SENSITIVITY[new.sensitivity]}."
        yield Difference("datasets", "changed", text, "more" if more else "less", whom)
    if old.samples != new.samples:
        # None is none at all here, not without a limit.
        text = (
            f"{which}: its owner could disclose {several(old.samples or 0, 'record')}, and can disclose"
            f" {several(new.samples or 0, 'record')} now."
        )
        yield Difference("datasets", "changed", text, grew(old.samples or 0, new.samples or 0, "more"), whom)
    if old.figures != new.figures:
        text = (
            f"{which}: its owner's server answered {several(old.figures or 0, 'question')} about figures without a person, and"
            f" answers {several(new.figures or 0, 'question')} now."
        )
        yield Difference("datasets", "changed", text, grew(old.figures or 0, new.figures or 0, "more"), whom)


def _columns(old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> str:
    if new is None:
        return "all columns may be used now."
    if old is None:
        return f"only these columns may be used now: {', '.join(new)}."
    come, gone = [c for c in new if c not in old], [c for c in old if c not in new]
    told = [f"may be used now: {', '.join(come)}"] if come else []
    told += [f"may no longer be used: {', '.join(gone)}"] if gone else []
    return (
        f"columns that {'; columns that '.join(told)}." if told else "the order of its columns has changed."
    )


def _of(pair: Pair, item: UsableDataset) -> str:
    return f"“{item.name}” of {pair.name(item.owner)}"


# Computations --------------------------------------------------------------------------------------------------------


def _computations(pair: Pair) -> Iterator[Difference]:
    before, after = (
        keyed(pair.old.computations, lambda c: c.kind),
        keyed(pair.new.computations, lambda c: c.kind),
    )
    for kind, item in before.items():
        if kind not in after:
            text = f"Researchers may no longer {KINDS[item.kind]}."
            yield _permitted("computations", "removed", text)
    for kind, item in after.items():
        if kind not in before:
            text = f"Researchers may now {KINDS[item.kind]}, by {join(list(item.protections))}."
            yield _permitted("computations", "added", text)
        elif item != before[kind]:
            yield from _computation(before[kind], item)


def _computation(old: AllowedComputation, new: AllowedComputation) -> Iterator[Difference]:
    what = f"“{KINDS[new.kind]}”"

    def listed(field: str, one: str, *, digests: bool) -> Iterator[Difference]:
        def said(item: str, kind: Kind) -> Difference:
            name = short(item) if digests else item
            change = "now" if kind == "added" else "no longer"
            return _permitted("computations", kind, f"To {what}: {one.format(name=name, change=change)}")

        return came_and_went(getattr(old, field), getattr(new, field), said)

    found = [
        *listed("protections", "the privacy method {name} may {change} be used.", digests=False),
        *listed("experimental", "{name} may {change} run although experimental.", digests=False),
        *listed("digests", "the computation {name} is {change} approved by signing.", digests=True),
        *listed(
            "digests_with_records",
            "for {name} everybody {change} accepts by signing that the result may contain input records.",
            digests=True,
        ),
    ]
    if old.approval != new.approval:
        text = (
            "only listed computations may run now."
            if new.approval == "listed"
            else "others than the listed computations may run now, once each owner concerned has approved them."
        )
        effect: Effect = "less" if new.approval == "listed" else "more"
        found.append(Difference("computations", "changed", f"To {what}: {text}", effect, "the owners"))
    if old.records != new.records:
        text = (
            "training without added noise is refused now."
            if new.records == "refused"
            else "training without added noise is possible now where each owner accepts it; results may contain records."
        )
        effect = "less" if new.records == "refused" else "more"
        found.append(Difference("computations", "changed", f"To {what}: {text}", effect, "the owners"))
    if not found:
        text = f"To {what}: only an order has changed."
        found.append(Difference("computations", "changed", text, "other"))
    yield from found
