"""From counts to a verdict: accepted, not accepted or not decided, and nothing in between is hidden."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))
from studymaking import counted, limits, plan, simulated, study

from cloister.acceptance.analysis import analyse
from cloister.acceptance.paper import paper
from cloister.acceptance.report import StudyReport, make_report, read_either, verified
from cloister.acceptance.verdict import judge
from cloister.documents import html, pdf
from cloister.foundation.documents import parse_document
from cloister.foundation.errors import BadInput, Conflict, Tampered


def verdict_of(made, counts):
    found = analyse(made, counts)
    return judge(made.plan, found), found


def test_a_tool_that_counts_like_people_is_accepted():
    verdict, found = verdict_of(*simulated())
    assert verdict.outcome == "accepted"
    assert [item.state for item in verdict.criteria] == ["met", "met"]
    assert found.tool_repeats
    assert found.people.share.value < 10


def test_a_tool_with_a_bias_beyond_the_limit_is_not_accepted_and_the_reason_names_it():
    verdict, _ = verdict_of(*simulated(tool_bias=8))
    assert verdict.outcome == "not accepted"
    assert verdict.criteria[0].state == "not met"
    assert "Bias of the tool" in verdict.reasons[0]


def test_between_met_and_not_met_nothing_is_decided():
    # The bias of about 4.6 is within 5, its interval is not.
    verdict, found = verdict_of(*simulated(number=12, tool_bias=4.6, noise=2.5))
    bias = found.judged.agreement.bias
    assert abs(bias.value) < 5 < bias.high
    assert verdict.criteria[0].state == "open"
    assert verdict.outcome == "not decided"
    assert any("More pictures" in line for line in verdict.reasons)


def test_three_pictures_do_not_suffice_where_thirty_do():
    few, _ = verdict_of(*simulated(number=3, limits=limits(bias=5, agreement=9)))
    many, _ = verdict_of(*simulated(number=60, limits=limits(bias=5, agreement=9)))
    assert few.outcome != "accepted"
    assert many.outcome == "accepted"
    assert any("30 or more" in line for line in few.remarks)


def test_a_spread_that_grows_is_judged_where_it_is_widest():
    made, counts = simulated(number=60, limits=limits(bias=10, agreement=25))
    random = np.random.default_rng(2)
    cube = counts.cube(made.plan)
    true = cube.mean(axis=(1, 2))
    tool = np.round(true + random.normal(0, 0.1 * true))
    wide = study(made.plan, [tool, tool])
    verdict, found = verdict_of(wide, counts)
    assert found.judged.growth.spread_changes
    lines = next(item for item in verdict.criteria if "change with the count" in item.name)
    assert lines.state == "not met"
    assert verdict.criteria[1].state != "not met"  # level limits alone would not have shown it
    assert verdict.outcome == "not accepted"


def test_ratios_are_symmetric_and_a_zero_beside_many_is_never_left_out():
    made = plan(10, limits=limits("ratio", 0.1, 0.2))
    cube = np.full((10, 2, 2), 50) + np.arange(10)[:, None, None]
    same = cube[:, 0, 0]
    good, found = verdict_of(study(made, [same, same]), counted(made, cube))
    assert good.outcome == "accepted"
    assert found.shift == 0
    blind = same.copy()
    blind[3] = 0
    bad, found = verdict_of(study(made, [blind, blind]), counted(made, cube))
    assert bad.outcome == "not accepted"
    assert found.shift == 0.5
    assert any("0.5 was added" in line for line in bad.remarks)
    double = analyse(study(made, [2 * same, 2 * same]), counted(made, cube)).judged.agreement.bias.value
    half = analyse(study(made, [same, same]), counted(made, 2 * cube)).judged.agreement.bias.value
    assert double == pytest.approx(math.log(2)) == -half


def test_missing_counts_leave_the_study_undecided_and_are_listed():
    made, counts = simulated()
    cube = counts.cube(made.plan)
    cube[4, 1, 0] = -1
    tool = [list(made.run.counts[0]), list(made.run.counts[1])]
    tool[0][7] = tool[1][7] = None
    verdict, found = verdict_of(study(made.plan, tool), counted(made.plan, cube))
    assert verdict.outcome == "not decided"
    assert dict(found.incomplete) == {"p004.png": "person 2, count 1", "p007.png": "the tool"}
    assert len(found.pictures) == 28
    cube[:] = -1
    with pytest.raises(BadInput, match="Too few"):
        analyse(made, counted(made.plan, cube))


def test_criteria_of_the_gauge_count_only_if_the_plan_has_them():
    made, counts = simulated(limits=limits(gauge=10.0, categories=5))
    verdict, _ = verdict_of(made, counts)
    assert [item.state for item in verdict.criteria] == ["met"] * 4
    alike, counts = simulated(lowest=50, highest=53, limits=limits(gauge=10.0, categories=5))
    verdict, found = verdict_of(alike, counts)
    assert found.all.share.value > 30
    assert [item.state for item in verdict.criteria][-2:] == ["not met", "not met"]
    assert verdict.outcome == "not accepted"


def test_people_who_disagree_more_than_the_tool_may_are_told():
    made, counts = simulated(noise=12, limits=limits(bias=10, agreement=20))
    verdict, found = verdict_of(made, counts)
    assert any("reference itself" in line for line in verdict.remarks)
    assert {pair.name for pair in found.pairs} == {
        "tool \u2212 person 1",
        "tool \u2212 person 2",
        "person 1 \u2212 person 2",
    }


def test_a_tool_that_does_not_repeat_itself_is_told():
    made, counts = simulated()
    other = [count + 1 for count in made.run.counts[1]]
    verdict, _ = verdict_of(study(made.plan, [made.run.counts[0], other]), counts)
    assert any("same counts each time" in line for line in verdict.remarks)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_counts_give_a_verdict_a_report_and_a_paper(data):
    form = data.draw(st.sampled_from(["objects", "ratio"]))
    repeats = data.draw(st.integers(1, 2))
    made = plan(5, repeats, limits=limits(form, 0.1, 0.3, gauge=30.0, categories=5))
    number = st.sampled_from([0, 0, 1, 2, 7, 100, 100_000])
    cube = np.array(data.draw(st.lists(number, min_size=10 * repeats, max_size=10 * repeats))).reshape(
        5, 2, repeats
    )
    tool = data.draw(st.lists(number, min_size=5, max_size=5))
    report, found = make_report(study(made, [tool] * 2), counted(made, cube), now=1_800_000_000)
    assert report.verdict.outcome in ("accepted", "not accepted", "not decided")
    assert parse_document(StudyReport, report.canonical(), "x").digest() == report.digest()
    assert b"nan" not in html.render(paper(report, found))


def test_the_report_says_the_verdict_the_method_and_every_count_and_is_the_same_again():
    made, counts = simulated(tool_bias=30)
    report, found = make_report(made, counts, now=1_800_000_000)
    first = pdf.render(paper(report, found))
    again, found_again = make_report(made, counts, now=1_800_000_000)
    assert pdf.render(paper(again, found_again)) == first
    page = html.render(paper(report, found)).decode()
    for word in (
        "Not accepted",
        made.plan.digest(),
        made.plan.method.digest(),
        report.digest(),
        "AIAG",
        "person 1 \u2212 person 2",
        "setting threshold",
        "p029.png",
        "<svg",
    ):
        assert word in page, word
    for item in counts.counts[:5]:
        assert f">{item.count}<" in page


def test_a_changed_verdict_is_noticed(tmp_path):
    made, counts = simulated(tool_bias=30)
    report, _ = make_report(made, counts, now=1_800_000_000)
    file = tmp_path / "report.json"
    file.write_bytes(report.canonical())
    assert verified(read_either(file)).verdict.outcome == "not accepted"
    data = json.loads(report.canonical())
    data["verdict"]["outcome"] = "accepted"
    file.write_text(json.dumps(data))
    with pytest.raises(Tampered):
        verified(read_either(file))
    file.write_bytes(made.canonical())
    assert read_either(file) == made


def test_another_plans_counts_and_a_study_that_did_not_run_are_refused():
    made, counts = simulated()
    other = plan(30, seed=6)
    with pytest.raises(Conflict):
        analyse(study(other, made.run.counts), counts)
    with pytest.raises(Conflict, match="not counted yet"):
        analyse(made.model_copy(update={"run": None}), counts)
