"""Agreements to start from: the usual terms of the usual cases, from a few named inputs.

A template is a function from typed inputs to `Terms`; what it gives is shown, changed and signed like any other
agreement. `new_from_template` takes the inputs as JSON values, for the command line and the web. Templates name the
privacy methods that suit the case, also those that a node may not have installed yet: such work is then refused by the
clause `protection`, never done in another way.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import ValidationError

from cloister.agreements.clauses import (
    AllowedComputation,
    Budget,
    Duty,
    Floor,
    Member,
    ReleaseTerms,
    Role,
    UsableDataset,
    Witness,
    Witnesses,
)
from cloister.agreements.inputs import Inputs, NamedParty
from cloister.agreements.terms import Terms
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    DifferentiallyPrivate,
    Hidden,
    Sealed,
    Signed,
)
from cloister.data.schema import Sensitivity
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput

OUTSIDE = Adversary(seats=("hub", "outsider"), behaviour=Behaviour.MALICIOUS)
DAY = 86400


Template: TypeAlias = Callable[[Inputs], Terms]


def factories_and_lab(inputs: Inputs) -> Terms:
    """Owners train a model together; a lab asks and coordinates; users receive the tool.

    Without `epsilon` each owner accepts each training, or none, as possibly containing its records.

    It asks that no owner learns another's update. Of two answers the average and one give the other, so that there are
    at least three owners; with `dropouts` the same holds of those that may remain, and a plan that lets it come to two
    answers is refused by the clause `claims` (`minimum_answers` in a request's preferences asks for more).
    """
    if len(inputs.owners) < 3:
        raise BadInput(
            "This agreement would promise what no training between fewer than three owners can keep.",
            "The template asks that no owner learns another's update, and between two each can subtract its own from "
            "the average.",
            "Name a third owner, or take the template one-researcher-one-owner, which does not promise it.",
        )
    _needs(inputs, owners=3, researchers=1)
    noise = inputs.epsilon is not None
    training = AllowedComputation(
        kind="training",
        protections=("federated-averaging",),
        digests=inputs.digests,
        records="refused" if noise else "owner-accepts",
    )
    return _terms(
        inputs,
        computations=(training,),
        seats={"owner": ("owner",), "researcher": ("coordinator", "recipient"), "user": ("recipient",)},
        claims=(*_outside(Artefact.INPUT, Artefact.UPDATE), _between_owners(Artefact.UPDATE)),
        together=max(2, len(inputs.owners) - inputs.dropouts),
        group=1,
    )


def banks(inputs: Inputs) -> Terms:
    """Banks compare notes on fraud: joint counts and overlaps among at least three, nobody's customers shown."""
    _needs(inputs, owners=2)
    return _terms(
        inputs,
        computations=(
            AllowedComputation(
                kind="query",
                protections=("clean-room", "multiparty"),
                experimental=("multiparty",),
                digests=inputs.digests,
            ),
            AllowedComputation(
                kind="join",
                protections=("intersection", "multiparty"),
                experimental=("intersection", "multiparty"),
                digests=inputs.digests,
            ),
        ),
        seats={"owner": ("owner", "coordinator", "client", "provider", "compute0", "compute1", "compute2")},
        claims=_outside(Artefact.INPUT),
        accepted=(Assumption.HONEST_MAJORITY,),
        together=min(2, len(inputs.owners)),
        group=max(2, inputs.minimum_group),
        owners_ask=True,
    )


def retailers(inputs: Inputs) -> Terms:
    """Retailers learn how much their customers overlap and what they spend together, in groups large enough."""
    _needs(inputs, owners=2)
    return _terms(
        inputs,
        computations=(
            AllowedComputation(
                kind="join",
                protections=("intersection", "multiparty"),
                experimental=("intersection", "multiparty"),
                digests=inputs.digests,
            ),
            AllowedComputation(kind="query", protections=("clean-room",), digests=inputs.digests),
        ),
        seats={"owner": ("owner", "coordinator", "client", "provider", "compute0", "compute1", "compute2")},
        claims=_outside(Artefact.INPUT),
        accepted=(Assumption.HONEST_MAJORITY,),
        together=min(2, len(inputs.owners)),
        group=max(50, inputs.minimum_group),
        owners_ask=True,
    )


def clinic_and_lab(inputs: Inputs) -> Terms:
    """A clinic's patients help a lab's model: differential privacy always, few recipients, data stays in the country."""
    _needs(inputs, researchers=1)
    inputs = inputs.model_copy(update={"epsilon": inputs.epsilon or 4.0})
    private = Claim(
        artefact=Artefact.RESULT,
        against=Adversary(seats=("recipient",)),
        reached=DifferentiallyPrivate(
            epsilon=float(inputs.epsilon or 4.0), delta=inputs.delta, unit=inputs.unit, mechanism="any"
        ),
    )
    return _terms(
        inputs,
        computations=(
            AllowedComputation(
                kind="training", protections=("federated-averaging", "synthetic"), digests=inputs.digests
            ),
            AllowedComputation(kind="query", protections=("clean-room",), digests=inputs.digests),
        ),
        seats={"owner": ("owner",), "researcher": ("coordinator", "recipient"), "user": ("recipient",)},
        claims=(*_outside(Artefact.INPUT, Artefact.UPDATE), private),
        accepted=(Assumption.HONEST_OWNERS,),
        together=1,
        group=inputs.minimum_group,
        sensitivity="personal",
    )


def vendor_scoring(inputs: Inputs) -> Terms:
    """A customer has its records scored by a vendor's model; neither shows the other what it has.

    `owners` are the customers, `researchers` the vendors.
    """
    _needs(inputs, researchers=1)
    methods = ("encryption", "enclave", "multiparty")
    return _terms(
        inputs,
        computations=(
            AllowedComputation(
                kind="scoring",
                protections=methods,
                experimental=("enclave", "multiparty"),
                digests=inputs.digests,
            ),
        ),
        seats={"owner": ("client", "compute0"), "researcher": ("provider", "coordinator", "compute1")},
        claims=(
            *_outside(Artefact.INPUT),
            Claim(artefact=Artefact.INPUT, against=Adversary(seats=("provider",)), reached=Hidden()),
        ),
        accepted=(Assumption.HARDWARE, Assumption.HONEST_MAJORITY),
        together=1,
        group=1,
        owners_ask=True,
        owners_receive=True,
    )


def one_researcher_one_owner(inputs: Inputs) -> Terms:
    """The smallest case: one researcher asks, one owner looks at each computation and approves it."""
    _needs(inputs, researchers=1)
    return _terms(
        inputs,
        computations=(
            AllowedComputation(
                kind="training",
                protections=("federated-averaging",),
                digests=inputs.digests,
                records="refused" if inputs.epsilon is not None else "owner-accepts",
            ),
            AllowedComputation(kind="query", protections=("clean-room",), digests=inputs.digests),
        ),
        seats={"owner": ("owner",), "researcher": ("coordinator", "recipient"), "user": ("recipient",)},
        claims=_outside(Artefact.INPUT),
        together=1,
        group=inputs.minimum_group,
    )


TEMPLATES: Mapping[str, Template] = {
    "factories-and-lab": factories_and_lab,
    "banks": banks,
    "retailers": retailers,
    "clinic-and-lab": clinic_and_lab,
    "vendor-scoring": vendor_scoring,
    "one-researcher-one-owner": one_researcher_one_owner,
}


def new_from_template(name: str, inputs: Inputs | Mapping[str, Any]) -> Terms:
    """Terms from a template.

    Args:
        name: one of `TEMPLATES`.
        inputs: typed, or as JSON values (see `Inputs`).

    Raises:
        BadInput: no such template, or inputs that are missing, malformed or do not fit it.
    """
    template = TEMPLATES.get(name)
    if template is None:
        raise BadInput(
            "There is no template of that name.", f"Known: {', '.join(TEMPLATES)}.", "Choose one of these."
        )
    try:
        typed = inputs if isinstance(inputs, Inputs) else Inputs.model_validate_json(canonical(dict(inputs)))
        return template(typed)
    except ValidationError as error:
        raise invalid(error, f"The template {name}'s input") from None


def _needs(inputs: Inputs, *, owners: int = 1, researchers: int = 0) -> None:
    if len(inputs.owners) < owners or len(inputs.researchers) < researchers:
        raise BadInput(
            "The template needs more parties.",
            f"At least {owners} owners and {researchers} researchers.",
            "Name them, or choose another template.",
        )


def _outside(*artefacts: Artefact) -> tuple[Claim, ...]:
    """What holds against the relay and outsiders whatever the method: sealed, signed links; nothing else to see."""
    return (
        Claim(artefact=Artefact.LINK, against=OUTSIDE, reached=Sealed(quantum_safe=True)),
        Claim(artefact=Artefact.LINK, against=OUTSIDE, reached=Signed()),
        *(Claim(artefact=item, against=OUTSIDE, reached=Hidden()) for item in artefacts),
    )


def _between_owners(artefact: Artefact) -> Claim:
    return Claim(artefact=artefact, against=Adversary(seats=("owner",)), reached=Hidden())


def _terms(
    inputs: Inputs,
    *,
    computations: tuple[AllowedComputation, ...],
    seats: Mapping[Role, tuple[str, ...]],
    claims: tuple[Claim, ...],
    together: int,
    group: int,
    accepted: tuple[Assumption, ...] = (),
    sensitivity: Sensitivity = "confidential",
    owners_ask: bool = False,
    owners_receive: bool = False,
) -> Terms:
    members = _members(inputs, seats, owners_ask=owners_ask)
    receiving = [*(inputs.owners if owners_ask or owners_receive else ()), *inputs.users]
    if not owners_receive:
        receiving += inputs.researchers
    recipients = tuple(dict.fromkeys(item.party for item in receiving))
    starts = parse_rfc3339(inputs.starts)
    watchers = inputs.witnesses or tuple(NamedParty(party=m.party, name=m.name) for m in members)
    return Terms(
        uid=inputs.uid or f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, canonical(_seed(inputs)).decode())}",
        title=inputs.title,
        members=members,
        datasets=tuple(
            UsableDataset.model_validate(
                {
                    "owner": item.party,
                    "name": item.dataset,
                    "commitment": item.commitment,
                    "columns": item.columns,
                    "sensitivity": inputs.sensitivity or sensitivity,
                    "samples": item.samples,
                    "figures": item.figures,
                }
            )
            for item in inputs.owners
        ),
        computations=computations,
        purposes=inputs.purposes,
        floors=(Floor(claims=claims, accepted=accepted),),
        budgets=_budgets(inputs),
        owners_per_unit=inputs.owners_per_unit,
        dropouts=inputs.dropouts,
        minimum_parties=together,
        minimum_group=group,
        residency=inputs.residency,
        recipients=recipients,
        release=ReleaseTerms(quorum=inputs.quorum or len(inputs.owners), quality=inputs.quality),
        witnesses=Witnesses(
            parties=tuple(Witness(party=item.party, name=item.name) for item in watchers),
            threshold=len(watchers) // 2 + 1,
        ),
        valid_from=inputs.starts,
        valid_until=rfc3339(starts + inputs.days * DAY),
        duties=(Duty(action="delete", days=30), Duty(action="inform", days=1)),
    )


