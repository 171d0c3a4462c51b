"""What the dataset pages refuse and hide: other people's eyes, paths that lead out, names that act, forms that nobody wrote."""

from __future__ import annotations

import json

import pytest

from node.town import table
from web.plenty import alert, person, two_houses

SECRET = "Okafor-4711"


@pytest.fixture(scope="module")
def ash():
    with two_houses() as houses:
        house = houses["Ash"]
        data = house.site.folder.root / "data"
        data.mkdir()
        (data / "people.csv").write_text("name,pay\n" + f"{SECRET},1\n" * 30)
        house.node.datasets.add(data / "people.csv", {"name": "people", "title": "People", "residency": "AT"})
        yield house


@pytest.fixture(scope="module")
def eva(ash):
    browser = ash.eva()
    yield browser
    browser.close()


@pytest.mark.parametrize("role", ["auditor", "analyst", "approver"])
def test_whoever_may_only_read_sees_no_profile_no_place_and_no_way_to_change(ash, role):
    somebody = person(ash, role.title(), role)
    page = somebody.get("/datasets/own/people")
    assert page.status_code == 200
    for hidden in (SECRET, "people.csv", "Only you see", "Withdraw", "/check"):
        assert hidden not in page.text
    assert "/datasets/new" not in somebody.get("/datasets").text
    for path in ("/datasets/new", "/datasets/own/people/withdraw", "/datasets/own/people/check"):
        assert somebody.get(path).status_code == 403
    for path in ("check", "version", "withdraw", "notes"):
        assert somebody.post(f"/datasets/own/people/{path}", data={"typed": "people"}).status_code == 403
    told = somebody.get("/api/v1/datasets").json()
    assert [item["private"]["source"] for item in told] == [""]
    assert somebody.post("/api/v1/datasets", json={"source": "/etc/passwd", "fields": {}}).status_code == 403
    assert ash.node.datasets.one("people")


def test_a_tool_user_sees_nothing_and_a_visitor_even_less(ash):
    user = person(ash, "Tina", "tool-user")
    for path in (
        "/datasets",
        "/datasets/others",
        "/datasets/own/people",
        "/datasets/own/nothing",
        "/api/v1/datasets",
        "/parties",
    ):
        assert user.get(path).status_code == 403, path
    page = ash.visitor().get("/datasets/own/people")
    assert page.url.path == "/sign-in"


def test_an_operator_registers_but_opens_no_budget(ash):
    operator = person(ash, "Olga", "operator")
    page = operator.post("/datasets/new", data={"folder": 0, "path": "people.csv"})
    assert page.status_code == 200
    operator.post(page.url.path, data={})
    page = operator.post(
        f"{page.url.path}/rules",
        data={
            "name": "mine",
            "residency": "AT",
            "population": "new",
            "population_name": "p",
            "epsilon": "1",
            "delta": "0",
        },
    )
    assert "a budget is opened" not in page.text
    assert operator.get("/datasets/own/people/budget").status_code == 403
    assert (
        operator.post("/datasets/own/people/budget", data={"epsilon": "900", "delta": "0.1"}).status_code
        == 403
    )


def test_a_limit_is_not_raised_without_a_password_shown_just_now(ash):
    approver = person(ash, "Approver", "approver")
    clock = ash.site.clock
    ash.site.accounts._clock = type("Later", (), {"now": lambda _: clock.now() + 600})()
    try:
        page = approver.get("/datasets/own/people/budget")
        assert page.url.path == "/confirm"
        page = approver.post(
            "/datasets/own/people/budget", data={"population": "p", "epsilon": "900", "delta": "0.1"}
        )
        assert page.status_code in {401, 403}
    finally:
        ash.site.accounts._clock = clock
    assert ash.node.budgets.health.trouble is None
    assert "belongs to no protected population" in approver.get("/datasets/own/people").text


