"""Tools and samples as JSON: the same services as the page, problem documents, pages of results."""

from __future__ import annotations

import contextlib

import pytest

from cloister.tools.serving import FILES
from web.toolhouse import NINE, PLAIN, picture, tool_file, tool_house


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("a"), people=True) as made:
        yield made


@pytest.fixture
def eva(house):
    browser = house.eva()
    yield browser
    browser.close()


def run(browser, data=PLAIN, name="a.png", **fields):
    return browser.post("/api/v1/tools/discs/samples", files={"file": (name, data)}, data=fields)


def test_a_tool_is_found_run_and_its_result_read(eva):
    listed = {tool["name"]: tool for tool in eva.get("/api/v1/tools").json()}
    assert listed["discs"]["origin"] == "installed"
    assert listed["crystals"]["origin"] == "builtin"
    tool = eva.get("/api/v1/tools/discs").json()
    assert tool["certificate"] is None
    assert tool["manifest"]["adjustable"]["threshold"]
    told = run(eva, um_per_pixel="0.5", **{"set-threshold": "0.4"}).json()
    assert told["count"] == NINE
    assert told["units"]["diameter_d50"] == "µm"
    assert told["settings"] == {"threshold": 0.4}
    assert told["tool_digest"] == tool["digest"]
    assert told["evidence"]["holds"] is True
    assert told["evidence"]["sent"] is None
    assert eva.get(f"/api/v1/samples/{told['id']}").json() == told
    assert told["id"] in {sample["id"] for sample in eva.get("/api/v1/samples/recent").json()}
    for name in told["files"]:
        got = eva.get(f"/api/v1/samples/{told['id']}/files/{name}")
        assert got.headers["content-type"] == FILES[name]
        assert got.headers["content-disposition"].startswith("attachment")
    assert eva.get(f"/api/v1/samples/{told['id']}/files/x.svg").status_code == 404


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"files": {"file": ("a.png", b"hello")}}, 422),
        ({"files": {"file": ("a.png", PLAIN)}, "data": {"um_per_pixel": "-"}}, 422),
        ({"files": {"file": ("a.png", PLAIN)}, "data": {"set-model": "mine"}}, 422),
        ({"data": {"um_per_pixel": "1"}}, 422),
        ({"json": {}}, 422),
        ({"files": [("file", ("a.png", PLAIN)), ("file", ("b.png", PLAIN))]}, 422),
        ({"files": {"file": ("a.png", PLAIN)}, "headers": {"origin": "https://evil.example"}}, 403),
    ],
)
def test_what_cannot_be_used_is_a_problem_document(eva, request_, status):
    answer = eva.post("/api/v1/tools/discs/samples", **request_)
    assert answer.status_code == status
    if status == 422:
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) >= {"type", "title", "status", "detail", "remedy"}


def test_samples_are_kept_paged_labelled_and_deleted(eva):
    ids = []
    for count in (2, 4, 6):
        told = run(eva, picture(count), f"{count}.png").json()
        kept = eva.post(f"/api/v1/samples/{told['id']}/keep", json={"label": "paged", "pictures": "none"})
        assert kept.json()["state"] == "kept"
        assert kept.json()["kept_by"] == "Eva"
        assert kept.json()["left_out"] == []
        ids.append(told["id"])
    first = eva.get("/api/v1/samples", params={"label": "paged", "limit": 2}).json()
    assert first["total"] == 3
    second = eva.get("/api/v1/samples", params={"label": "paged", "limit": 2, "before": first["next"]}).json()
    assert second["next"] is None
    assert {sample["id"] for sample in first["samples"] + second["samples"]} == set(ids)
    trend = eva.get("/api/v1/samples/trend", params={"label": "paged"}).json()
    assert sorted(point["value"] for point in trend["points"]) == [2, 4, 6]
    assert eva.get("/api/v1/samples/export.csv", params={"label": "paged"}).text.count("paged") == 3
    assert eva.get("/api/v1/samples/export.json", params={"label": "paged"}).json()["complete"]
    assert eva.post(f"/api/v1/samples/{ids[0]}/label", json={"label": "moved"}).json()["label"] == "moved"
    half = {"content": b'{"label": "\\ud800"}', "headers": {"content-type": "application/json"}}
    assert eva.post(f"/api/v1/samples/{ids[0]}/label", **half).status_code == 422
    assert eva.post(f"/api/v1/samples/{ids[0]}/keep", json={"more": 1}).status_code == 422
    for sample in ids:
        assert eva.delete(f"/api/v1/samples/{sample}").json() == {"removed": sample}
        assert eva.delete(f"/api/v1/samples/{sample}").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "before=x", "since=2026-13-01", "text=%00", "label=" + "x" * 101],
)
def test_a_search_that_makes_no_sense_is_refused(eva, query):
    assert eva.get(f"/api/v1/samples?{query}").status_code in {400, 422}


def test_what_is_not_kept_can_be_forgotten_at_once(eva):
    sample = run(eva).json()["id"]
    assert eva.delete(f"/api/v1/samples/{sample}").status_code == 200
    assert eva.get(f"/api/v1/samples/{sample}").status_code == 404


def test_a_tool_is_looked_at_installed_and_gone_back_from(house, eva):
    made = eva.post("/api/v1/tool-offers", files={"file": ("x.tool", tool_file("2.0.0"))}).json()
    assert made["manifest"]["version"] == "2.0.0"
    assert made["replaces"]["version"] == "1.0.0"
    assert made["certificate"] is None
    assert eva.get(f"/api/v1/tool-offers/{made['id']}").json() == made
    state = eva.post(f"/api/v1/tool-offers/{made['id']}/install").json()
    assert state["history"][-1]["version"] == "2.0.0"
    assert eva.get("/api/v1/tools/discs/file").content == tool_file("2.0.0")
    assert eva.post("/api/v1/tools/discs/rollback").json()["history"][-1]["action"] == "rolled back"
    again = eva.post("/api/v1/tool-offers", files={"file": ("x.tool", tool_file("2.0.0"))}).json()
    assert eva.delete(f"/api/v1/tool-offers/{again['id']}").status_code == 200
    assert eva.get(f"/api/v1/tool-offers/{again['id']}").status_code == 404
    assert eva.post("/api/v1/tool-offers", files={"file": ("x.tool", b"")}).status_code == 422


def test_rights_are_asked_for(house):
    house.site.accounts.add("Tess", ["tool-user"], "two tiny toads hop")
    with contextlib.closing(house.visitor()) as tess:
        tess.sign_in("Tess", "two tiny toads hop")
        assert run(tess).status_code == 200
        assert tess.post("/api/v1/tool-offers", files={"file": ("x.tool", tool_file())}).status_code == 403
        assert tess.post("/api/v1/tools/discs/rollback").status_code == 403
    with house.visitor() as nobody:
        assert run(nobody).status_code == 401
        assert nobody.get("/api/v1/samples").status_code == 401


def test_the_description_says_that_a_file_is_taken(house, eva):
    described = eva.get("/api/v1/openapi.json").json()["paths"]
    body = described["/api/v1/tools/{name}/samples"]["post"]["requestBody"]
    assert "multipart/form-data" in body["content"]
    assert "/tools/{name}" not in described
