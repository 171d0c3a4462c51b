"""Budgets at a node, on a real database: populations, charges, and a memory that is older than the log.

The numbered rules are those of `cloister.node.budgets`' files, named beside each test.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from cloister.agreements.decision import Approval, DecisionFacts, Permit, Refusal, decide
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import AgreementView
from cloister.agreements.terms import Terms
from cloister.claims.offers import Computation, Cost, Offer, Plan, Request
from cloister.claims.vocabulary import Claims
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Refused, Tampered
from cloister.journal.program import PrivacyCost
from cloister.node.reports import budgets_view, population_view
from cloister.node.tasks.programs import TaskPorts
from cloister.privacy import budgets
from cloister.privacy.filters import DELTA_GRAIN, EPSILON_GRAIN, Loss, pair
from cloister.privacy.runs import private_run
from cloister.storage.blobs import Kept
from cloister.storage.budgets import BudgetRows
from cloister.storage.log import LogRows
from cloister.storage.tasks import TaskRow
from node.charging import claim, private_terms
from node.town import LAB, PAIR, pair_terms, table, town

LOSS = pair(2.0, 1e-6)
EPSILON, DELTA = LOSS.epsilon * EPSILON_GRAIN, LOSS.delta * DELTA_GRAIN


@pytest.fixture
def here(tmp_path):
    """A town in which only Ash's node is there, connected to nothing, with its data."""
    with town(tmp_path, names=PAIR) as made:
        made.nodes["Ash"] = made.make("Ash")
        made.data("Ash")
        yield made


@pytest.fixture
def ash(here):
    return here["Ash"]


def agreed(here, uid=1, **budget):
    """Terms with a budget, without witnesses: nobody is connected here."""
    terms = private_terms(Terms.from_odrl(pair_terms(here)), **budget)
    name = f"urn:uuid:00000000-0000-0000-0000-{uid:012d}"
    return terms.model_copy(update={"uid": name, "witnesses": None, "floors": ()})


def planned(here, terms, number=1, claims=None, dataset="tests", run=None, **request):
    node = here["Ash"]
    computation = Computation(kind="training", contents={}, settings={"number": number})
    document = {
        "agreement": terms.digest,
        "requester": here.party[LAB],
        "computation": computation,
        "datasets": {node.party: node.datasets.named(dataset).description.commitment},
        "purpose": terms.purposes[0],
        "recipients": (here.party[LAB],),
        **request,
    }
    offered = Offer(
        protection="federated-averaging",
        parameters={} if run is None else {"noise": {"run": run.model_dump(mode="json")}},
        seats={"coordinator": (here.party[LAB],), "owner": (node.party,)},
        discloses={},
        claims=Claims(guarantees=(claim(EPSILON, DELTA),) if claims is None else claims),
        cost=Cost(seconds=1.0, bytes_up=0, bytes_down=0),
    )
    created = rfc3339(here.clock.now())
    return Plan(request=Request(**document), offer=offered, created=created, nonce=f"{number:032x}")


def row(plan, position=1, attempt=1):
    return TaskRow(
        id=plan.digest,
        seat="owner",
        seats={},
        program="protection",
        phase="round-1",
        state=Kept("sha256:" + "0" * 64, 0, b""),
        attempt=attempt,
        position=position,
        created=1,
    )


def charge(node, terms, plan, *, loss=LOSS, position=1, attempt=1, dataset=None):
    own = dataset or plan.request.datasets[node.party]
    cost = PrivacyCost(own, loss.encode(), EPSILON, DELTA)
    node.budgets.charges.charge(plan, terms, row(plan, position, attempt), cost)


def used(node, terms, plan, dataset=None, state=State.FINALIZED):
    """What happens as a step that was given the dataset ends."""
    own = plan.request.datasets[node.party]
    ports = TaskPorts(
        plan.request.computation.digest, 3, own, frozenset(), node.datasets, node.contents, SimpleNamespace,
        lambda: state, SimpleNamespace(), plan, terms, node.budgets, node.ledger.require_unlocked,
    )  # fmt: skip
    with node.durable.database.transaction() as tx:
        ports.used(tx, row(plan), frozenset({dataset or own}))


def clause(call, *arguments, kind=Refused, **named):
    with pytest.raises(kind) as caught:
        call(*arguments, **named)
    assert caught.value.what
    return caught.value.detail["clause"]


def left(node, population="plants"):
    with node.durable.database.read() as tx:
        return budgets.left(BudgetRows(tx), population).epsilon