@pytest.mark.parametrize(
    "path",
    [
        "../secrets/keystore.json",
        "/etc/passwd",
        "..",
        "uploads/../../cloister.db",
        "people.csv\0",
        "~root",
        "people.csv/../people.csv",
    ],
)
@pytest.mark.parametrize("root", [0, 1, -5])
def test_paths_that_lead_out_are_refused_without_telling_what_is_there(eva, path, root):
    page = eva.post("/datasets/new", data={"folder": root, "path": path})
    assert page.status_code in {403, 404, 422}
    assert eva.get("/datasets/new", params={"folder": root, "path": path}).status_code in {200, 403, 404}
    assert "root:" not in page.text
    assert "keystore" not in page.text.replace(path, "")


def test_links_are_not_followed(ash, eva, tmp_path):
    outside = table(tmp_path / "outside.csv", 1)
    (ash.site.folder.root / "data" / "link.csv").symlink_to(outside)
    assert "link.csv" not in eva.get("/datasets/new").text
    page = eva.post("/datasets/new", data={"folder": 0, "path": "link.csv"})
    assert page.status_code == 403
    assert "heat" not in page.text


def test_a_file_that_becomes_a_link_later_is_not_read(ash, eva, tmp_path):
    path = table(ash.site.folder.root / "data" / "swapped.csv", 1)
    page = eva.post("/datasets/new", data={"folder": 0, "path": "swapped.csv"})
    address = page.url.path
    outside = tmp_path / "outside.csv"
    outside.write_text(f"stolen\n{SECRET}\n")
    path.unlink()
    path.symlink_to(outside)
    for step in ("", "/rules", "/review"):
        page = eva.get(address + step)
        assert SECRET not in page.text
        assert "stolen" not in page.text
    page = eva.post(f"{address}/register")
    assert "stolen" not in page.text
    assert all(item["name"] != "swapped" for item in ash.node.datasets.own())


def test_over_the_network_the_interface_registers_nothing_outside_the_data_folders(ash, eva, tmp_path):
    outside = table(tmp_path / "outside.csv", 1)
    fields = {"name": "outside", "title": "x", "residency": "AT"}
    for source in (
        str(outside),
        "/etc/passwd",
        f"{ash.site.folder.root}/data/../secrets",
        "people.csv",
        str(ash.site.folder.root),
    ):
        answer = eva.post("/api/v1/datasets", json={"source": source, "fields": fields})
        assert answer.status_code == 403, source
        assert answer.json()["clause"] == "data-folder"
    source = str(ash.site.folder.root / "data" / "people.csv")
    answer = eva.post("/api/v1/datasets", json={"source": source, "fields": fields | {"name": "inside"}})
    assert answer.status_code == 200, answer.text
    assert eva.post("/api/v1/datasets/inside/withdraw").json()["withdrawn"] is True


NAMES = '<script>alert(1)</script>,"a"" onmouseover=""x",{{7*7}},%s'


