"""What agreements say to a disclosure: each rule by its clause, and default deny."""

from __future__ import annotations

import pytest

from agreements.agreement_cases import NOW, fake_party
from cloister.agreements.lifecycle import State
from cloister.agreements.templates import new_from_template
from cloister.data.schema import Column, DatasetDescription, ImageFacts, UnitOfPrivacy
from cloister.disclosure.permission import Known, Wish, governing, require_permitted
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import Refused

OWNER, LAB, STRANGER = fake_party(1), fake_party(2), fake_party(3)
PURPOSE, DAY = "Measure crystals", 86_400
PHOTOS = DatasetDescription(
    name="photos",
    title="Photos",
    kind="image-points",
    image=ImageFacts(),
    unit_of_privacy=UnitOfPrivacy(kind="image"),
    residency="AT",
    owner=OWNER,
    commitment="sha256:" + "1" * 64,
    registered=rfc3339(NOW - DAY),
)
TABLE = PHOTOS.model_copy(
    update={
        "kind": "table",
        "image": None,
        "columns": (Column(name="a", kind="real"), Column(name="b", kind="real", sensitivity="personal")),
        "unit_of_privacy": UnitOfPrivacy(kind="record"),
    }
)
LEAVES = tuple(f"sha256:{number:064x}" for number in range(8))


def known(samples: int | None = 5, state=State.FINALIZED, disclosed=(), **changes) -> Known:
    owner = {"party": OWNER, "name": "Plant", "dataset": "photos", "samples": samples}
    owner |= {key: changes.pop(key) for key in ("columns",) if key in changes}
    terms = new_from_template(
        "one-researcher-one-owner",
        {
            "title": "Crystals",
            "owners": [owner],
            "researchers": [{"party": LAB, "name": "Lab"}],
            "purposes": [PURPOSE],
            "starts": rfc3339(NOW - DAY),
            "days": 100,
            "epsilon": 1.0,
            "unit": "image",
            **changes,
        },
    )
    return Known(terms.digest, terms, state, frozenset(disclosed))


def wish(**changes) -> Wish:
    fields = {
        "owner": OWNER,
        "recipient": LAB,
        "dataset": PHOTOS,
        "records": LEAVES[:3],
        "purpose": PURPOSE,
        "until": NOW + 10 * DAY,
    }
    return Wish(**fields | changes)


def refused(wanted: Wish, *agreements: Known) -> str:
    with pytest.raises(Refused) as found:
        require_permitted(wanted, agreements)
    assert found.value.what
    return found.value.clause


def test_an_agreement_with_the_clause_allows_it_and_is_named():
    agreement = known()
    assert require_permitted(wish(), [agreement]) == (agreement.digest,)


def test_an_agreement_without_the_clause_forbids_it():
    assert refused(wish(), known(None)) == "disclosed-records"


def test_one_agreement_that_forbids_outweighs_another_that_allows():
    assert refused(wish(), known(), known(None, title="Another")) == "disclosed-records"


def test_without_an_agreement_between_the_two_the_owner_decides_alone():
    assert require_permitted(wish(), []) == ()
    assert require_permitted(wish(recipient=STRANGER), [known(None)]) == ()
    assert require_permitted(wish(dataset=PHOTOS.model_copy(update={"name": "other"})), [known(None)]) == ()


@pytest.mark.parametrize("state", sorted(set(State) - {State.FINALIZED, State.SUSPENDED}))
def test_what_is_negotiated_still_or_has_ended_governs_nothing(state):
    assert governing(wish(), [known(state=state)]) == ()


def test_a_suspended_agreement_forbids():
    assert refused(wish(), known(state=State.SUSPENDED)) == "state"


def test_only_a_researcher_of_the_agreement_receives():
    user = known(users=[{"party": STRANGER, "name": "User"}])
    assert refused(wish(recipient=STRANGER), user) == "recipients"


def test_the_purpose_is_one_of_the_agreements():
    assert refused(wish(purpose="Marketing"), known()) == "purpose"


def test_it_ends_no_later_than_the_agreement():
    end = NOW + 99 * DAY
    assert require_permitted(wish(until=end), [known()])
    assert refused(wish(until=end + 1), known()) == "validity"


def test_a_row_goes_whole_so_all_its_columns_must_be_allowed_and_none_too_sensitive():
    table = wish(dataset=TABLE)
    assert refused(table, known(columns=["a"], sensitivity="personal", unit="record")) == "columns"
    assert refused(table, known(sensitivity="confidential", unit="record")) == "sensitivity"
    assert require_permitted(table, [known(sensitivity="personal", unit="record")])


def test_an_agreement_that_says_where_data_is_kept_forbids_copies_elsewhere():
    assert refused(wish(), known(residency=["AT"])) == "residency"


def test_the_number_of_records_counts_what_was_disclosed_before_each_record_once():
    assert require_permitted(wish(records=LEAVES[:5]), [known(5)])
    assert refused(wish(records=LEAVES[:6]), known(5)) == "disclosed-records"
    assert require_permitted(wish(records=LEAVES[:3]), [known(5, disclosed=LEAVES[:5])])
    assert refused(wish(records=LEAVES[4:6]), known(5, disclosed=LEAVES[:5])) == "disclosed-records"