def decision(node, terms, plan):
    """What the agreement says on this node's own budgets; everything else is as it should be."""
    remaining, populations = node.budgets.charges.facts(plan, terms)
    signed = AgreementView(terms, plan.request.agreement, frozenset(terms.parties))
    approval = Approval(
        agreement=plan.request.agreement,
        computation=plan.request.computation.digest,
        by=node.party,
        with_records=True,
        time=plan.created,
    )
    facts = DecisionFacts(
        now=node.clock.now(),
        party=node.party,
        state=State.FINALIZED,
        protections={"federated-averaging": "stable"},
        catalogue=node.datasets.catalogue(),
        approvals=(approval,),
        remaining=remaining,
        populations=populations,
        columns=dict.fromkeys(plan.request.datasets.values(), ()),
    )
    return decide(signed, plan, facts)


# Populations -------------------------------------------------------------------------------------------------------


def test_signing_opens_and_binds_a_population_and_says_so(here, ash):
    """Populations, rule 2."""
    terms = agreed(here)
    (words,) = ash.budgets.populations.prepare(terms)
    assert "“plants” (each record by itself) was opened; “tests” belongs to it" in words
    (again,) = ash.budgets.populations.prepare(terms)
    assert "is there already" in again
    listed = population_view(ash, "plants")
    assert listed["limit"] == {"epsilon": 5.0, "delta": 1e-4}
    assert listed["datasets"] == ["tests"]


def test_signing_is_refused_where_the_owner_permits_less_than_the_clause(here, ash):
    """Populations, rule 2."""
    ash.budgets.populations.open("plants", "record", 3.0, 1e-4)
    with pytest.raises(Refused) as caught:
        ash.budgets.populations.prepare(agreed(here))
    assert caught.value.clause == "budget-limit"
    assert "cloister budget set plants --epsilon 5 --delta 0.0001" in caught.value.remedy
    ash.budgets.populations.set_limit("plants", 5.0, None)
    assert ash.budgets.populations.prepare(agreed(here))


@pytest.mark.parametrize("at", ["the population", "the dataset"])
def test_signing_is_refused_where_units_differ_and_opens_nothing(here, ash, at):
    """Populations, rule 2."""
    terms = agreed(here)
    if at == "the population":
        ash.budgets.populations.open("plants", "plant", 9.0, 1e-3)
    else:
        changed = tuple(item.model_copy(update={"unit": "plant"}) for item in terms.budgets)
        terms = terms.model_copy(update={"budgets": changed})
    assert clause(ash.budgets.populations.prepare, terms) == "budget-unit"
    if at == "the dataset":
        with pytest.raises(NotFound):
            population_view(ash, "plants")


def test_a_dataset_belongs_to_its_population_for_good_in_all_versions_and_under_other_names(
    here, ash, tmp_path
):
    """Populations, rule 1."""
    ash.budgets.populations.prepare(agreed(here))
    fields = {"title": "Tests", "residency": "DE"}
    # The same files under another name.
    ash.datasets.add(tmp_path / "ash.csv", {"name": "more", **fields})
    assert population_view(ash, "plants")["datasets"] == ["more", "tests"]
    # A new version of the same name.
    table(tmp_path / "newer.csv", 9)
    ash.datasets.add(tmp_path / "newer.csv", {"name": "tests", "version": 2, **fields})
    terms = agreed(here)
    plan = planned(here, terms)
    charge(ash, terms, plan)
    assert left(ash) == pytest.approx(5.0 - EPSILON)
    # Nothing else takes them away.
    ash.budgets.populations.open("others", "record", 5.0, 1e-4)
    assert clause(ash.budgets.populations.bind, "tests", "others") == "population"
    assert clause(ash.budgets.populations.prepare, agreed(here, 2, population="others")) == "population"
    # What is none of it belongs to none.
    table(tmp_path / "apart.csv", 10)
    ash.datasets.add(tmp_path / "apart.csv", {"name": "apart", **fields})
    assert population_view(ash, "plants")["datasets"] == ["more", "tests"]
    with pytest.raises(NotFound):
        ash.budgets.populations.bind("nothing", "plants")