def test_names_and_values_with_markup_are_shown_as_they_are_and_do_nothing(ash, eva):
    path = ash.site.folder.root / "data" / "<img src=x onerror=alert(1)>.csv"
    path.write_text(NAMES + "\n" + '<b>x</b>,"</td><script>1</script>",{{7*7}},1\n' * 3)
    assert "<img" not in eva.get("/datasets/new").text
    page = eva.post("/datasets/new", data={"folder": 0, "path": path.name})
    address = page.url.path
    texts = [page.text]
    page = eva.post(address, data={"unit": "column:<script>alert(1)</script>", "do": "next"})
    texts.append(page.text)
    page = eva.post(
        f"{address}/rules",
        data={
            "name": "markup",
            "title": "<script>t</script>",
            "residency": "AT",
            "notes": "</textarea><script>",
        },
    )
    texts.append(page.text)
    page = eva.post(f"{address}/register")
    assert page.url.path == "/datasets/own/markup"
    texts += [page.text, eva.get("/datasets").text]
    for text in texts:
        assert "<script>alert" not in text
        assert "<script>t" not in text
        assert "<img" not in text
        assert "onmouseover=&#34;" in text or "onmouseover" not in text
        assert ">49<" not in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a\x1b[2Jb,c\n1,2\n", "controls"),
        ("a\u202eb,c\n1,2\n".encode(), "turn the direction"),
        (",".join(f"c{n}" for n in range(3000)).encode() + b"\n", "too many"),
        (b"c" * 200_000 + b",d\n1,2\n", "name"),
        (b"x" * (2 << 20), ""),
        (b"a,a\n1,2\n", "name of its own"),
        (b"a,b\n1,2,3\n", "ragged"),
        (b'a,b\n"1,2\n', ""),
        (b"a,b\n", "no rows"),
        (b"\x00\x01\x02", ""),
        (b"\xff\xfea\x00,\x00", ""),
    ],
)
def test_tables_that_nobody_should_register_are_refused_on_upload_and_leave_nothing(ash, eva, content, why):
    page = eva.post("/datasets/upload", files={"table": ("hostile.csv", content)})
    assert page.status_code == 422, page.text[-500:]
    assert why in alert(page) or why in page.text
    uploads = ash.site.folder.root / "data" / "uploads"
    assert not any(item.name.startswith("hostile") for item in uploads.iterdir())


def test_a_parquet_file_that_lies_about_itself_is_refused(eva):
    for content in (b"PAR1" + b"\x00" * 64 + b"PAR1", b"PAR1" + b"\xff" * 400 + b"\xff\xff\xff\x7fPAR1"):
        page = eva.post("/datasets/upload", files={"table": ("x.parquet", content)})
        assert page.status_code == 422
        assert "not a Parquet file" in alert(page)


def test_an_upload_over_the_limit_is_refused(eva, monkeypatch):
    from cloister.node import data_folders

    monkeypatch.setattr(data_folders, "UPLOAD_MOST", 1000)
    page = eva.post("/datasets/upload", files={"table": ("big.csv", b"a\n" + b"1\n" * 1000)})
    assert page.status_code == 413


def test_forms_that_no_page_made_change_nothing(ash, eva):
    page = eva.post("/datasets/new", data={"folder": 0, "path": "people.csv"})
    address = page.url.path
    assert eva.post(address, content=b"&".join(b"s%d=x" % n for n in range(5000))).status_code == 422
    assert eva.post(
        address, content=b"\xff\xfe=1", headers={"content-type": "application/x-www-form-urlencoded"}
    ).status_code in {200, 422}
    odd = {
        "s0": "secret!",
        "k0": "object",
        "unit": "column:nowhere",
        "decimal": ";",
        "u0": "x" * 5000,
        "do": "fly",
        "s999": "public",
    }
    eva.post(address, data=odd)
    draft = json.dumps([item.model_dump() for item in drafts(ash) if item.id in address])
    assert "secret!" not in draft
    assert "object" not in draft
    assert len(draft) < 2000
    for path in (
        address + "/review",
        "/datasets/new/nothing",
        "/datasets/new/" + "x" * 500,
        "/datasets/new/..%2f..",
        "/datasets/own/%00",
    ):
        assert eva.get(path).status_code < 500, path
    assert eva.post(f"{address}/register").url.path != "/datasets/own/people-2"


def drafts(house):
    from cloister.web.desk.dataset_drafts import Drafts

    return Drafts(house.site.database, house.site.clock).all()


def test_drafts_do_not_grow_without_end(ash, eva):
    for _ in range(25):
        eva.post("/datasets/new", data={"folder": 0, "path": "people.csv"}, follow_redirects=False)
    assert len(drafts(ash)) == 20


def test_another_sites_form_is_refused(ash):
    stranger = ash.eva()
    stranger.headers["origin"] = "https://elsewhere.example"
    assert stranger.post("/datasets/own/people/withdraw", data={"typed": "people"}).status_code == 403
    assert ash.node.datasets.one("people")