def _seed(inputs: Inputs) -> dict[str, Any]:
    seed = inputs.model_dump(mode="json")
    for owner in seed["owners"]:
        for clause in ("samples", "figures"):
            if owner[clause] is None:
                # Inputs that were written before there was such a clause go on to give the same name.
                del owner[clause]
    return seed


def _members(
    inputs: Inputs, seats: Mapping[Role, tuple[str, ...]], *, owners_ask: bool
) -> tuple[Member, ...]:
    found: dict[str, tuple[str, list[Role]]] = {}
    asking = inputs.owners if owners_ask and not inputs.researchers else ()
    listed: tuple[tuple[Role, Sequence[NamedParty]], ...] = (
        ("owner", inputs.owners),
        ("researcher", (*asking, *inputs.researchers)),
        ("user", inputs.users),
    )
    for role, parties in listed:
        for item in parties:
            found.setdefault(item.party, (item.name, []))[1].append(role)
    return tuple(
        Member(
            party=party,
            name=name,
            roles=tuple(roles),
            seats=tuple(dict.fromkeys(seat for role in roles for seat in seats.get(role, ()))),
        )
        for party, (name, roles) in found.items()
    )


def _budgets(inputs: Inputs) -> tuple[Budget, ...]:
    if inputs.epsilon is None:
        return ()
    return tuple(
        Budget(
            owner=item.party,
            dataset=item.dataset,
            population=item.dataset,
            unit=inputs.unit,
            epsilon=inputs.epsilon,
            delta=inputs.delta,
        )
        for item in inputs.owners
    )