def test_a_new_version_with_another_unit_is_not_registered(here, ash, tmp_path):
    ash.budgets.populations.prepare(agreed(here))
    table(tmp_path / "newer.csv", 9)
    unit = {"kind": "column", "column": "heat"}
    fields = {"name": "tests", "title": "Tests", "residency": "DE", "version": 2, "unit_of_privacy": unit}
    before = ash.datasets.named("tests").description.commitment
    assert clause(ash.datasets.add, tmp_path / "newer.csv", fields) == "budget-unit"
    assert ash.datasets.named("tests").description.commitment == before
    assert len(list((here.root / "Ash" / "datasets").iterdir())) == 1


def test_limits_are_leaves_of_the_log(here, ash):
    """Populations, rule 3."""

    def leaves():
        with ash.durable.database.read() as tx:
            return sum(item.kind == "decision" for item in LogRows(tx).scan())

    before = leaves()
    ash.budgets.populations.open("plants", "record", 3.0, 1e-4)
    ash.budgets.populations.set_limit("plants", 4.0, None)
    assert leaves() == before + 2


# Charges -----------------------------------------------------------------------------------------------------------


def test_a_charge_and_its_leaf_are_written_together_once(here, ash):
    """Charges, rule 1."""
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    plan = planned(here, terms)
    for _ in range(3):
        charge(ash, terms, plan)
    assert left(ash) == pytest.approx(5.0 - EPSILON)
    with ash.durable.database.read() as tx:
        assert BudgetRows(tx).logged() == BudgetRows(tx).leaves() == 1
    assert ash.budgets.health.logged == 1
    assert clause(charge, ash, terms, plan, position=2, kind=Conflict) == "charge-once"
    charge(ash, terms, plan, attempt=2)  # a new attempt has noise of its own, and a charge of its own
    assert left(ash) == pytest.approx(5.0 - 2 * EPSILON)
    assert clause(charge, ash, terms, planned(here, terms, 2)) == "budget"
    with ash.durable.database.read() as tx:
        assert BudgetRows(tx).logged() == 2


def test_only_the_task_s_own_dataset_and_the_plan_s_own_price_are_charged(here, ash):
    """Charges, rule 2, and the rules of `privacy.charging`."""
    terms = agreed(here)
    plan = planned(here, terms)
    assert clause(charge, ash, terms, plan) == "budget"  # not bound: nobody has signed
    ash.budgets.populations.prepare(terms)
    assert clause(charge, ash, terms, plan, dataset="sha256:" + "1" * 64) == "dataset"
    assert clause(charge, ash, terms, plan, loss=pair(1.0, 1e-6)) == "budget-claim"
    assert clause(charge, ash, terms, plan, loss=pair(3.0, 1e-6)) == "budget-claim"
    assert clause(charge, ash, terms, plan, loss=Loss()) == "budget-claim"
    other = planned(here, terms, claims=(claim(EPSILON, DELTA, "plant"),))
    assert clause(charge, ash, terms, other) == "budget-unit"
    assert clause(charge, ash, agreed(here, 2, population="others"), plan) == "population"
    bare = terms.model_copy(update={"budgets": ()})
    assert clause(charge, ash, bare, plan) == "population"
    assert left(ash) == 5.0


def test_agreements_have_parts_of_one_population(here, ash):
    first, second = agreed(here, 1, epsilon=3.0), agreed(here, 2, epsilon=3.0)
    ash.budgets.populations.open("plants", "record", 5.0, 1e-4)
    for terms in (first, second):
        ash.budgets.populations.prepare(terms)
    charge(ash, first, planned(here, first))
    assert clause(charge, ash, first, planned(here, first, 2)) == "budget"
    charge(ash, second, planned(here, second))
    assert left(ash) == pytest.approx(5.0 - 2 * EPSILON)


def test_a_step_with_protected_data_ends_only_after_the_charge(here, ash):
    """Charges, rule 4."""
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    plan = planned(here, terms)
    assert clause(used, ash, terms, plan) == "budget-charged"
    charge(ash, terms, plan)
    used(ash, terms, plan)
    assert clause(used, ash, terms, plan, state=State.SUSPENDED) == "state"
    # Neither an agreement that is silent about the budget nor a plan that claims nothing gets around it.
    silent = agreed(here, 2).model_copy(update={"budgets": ()})
    assert clause(used, ash, silent, planned(here, silent, 2, claims=())) == "budget-charged"


def test_a_plan_that_claims_privacy_without_any_budget_tells_nothing(here, ash):
    """Charges, rule 4."""
    bare = agreed(here).model_copy(update={"budgets": ()})
    assert clause(used, ash, bare, planned(here, bare)) == "budget-charged"
    used(ash, bare, planned(here, bare, 2, claims=()))


