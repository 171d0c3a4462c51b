"""Agreements, plans and facts for tests: one case in which everything is permitted, and strategies around it."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from cloister.agreements.clauses import (
    AllowedComputation,
    Budget,
    Duty,
    Floor,
    Member,
    QualityFloor,
    ReleaseTerms,
    UsableDataset,
    Witness,
    Witnesses,
)
from cloister.agreements.facts import Approval, Balance, DecisionFacts
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import AgreementView
from cloister.agreements.terms import Terms
from cloister.claims.offers import Computation, Cost, Offer, Plan, Request
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
    Sealed,
    Signed,
    Threshold,
)
from cloister.data.schema import Column, DatasetDescription, ImageFacts, UnitOfPrivacy
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.errors import NotTrusted
from cloister.identity.keys import SecretKeys, party_id

NOW = 1_800_000_000
NAMES = ("Lab", "North", "South", "West", "Visitor")


def fake_party(number: int) -> str:
    """A well-formed fingerprint that belongs to nobody."""
    return "abcdefghijklmnopqrstuvwxyz234567"[number % 32] * 52


def sha(number: int) -> str:
    return f"sha256:{number:064x}"


LAB, NORTH, SOUTH, WEST, VISITOR, STRANGER = (fake_party(number) for number in range(6))
OWNERS = (NORTH, SOUTH, WEST)
COMMITMENTS = dict(zip(OWNERS, (sha(1), sha(2), sha(3)), strict=True))
OUTSIDE = Adversary(seats=("hub", "outsider"), behaviour=Behaviour.MALICIOUS)
HIDDEN_INPUT = Claim(artefact=Artefact.INPUT, against=OUTSIDE, reached=Hidden())
PRIVATE_RESULT = Claim(
    artefact=Artefact.RESULT,
    against=Adversary(seats=("recipient",)),
    reached=DifferentiallyPrivate(epsilon=1.0, delta=1e-6, unit="row", mechanism="gaussian"),
)


def terms(**changes) -> Terms:
    """Three owners with tables, a lab that asks, a visitor that may use results; privacy budgets; floors."""
    data = {
        "uid": "urn:uuid:00000000-0000-4000-8000-000000000001",
        "title": "Wear of pumps",
        "members": (
            Member(party=LAB, name="Lab", roles=("researcher", "user"), seats=("coordinator", "recipient")),
            *(
                Member(party=p, name=n, roles=("owner",), seats=("owner",))
                for p, n in zip(OWNERS, NAMES[1:4], strict=True)
            ),
            Member(party=VISITOR, name="Visitor", roles=("user",), seats=("recipient",)),
        ),
        "datasets": tuple(
            UsableDataset(owner=p, name="pumps", commitment=c, columns=("hours", "wear"))
            for p, c in COMMITMENTS.items()
        ),
        "computations": (
            AllowedComputation(
                kind="training",
                protections=("fake", "trial"),
                experimental=("trial",),
                records="owner-accepts",
            ),
            AllowedComputation(
                kind="query",
                protections=("fake",),
                approval="listed",
                digests=(COMPUTATIONS["query"].digest,),
            ),
        ),
        "purposes": ("maintenance", "research"),
        "floors": (Floor(claims=(HIDDEN_INPUT,), accepted=(Assumption.HONEST_OWNERS,)),),
        "budgets": tuple(
            Budget(owner=p, dataset="pumps", population="pumps", unit="row", epsilon=4.0, delta=1e-5)
            for p in OWNERS
        ),
        "dropouts": 1,
        "colluders": 2,
        "minimum_parties": 2,
        "minimum_group": 10,
        "owners_per_unit": 1,
        "residency": ("DE", "FR"),
        "recipients": (LAB, VISITOR),
        "release": ReleaseTerms(quorum=2),
        "valid_from": rfc3339(NOW - 1000),
        "valid_until": rfc3339(NOW + 1000),
    }
    return Terms(**(data | changes))


COMPUTATIONS = {
    "training": Computation(kind="training", contents={"model": sha(7)}, settings={"rounds": 3}),
    "query": Computation(kind="query", contents={}, settings={"sql": "select 1"}),
    "join": Computation(kind="join", contents={}, settings={}),
}


def entry(owner: str, **changes) -> DatasetDescription:
    data = {
        "name": "pumps",
        "title": "Pumps",
        "kind": "table",
        "columns": (
            Column(name="hours", kind="real", sensitivity="internal"),
            Column(name="wear", kind="real"),
            Column(name="operator", kind="text", sensitivity="personal"),
        ),
        "unit_of_privacy": UnitOfPrivacy(kind="record"),
        "residency": "DE",
        "owner": owner,
        "commitment": COMMITMENTS[owner],
        "registered": rfc3339(NOW - 5000),
    }
    return DatasetDescription(**(data | changes))


def images(owner: str) -> DatasetDescription:
    return entry(owner, kind="image-points", columns=(), image=ImageFacts())


def offer(**changes) -> Offer:
    data = {
        "protection": "fake",
        "parameters": {"dropouts": 1, "colluders": 2, "minimum_group": 10},
        "seats": {"coordinator": (LAB,), "owner": OWNERS, "recipient": (VISITOR,)},
        "discloses": {"coordinator": ("noised sums",)},
        "claims": Claims(guarantees=(HIDDEN_INPUT, PRIVATE_RESULT)),
        "cost": Cost(seconds=10.0, bytes_up=100, bytes_down=100, epsilon=1.0),
    }
    return Offer(**(data | changes))


def request(agreement: Terms, /, **changes) -> Request:
    data = {
        "agreement": agreement.digest,
        "requester": LAB,
        "computation": COMPUTATIONS["training"],
        "datasets": COMMITMENTS,
        "purpose": "maintenance",
        "recipients": (LAB, VISITOR),
    }
    return Request(**(data | changes))


def plan(agreement: Terms, *, asked=None, offered=None, **changes) -> Plan:
    data = {
        "request": request(agreement, **(asked or {})),
        "offer": offer(**(offered or {})),
        "created": rfc3339(NOW - 60),
        "nonce": "0" * 32,
    }
    return Plan(**(data | changes))


def facts(agreement: Terms, party: str = NORTH, **changes) -> DecisionFacts:
    data = {
        "now": NOW,
        "party": party,
        "state": State.FINALIZED,
        "protections": {"fake": "stable", "trial": "experimental"},
        "catalogue": {COMMITMENTS[owner]: entry(owner) for owner in OWNERS},
        "approvals": (approval(agreement, party),),
        "remaining": {"pumps": Balance(4.0, 1e-5)},
        "columns": {COMMITMENTS[owner]: ("hours", "wear") for owner in OWNERS},
    }
    return DecisionFacts(**(data | changes))


def approval(
    agreement: Terms,
    party: str,
    kind: str = "training",
    *,
    with_records: bool = False,
    task: str | None = None,
) -> Approval:
    return Approval(
        agreement=agreement.digest,
        computation=COMPUTATIONS[kind].digest,
        by=party,
        with_records=with_records,
        time=rfc3339(NOW - 30),
        task=task,
    )


def view(agreement: Terms, signed=None) -> AgreementView:
    return AgreementView(
        agreement, agreement.digest, frozenset(agreement.parties if signed is None else signed)
    )


class People:
    """Parties with real keys, and the directory that knows them."""

    def __init__(self, count: int) -> None:
        self.secret = [_keys(number) for number in range(count)]
        self.ids = [party_id(keys.public, "sha256:" + "0" * 64) for keys in self.secret]

    def keys(self, party, keyset):
        for known, keys in zip(self.ids, self.secret, strict=True):
            if known == party and keys.public.keyset == keyset:
                return keys.public
        raise NotTrusted("Unknown keys.", clause="signature")


@cache
def _keys(number: int) -> SecretKeys:
    del number
    return SecretKeys.generate()


# -- strategies ------------------------------------------------------------------------------------------------------

digests = st.integers(0, 40).map(sha)
lines = st.text("abcdefgh äöü.,“”1234", min_size=1, max_size=30).map(str.strip).filter(bool)
slugs = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
instants = st.integers(NOW - 10**8, NOW + 10**8).map(rfc3339)
assumptions = st.sampled_from(Assumption)
adversaries = st.builds(
    Adversary,
    seats=st.sets(st.sampled_from(["hub", "outsider", "owner", "coordinator", "recipient"]), min_size=1).map(
        tuple
    ),
    colluding=st.integers(1, 4),
    behaviour=st.sampled_from(Behaviour),
)
reached = st.one_of(
    st.just(Hidden()),
    st.builds(Threshold, k=st.integers(1, 4)),
    st.builds(
        DifferentiallyPrivate,
        epsilon=st.sampled_from([0.1, 0.5, 1.0, 8.0]),
        delta=st.sampled_from([0.0, 1e-9, 1e-6, 1e-5]),
        unit=st.sampled_from(["row", "image"]),
        mechanism=st.sampled_from(["gaussian", "laplace"]),
    ),
    st.just(Signed()),
    st.builds(Sealed, quantum_safe=st.booleans()),
    st.builds(Disclosed, what=st.sampled_from(["its size", "everything"])),
)
claims_of = st.builds(
    Claim, artefact=st.sampled_from(Artefact), against=adversaries, reached=reached, assumption=assumptions
)


def _unique(strategy, **limits):
    return st.lists(strategy, unique=True, **limits).map(tuple)


@st.composite
def allowed(draw, kind):
    protections = draw(_unique(slugs, min_size=1, max_size=4))
    digests_ = draw(_unique(digests, max_size=4))
    records = draw(st.sampled_from(["refused", "owner-accepts"])) if kind == "training" else "refused"
    return AllowedComputation(
        kind=kind,
        protections=protections,
        experimental=tuple(item for item in protections if draw(st.booleans())),
        approval=draw(st.sampled_from(["listed", "each-time"])) if digests_ else "each-time",
        digests=digests_,
        records=records,
        digests_with_records=tuple(d for d in digests_ if draw(st.booleans()))
        if records != "refused"
        else (),
    )


@st.composite
def any_terms(draw):
    """Coherent terms with every clause drawn."""
    count = draw(st.integers(1, 5))
    parties = [fake_party(number) for number in range(count)]
    owners = parties[: draw(st.integers(1, count))]
    members = []
    for number, party in enumerate(parties):
        roles = draw(_unique(st.sampled_from(["researcher", "user", "witness", "auditor"]), max_size=3))
        roles = ("owner", *roles) if party in owners else roles or ("user",)
        name = f"{draw(lines)} {number}"
        members.append(Member(party=party, name=name, roles=roles, seats=draw(_unique(slugs, max_size=3))))
    datasets = []
    for owner in owners:
        datasets += [
            UsableDataset(
                owner=owner,
                name=name,
                commitment=draw(st.none() | digests),
                columns=draw(st.none() | _unique(lines, min_size=1, max_size=3)),
                sensitivity=draw(st.sampled_from(["public", "internal", "confidential", "personal"])),
                samples=draw(st.none() | st.integers(1, 10_000)),
                figures=draw(st.none() | st.integers(1, 100)),
            )
            for name in draw(_unique(slugs.map(lambda text: text.rstrip("-") or "a"), min_size=1, max_size=2))
        ]
    kinds = draw(_unique(st.sampled_from(["training", "query", "join", "scoring", "statement"]), min_size=1))
    dropouts = draw(st.integers(0, len(owners) - 1))
    starts = draw(instants)
    version = draw(st.integers(1, 3))
    return Terms(
        uid=f"urn:uuid:00000000-0000-4000-8000-{draw(st.integers(0, 99)):012x}",
        version=version,
        previous=draw(digests) if version > 1 else None,
        title=draw(lines),
        members=tuple(members),
        datasets=tuple(datasets),
        computations=tuple(draw(allowed(kind)) for kind in kinds),
        forbidden=draw(_unique(digests, max_size=2)),
        purposes=draw(_unique(lines, min_size=1, max_size=3)),
        floors=tuple(
            Floor(
                party=party,
                claims=tuple(draw(st.lists(claims_of, min_size=1, max_size=3))),
                accepted=draw(_unique(assumptions, max_size=2)),
            )
            for party in draw(_unique(st.sampled_from([None, *parties]), max_size=3))
        ),
        budgets=tuple(
            Budget(
                owner=item.owner,
                dataset=item.name,
                population=draw(lines),
                unit=draw(lines),
                epsilon=draw(st.floats(0.001, 100)),
                delta=draw(st.floats(0, 0.1)),
            )
            for item in datasets
            if draw(st.booleans())
        ),
        dropouts=dropouts,
        colluders=draw(st.integers(1, count)),
        minimum_parties=draw(st.integers(1, len(owners) - dropouts)),
        minimum_group=draw(st.integers(1, 100)),
        owners_per_unit=draw(st.none() | st.integers(1, 5)),
        residency=draw(_unique(st.sampled_from(["DE", "FR", "US", "JP"]), max_size=3)),
        recipients=draw(_unique(st.sampled_from(parties), min_size=1)),
        release=ReleaseTerms(
            quorum=draw(st.integers(1, len(owners))),
            attempts=draw(st.integers(1, 9)),
            max_bytes=draw(st.integers(1, 1 << 40)),
            quality=draw(st.none() | st.builds(QualityFloor, metric=slugs, minimum=st.floats(-10, 10))),
        ),
        witnesses=draw(
            st.none()
            | st.just(Witnesses(parties=(Witness(party=fake_party(20), name="Witness"),), threshold=1))
        ),
        valid_from=starts,
        valid_until=rfc3339(parse_rfc3339(starts) + draw(st.integers(1, 10**8))),
        duties=tuple(
            draw(
                st.lists(
                    st.one_of(
                        st.builds(
                            Duty,
                            action=st.sampled_from(["delete", "inform", "report"]),
                            days=st.integers(1, 36500),
                            by=st.none() | st.sampled_from(parties),
                        ),
                        st.builds(
                            Duty,
                            action=st.just("attribute"),
                            text=lines,
                            by=st.none() | st.sampled_from(parties),
                        ),
                    ),
                    max_size=3,
                )
            )
        ),
    )