def test_nothing_is_charged_before_a_witness_has_seen_the_log(here, ash, monkeypatch):
    """Charges, rule 3. Nobody is connected here, so nobody has."""
    monkeypatch.setattr("cloister.node.chores._WITNESS_SECONDS", 0.0)
    monkeypatch.setattr("cloister.node.chores._WITNESS_PAUSE", 0.0)
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    witnessed = terms.model_copy(update={"witnesses": Terms.from_odrl(pair_terms(here)).witnesses})
    with pytest.raises(CloisterError) as caught:
        charge(ash, witnessed, planned(here, witnessed))
    assert "witness" in caught.value.what
    ash.ledger.lock("witness-rollback", "A witness has signed a longer history.", here.party[LAB])
    for these in (terms, witnessed):
        assert clause(charge, ash, these, planned(here, these)) == "witness-rollback"
    assert left(ash) == 5.0


# Admission ---------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_before_anything_starts(here, ash):
    terms = agreed(here, epsilon=3.0)
    plan = planned(here, terms)
    found = decision(ash, terms, plan)
    assert isinstance(found, Refusal)
    assert (found.clause, "keeps no budget" in found.reason) == ("budget", True)
    ash.budgets.populations.prepare(terms)
    assert isinstance(decision(ash, terms, plan), Permit)
    charge(ash, terms, plan)
    after = decision(ash, terms, planned(here, terms, 2))
    assert isinstance(after, Refusal)
    assert (after.clause, "suffice" in after.reason) == ("budget", True)
    # An agreement that is silent about a population of which others have a budget.
    silent = agreed(here, 2).model_copy(update={"budgets": ()})
    found = decision(ash, silent, planned(here, silent, 3, claims=()))
    assert isinstance(found, Refusal)
    assert (found.clause, "names no budget" in found.reason) == ("budget", True)
    (words,) = ash.budgets.populations.prepare(silent)
    assert "nothing will be computed on it under this agreement" in words
    other = agreed(here, 3, population="others")
    found = decision(ash, other, planned(here, other, 4))
    assert isinstance(found, Refusal)
    assert (found.clause, "another protected population" in found.reason) == ("budget", True)


def test_a_population_that_counts_renyi_bounds_has_room_for_more_than_sums(here, ash):
    """By the run that the plan states: before a task begins, and when it charges."""
    run = private_run(
        epsilon=1.0, delta=1e-6, dimension=3, clip=1.0, units=200, rate=0.1, steps=20, nodes=1,
        distributed=False, accountant="renyi",
    )  # fmt: skip
    loss = run.loss("renyi")
    claims = (claim(loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN),)
    ash.budgets.populations.open("plants", "record", 2.0, 1e-4, "renyi")
    permitted = 0
    for number in range(12):
        terms = agreed(here, number, epsilon=2.0)
        ash.budgets.populations.prepare(terms)
        plan = planned(here, terms, number, claims, run=run)
        if isinstance(decision(ash, terms, plan), Refusal):
            assert clause(charge, ash, terms, plan, loss=loss) == "budget"
            break
        charge(ash, terms, plan, loss=loss)
        permitted += 1
    assert 3 <= permitted < 12


def test_people_see_what_a_task_costs_and_what_was_spent_by_whom(here, ash):
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    plan = planned(here, terms)
    from cloister.node.budgets.views import about, listing

    before = about(ash.budgets, plan, terms)
    assert (before["epsilon"], before["charged"], before["left"]["epsilon"]) == (EPSILON, [], 5.0)
    charge(ash, terms, plan)
    after = about(ash.budgets, plan, terms)
    assert after["charged"] == [{"epsilon": EPSILON, "delta": DELTA}]
    assert after["left"]["epsilon"] == pytest.approx(3.0)
    (item,) = listing(ash.budgets, [(terms.digest, terms)])
    assert [(one["task"], one["agreement"]) for one in item["charges"]] == [(plan.digest, terms.uid)]
    assert item["agreements"][0]["spent"]["epsilon"] == EPSILON
    assert about(ash.budgets, plan.model_copy(update={"request": _without(plan, ash)}), terms) is None


def _without(plan, ash):
    return plan.request.model_copy(update={"datasets": {"a" * 52: plan.request.datasets[ash.party]}})


# Health ------------------------------------------------------------------------------------------------------------


def restored(here, when):
    """Ash's node with its database as it was, the rest of its folder as it is."""
    database = here.root / "Ash" / "cloister.db"
    for name in ("cloister.db-wal", "cloister.db-shm"):
        database.with_name(name).unlink(missing_ok=True)
    shutil.copyfile(when, database)
    here.nodes["Ash"] = here.make("Ash")
    return here["Ash"]


def copied(here, name):
    made = here.root / name
    with (
        closing(sqlite3.connect(here.root / "Ash" / "cloister.db")) as source,
        closing(sqlite3.connect(made)) as copy,
    ):
        source.backup(copy)
    return made


def test_a_node_whose_database_is_older_than_its_charges_runs_and_spends_nothing_until_reconciled(here, ash):
    """Health, rules 1 and 2."""
    terms = agreed(here, epsilon=20.0)
    ash.budgets.populations.prepare(terms)
    ash.budgets.populations.open("others", "record", 1.0, 1e-5)
    charge(ash, terms, planned(here, terms))
    backup = copied(here, "backup.db")
    for number in (2, 3):
        charge(ash, terms, planned(here, terms, number))
    here.stop("Ash")
    ash = restored(here, backup)
    status = ash.status()["budgets"]
    assert status["clause"] == "budget-restored"
    assert "reconcile" in status["remedy"]
    assert budgets_view(ash)["trouble"] == status
    plan = planned(here, terms, 4)
    assert clause(charge, ash, terms, plan) == "budget-restored"
    assert clause(ash.budgets.health.require_sound) == "budget-restored"
    assert clause(ash.tasks.admitting._require_sound_budgets, _known(ash, terms, plan)) == "budget-restored"
    with pytest.raises(BadInput):
        ash.budgets.health.reconcile({"plants": {terms.uid: (4.0, 2e-6)}})
    ash.budgets.health.reconcile({"plants": {terms.uid: (4.0, 2e-6)}, "others": None})
    assert ash.status()["budgets"] is None
    assert left(ash) == pytest.approx(20.0 - 3 * EPSILON)
    assert left(ash, "others") == 0.0
    charge(ash, terms, plan)
    with pytest.raises(Conflict):
        ash.budgets.health.reconcile({"plants": None, "others": None})
    here.stop("Ash")
    here.nodes["Ash"] = here.make("Ash")
    assert here["Ash"].status()["budgets"] is None
    assert left(here["Ash"]) == pytest.approx(20.0 - 4 * EPSILON)


def _known(ash, terms, plan):
    """The plan, of an agreement that the node holds."""
    ash.agreements.get = lambda _digest: SimpleNamespace(terms=terms)
    return plan


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"charges":-1}', '{"charges":true}', "not json", '{"charges":"1"}']
)
def test_a_mark_that_was_changed_stops_all_spending(here, ash, content):
    """Health, rules 1 and 2."""
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    here.stop("Ash")
    (here.root / "Ash" / "budgets.json").write_text(content)
    ash = here.nodes["Ash"] = here.make("Ash")
    assert ash.status()["budgets"]["clause"] == "budget-mark"
    assert clause(charge, ash, terms, planned(here, terms), kind=Tampered) == "budget-mark"
    assert (here.root / "Ash" / "budgets.json").read_text() == content


def test_totals_that_were_changed_stop_all_spending(here, ash):
    """Health, rule 1."""
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    charge(ash, terms, planned(here, terms))
    with ash.durable.database.transaction() as tx:
        BudgetRows(tx).put_total("plants", "", Loss().encode())
    here.stop("Ash")
    ash = here.nodes["Ash"] = here.make("Ash")
    assert ash.status()["budgets"]["clause"] == "budget-totals"
    assert clause(charge, ash, terms, planned(here, terms, 2), kind=Tampered) == "budget-totals"
    with pytest.raises(Tampered):
        ash.budgets.health.reconcile({"plants": None})


def test_the_mark_is_never_behind_what_the_log_says_at_a_start(here, ash):
    """A node that is killed between a charge's commit and its mark."""
    terms = agreed(here)
    ash.budgets.populations.prepare(terms)
    charge(ash, terms, planned(here, terms))
    path = here.root / "Ash" / "budgets.json"
    assert json.loads(path.read_text()) == {"charges": 1}
    here.stop("Ash")
    path.unlink()
    here.nodes["Ash"] = here.make("Ash")
    assert json.loads(path.read_text()) == {"charges": 1}
    assert here["Ash"].status()["budgets"] is None
